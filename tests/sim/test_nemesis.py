"""Schedules of faults: drawn from the seed, over in time, and each undone by its end."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from mesh.testing.nemesis import ALL, Strike, Window, draw_schedule, swizzle
from mesh.testing.network import Conditions

NAMES = ("a", "b", "c", "d", "e")


class Seen:
    """What a schedule did, and what of it is still in force."""

    def __init__(self) -> None:
        self.cuts: Counter[tuple[str, str]] = Counter()
        self.conditions = Conditions()
        self.slowed: dict[str, float] = {}
        self.skews: dict[str, float] = {}
        self.disks: dict[str, Any] = {}
        self.down: dict[str, bool] = {}
        self.verbs: Counter[str] = Counter()

    def __getattr__(self, verb: str) -> Any:
        return lambda *args: self.verbs.update([verb])

    def cut(self, src: str, dst: str) -> None:
        self.cuts[src, dst] += 1

    def restore(self, src: str, dst: str) -> None:
        self.cuts[src, dst] -= 1

    def weather(self, conditions: Conditions) -> None:
        self.conditions = conditions

    def slow(self, name: str, seconds: float) -> None:
        self.slowed[name] = seconds

    def skew(self, name: str, seconds: float) -> None:
        self.skews[name] = seconds

    def slow_disk(self, name: str, seconds: float) -> None:
        self.disks[name] = seconds

    def full_disk(self, name: str, full: bool) -> None:
        self.disks[name] = full

    def crash(self, name: str) -> None:
        self.down[name] = True

    def restart(self, name: str) -> None:
        self.down[name] = False


@pytest.mark.parametrize("episode", dict.fromkeys(ALL), ids=lambda episode: episode.__name__)
def test_an_episode_begins_and_is_over(episode: Any) -> None:
    began = Seen()
    for seed in range(20):
        strikes = sorted(
            episode(Random(seed), Window(NAMES, 10.0, 20.0)), key=lambda strike: strike.at
        )
        assert strikes
        assert strikes[-1].at <= 20.0
        seen = Seen()
        for strike in strikes:
            strike.apply(seen)
        assert not +seen.cuts
        assert not -seen.cuts
        assert seen.conditions == Conditions()
        assert not any((*seen.slowed.values(), *seen.skews.values(), *seen.disks.values()))
        assert not any(seen.down.values())
        began.verbs.update(strike.verb for strike in strikes)
    assert began.verbs


def test_swizzled_machines_come_back_in_another_order() -> None:
    orders = set()
    for seed in range(20):
        strikes = list(swizzle(Random(seed), Window(NAMES, 0.0, 10.0)))
        cut = sorted((s for s in strikes if s.verb == "cut"), key=lambda s: s.at)
        back = sorted((s for s in strikes if s.verb == "restore"), key=lambda s: s.at)
        assert cut[-1].at <= 5.0 <= back[0].at
        orders.add([s.args for s in cut] == [s.args for s in back])
    assert orders == {True, False}


def test_equal_seeds_draw_equal_schedules() -> None:
    one, same, other = (draw_schedule(Random(seed), NAMES, until=40.0) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert one == sorted(one, key=lambda strike: strike.at)
    assert all(0 <= strike.at <= 40.0 for strike in one)


def test_every_kind_of_episode_is_drawn() -> None:
    verbs = {
        strike.verb
        for seed in range(60)
        for strike in draw_schedule(Random(seed), NAMES, until=40.0)
    }
    assert verbs == {
        *("cut", "restore", "weather", "slow", "crash", "restart", "backup", "restore_backup"),
        *("skew", "slow_disk", "full_disk", "crash_writing", "reboot"),
    }


def test_a_strike_can_be_printed() -> None:
    assert str(Strike(1.5, "cut", ("a", "b"))) == "   1.500 s  cut(a, b)"
