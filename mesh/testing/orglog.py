"""An organization's log in memory, with real keys, that is honest unless it is told to lie."""

from collections.abc import Iterable, Sequence

from mesh.days import SECONDS_PER_DAY, Day, parse_day
from mesh.document import PREFIX
from mesh.entry import LONGEST_LIVED, Envelope, Kind, body_digest, sign_entry
from mesh.retraction import compose_retraction
from mesh.sighting import compose_sighting
from mesh.strictjson import dumps
from mesh.testing.members import TestMember, TestMesh
from mesh.testing.seeds import seeded
from mesh.testing.signals import MadeSignal, SignalPool
from mesh.wire import ERASED, MISSING, Announcement, BodyAnswer, Present
from proofs.checkpoint import Checkpoint, sign_checkpoint
from proofs.cosignature import cosign, join
from proofs.merkle import Frontier, NodeAddress, leaf_hash, node_hash, range_nodes
from proofs.note import sign_note
from proofs.tiles import TILE_WIDTH, encode_bundle

TODAY = parse_day("2026-11-21")
"""The day that the fakes live on unless they are told another."""

_SHORTEST_LIFE = 30


class OrgLog:
    """One member's log: appends entries, signs checkpoints, serves what peers fetch.

    :param day: day that entries are dated.
    :param pool: where `append_signals` takes bodies from; by default 8 signals made on demand.
    :param seed: of everything else that is random (salts).
    """

    def __init__(
        self,
        world: TestMesh,
        member: TestMember | str | int,
        *,
        day: Day = TODAY,
        pool: SignalPool | None = None,
        seed: int = 0,
    ) -> None:
        self.world = world
        self.mesh = world.mesh
        self.member = member if isinstance(member, TestMember) else world.member(member)
        self.day = day
        self.pool = pool or SignalPool(self.mesh, self.member.name)
        self.notes: list[bytes] = []
        self.answers: list[BodyAnswer] = []
        self._rng = seeded("orglog", self.member.name, seed)
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._checkpoints: dict[int, bytes] = {}
        self._appended_signals = 0

    # --- appending -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Who owns the log."""
        return self.member.name

    @property
    def size(self) -> int:
        """How many entries the log holds."""
        return len(self.notes)

    def append_note(self, note: bytes, answer: BodyAnswer = MISSING) -> str:
        """Append any bytes as an entry, whatever they are. Returns the entry's id."""
        leaf = leaf_hash(note)
        self._nodes[0, self.size] = leaf
        self.notes.append(note)
        self.answers.append(answer)
        return leaf.hex()

    def append(
        self,
        kind: Kind,
        salt: bytes,
        body: bytes,
        *,
        day: Day | None = None,
        expires: Day | None = None,
        mesh_id: str | None = None,
        version: int | None = None,
    ) -> str:
        """Sign and append an entry with this body; the rest is as an honest node has it."""
        day = self.day if day is None else day
        rules = self.mesh.constraints
        # A retraction outlives what it withdraws.
        long = kind in LONGEST_LIVED or kind is Kind.RETRACTION
        life = rules.max_expiry_days if long else rules.default_expiry_days
        envelope = Envelope(
            kind=kind,
            mesh=self.mesh.mesh_id if mesh_id is None else mesh_id,
            version=self.mesh.version if version is None else version,
            day=day,
            expires=Day(day + life) if expires is None else expires,
            body=body_digest(salt, body),
        )
        return self.append_note(sign_entry(envelope, self.member.identity), Present(salt, body))

    def append_signal(
        self, made: MadeSignal | None = None, *, day: Day | None = None, expires: Day | None = None
    ) -> str:
        """Append a signal, by default the pool's next. Entries made of pool signals are distinct.

        :raises ValueError: the pool is too small for more distinct entries of one day.
        """
        day = self.day if day is None else day
        if made is None:
            made = self.pool[self._appended_signals]
            if expires is None:
                longest = self.mesh.constraints.max_expiry_days
                life = longest - self._appended_signals // self.pool.size
                if life < min(_SHORTEST_LIFE, longest):
                    raise ValueError("hand in a larger SignalPool for so many entries")
                expires = Day(day + life)
            self._appended_signals += 1
        return self.append(Kind.SIGNAL, made.salt, made.body, day=day, expires=expires)

    def append_signals(self, count: int) -> list[str]:
        """Append `count` of the pool's signals; returns their ids."""
        return [self.append_signal() for _ in range(count)]

    def append_retraction(self, target: str, reason: str = "false_positive") -> str:
        """Append a retraction of the entry with this id, whether it is there or not."""
        salt = self._rng.randbytes(32)
        return self.append(Kind.RETRACTION, salt, compose_retraction(target, reason))

    def append_sighting(self, target: str, verdict: str = "confirm") -> str:
        """Append a sighting of the signal with this id, whether it is there or not."""
        salt = self._rng.randbytes(32)
        return self.append(Kind.SIGHTING, salt, compose_sighting(target, verdict))

    def append_promotion(self, body: bytes) -> str:
        """Append a promotion, see `make_promotion`."""
        return self.append(Kind.PROMOTION, self._rng.randbytes(32), body)

    def append_unknown(self, kind: str = "news") -> str:
        """Append a rightly signed entry of a kind that this version does not know."""
        salt = self._rng.randbytes(32)
        text = f"{PREFIX}{kind}\n{dumps({'mesh': self.mesh.mesh_id}).decode()}\n"
        return self.append_note(sign_note(text, (self.member.identity,)), Present(salt, b"{}"))

    def erase_body(self, index: int) -> None:
        """Answer from now on that the body was erased."""
        self.answers[index] = ERASED

    def withhold_body(self, index: int) -> BodyAnswer:
        """Answer from now on that the body is not there; returns the answer so far."""
        before, self.answers[index] = self.answers[index], MISSING
        return before

    def corrupt_body(self, index: int) -> BodyAnswer:
        """Serve from now on a body that is not the entry's; returns the answer so far."""
        before = self.answers[index]
        if not isinstance(before, Present):
            raise ValueError("this entry has no body to corrupt")
        self.answers[index] = Present(before.salt, before.body + b" ")
        return before

    # --- dishonest histories ----------------------------------------------------------------

    def fork(self, at: int) -> "OrgLog":
        """A second history of this log, with the same keys, that shares the first `at` entries."""
        twin = OrgLog(self.world, self.member, day=self.day, pool=self.pool, seed=at + 1)
        for note, answer in zip(self.notes[:at], self.answers[:at], strict=True):
            twin.append_note(note, answer)
        # One ahead in the pool, so that the two histories differ from their next signals on.
        twin._appended_signals = self._appended_signals + 1
        return twin

    def truncate(self, to: int) -> None:
        """Forget all entries from `to` on, as a node restored from an old backup would."""
        for index in range(to, self.size):
            self._nodes.pop((0, index))
        self._nodes = {(level, i): h for (level, i), h in self._nodes.items() if level == 0}
        self._checkpoints = {size: note for size, note in self._checkpoints.items() if size <= to}
        del self.notes[to:], self.answers[to:]

    # --- serving ----------------------------------------------------------------------------

    def checkpoint(self, size: int | None = None) -> bytes:
        """The signed checkpoint of the whole log, or of its first `size` entries."""
        size = self.size if size is None else size
        if size not in self._checkpoints:
            self._checkpoints[size] = self.sign_root(size, self.frontier(size).root())
        return self._checkpoints[size]

    def certificate(
        self, size: int | None = None, by: Sequence[str] | None = None, *, time: int | None = None
    ) -> bytes:
        """The checkpoint with cosignatures, by default of as many members as certify it.

        :param by: who cosigns; by default the owner and the first others by name.
        :param time: POSIX seconds of the first cosignature; each further one is a second later. By
            default noon of the log's day.
        """
        names = (self.name, *(card.name for card in self.mesh.peers_of(self.name)))
        by = names[: self.mesh.constraints.quorum] if by is None else by
        note = self.checkpoint(size)
        text = note.partition(b"\n\n")[0].decode() + "\n"
        first = self.day * SECONDS_PER_DAY + SECONDS_PER_DAY // 2 if time is None else time
        lines = [
            cosign(text, self.world.member(name).witness, first + place)
            for place, name in enumerate(by)
        ]
        return join(note, lines)

    def sign_root(self, size: int, root: bytes) -> bytes:
        """Sign any size with any root."""
        signer = self.member.log_signer(self.mesh.mesh_id)
        return sign_checkpoint(Checkpoint(signer.name, size, root), signer)

    def frontier(self, size: int | None = None) -> Frontier:
        """The frontier of the whole log, or of its first `size` entries."""
        size = self.size if size is None else size
        return Frontier(size, tuple(self.nodes(range_nodes(0, size))))

    def entries(self, start: int, end: int) -> list[bytes]:
        """The entries from `start` up to `end`."""
        return self.notes[start:end]

    def bodies(self, start: int, end: int) -> list[BodyAnswer]:
        """The body answers for the entries from `start` up to `end`."""
        return self.answers[start:end]

    def nodes(self, addresses: Iterable[NodeAddress]) -> list[bytes]:
        """The hashes of perfect subtrees."""
        return [self._node(address.level, address.index) for address in addresses]

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> bytes:
        """A C2SP tile: `width` hashes of tree level 8·`level`."""
        first = index * TILE_WIDTH
        return b"".join(self._node(8 * level, first + place) for place in range(width))

    def bundle(self, index: int, width: int = TILE_WIDTH) -> bytes:
        """A C2SP entry bundle."""
        first = index * TILE_WIDTH
        return encode_bundle(self.entries(first, first + width))

    def announcement(self, start: int, certified: bool = True) -> Announcement:
        """What the owner pushes to a peer that has `start` entries.

        :param certified: whether a certificate of the whole log goes with it.
        """
        return Announcement(
            checkpoint=self.checkpoint(),
            certificate=self.certificate() if certified else b"",
            start=start,
            entries=tuple(self.entries(start, self.size)),
            bodies=tuple(self.bodies(start, self.size)),
        )

    def _node(self, level: int, index: int) -> bytes:
        known = self._nodes.get((level, index))
        if known is None:
            if level == 0 or (index + 1) << level > self.size:
                raise LookupError(f"no node {index} on level {level} in a log of {self.size}")
            known = node_hash(
                self._node(level - 1, 2 * index), self._node(level - 1, 2 * index + 1)
            )
            self._nodes[level, index] = known
        return known
