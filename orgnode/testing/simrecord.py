"""Writing down what happens in a run: from what leaves the machines and from what nodes store.

The wire is tapped before a message leaves, so a promise is recorded even if nobody ever hears it.
Everything that passes is part of the run's trace.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from random import Random
from typing import Final

from mesh.assessment import Assessed, Outcome
from mesh.entry import Kind
from mesh.evidence import Evidence
from mesh.member import log_origin
from mesh.testing.history import (
    Certified,
    Cosigned,
    Counting,
    Forgone,
    History,
    Load,
    Receipted,
    Signed,
    Suspended,
    Withdrawn,
)
from mesh.testing.virtualtime import VirtualLoop
from mesh.witness import AddCheckpoint
from orgnode.federation.hooks import DISK_BEHIND, FORKED_SELF
from orgnode.federation.paths import ADD_CHECKPOINT, ANNOUNCE, GOSSIP, PREFIX
from orgnode.federation.reply import Reply
from orgnode.testing.simline import SimRequest
from orgnode.testing.simnode import SimNode
from orgnode.testing.simviews import TrueCosigners
from proofs.checkpoint import Checkpoint, parse_checkpoint_text
from proofs.tiles import TILE_WIDTH

_LOGS: Final = f"{PREFIX}/logs/"
_RECEIPTS: Final = f"{PREFIX}/receipts/"
_WHOLE_TILE: Final = "tile/entries/000"
_BODIES: Final = "bodies/"
_SAMPLED: Final = 0.1
"""Share of the moments, at which entries were stored, that are looked at."""


class Recorder:
    """The `Observer` of all nodes of a run and the tap of its network.

    :param rng: decides which moments are sampled.
    :param tokens: whose sources are looked at.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        history: History,
        nodes: Mapping[str, SimNode],
        cosigners: TrueCosigners,
        rng: Random,
        mesh_id: str,
        tokens: Sequence[str],
    ) -> None:
        self.met: Counter[str] = Counter()
        self.history = history
        self.met_conviction = False
        """Whether any log was suspended anywhere: then nodes may hold different ends of it."""
        self.publishing: Callable[[SimNode], int] = lambda _: 0
        """How many tasks of a node are the workload's own."""
        self._loop = loop
        self._nodes = nodes
        self._cosigners = cosigners
        self._rng = rng
        self._tokens = tokens
        self._digest = sha256()
        self._origins = {log_origin(name, mesh_id): name for name in history.members}
        self._certified: dict[tuple[str, int, str], int] = {}
        self._signed: set[tuple[str, int, bytes]] = set()
        self._withdrawn: dict[tuple[str, str], tuple[str, str]] = {}
        self._restored: dict[str, tuple[int, int]] = {}
        self._indexes: dict[tuple[str, int, str], int] = {}
        self._sampled: dict[str, tuple[int, bool, int]] = {}
        """In what state each machine was when it was sampled last."""

    @property
    def trace(self) -> str:
        """Digest of everything that left a machine, in order."""
        return self._digest.hexdigest()

    def largest_signed(self, node: str) -> int:
        """Size of the largest checkpoint of its own log that a node ever let out."""
        return max((size for name, size, _ in self._signed if name == node), default=0)

    def watch_recovery(self, node: SimNode, size: int) -> None:
        """A node was put back to an old disk; others hold its log up to `size`."""
        self._restored[node.name] = size, node.starts

    # --- the wire

    def tap(self, src: str, dst: str, request: SimRequest, reply: Reply | None) -> None:
        """A request leaves `src`, or its answer leaves `dst`."""
        what = request.body if reply is None else reply.body
        status = 0 if reply is None else reply.status
        line = f"{self._loop.now!r} {src} {dst} {request.method} {request.path} {status}\n".encode()
        self._digest.update(line + what if what else line)
        if reply is None:
            self._asked(src, dst, request)
        elif reply.status == 200:
            self._answered(src, dst, request, reply)
        else:
            self.met[f"answered {reply.status}"] += 1

    def _asked(self, src: str, dst: str, request: SimRequest) -> None:
        path = request.path
        if path == ANNOUNCE and request.body is not None:
            length = int.from_bytes(request.body[:4], "big")
            checkpoint = self._note(request.body[4 : 4 + length])
            if checkpoint is not None:
                self._spoke(src, checkpoint)
            self._announced(src, dst, request.body[4 + length :])
        elif path == ADD_CHECKPOINT and request.body is not None:
            checkpoint = self._note(request.body.partition(b"\n\n")[2])
            if checkpoint is not None:
                self._spoke(src, checkpoint)
        elif path.startswith(_LOGS) and not path.startswith(f"{_LOGS}{dst}/"):
            self.met["asked a mirror"] += 1
        elif path == GOSSIP:
            self.met["gossip"] += 1

    def _announced(self, src: str, dst: str, rest: bytes) -> None:
        length = int.from_bytes(rest[:4], "big")
        certificate = self._note(rest[4 : 4 + length]) if length else None
        node = self._nodes.get(dst)
        if certificate is None or node is None or not node.up:
            return
        self.met["a certificate was announced"] += 1
        if node.replicator.syncs[src].size < certificate.size:
            self.met["a certificate came before its content"] += 1

    def _answered(self, src: str, dst: str, request: SimRequest, reply: Reply) -> None:
        path = request.path
        if path == ADD_CHECKPOINT and request.body is not None:
            self._cosigned(dst, request.body)
        elif path.startswith(_RECEIPTS):
            self._gave_receipt(dst, reply.body)
        elif path.startswith(_LOGS):
            log, _, what = path.removeprefix(_LOGS).partition("/")
            if log == dst and what in ("checkpoint", "seen"):
                checkpoint = self._note(reply.body)
                if checkpoint is not None:
                    self._spoke(dst, checkpoint)
            elif log != dst:
                self.met["a mirror served another's log"] += 1
            if what == _WHOLE_TILE:
                self.met["a whole tile of entries was fetched"] += 1
            elif what.startswith(_BODIES) and int(what.split("/")[1]) >= TILE_WIDTH:
                self.met["a log was caught up on past a page"] += 1

    def _note(self, note: bytes) -> Checkpoint | None:
        """The checkpoint in a note, if it is one; its signatures are not looked at."""
        text = note.partition(b"\n\n")[0] + b"\n"
        try:
            return parse_checkpoint_text(text.decode())
        except ValueError:
            return None  # a liar may send anything

    def _spoke(self, node: str, checkpoint: Checkpoint) -> None:
        said = node, checkpoint.size, checkpoint.root
        if self._origins.get(checkpoint.origin) == node and said not in self._signed:
            self._signed.add(said)
            self.history.add(Signed(self._loop.now, *said))

    def _cosigned(self, witness: str, body: bytes) -> None:
        if witness not in self.history.honest:
            return
        checkpoint = self._note(AddCheckpoint.parse(body).checkpoint)
        assert checkpoint is not None
        log, store = self._origins[checkpoint.origin], self._nodes[witness].store
        size, root = checkpoint.size, checkpoint.root
        missing = store.first_missing(log)
        recorded = store.witnessed(log)
        self.history.add(
            Cosigned(
                self._loop.now,
                witness,
                log,
                size,
                root,
                complete=store.state(log).size >= size
                and store.root_at(log, size) == root
                and (missing is None or missing >= size),
                # Another request may have taken the witness further meanwhile.
                recorded=recorded.size > size or (recorded.size, recorded.root) == (size, root),
            )
        )

    def _gave_receipt(self, member: str, note: bytes) -> None:
        told = json.loads(note.split(b"\n", 2)[1])
        self.met["a receipt was given"] += 1
        target, by = told["target"], told["retraction"]
        self._withdrawn[member, target] = told["log"], by
        self.history.add(Receipted(self._loop.now, member, target, by))
        self.sample(self._nodes[member])

    # --- what nodes make of it

    def certified(self, node: SimNode, log: str, size: int) -> None:
        """See `Observer.certified`."""
        self._note_certified(node, log, size)

    def convicted(self, node: SimNode, evidence: Evidence) -> None:
        """See `Observer.convicted`."""
        self.met[f"convicted by {evidence.kind}"] += 1
        self.met_conviction = True
        self.history.add(Suspended(self._loop.now, node.name, evidence.log))

    def assessed(self, node: SimNode, log: str, entries: Sequence[Assessed]) -> None:
        """See `Observer.assessed`."""
        accepted = self.history.accepted.setdefault(node.name, set())
        for entry in entries:
            self.met[f"{entry.outcome} {entry.error}".strip()] += 1
            self._indexes[node.place, node.starts, entry.entry_id] = entry.index
            if entry.index == TILE_WIDTH:
                self.met["a log grew past a tile"] += 1
            if entry.outcome is Outcome.ACCEPTED:
                accepted.add(entry.entry_id)
                if entry.retraction is not None:
                    self.withdrawn(node, log, entry.retraction.target, entry.entry_id)
                if entry.envelope is not None and entry.envelope.kind is Kind.EVIDENCE:
                    self.met["evidence was read in a log"] += 1
        if self._rng.random() < _SAMPLED:
            self.sample(node)

    def withdrawn(self, node: SimNode, log: str, target: str, by: str) -> None:
        """A node has accepted a retraction, its own or another's."""
        self._withdrawn[node.name, target] = log, by
        self.history.add(Withdrawn(self._loop.now, node.name, target, by))

    def lost_disk(self, node: SimNode, others: Sequence[SimNode]) -> None:
        """A node's disk is lost: what only it held of retractions is forgone."""
        for (name, _), (log, by) in list(self._withdrawn.items()):
            if name == node.name and not any(one.store.holds_entry(log, by) for one in others):
                self.history.add(Forgone(self._loop.now, name, by))

    def alerted(self, node: SimNode, kind: str, subject: str, detail: str) -> None:
        """See `Observer.alerted`."""
        self.met[f"alert {kind}"] += 1
        if kind in (FORKED_SELF, DISK_BEHIND):
            # It has convicted itself: as bad as if somebody else had.
            self.history.add(Suspended(self._loop.now, node.name, node.name))

    def expired(self, node: SimNode, erased: int) -> None:
        """See `Observer.expired`."""
        if erased:
            self.met["something expired"] += 1

    def look(self, node: SimNode) -> None:
        """Look at the load of a node; and `sample` it, unless it is as it was the last time."""
        if not node.up or node.name not in self.history.honest:
            return
        if self._sampled.get(node.place) != self._state(node):
            self.sample(node)
        now = self._loop.now
        tasks = self._loop.tasks_of(node.machine) - self.publishing(node)
        self.history.add(Load(now, node.name, "tasks", tasks))
        self.history.add(Load(now, node.name, "writes that wait", node.store.pending()))

    def _state(self, node: SimNode) -> tuple[int, bool, int]:
        return node.starts, node.ready, node.disk.database.total_changes

    def sample(self, node: SimNode) -> None:
        """Look at what counts at a node, and at how far its logs are certified."""
        if not node.up or node.name not in self.history.honest:
            return
        now, store = self._loop.now, node.store
        self._sampled[node.place] = self._state(node)
        size, starts = self._restored.get(node.name, (0, node.starts))
        if node.ready and node.starts > starts and store.state(node.name).size >= size:
            del self._restored[node.name]
            self.met["a node restored from an old backup recovered itself"] += 1
        certified = {position.log: position.certified for position in store.vector()}
        for log, size in certified.items():
            self._note_certified(node, log, size)
        seen: set[str] = set()
        for sources in store.sources(self._tokens).values():
            for source in sources:
                if source.signal in seen:
                    continue
                seen.add(source.signal)
                if not node.ready and (node.name, source.signal) in self._withdrawn:
                    continue  # its disk may be old: it has not asked yet what it missed
                self.history.add(
                    Counting(
                        now,
                        node.name,
                        source.issuer,
                        self._index(node, source.signal),
                        source.signal,
                        certified.get(source.issuer, 0),
                    )
                )

    def _index(self, node: SimNode, signal: str) -> int:
        """Where a signal stands in its log at a node; it never moves while that runs."""
        place = node.place, node.starts, signal
        if place not in self._indexes:
            known = node.store.signal(signal)
            if known is None:
                return -1
            self._indexes[place] = known.index
        return self._indexes[place]

    def _note_certified(self, node: SimNode, log: str, size: int) -> None:
        place = node.place, node.starts, log
        start = self._certified.get(place, 0)
        if size <= start or node.name not in self.history.honest:
            return
        certificate = node.store.certificate(log)
        assert certificate is not None
        self._certified[place] = size
        self.history.add(
            Certified(
                self._loop.now,
                node.name,
                log,
                size,
                start,
                tuple(node.store.leaves(log, start, size)),
                self._cosigners(certificate),
            )
        )
