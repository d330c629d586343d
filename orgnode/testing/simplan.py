"""What one seed stands for: how many members, who lies and how, what is published, what fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from mesh.testing import nemesis
from mesh.testing.members import make_mesh
from mesh.testing.nemesis import Strike, draw_schedule
from mesh.testing.network import Conditions
from mesh.testing.seeds import seeded
from orgnode.testing.conducts import CONDUCTS

SAFETY: Final = "safety"
"""Random faults to the very end; nothing that never bends may break."""
LIVENESS: Final = "liveness"
"""Random faults, then everything heals but what stays broken outside a core of a quorum: what was
acknowledged must be certified everywhere and all views agree, in bounded time."""

CHAOS: Final = 38.0
"""Seconds that faults last in a run for liveness; in one for safety they last `LONG`."""
LONG: Final = 60.0
PATIENCE: Final = 90.0
"""Seconds after the healing in which everything must have converged."""

_SIZES = (4, 5, 5, 5, 5, 5, 5, 7)
_LONG_LOG = 0.01
_LONG_LOG_EVERY = 75
_DEEDS = (*3 * ("signal",), *2 * ("burst", "retract"), "sight", "mayfly")


def quorum_of(members: int) -> int:
    """What DESIGN section 9 calls a quorum; on its own here, so that a wrong one is noticed."""
    return 2 * members // 3 + 1


@dataclass(frozen=True)
class Fixed:
    """What is not left to the seed: the mode, and how many members there are."""

    mode: str = ""
    members: int = 0


NOTHING: Final = Fixed()


@dataclass(frozen=True)
class Deed:
    """Something that a person or a gateway asks of a node at a moment.

    A burst is a few signals at once, a bulk more than fit into one tile, a mayfly a signal that
    expires with the day.
    """

    at: float
    verb: str
    node: str

    def __str__(self) -> str:
        return f"{self.at:8.3f} s  {self.node}: {self.verb}"


@dataclass(frozen=True)
class Plan:
    """One run, before it begins. Equal seeds give equal plans."""

    seed: int
    mode: str
    members: int
    names: tuple[str, ...]
    liars: Mapping[str, str]
    """Conduct of each member that lies."""
    gone: Mapping[str, float]
    """When a machine breaks for good, for those that do."""
    conditions: Conditions
    strikes: Sequence[Strike] = field(repr=False)
    deeds: Sequence[Deed] = field(repr=False)
    chaos: float
    midnight: float | None
    """After how many seconds a new day (UTC) begins; None: not in this run."""

    @property
    def honest(self) -> tuple[str, ...]:
        """Members that do not lie."""
        return tuple(name for name in self.names if name not in self.liars)

    def __str__(self) -> str:
        head = [
            f"seed {self.seed}: {self.mode}, {self.members} members",
            *(f"{name} lies: {conduct}" for name, conduct in self.liars.items()),
            *(f"{name} breaks for good at {at:.3f} s" for name, at in self.gone.items()),
            str(self.conditions),
        ]
        what = [(deed.at, str(deed)) for deed in self.deeds]
        links: dict[tuple[float, str], list[str]] = {}
        for strike in self.strikes:
            if strike.verb in ("cut", "restore"):
                src, dst = (str(name).partition(".")[0] for name in strike.args)
                links.setdefault((strike.at, strike.verb), []).append(f"{src}>{dst}")
            else:
                what.append((strike.at, str(strike)))
        what += [
            (at, f"{at:8.3f} s  {verb} {' '.join(pairs)}") for (at, verb), pairs in links.items()
        ]
        return "\n".join((*head, *(told for _, told in sorted(what))))


def draw_plan(seed: int, fixed: Fixed = NOTHING) -> Plan:
    """The plan of a seed, but for what is fixed."""
    rng = seeded("plan", seed)
    mode = fixed.mode or rng.choice((SAFETY, LIVENESS, LIVENESS))
    members = fixed.members or rng.choice(_SIZES)
    world = make_mesh(members)
    names = tuple(member.name for member in world.members)
    spare = members - quorum_of(members)
    broken = rng.sample(names, rng.choice((0, 1, spare, spare)))
    liars = {name: rng.choice(CONDUCTS) for name in broken if rng.random() < 0.75}
    chaos = LONG if mode == SAFETY else CHAOS
    gone = (
        {name: rng.uniform(chaos / 4, chaos) for name in broken if name not in liars}
        if mode == LIVENESS
        else {}
    )
    midnight = rng.uniform(1.0, chaos) if rng.random() < 0.3 else None
    long = seed % _LONG_LOG_EVERY == 0  # so that a suite has some, wherever it begins
    strikes = draw_schedule(rng, names, until=chaos, episodes=_episodes(rng))
    return Plan(
        seed=seed,
        mode=mode,
        members=members,
        names=names,
        liars=dict(sorted(liars.items())),
        gone=dict(sorted(gone.items())),
        conditions=rng.choice(
            (
                Conditions(),
                Conditions(latency=0.001, jitter=0.0005),
                Conditions(latency=0.05, jitter=0.05, loss=0.01, again=0.02),
            )
        ),
        strikes=strikes,
        deeds=_draw_deeds(rng, names, liars, strikes, chaos, mode, midnight, long=long),
        chaos=chaos,
        midnight=midnight,
    )


def _episodes(rng: Random) -> Sequence[nemesis.Episode]:
    """In half of the runs only some kinds of faults, so that the others do not drown them out."""
    kinds = list(nemesis.ALL)
    return kinds if rng.random() < 0.5 else rng.sample(kinds, 4)


def _draw_deeds(
    rng: Random,
    names: Sequence[str],
    liars: Mapping[str, str],
    strikes: Sequence[Strike],
    chaos: float,
    mode: str,
    midnight: float | None,
    *,
    long: bool,
) -> Sequence[Deed]:
    last = chaos * 0.95

    def draw() -> Deed:
        verb, node = rng.choice(_DEEDS), rng.choice(names)
        if rng.random() < 0.4:
            return Deed(rng.uniform(0.3, last), verb, node)
        # Around a fault, and by whom it befalls: what is published in peace shows little.
        strike = rng.choice(strikes)
        hit = [arg for arg in strike.args if isinstance(arg, str)]
        at = min(last, max(0.3, strike.at + rng.uniform(-0.5, 1.5)))
        return Deed(at, verb, rng.choice(hit) if hit and rng.random() < 0.6 else node)

    deeds = [draw() for _ in range(rng.randint(2, 6))]
    for strike in strikes:
        if strike.verb == "restore_backup" and isinstance(name := strike.args[0], str):
            # What an old disk lacks, and something to sign in its place.
            deeds.append(Deed(max(0.3, strike.at - rng.uniform(0.05, 3.0)), "signal", name))
            deeds.append(Deed(min(last, strike.at + rng.uniform(1.2, 8.0)), "signal", name))
    if rng.random() < _LONG_LOG or long:
        deeds.append(Deed(rng.uniform(1.0, last), "bulk", rng.choice(names)))
    if midnight is not None:
        # What expires while some have not heard of it.
        for _ in range(2):
            at = rng.uniform(max(0.3, midnight - 6.0), midnight)
            deeds.append(Deed(min(last, at), "mayfly", rng.choice(names)))
    # Somebody publishes early, or there is nothing for the faults to hit; a liar has something to
    # lie about; and after the healing publishing works.
    deeds += [Deed(rng.uniform(0.1, 2.0), "signal", rng.choice(names))]
    deeds += [Deed(rng.uniform(0.1, chaos / 2), "signal", name) for name in liars]
    if mode == LIVENESS:
        deeds += [Deed(chaos + rng.uniform(0.5, 5.0), "signal", rng.choice(names))]
    return tuple(sorted(deeds, key=lambda deed: deed.at))
