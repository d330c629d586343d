"""What a member may ask of this node, apart from what carries the question.

One path and one method is one kind of request, and what is not listed here is answered 404 without
a look at its body. Behind HTTP (`FederationServer`) and in a simulator it is the same code: who may
ask what, how much at a time, and which status each condition has.

    POST announce          new entries of the sender's own log
    POST add-checkpoint    a cosignature, please (C2SP tlog-witness)
    POST gossip            what the sender holds; answered with what this node holds
    POST evaluate          a request to this node's seat;  GET evaluations: what it counted today
    GET  logs/<member>/…   any log that is held here
    GET  receipts/<id>     what became of a retracted entry here
    GET  ping
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import structlog

from mesh.days import format_day
from mesh.errors import MeshError
from mesh.genesis import Mesh
from mesh.member import log_origin
from mesh.metering import BudgetExceededError
from mesh.vector import vector_bytes
from mesh.wire import MAX_ENTRY, WireLimits, decode_announcement
from mesh.witness import MAX_REQUEST, StaleOldSizeError, WitnessError
from orgnode.errors import OrgnodeError
from orgnode.federation.accounts import Account, Hold, Places, RequestKind
from orgnode.federation.errors import (
    AnnouncementError,
    MirrorQuotaError,
    NotMirroredError,
    NotYourLogError,
    NotYourRequestError,
    RecoveringError,
    SuspendedPeerError,
)
from orgnode.federation.fetch import to_its_end
from orgnode.federation.handlers import Handlers
from orgnode.federation.limits import ServerLimits
from orgnode.federation.paths import (
    ADD_CHECKPOINT,
    ANNOUNCE,
    EVALUATE,
    EVALUATIONS,
    GOSSIP,
    PING,
    BodiesPath,
    LogResource,
    PathError,
    TilePath,
    parse_receipt_path,
    parse_resource,
    split_log_path,
)
from orgnode.federation.ports import Clock
from orgnode.federation.repeats import Repeats
from orgnode.federation.reply import (
    NOT_SERVED,
    ReadBody,
    RefusedError,
    Reply,
    json_reply,
    note_reply,
    octets_reply,
    stale_size_reply,
)
from orgnode.federation.serving import LogReader, NotServedError
from orgnode.store import Store
from proofs.errors import ProofsError
from proofs.merkle import HASH_BYTES

log = structlog.get_logger(__name__)

__all__ = ["FederationService", "Handlers", "Reply"]

# Conditions that a handler names. Whatever else goes wrong here is 503 without a word about it.
_STATUS: tuple[tuple[type[OrgnodeError], int], ...] = (
    (NotYourLogError, 403),
    (NotYourRequestError, 403),
    (SuspendedPeerError, 403),
    (AnnouncementError, 400),
    (MirrorQuotaError, 429),
    (NotMirroredError, 503),
    (RecoveringError, 503),
)


_KINDS = {
    ANNOUNCE: RequestKind.ANNOUNCEMENT,
    ADD_CHECKPOINT: RequestKind.COSIGNATURE,
    GOSSIP: RequestKind.GOSSIP,
    EVALUATE: RequestKind.EVALUATION,
}


class FederationService:
    """Answers members' requests. For one event loop; bounded in memory for every member.

    `limits` are those of `ServerLimits` that are about requests; `clock` counts seconds for the
    rate of requests, by default the event loop's.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        handlers: Handlers,
        limits: ServerLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.limits = limits or ServerLimits()
        self._mesh = mesh
        self._name = name
        self._handlers = handlers
        self._wire = WireLimits(max_body=mesh.constraints.max_body_bytes)
        self._reader = LogReader(store)
        self._logs = frozenset(card.name for card in mesh.members)
        self._origins = {m.name: log_origin(m.name, mesh.mesh_id).encode() for m in mesh.members}
        clock = clock or _loop_time
        self._repeats = Repeats()
        self._accounts = {c.name: Account(self.limits, clock) for c in mesh.peers_of(name)}

    async def answer(self, peer: str, method: str, path: str, read: ReadBody) -> Reply:
        """The answer to one request of a member. See `exchange`."""
        with _Holdings() as held:
            return await self._reply(held, peer, method, path, read)

    @asynccontextmanager
    async def exchange(
        self, peer: str, method: str, path: str, read: ReadBody
    ) -> AsyncIterator[Reply]:
        """The answer to one request of a member; it counts as under way until the block ends.

        Whoever sends the answer does so inside the block: it is held in memory as long as that
        takes, at the peer's expense.

        :param peer: who asks, by the key that the connection's other end has proven.
        :param path: the raw bytes of the request line's path, as text.
        :param read: gives the request's body, and refuses one that is too long.
        """
        with _Holdings() as held:
            yield await self._reply(held, peer, method, path, read)

    async def _reply(
        self, held: _Holdings, peer: str, method: str, path: str, read: ReadBody
    ) -> Reply:
        try:
            return await self._answer(held, peer, method, path, read)
        except RefusedError as refused:
            # To have nothing to hand over is no refusal: peers ask again and again.
            if refused.code != NOT_SERVED:
                self._log_refusal(peer, refused.status, refused.code)
            return refused.reply

    async def _answer(
        self, held: _Holdings, peer: str, method: str, path: str, read: ReadBody
    ) -> Reply:
        account = self._accounts.get(peer)
        if account is None:
            raise RefusedError(403, "NotAMemberError", "this connection belongs to no peer")
        held.enter(account.request(_KINDS.get(path, RequestKind.OTHER)))
        asked = _Asked(held, account, peer, method, read)
        try:
            return await self._dispatch(asked, path)
        except (OrgnodeError, MeshError, ProofsError) as error:
            reply = _known(error)
            if reply is None:
                if count := self._repeats.count("failed", peer, _code(error)):
                    log.warning(
                        "federation.handler_failed", peer=peer, error=_code(error), count=count
                    )
                raise RefusedError(503, "NotNowError", "this node cannot do that now") from error
            self._log_refusal(peer, reply.status, _code(error))
            return reply

    def _log_refusal(self, peer: str, status: int, code: str) -> None:
        if count := self._repeats.count("refused", peer, code):
            log.info("federation.refused", peer=peer, status=status, error=code, count=count)

    async def _dispatch(self, asked: _Asked, path: str) -> Reply:
        if path == ANNOUNCE:
            asked.expect("POST")
            return await self._announce(asked)
        if path == ADD_CHECKPOINT:
            asked.expect("POST")
            return await self._handlers.add_checkpoint(asked.peer, await asked.body(MAX_REQUEST))
        if path == GOSSIP:
            asked.expect("POST")
            vector = await asked.body(vector_bytes())
            return octets_reply(await self._handlers.gossip(asked.peer, vector))
        if path == EVALUATE:
            asked.expect("POST")
            return await self._evaluate(asked)
        if path == EVALUATIONS:
            asked.expect("GET")
            if self._handlers.counts is None:
                raise _no_seat()
            return note_reply(self._handlers.counts())
        if path == PING:
            asked.expect("GET")
            version = self._mesh.constraints.version
            return json_reply({"name": self._name, "mesh": self._mesh.mesh_id, "version": version})
        if (retraction := parse_receipt_path(path)) is not None:
            asked.expect("GET")
            return await self._receipt(asked, retraction)
        if (log_and_rest := split_log_path(path)) is not None:
            asked.expect("GET")
            return await self._log_resource(asked, *log_and_rest)
        raise RefusedError(404, "UnknownPathError", "there is nothing at this path")

    async def _announce(self, asked: _Asked) -> Reply:
        # An owner announces one after the other; the second is for one that it gave up waiting for.
        asked.held.enter(asked.account.announcement())
        announcement = decode_announcement(await asked.body(self.limits.max_body), self._wire)
        # The owner alone speaks for a log: its origin must be the one of whoever proved the key.
        if announcement.checkpoint.partition(b"\n")[0] != self._origins[asked.peer]:
            raise NotYourLogError("this log is not the sender's")
        size, certified = await self._handlers.announce(asked.peer, announcement)
        return json_reply({"size": size, "certified": certified})

    async def _evaluate(self, asked: _Asked) -> Reply:
        if self._handlers.evaluate is None:
            raise _no_seat()
        note = await asked.body(self.limits.max_evaluation)
        return note_reply(await self._handlers.evaluate(asked.peer, note))

    async def _receipt(self, asked: _Asked, retraction: str) -> Reply:
        note = await self._handlers.receipt(asked.peer, retraction)
        if note is None:
            raise RefusedError(404, NOT_SERVED, "there is no such receipt here")
        return note_reply(note)

    async def _log_resource(self, asked: _Asked, member: str, rest: str) -> Reply:
        if member not in self._logs:
            raise RefusedError(404, "UnknownLogError", "this is no member's log")
        try:
            resource = parse_resource(rest)
        except PathError as error:
            raise RefusedError(400, "PathError", str(error)) from error
        if not self._handlers.may_serve(member):
            raise RecoveringError(f"the log of {member} is being recovered here: ask later")
        try:
            most = self._largest(resource)
            if most is None:
                return self._reader.read(member, resource)
            await asked.held.take(asked.account.reading())
            hold = await asked.held.take(asked.account.holding(most))
            reply: Reply = await to_its_end(self._handlers.run(self._reader.read, member, resource))
            hold.shrink(len(reply.body))
        except NotServedError as error:
            raise RefusedError(404, NOT_SERVED, str(error)) from error
        return reply

    def _largest(self, resource: LogResource) -> int | None:
        """Most bytes that an answer can have; None for one of a few rows, which is read at once."""
        match resource:
            case BodiesPath(start, end):
                return self._wire.bodies_bytes(end - start)
            case TilePath(tile) if tile.level == "entries":
                return tile.width * (2 + MAX_ENTRY)
            case TilePath(tile):
                return tile.width * HASH_BYTES
            case _:
                return None


class _Holdings:
    """What a request takes up of its peer's account until it is over."""

    def __init__(self) -> None:
        self._give: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        while self._give:
            self._give.pop()()

    def enter(self, place: Places) -> None:
        """Take a place, or be refused."""
        place.take()
        self._give.append(place.give)

    async def take(self, hold: Hold) -> Hold:
        """Wait for what is held."""
        await hold.take()
        self._give.append(hold.give)
        return hold


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, and what it takes up until it is over."""

    held: _Holdings
    account: Account
    peer: str
    method: str
    read: ReadBody

    def expect(self, method: str) -> None:
        """Refuse every other method, before anything else is looked at."""
        if self.method != method:
            raise RefusedError(405, "MethodError", f"this path takes {method} only")

    async def body(self, cap: int) -> bytes:
        """The request's body, at most `cap` bytes, held at the peer's expense."""
        hold = await self.held.take(self.account.holding(cap))
        data = await self.read(cap)
        hold.shrink(len(data))
        return data


def _known(error: OrgnodeError | MeshError | ProofsError) -> Reply | None:
    """The answer to a condition that a peer may know about; None for one of this node's own."""
    if isinstance(error, StaleOldSizeError):
        return stale_size_reply(error.size)
    if isinstance(error, WitnessError):
        return _refused(error.status, error)
    if isinstance(error, BudgetExceededError):
        return _refused(429, error, resets=format_day(error.resets))
    if isinstance(error, MeshError | ProofsError):
        return _refused(400, error)
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return _refused(status, error)
    return None


def _refused(status: int, error: Exception, *, resets: str | None = None) -> Reply:
    return RefusedError(status, _code(error), str(error), resets=resets).reply


def _code(error: Exception) -> str:
    return type(error).__name__


def _no_seat() -> RefusedError:
    return RefusedError(404, "NoSeatError", "this member has no seat on the committee")


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
