"""What is published in a run: signals, bursts of them, retractions, sightings; and what came of it.

The signals are made once in a process, and their proofs are none: the verdict on those is known
beforehand. Members share some tokens, so that tokens have several sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Final

from mesh.days import Day
from mesh.entry import Kind
from mesh.retraction import compose_retraction, parse_retraction
from mesh.sighting import compose_sighting, parse_sighting
from mesh.signal import parse_signal
from mesh.testing.history import Acknowledged
from mesh.testing.members import make_mesh
from mesh.testing.orglog import TODAY
from mesh.testing.seeds import seeded
from mesh.testing.signals import (
    Lie,
    MadeSignal,
    falsify,
    make_unproven,
    random_draft,
    random_token_scalars,
)
from mesh.testing.virtualtime import Machine
from orgnode.errors import OrgnodeError
from orgnode.ownlog import Draft
from orgnode.store import SignalFilter
from orgnode.testing.byzantine import Liar
from orgnode.testing.conducts import BOASTS
from orgnode.testing.simnode import SimNode

if TYPE_CHECKING:
    from orgnode.testing.simplan import Deed
    from orgnode.testing.simulated import SimRun

_POOL: Final = 3
_SHARED: Final = 4
_LIFE: Final = 180
_BULK: Final = (257, 290)


@dataclass(frozen=True)
class Signals:
    """The signals that a mesh's members publish in runs."""

    honest: dict[str, tuple[MadeSignal, ...]]
    false: dict[str, MadeSignal]
    """One of each member whose proof does not hold."""
    tokens: tuple[str, ...]
    """All of their tokens, hex."""
    false_proofs: frozenset[bytes]
    """The severity proofs of the false ones."""


@lru_cache(maxsize=8)
def signals_of(members: int) -> Signals:
    """The signals of the mesh with so many members."""
    mesh = make_mesh(members).mesh
    rng = seeded("sim signals", members)
    shared = random_token_scalars(rng, _SHARED)
    honest: dict[str, tuple[MadeSignal, ...]] = {}
    false: dict[str, MadeSignal] = {}
    for card in mesh.members:
        made = []
        for _ in range(_POOL):
            draft = random_draft(mesh, rng)
            scalars = (rng.choice(shared), *random_token_scalars(rng, rng.randint(0, 1)))
            made.append(make_unproven(mesh, card.name, rng, replace(draft, token_scalars=scalars)))
        honest[card.name] = tuple(made)
        false[card.name] = falsify(mesh, made[0], Lie.ALTERED_PROOF, rng)
    everything = [*(made for pool in honest.values() for made in pool), *false.values()]
    tokens = sorted({token for made in everything for token in parse_signal(made.body).tokens})
    return Signals(
        honest,
        false,
        tuple(tokens),
        frozenset(parse_signal(made.body).severity.proof for made in false.values()),
    )


class Workload:
    """Publishes what a plan says, and remembers what was acknowledged."""

    def __init__(self, run: SimRun, signals: Signals, rng: Random) -> None:
        self.last = run.plan.deeds[-1].at + 1.0
        """When the last deed has been done for a while."""
        self._run = run
        self._signals = signals
        self._rng = rng
        self._acknowledged: dict[str, dict[str, int]] = {}
        self._withdrawn: set[str] = set()
        self._paused: dict[str, set[str]] = {}
        self._lives = count()
        self._under_way: Counter[Machine] = Counter()

    def do(self, deed: Deed) -> None:
        """Do a deed now, if its node is up."""
        node = self._rng.choice(self._run.bodies_of(deed.node))
        if not node.up:
            self._run.met["published nothing: down"] += 1
            return
        drafts = self._drafts(node, deed.verb)
        self._run.say(f"{node.place} publishes {len(drafts)} ({deed.verb})")
        self._under_way[node.machine] += len(drafts)
        for draft in drafts:
            node.machine.start(self._publish(node, node.machine, draft), deed.verb)

    def under_way(self, node: SimNode) -> int:
        """How many entries a node was asked to publish that it has not answered yet."""
        return self._under_way[node.machine]

    def acknowledged_from(self, name: str, index: int) -> list[str]:
        """What a node acknowledged at this place in its log, and after it."""
        known = self._acknowledged.get(name, {})
        return [entry_id for entry_id, at in known.items() if at >= index]

    async def _publish(self, node: SimNode, machine: Machine, draft: Draft) -> None:
        met, history = self._run.met, self._run.history
        try:
            appended = await node.replicator.own_log.append(draft)
        except OrgnodeError as error:
            met[f"published nothing: {type(error).__name__}"] += 1
            return
        finally:
            self._under_way[machine] -= 1
        self._run.say(f"{node.place} has entry {appended.index} ({draft.kind})")
        met[f"published a {draft.kind}"] += 1
        if isinstance(node, Liar):
            if draft.kind in node.conduct.forges:
                history.forgeries.add(appended.entry_id)
            return
        if draft.retraction is not None:
            target = draft.retraction.target
            self._run.recorder.withdrawn(node, node.name, target, appended.entry_id)
        self._acknowledged.setdefault(node.name, {})[appended.entry_id] = appended.index
        history.add(Acknowledged(self._run.loop.now, node.name, appended.index, appended.entry_id))

    # --- drafts

    def _drafts(self, node: SimNode, verb: str) -> Sequence[Draft]:
        match verb:
            case "burst":
                return self._burst(node, self._rng.randint(2, 6))
            case "bulk":
                return self._burst(node, self._rng.randint(*_BULK))
            case "mayfly":
                return [
                    replace(one, expires=node.today(), salt=None) for one in self._burst(node, 1)
                ]
            case "retract" if drafts := self._retraction(node):
                return drafts
            case "sight" if drafts := self._sighting(node):
                return drafts
            case _:
                return self._burst(node, 1)

    def _burst(self, node: SimNode, count: int) -> list[Draft]:
        # Of tokens that are withdrawn a cooldown keeps new signals from counting, but only where
        # the withdrawn content had arrived: on these, nodes need not agree.
        paused = self._paused.get(node.name, set())
        pool = [
            made
            for made in self._signals.honest[node.name]
            if paused.isdisjoint(parse_signal(made.body).tokens)
        ]
        if isinstance(node, Liar) and self._run.plan.liars[node.name] == BOASTS:
            pool = [self._signals.false[node.name]]
        return [self._signal(node, self._rng.choice(pool)) for _ in range(count if pool else 0)]

    def _signal(self, node: SimNode, made: MadeSignal) -> Draft:
        # Each entry is another one, though few bodies are used again and again: by its last day,
        # and if there are too many for that by a salt of its own, which no proof is made for.
        life = next(self._lives)
        return Draft(
            kind=Kind.SIGNAL,
            expires=Day(TODAY + max(2, _LIFE - life)),
            body=made.body,
            salt=made.salt if life < _LIFE - 2 else None,
            signal=parse_signal(made.body),
        )

    def _retraction(self, node: SimNode) -> list[Draft]:
        if self.under_way(node):
            return []  # a signal that is under way may share the tokens that this would pause
        own = [
            signal
            for signal in node.store.signals(
                SignalFilter(issuer=node.name, provisional=True, suspended=True)
            )
            if signal.status == "live" and signal.id not in self._withdrawn
        ]
        if not own:
            return []
        target = self._rng.choice(own)
        self._withdrawn.add(target.id)
        self._paused.setdefault(node.name, set()).update(target.tokens)
        body = compose_retraction(target.id, "false_positive")
        return [
            Draft(
                kind=Kind.RETRACTION,
                expires=Day(max(target.expires, node.today() + 1)),
                body=body,
                retraction=parse_retraction(body),
            )
        ]

    def _sighting(self, node: SimNode) -> list[Draft]:
        others = [signal for signal in node.store.signals(SignalFilter()) if not signal.own]
        if not others:
            return []
        target = self._rng.choice(others)
        body = compose_sighting(target.id, self._rng.choice(("confirm", "deny")))
        return [
            Draft(
                kind=Kind.SIGHTING,
                expires=Day(max(target.expires, node.today() + 1)),
                body=body,
                sighting=parse_sighting(body),
            )
        ]
