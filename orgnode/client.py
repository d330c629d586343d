"""The Python client of a node's local API.

    async with NodeClient("http://127.0.0.1:8460", token) as node:
        published = await node.report(text=..., components={...}, category="ncr",
                                      technique="AML.T0054")
        if (await node.check(prompt, route="chat")).answer in ("block", "deny"):
            ...
        async for event in node.feed(min_band="high"):
            ...

The feed reconnects by itself and goes on behind the last event that it yielded: each event comes
once, in order, whatever happens to the connection or the node in between. What could not be had any
more comes as an item of type `gap`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from yarl import URL

from orgnode.api.breaker_models import (
    BreakerAnswer,
    JudgementAnswer,
    JudgeName,
    LiftAnswer,
    OpinionName,
)
from orgnode.api.calls import (
    ApiError,
    Caller,
    ClientError,
    NodeUnreachableError,
    OtherNodeError,
    RequestTooLongError,
    UnauthorizedError,
    UnexpectedAnswerError,
    encode,
    unexpected,
)
from orgnode.api.check_models import CheckAnswer, PolicyAnswer, SightingAnswer
from orgnode.api.committee_models import CommitteeAnswer
from orgnode.api.eventstream import ServerEvent
from orgnode.api.models import (
    BatchAnswer,
    BatchResult,
    FeedItem,
    IncidentAnswer,
    ProofAnswer,
    RefusalAnswer,
    RefusalsAnswer,
    RetractAnswer,
    SignalAnswer,
    SignalDetailAnswer,
    SignalsAnswer,
)
from orgnode.api.node_models import (
    AlertAnswer,
    AlertsAnswer,
    ConstraintsAnswer,
    PeerAnswer,
    PeersAnswer,
    ReadyAnswer,
    StatusAnswer,
)
from orgnode.config import load_config
from orgnode.datadir import DataDir

TIMEOUT_SECONDS: Final = 30.0
"""How long a request may take, unless the client is made with another limit."""

BATCH_INCIDENTS: Final = 256
BATCH_BYTES: Final = 900_000
"""Most incidents, and most bytes of them, that `report_many` sends at once."""

FIRST_DELAY_SECONDS: Final = 0.1
LAST_DELAY_SECONDS: Final = 5.0
"""Wait before the first and before later attempts to reconnect the feed."""

__all__ = [
    "ApiError",
    "ClientError",
    "NodeClient",
    "NodeUnreachableError",
    "OtherNodeError",
    "RequestTooLongError",
    "UnauthorizedError",
    "UnexpectedAnswerError",
]


class NodeClient:
    """Asks one node. Use as `async with`; safe for many tasks at once.

    `url` is the node's local address, `token` its bearer token, `timeout` the seconds that a
    request may take (the feed has none). Methods raise NodeUnreachableError, UnauthorizedError,
    ApiError or UnexpectedAnswerError.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        known: Callable[[str], bool] | None = None,
    ) -> None:
        self._url = url
        self._token = token
        self._timeout = timeout
        self._known = known
        self._caller: Caller | None = None

    def __repr__(self) -> str:
        return f"NodeClient({self._url!r})"

    @classmethod
    def from_datadir(cls, path: str | Path, *, timeout: float = TIMEOUT_SECONDS) -> NodeClient:
        """Make a client for the node of a data directory on this machine.

        Requests raise OtherNodeError while none runs on that directory and a node of another one,
        of which it is a copy, answers at its address.

        Raises DataDirError when the directory or its token can't be read.
        """

        def known(instance: str) -> bool:
            # Its lock may not be visible here, across a virtual machine; then its file tells.
            told = datadir.told_run()
            return datadir.in_use() or (told is not None and told.instance == instance != "")

        datadir = DataDir(Path(path).expanduser())
        datadir.check_exists()
        run = datadir.read_run()
        if run is not None:
            host, port = run.local_host, run.local_port
        else:
            config = load_config(datadir)
            host, port = config.local_host, config.local_port
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - the other way
        url = URL.build(scheme="http", host=host, port=port)
        token = datadir.read_token()
        return cls(str(url), token, timeout=timeout, known=None if run is not None else known)

    async def __aenter__(self) -> Self:
        self._caller = Caller(self._url, self._token, self._timeout, self._known)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        caller, self._caller = self._caller, None
        if caller is not None:
            await caller.close()

    # --- incidents

    async def report(
        self,
        *,
        text: str,
        components: Mapping[str, int],
        category: str,
        technique: str,
        confidence: int = 80,
        band: str | None = None,
        barrier: str | None = None,
        reference: str | None = None,
        derived_from: str | None = None,
        wait: bool = False,
    ) -> IncidentAnswer:
        """Publish an incident as a signal; returns when it is durable in the node's log.

        With `derived_from`, the id of a signal, it warns because of that one; see the model.

        With `wait` it returns when a quorum of members holds it durably too, or after ten seconds:
        `certified` says which. With a `reference` it is safe to call this again after an error.
        """
        incident = {
            "text": text,
            "components": dict(components),
            "category": category,
            "technique": technique,
            "confidence": confidence,
            "band": band,
            "barrier": barrier,
            "reference": reference,
            "derived_from": derived_from,
        }
        return await self._open.post("v1/incidents", encode(incident), IncidentAnswer, _wait(wait))

    async def report_many(
        self, incidents: Iterable[Mapping[str, Any]], *, wait: bool = False
    ) -> list[BatchResult]:
        """Publish many incidents, each a mapping with the fields of `report`; results in order.

        With `wait` each of the requests that it takes waits as `report` does.

        One that can't be published has an `error` in its result and does not stop the others. A
        malformed one raises ApiError, with the batches before its own published.
        """
        results: list[BatchResult] = []
        for batch in _batches(incidents):
            body = b'{"incidents":[' + b",".join(batch) + b"]}"
            answer = await self._open.post("v1/incidents/batch", body, BatchAnswer, _wait(wait))
            results += answer.results
        return results

    async def retract(self, signal: str, reason: str) -> RetractAnswer:
        """Withdraw an own signal everywhere, for one of the mesh's reasons."""
        path = f"v1/signals/{_segment(signal)}/retract"
        return await self._open.post(path, encode({"reason": reason}), RetractAnswer)

    # --- checks

    async def check(
        self,
        text: str,
        *,
        route: str | None = None,
        tenant: str | None = None,
        risk: float | None = None,
    ) -> CheckAnswer:
        """Ask whether a text is a known attack, and what this node's policy makes of it.

        `risk` is the caller's own suspicion, 0 to 1; from 0.3 on the mesh's committee is asked.
        That the mesh can't verify is an answer (`verified` is False), not an error.
        """
        given = {"text": text, "route": route, "tenant": tenant, "risk": risk}
        asked = {name: value for name, value in given.items() if value is not None}
        return await self._open.post("v1/check", encode(asked), CheckAnswer)

    async def judge(
        self, check: str, verdict: OpinionName, *, by: JudgeName = "person"
    ) -> JudgementAnswer:
        """Say what a blocked text turned out to be; `check` is the id in the check's answer."""
        path = f"v1/checks/{_segment(check)}/judgement"
        return await self._open.post(path, encode({"verdict": verdict, "by": by}), JudgementAnswer)

    async def breaker(self) -> BreakerAnswer:
        """Which tokens don't block at this node, and what can be judged."""
        return await self._open.get("v1/breaker", BreakerAnswer)

    async def lift(self, token: str) -> LiftAnswer:
        """Have a token in shadow block again."""
        return await self._open.post(f"v1/breaker/{_segment(token)}/lift", b"{}", LiftAnswer)

    async def policy(self) -> PolicyAnswer:
        """Return the rules that this node's operator set for checks."""
        return await self._open.get("v1/policy", PolicyAnswer)

    async def sight(self, signal: str, verdict: str) -> SightingAnswer:
        """Publish a person's judgement of another organization's signal: `confirm` or `deny`."""
        path = f"v1/signals/{_segment(signal)}/sighting"
        return await self._open.post(path, encode({"verdict": verdict}), SightingAnswer)

    # --- reading

    async def signals(
        self,
        *,
        min_band: str | None = None,
        category: str | None = None,
        issuer: str | None = None,
        status: str | None = None,
        provisional: bool = False,
        suspended: bool = False,
        limit: int = 50,
        cursor: int | None = None,
    ) -> SignalsAnswer:
        """Return one page of signals, newest first; hand its `next` in as `cursor` for the next.

        `provisional` asks for those too that no quorum has cosigned yet, `suspended` for those of
        members that have been proven to show two histories.
        """
        query = {
            "min_band": min_band,
            "category": category,
            "issuer": issuer,
            "status": status,
            "provisional": "1" if provisional else None,
            "suspended": "1" if suspended else None,
            "limit": limit,
            "cursor": cursor,
        }
        return await self._open.get("v1/signals", SignalsAnswer, query)

    async def iter_signals(
        self,
        *,
        min_band: str | None = None,
        category: str | None = None,
        issuer: str | None = None,
        status: str | None = None,
        provisional: bool = False,
        suspended: bool = False,
    ) -> AsyncIterator[SignalAnswer]:
        """Yield all signals that match, newest first, page by page."""
        cursor: int | None = None
        while True:
            page = await self.signals(
                min_band=min_band,
                category=category,
                issuer=issuer,
                status=status,
                provisional=provisional,
                suspended=suspended,
                limit=500,
                cursor=cursor,
            )
            for signal in page.signals:
                yield signal
            cursor = page.next
            if cursor is None:
                return

    async def signal(self, signal: str) -> SignalDetailAnswer:
        """Return one signal, which others share tokens with it, and what people said of it."""
        return await self._open.get(f"v1/signals/{_segment(signal)}", SignalDetailAnswer)

    async def proof(self, signal: str) -> ProofAnswer:
        """Return everything that is needed to verify a signal elsewhere."""
        return await self._open.get(f"v1/signals/{_segment(signal)}/proof", ProofAnswer)

    async def refusals(self, *, issuer: str | None = None, limit: int = 50) -> list[RefusalAnswer]:
        """Return peers' entries that did not hold, newest first."""
        query = {"issuer": issuer, "limit": limit}
        return (await self._open.get("v1/refusals", RefusalsAnswer, query)).refusals

    async def peers(self) -> list[PeerAnswer]:
        """Return how the node stands with every other member."""
        return (await self._open.get("v1/peers", PeersAnswer)).peers

    async def alerts(self) -> list[AlertAnswer]:
        """Return what a person should know now, the longest standing first."""
        return (await self._open.get("v1/alerts", AlertsAnswer)).alerts

    async def committee(self) -> CommitteeAnswer:
        """Return the seats of the committee; each of them is asked for its counts."""
        return await self._open.get("v1/committee", CommitteeAnswer)

    async def status(self) -> StatusAnswer:
        """Return what the node is, holds and does."""
        return await self._open.get("v1/status", StatusAnswer)

    async def constraints(self) -> ConstraintsAnswer:
        """Return the shared rules in force."""
        return await self._open.get("v1/constraints", ConstraintsAnswer)

    async def ready(self) -> ReadyAnswer:
        """Return whether the node can serve, and if not, why."""
        return await self._open.get("readyz", ReadyAnswer, also=503)

    # --- the feed

    async def feed(
        self,
        *,
        min_band: str | None = None,
        categories: Sequence[str] = (),
        types: Sequence[str] = (),
        provisional: bool = False,
        after: int | None = None,
        cursors: bool = False,
        connection: Callable[[bool], None] = lambda _: None,
    ) -> AsyncIterator[FeedItem]:
        """Yield events as they happen, each once and in order, for ever.

        `after` is the `seq` to go on behind: 0 for all that the node keeps, None for new ones only.
        `provisional` asks for signals too when no quorum has cosigned them yet; they come a second
        time, as `signal`, when one has. With `cursors`, items of type `cursor` say up to which
        `seq` nothing more is to come, as soon as the past has been sent, and then now and again.
        `connection` is told False when the connection is lost, and True when it is back.
        The first connection raises what any request raises; afterwards the feed reconnects until
        the caller stops, and raises only what trying again can't mend (a token that was changed).
        """
        query = [("category", one) for one in categories] + [("type", one) for one in types]
        if min_band is not None:
            query.append(("min_band", min_band))
        if provisional:
            query.append(("provisional", "1"))
        cursor, delay, connected, up = after, FIRST_DELAY_SECONDS, False, True
        while True:
            try:
                async with aclosing(self._open.stream(query, cursor)) as events:
                    async for event in events:
                        connected, delay = True, FIRST_DELAY_SECONDS
                        if not up:
                            up = True
                            connection(up)
                        if event.event in ("dropped", "bye"):
                            cursor = _number(event, "resume")
                            break
                        seq = _number(event, "seq")
                        if event.event not in ("cursor", "gap") and seq <= (cursor or 0):
                            continue  # yielded before the connection broke
                        cursor = seq
                        if cursors or event.event != "cursor":
                            yield _item(event)
            except NodeUnreachableError:
                if not connected:
                    raise
            except ApiError as error:
                if not connected or error.status < 500:
                    raise
            if up:
                up = False
                connection(up)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects
            delay = min(2 * delay, LAST_DELAY_SECONDS)

    @property
    def _open(self) -> Caller:
        if self._caller is None:
            raise RuntimeError("use NodeClient as `async with NodeClient(...) as node:`")
        return self._caller


def _batches(incidents: Iterable[Mapping[str, Any]]) -> Iterable[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for incident in incidents:
        one = encode(incident)
        if batch and (len(batch) == BATCH_INCIDENTS or size + len(one) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one) + 1
    if batch:
        yield batch


def _wait(wait: bool) -> dict[str, object]:
    return {"wait": "certified"} if wait else {}


def _segment(signal: str) -> str:
    # An id is hex; anything else must not become another path.
    if not (signal.isascii() and signal.isalnum()):
        raise ApiError(404, "UnknownSignalError", "a signal's id is 64 hex digits", "")
    return signal


def _number(event: ServerEvent, name: str) -> int:
    try:
        value = json.loads(event.data)[name]
    except (ValueError, KeyError, TypeError) as error:
        raise unexpected(f"a feed event of type {event.event[:40]!r} without {name}") from error
    if not isinstance(value, int):
        raise unexpected(f"a feed event of type {event.event[:40]!r} without {name}")
    return value


def _item(event: ServerEvent) -> FeedItem:
    try:
        return FeedItem.model_validate({"type": event.event, **json.loads(event.data)})
    except (ValueError, TypeError) as error:  # ValidationError is a ValueError
        raise unexpected(f"a feed event of type {event.event[:40]!r} out of form") from error
