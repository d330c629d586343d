"""Faults planted in the production code on purpose: the simulator is worth what it finds.

    with PLANTED["quorum one too small"].plant():
        outcome = simulate(draw_plan(seed))         # some seed finds it, and soon

Each is a change of a few lines that a review could miss, made by swapping a function while the
context lasts. `python -m orgnode.testing.simcommand --table` finds the first seed for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import mesh.assessment
import mesh.entry
import mesh.follower
import mesh.witness
import orgnode.federation.held
from mesh.certificate import Certificate
from mesh.constraints import Constraints
from mesh.outcome import Outcome
from mesh.wire import Erased
from orgnode.federation.accusing import Accuser
from orgnode.federation.chasing import Chaser
from orgnode.federation.client import PeerClient
from orgnode.federation.errors import NotMirroredError
from orgnode.federation.gossip import Gossip
from orgnode.federation.recovery import Recovery
from orgnode.federation.reply import NOT_SERVED, RefusedError
from orgnode.federation.service import FederationService
from orgnode.federation.sync import LogSync
from orgnode.federation.witnessing import WitnessService
from orgnode.store import SqliteStore, StoreError, effects, token_rows
from orgnode.testing import lyingdisk
from proofs.checkpoint import parse_checkpoint_text
from proofs.note import parse_note, write_note

Swap = tuple[object, str, object]
"""Where, under which name, and what is put there instead."""


@dataclass(frozen=True)
class PlantedBug:
    """A fault under a name."""

    name: str
    what: str
    """What the program does wrongly, in a sentence."""
    swaps: Callable[[], list[Swap]]

    @contextmanager
    def plant(self) -> Iterator[None]:
        """Swap it, and put it back in the end."""
        with ExitStack() as stack:
            for where, name, planted in self.swaps():
                stack.enter_context(_swapped(where, name, planted))
            yield


@contextmanager
def _swapped(where: object, name: str, planted: object) -> Iterator[None]:
    before = vars(where).get(name, _INHERITED)  # as it stands there: a property stays one
    setattr(where, name, planted)
    try:
        yield
    finally:
        if before is _INHERITED:
            delattr(where, name)
        else:
            setattr(where, name, before)


_INHERITED: Final = object()
_forgotten: list[asyncio.Task[None]] = []

PLANTED: Final[dict[str, PlantedBug]] = {}
"""All of them, by name."""


def _bug(name: str, what: str) -> Callable[[Callable[[], list[Swap]]], None]:
    def register(swaps: Callable[[], list[Swap]]) -> None:
        PLANTED[name] = PlantedBug(name, what, swaps)

    return register


# --- what is verified


@_bug("entries' signatures unchecked", "it takes an entry without looking at its signature")
def _unsigned() -> list[Swap]:
    return [(mesh.entry, "open_note", lambda note, keys: parse_note(note))]


@_bug("proofs unchecked", "it counts a signal whatever the verdict on its proofs is")
def _unproven() -> list[Swap]:
    settle = mesh.assessment.settle

    def planted(assessed: Any, verdicts: Any, **rest: Any) -> Any:
        return settle(assessed, [None] * len(verdicts), **rest)

    return [(mesh.follower, "settle", planted)]


@_bug("evidence unchecked", "it believes every accusation")
def _unproven_evidence() -> list[Swap]:
    return [(mesh.assessment, "verify_evidence", lambda mesh, evidence: None)]


@_bug("any root is right", "it takes entries that do not hash to the signed root")
def _any_root() -> list[Swap]:
    class AnyRoot(bytes):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = bytes.__hash__

    return [(mesh.follower, "root_from_ranges", lambda *_: AnyRoot())]


@_bug("erasure believed", "it believes whoever says that a body was erased")
def _erased() -> list[Swap]:
    def planted(self: Any, entry: Any) -> Any:
        erased = isinstance(entry.answer, Erased) and entry.outcome is Outcome.DEFERRED
        return mesh.assessment.lapse(entry) if erased else entry

    return [(mesh.assessment._Run, "believe", planted)]


# --- certificates


@_bug("quorum one too small", "it takes one cosignature less than two thirds for a quorum")
def _small_quorum() -> list[Swap]:
    return [
        (Constraints, "quorum", property(lambda self: 2 * len(self.members) // 3)),
    ]


@_bug("certificates unchecked", "it takes any note of the log for its certificate")
def _uncertified() -> list[Swap]:
    def planted(mesh: Any, log: str, note: bytes) -> Certificate:
        checkpoint = parse_checkpoint_text(parse_note(note).text)
        return Certificate(log, note, checkpoint.size, checkpoint.root, (), 1)

    return [(orgnode.federation.held, "open_certificate", planted)]


@_bug("provisional counts", "it lets a signal count before a certificate covers it")
def _provisional() -> list[Swap]:
    put = effects._put_signal

    def planted(context: Any, entry: int, row: Any) -> None:
        certified, context.certified = context.certified, row.index + 1
        put(context, entry, row)
        context.certified = certified

    index = token_rows.put

    def once(connection: Any, own: Any, log: int, signals: Any) -> None:
        signals = list(signals)
        for entry, _ in signals:  # certification is going to index it again
            connection.execute("DELETE FROM token WHERE log = ? AND entry = ?", (log, entry))
        index(connection, own, log, signals)

    return [(effects, "_put_signal", planted), (token_rows, "put", once)]


# --- witness


@_bug("cosigned before it is stored", "its witness signs, and stores what it signed a moment later")
def _cosign_first() -> list[Swap]:
    put = SqliteStore.put_witnessed

    async def planted(self: Any, *what: Any) -> None:
        async def later() -> None:
            with suppress(StoreError):
                await put(self, *what)

        _forgotten.append(asyncio.create_task(later()))

    return [(SqliteStore, "put_witnessed", planted)]


@_bug("witness without content", "its witness cosigns what it lacks the bodies of")
def _bodiless_witness() -> list[Swap]:
    async def planted(self: Any, judged: Any, note: bytes) -> None:
        self._store.root_at(judged.log, judged.size)

    return [(WitnessService, "_check_mirrored", planted)]


@_bug("witness without consistency", "its witness cosigns any history, whatever it holds")
def _inconsistent_witness() -> list[Swap]:
    async def mirrored(self: Any, judged: Any, note: bytes) -> None:
        self._store.root_at(judged.log, judged.size)
        if (self._store.first_missing(judged.log) or judged.size) < judged.size:
            raise NotMirroredError("a body is missing")

    return [
        (WitnessService, "_check_mirrored", mirrored),
        (mesh.witness, "verify_consistency", lambda *_: None),
    ]


# --- start and restore


@_bug("no catch-up", "it signs at its start without asking anybody about its past")
def _no_recovery() -> list[Swap]:
    async def planted(self: Any) -> None:
        self.done.set()

    return [(Recovery, "run", planted)]


@_bug("a quorum is enough after a restore", "after a known restore it asks only a quorum")
def _few_asked() -> list[Swap]:
    return [(Recovery, "_required", lambda self: None)]


@_bug("signed before it is stored", "the disk says that it has stored what a crash still loses")
def _lying_disk() -> list[Swap]:
    return lyingdisk.swaps()


# --- spreading


@_bug("no anti-entropy", "it learns nothing from what others say that they hold")
def _no_gossip() -> list[Swap]:
    return [(Gossip, "_compare", lambda self, peer, vector: None)]


@_bug("mirrors not served", "it serves its own log only")
def _no_mirrors() -> list[Swap]:
    resource = FederationService._log_resource

    async def planted(self: Any, asked: Any, member: str, rest: str) -> Any:
        if member != self._name:
            raise RefusedError(404, NOT_SERVED, "not my log")
        return await resource(self, asked, member, rest)

    return [(FederationService, "_log_resource", planted)]


@_bug("bodies asked for once", "it never asks again for a body that was not handed over")
def _bodies_once() -> list[Swap]:
    async def planted(self: Any) -> None:
        self._missing = False

    return [(Chaser, "_bodies", planted)]


@_bug("certificates kept to oneself", "it takes a certificate from its owner only")
def _no_certificates() -> list[Swap]:
    pull, checkpoint = LogSync.pull, PeerClient.checkpoint

    async def uncertified(self: Any, source: Any, **told: Any) -> int:
        return await pull(self, source, **told | {"certified": 0})

    async def bare(self: Any, log: str) -> bytes:
        note = parse_note(await checkpoint(self, log), 1 << 16)
        return write_note(note.text, note.signatures[:1])

    return [(LogSync, "pull", uncertified), (PeerClient, "checkpoint", bare)]


@_bug("evidence kept to oneself", "it suspends whom it catches, and tells nobody")
def _silent() -> list[Swap]:
    return [(Accuser, "_unpublished", lambda self: [])]


@_bug("a task outlives its node", "it goes on gossiping after it was stopped")
def _no_end() -> list[Swap]:
    async def planted(self: Any) -> None:
        return None

    return [(Gossip, "stop", planted)]


# --- retractions


@_bug("retractions wait", "it withdraws a signal only once the retraction is certified")
def _late_retraction() -> list[Swap]:
    retract = effects._retract

    def planted(context: Any, entry: int, row: Any) -> None:
        if row.index < context.certified:
            retract(context, entry, row)

    return [(effects, "_retract", planted)]
