"""Schedules of faults, drawn from a seed: what happens to whom, when, and when it ends.

    for strike in draw_schedule(rng, names, until=40.0):
        ...                                     # at strike.at: strike.apply(target)

A schedule is plain data, so that it can be printed with a failing seed. An episode is a fault with
its end: a partition and its healing, a crash and the restart. Episodes overlap as they come.

Swizzle-clog, after FoundationDB: machines are cut off one by one and come back in another order, so
that each stage of a protocol meets each set of reachable machines.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from mesh.testing.network import Conditions

DAY_SECONDS: Final = 86_400.0


class Target(Protocol):
    """What faults are done to: a network, its machines and their disks."""

    def cut(self, src: str, dst: str) -> None:
        """Messages from `src` to `dst` vanish."""
        ...

    def restore(self, src: str, dst: str) -> None:
        """Take back one cut."""
        ...

    def weather(self, conditions: Conditions) -> None:
        """How all links treat messages from now on."""
        ...

    def slow(self, name: str, seconds: float) -> None:
        """Every message from and to a machine takes so much longer."""
        ...

    def crash(self, name: str) -> None:
        """Cut the power of a machine: what is not on its disk is lost."""
        ...

    def crash_writing(self, name: str) -> None:
        """Cut the power of a machine while its next write is on its way to the disk."""
        ...

    def restart(self, name: str) -> None:
        """Start a machine again from its disk."""
        ...

    def reboot(self, name: str) -> None:
        """Have a machine shut down in order, and start again."""
        ...

    def backup(self, name: str) -> None:
        """Copy a machine's disk."""
        ...

    def restore_backup(self, name: str) -> None:
        """Lose a machine, and start it from the copy of its disk that was made last."""
        ...

    def skew(self, name: str, seconds: float) -> None:
        """Set a machine's clock so much ahead (or behind)."""
        ...

    def slow_disk(self, name: str, seconds: float) -> None:
        """Every commit of a machine takes so much longer."""
        ...

    def full_disk(self, name: str, full: bool) -> None:
        """A machine's disk takes nothing more, or takes it again."""
        ...


@dataclass(frozen=True)
class Strike:
    """One thing that happens to a target: a method of it and its arguments."""

    at: float
    """Virtual seconds."""
    verb: str
    args: tuple[object, ...] = ()

    def apply(self, target: Target) -> None:
        """Let it happen."""
        getattr(target, self.verb)(*self.args)

    def __str__(self) -> str:
        return f"{self.at:8.3f} s  {self.verb}({', '.join(map(str, self.args))})"


@dataclass(frozen=True)
class Window:
    """When an episode begins and ends, and among whom."""

    names: Sequence[str]
    start: float
    end: float


Episode = Callable[[Random, Window], Iterator[Strike]]


def draw_schedule(
    rng: Random,
    names: Sequence[str],
    *,
    until: float,
    episodes: Sequence[Episode] | None = None,
    most: int = 6,
) -> list[Strike]:
    """Draw 2 to `most` episodes that are all over by `until`, in the order of their strikes.

    :param names: of the machines that faults may befall.
    :param episodes: which to draw from; one that is listed twice comes twice as often.
    """
    chosen = list(episodes if episodes is not None else ALL)
    strikes: list[Strike] = []
    for _ in range(rng.randint(2, most)):
        start = rng.uniform(0.5, until * 0.75)
        end = min(until, start + rng.uniform(1.0, until / 2))
        strikes += rng.choice(chosen)(rng, Window(names, start, end))
    return sorted(strikes, key=lambda strike: strike.at)


def partition(rng: Random, window: Window) -> Iterator[Strike]:
    """Two groups that can't reach each other."""
    names = list(window.names)
    rng.shuffle(names)
    middle = rng.randint(1, max(1, len(names) - 1))
    for one in names[:middle]:
        for other in names[middle:]:
            yield from _cut(window, one, other)
            yield from _cut(window, other, one)


def one_way(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine hears another and is not heard, or the other way round."""
    src, dst = rng.sample(list(window.names), 2)
    yield from _cut(window, src, dst)


def deaf(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine is heard by all and hears nobody, or hears all and is not heard."""
    name, hears = rng.choice(list(window.names)), rng.random() < 0.5
    for other in window.names:
        if other != name:
            yield from _cut(window, name, other) if hears else _cut(window, other, name)


def swizzle(rng: Random, window: Window) -> Iterator[Strike]:
    """Machines are cut off one by one, and come back one by one in another order."""
    names = rng.sample(list(window.names), rng.randint(1, len(window.names)))
    middle = (window.start + window.end) / 2
    starts = sorted(rng.uniform(window.start, middle) for _ in names)
    ends = sorted(rng.uniform(middle, window.end) for _ in names)
    back = rng.sample(range(len(names)), len(names))
    for place, name in enumerate(names):
        for other in window.names:
            if other != name:
                for src, dst in ((name, other), (other, name)):
                    yield Strike(starts[place], "cut", (src, dst))
                    yield Strike(ends[back[place]], "restore", (src, dst))


def storm(rng: Random, window: Window) -> Iterator[Strike]:
    """All links lose, repeat and reorder messages."""
    bad = Conditions(
        latency=rng.uniform(0.005, 0.2),
        jitter=rng.uniform(0.005, 0.3),
        loss=rng.choice((0.0, 0.05, 0.3)),
        again=rng.choice((0.0, 0.1, 0.3)),
        straggle=rng.choice((0.0, 0.1, 0.3)),
    )
    yield Strike(window.start, "weather", (bad,))
    yield Strike(window.end, "weather", (Conditions(),))


def slow_machine(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine answers late."""
    name = rng.choice(list(window.names))
    yield Strike(window.start, "slow", (name, rng.uniform(0.2, 3.0)))
    yield Strike(window.end, "slow", (name, 0.0))


def crash(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine loses power, and is back some time later."""
    name = rng.choice(list(window.names))
    yield Strike(window.start, "crash", (name,))
    yield Strike(rng.uniform(window.start + 0.1, window.end), "restart", (name,))


def crash_again(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine goes down again and again, each time soon after it started."""
    name, at = rng.choice(list(window.names)), window.start
    for _ in range(rng.randint(2, 4)):
        yield Strike(at, "crash", (name,))
        at = min(window.end, at + rng.uniform(0.05, 1.0))
        yield Strike(at, "restart", (name,))
        at = min(window.end, at + rng.uniform(0.02, 2.0))


def crash_writing(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine loses power in the middle of a write, once or a few times."""
    name, at = rng.choice(list(window.names)), window.start
    for _ in range(rng.randint(1, 3)):
        yield Strike(at, "crash_writing", (name,))
        at = min(window.end, at + rng.uniform(0.5, 4.0))
        yield Strike(at, "restart", (name,))
        at = min(window.end, at + rng.uniform(0.05, 2.0))


def reboots(rng: Random, window: Window) -> Iterator[Strike]:
    """Some machines shut down in order and start again, one after the other: an upgrade."""
    names = rng.sample(list(window.names), rng.randint(1, len(window.names)))
    for name in names:
        yield Strike(rng.uniform(window.start, window.end), "reboot", (name,))


def power_cut(rng: Random, window: Window) -> Iterator[Strike]:
    """All machines lose power at once, and come back one by one."""
    for name in window.names:
        yield Strike(window.start, "crash", (name,))
        yield Strike(rng.uniform(window.start + 0.1, window.end), "restart", (name,))


def old_backup(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine is lost for good; its successor starts from an old copy of its disk."""
    name = rng.choice(list(window.names))
    yield Strike(rng.uniform(0.0, window.start), "backup", (name,))
    yield Strike(rng.uniform(window.start, window.end), "restore_backup", (name,))


def lonely_backup(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine talks to one other only, and is then lost and put back to an old disk, while the
    one that knows what it said meanwhile is away."""
    name, friend = rng.sample(list(window.names), 2)
    middle = rng.uniform(window.start, window.end)
    yield Strike(window.start, "backup", (name,))
    for other in window.names:
        if other not in (name, friend):
            for src, dst in ((name, other), (other, name)):
                yield Strike(window.start, "cut", (src, dst))
                yield Strike(middle, "restore", (src, dst))
    yield Strike(middle, "restore_backup", (name,))
    for src, dst in ((name, friend), (friend, name)):
        yield from _cut(Window(window.names, middle, window.end), src, dst)


def wrong_clock(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine's clock is up to a day off."""
    name = rng.choice(list(window.names))
    yield Strike(window.start, "skew", (name, rng.uniform(-DAY_SECONDS, DAY_SECONDS)))
    yield Strike(window.end, "skew", (name, 0.0))


def slow_disk(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine's commits take long."""
    name = rng.choice(list(window.names))
    yield Strike(window.start, "slow_disk", (name, rng.uniform(0.05, 1.5)))
    yield Strike(window.end, "slow_disk", (name, 0.0))


def full_disk(rng: Random, window: Window) -> Iterator[Strike]:
    """One machine's disk is full for a while."""
    name = rng.choice(list(window.names))
    yield Strike(window.start, "full_disk", (name, True))
    yield Strike(window.end, "full_disk", (name, False))


def _cut(window: Window, src: str, dst: str) -> Iterator[Strike]:
    yield Strike(window.start, "cut", (src, dst))
    yield Strike(window.end, "restore", (src, dst))


ALL: Final[tuple[Episode, ...]] = (
    partition,
    partition,
    one_way,
    deaf,
    swizzle,
    swizzle,
    storm,
    storm,
    slow_machine,
    crash,
    crash,
    crash_again,
    crash_writing,
    crash_writing,
    reboots,
    power_cut,
    old_backup,
    lonely_backup,
    lonely_backup,
    lonely_backup,
    wrong_clock,
    slow_disk,
    full_disk,
)
"""Every kind of episode, the more instructive ones more than once."""
