"""Reading: signals, the proof of one, what was refused, and the feed."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from aiohttp import web

from mesh.certificate import open_certificate
from mesh.days import format_day
from mesh.receipt import open_receipt
from mesh.wire import Present
from orgnode.api import sse
from orgnode.api.errors import ErasedError, InvalidLastEventIdError, NotCoveredError
from orgnode.api.models import (
    CertificateAnswer,
    FeedQuery,
    ProofAnswer,
    ReceiptAnswer,
    RefusalAnswer,
    RefusalsAnswer,
    RefusalsQuery,
    SharingAnswer,
    SignalAnswer,
    SignalDetailAnswer,
    SignalsAnswer,
    SignalsQuery,
)
from orgnode.api.routing import Media, Route, answer, query_of
from orgnode.api.services import NodeServices
from orgnode.derived import shown_signal
from orgnode.publisher import UnknownSignalError
from orgnode.store import FeedFilter, SignalFilter, SignalRecord, SignalStatus
from proofs.checkpoint import open_checkpoint
from proofs.merkle import inclusion_proof

_MAX_ID_DIGITS = 16


class SignalRoutes:
    """What shows signals, own ones and verified ones of peers."""

    def __init__(self, node: NodeServices, limits: sse.FeedLimits) -> None:
        self._node = node
        self._limits = limits

    def routes(self) -> list[Route]:
        """The routes of this subject."""
        signal_id = {"id": "The signal's id"}
        return [
            Route(
                "GET",
                "/v1/signals",
                self.signals,
                name="listSignals",
                summary="List signals, newest first",
                tag="signals",
                query=SignalsQuery,
                answers={200: SignalsAnswer},
            ),
            Route(
                "GET",
                "/v1/signals/{id}",
                self.signal,
                name="getSignal",
                summary="Show one signal, and what others say of it",
                tag="signals",
                answers={200: SignalDetailAnswer},
                parameters=signal_id,
                errors=(404,),
            ),
            Route(
                "GET",
                "/v1/signals/{id}/proof",
                self.proof,
                name="getSignalProof",
                summary="Get everything needed to verify a signal elsewhere",
                description="Signed entry, body, signed checkpoint (with the cosignatures of a "
                "quorum, once there are that many) and inclusion proof. The "
                "severity proof shows that committed scores follow the rubric and reach the band, "
                "not that the issuer was honest about them.",
                tag="signals",
                answers={200: ProofAnswer},
                parameters=signal_id,
                errors=(404, 410, 503),
            ),
            Route(
                "GET",
                "/v1/refusals",
                self.refusals,
                name="listRefusals",
                summary="List peers' entries that did not hold",
                tag="signals",
                query=RefusalsQuery,
                answers={200: RefusalsAnswer},
            ),
            Route(
                "GET",
                "/v1/feed",
                self.feed,
                name="followFeed",
                summary="Follow events as they happen",
                description="Server-sent events. `signal` (certified by a quorum), "
                "`provisional` (if asked for: not certified yet), `retraction`, `refused`, "
                "`evidence`, `sighting`, `promotion` and `misconduct` carry an id and the JSON of "
                "`FeedItem`. The stream's own: `cursor` and `gap` (with an id; after a gap, look "
                "at /v1/signals), `dropped` (too slow) and `bye` (shutting down), both with "
                "`resume`. Reconnect with `Last-Event-ID`.",
                tag="feed",
                query=FeedQuery,
                headers={"Last-Event-ID": "Go on behind this event; wins over `after`"},
                answers={200: Media("text/event-stream", "Events, until either side closes")},
                errors=(503,),
            ),
        ]

    async def signals(self, request: web.Request) -> web.Response:
        """List signals, a page at a time."""
        asked = query_of(request, SignalsQuery)
        wanted = SignalFilter(
            min_band=self._level(asked.min_band),
            category=asked.category,
            issuer=asked.issuer,
            status=None if asked.status is None else SignalStatus(asked.status),
            provisional=asked.provisional,
            suspended=asked.suspended,
        )
        # One more than asked for tells whether there is a next page.
        records = self._node.store.signals(wanted, asked.cursor, asked.limit + 1)
        page = records[: asked.limit]
        following = page[-1].cursor if len(records) > len(page) else None
        shown = [SignalAnswer.model_validate(self._shown(one)) for one in page]
        return answer(SignalsAnswer(signals=shown, next=following))

    async def signal(self, request: web.Request) -> web.Response:
        """Show one signal, which others share tokens with it, and what people said of it."""
        record, store = self._find(request), self._node.store
        shown = self._shown(record)
        tokens = shown["tokens"]
        said = [
            source
            for source in store.sources(tokens[:1]).get("".join(tokens[:1]), ())
            if source.signal == record.id
        ]
        return answer(
            SignalDetailAnswer.model_validate(
                {
                    **shown,
                    "sharing": [
                        SharingAnswer(issuer=issuer, signal=other, tokens=count)
                        for issuer, other, count in store.sharing(record.id)
                    ],
                    "confirmed_by": [name for one in said for name in one.confirmed_by],
                    "denied_by": [name for one in said for name in one.denied_by],
                    "promoted": len(store.promoted_tokens(tokens)),
                    "certificate": self._certificate(record, said[0].received if said else None),
                    **self._receipts(record),
                }
            )
        )

    async def proof(self, request: web.Request) -> web.Response:
        """Put together what verifies a signal, from the exact bytes stored."""
        record = self._find(request)
        store, mesh, issuer, index = self._node.store, self._node.mesh, record.issuer, record.index
        body = store.bodies(issuer, index, index + 1)[0]
        if not isinstance(body, Present):
            raise ErasedError(
                f"the content of this signal was erased ({record.status})",
                hint="only its digest is left; there is nothing to verify any more",
            )
        # One that is certified is proven with the cosignatures, if its checkpoint is the smaller.
        note = store.certificate(issuer) if record.certified else store.checkpoint(issuer)
        checkpoint = None if note is None else open_checkpoint(note, mesh.log_key(issuer))
        if note is None or checkpoint is None or checkpoint.size <= index:
            raise NotCoveredError(
                "no checkpoint that is held in full covers this signal yet",
                hint="ask again when the log has been followed to its newest checkpoint",
            )
        path = inclusion_proof(index, checkpoint.size, lambda nodes: store.nodes(issuer, nodes))
        return answer(
            ProofAnswer(
                signal=record.id,
                issuer=issuer,
                index=index,
                mesh=mesh.mesh_id,
                note=_base64(store.entries(issuer, index, index + 1)[0]),
                salt=_base64(body.salt),
                body=_base64(body.body),
                checkpoint=_base64(note),
                inclusion=[node.hex() for node in path],
                certified=record.certified,
            )
        )

    async def refusals(self, request: web.Request) -> web.Response:
        """List what was refused, and why; never its content."""
        asked = query_of(request, RefusalsQuery)
        refused = self._node.store.refusals(asked.issuer, asked.limit)
        return answer(
            RefusalsAnswer(
                refusals=[
                    RefusalAnswer(
                        id=one.entry_id,
                        issuer=one.log,
                        index=one.index,
                        error=one.error,
                        reason=one.reason,
                        received=one.received,
                    )
                    for one in refused
                ]
            )
        )

    async def feed(self, request: web.Request) -> web.StreamResponse:
        """Follow events, live and from the past."""
        asked = query_of(request, FeedQuery)
        wanted = FeedFilter(
            min_band=self._level(asked.min_band),
            categories=frozenset(asked.category),
            types=frozenset(asked.type),
            provisional=asked.provisional,
        )
        last = _last_event_id(request)
        return await sse.stream(
            request,
            self._node.feed,
            wanted,
            asked.after if last is None else last,
            self._limits,
            self._node.metrics,
        )

    def _certificate(self, record: SignalRecord, since: float | None) -> CertificateAnswer | None:
        note = self._node.store.certificate(record.issuer) if record.certified else None
        if note is None:
            return None
        mesh = self._node.mesh
        certificate = open_certificate(mesh, record.issuer, note)
        return CertificateAnswer(
            size=certificate.size,
            time=certificate.time,
            counts_since=since,
            cosigners=list(certificate.cosigners),
            quorum=mesh.constraints.quorum,
        )

    def _receipts(self, record: SignalRecord) -> dict[str, list[ReceiptAnswer] | list[str]]:
        """Who told of having erased an own signal that was withdrawn, and who has not yet."""
        if not record.own or record.status is not SignalStatus.RETRACTED:
            return {}
        mesh, found = self._node.mesh, []
        for stored in self._node.store.receipts(record.id):
            receipt = open_receipt(mesh, stored.note)
            found.append(
                ReceiptAnswer(
                    member=receipt.member,
                    erased=receipt.erased,
                    day=format_day(receipt.day),
                    at=stored.at,
                )
            )
        heard = {one.member for one in found}
        silent = [card.name for card in mesh.peers_of(record.issuer) if card.name not in heard]
        return {"receipts": found, "unreceipted": sorted(silent)}

    def _find(self, request: web.Request) -> SignalRecord:
        record = self._node.store.signal(request.match_info["id"])
        if record is None:
            raise UnknownSignalError(
                "no signal with this id is known here",
                hint="GET /v1/signals lists them; one that was refused is in /v1/refusals",
            )
        return record

    def _shown(self, record: SignalRecord) -> dict[str, Any]:
        return shown_signal(self._node.mesh.constraints, self._node.store, record)

    def _level(self, band: str | None) -> int | None:
        return None if band is None else self._node.mesh.constraints.band(band).level


def _last_event_id(request: web.Request) -> int | None:
    given = request.headers.get("Last-Event-ID", "")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _MAX_ID_DIGITS):
        raise InvalidLastEventIdError(
            "Last-Event-ID is not an id of this feed",
            hint="send back the last id exactly as it came, or leave the header out",
        )
    return int(given)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
