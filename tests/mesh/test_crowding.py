"""Which kept text gives way: whoever floods pushes out the own texts, and no others."""

from __future__ import annotations

from hashlib import sha256
from random import Random

from mesh.crowding import DEPTH, most_crowded

PLACES = 256


def named(*names: object) -> list[str]:
    """Names of tokens, in an order that nobody chose."""
    return sorted(sha256(repr(name).encode()).hexdigest() for name in names)


def flooded(mine: list[list[str]], flood: list[list[str]]) -> set[int]:
    """Which of my texts are left, by number, after all places filled and the flood came."""
    kept: list[tuple[int, list[str]]] = list(enumerate(mine))
    for text in flood:
        if len(kept) == PLACES:
            gone = most_crowded((one, one[1]) for one in kept)
            kept.remove(gone)
        kept.append((-1, text))
    return {number for number, _ in kept if number >= 0}


def test_of_texts_that_are_alike_the_oldest_gives_way() -> None:
    texts = [(n, named("a", "b")) for n in range(3)]
    assert most_crowded(texts) == 0
    assert most_crowded([(9, named("x")), *texts]) == 0
    assert most_crowded([(9, named("x")), *texts[:1], (8, named("y"))]) == 9
    assert most_crowded([(1, ["a"])]) == 1


def test_variants_of_one_attack_push_out_none_but_their_own() -> None:
    """Each with other words changed, so that hardly two have the same tokens."""
    rng = Random(3)
    mine = [named("t1", "t2", "t3", "t4", f"edge {n}") for n in range(3)]
    attack = [f"attack {n}" for n in range(40)]
    flood = [named(*rng.sample(attack, rng.randint(8, 38))) for _ in range(4 * PLACES)]
    assert len({tuple(one) for one in flood}) > 3 * PLACES
    assert flooded(mine, flood) == {0, 1, 2}


def test_pieces_of_one_attack_push_out_none_but_their_own() -> None:
    """Four windows of it suffice for a block: pieces share few tokens with one another."""
    mine = [named("t1", "t2", "t3", "t4") for _ in range(3)]
    attack = [f"attack {n}" for n in range(40)]
    flood = [named(*attack[n % 37 : n % 37 + 4]) for n in range(4 * PLACES)]
    assert flooded(mine, flood) == {0, 1, 2}


def test_an_attack_around_a_template_does_not_push_out_the_template_s_own_users() -> None:
    """In most cases: as often as the attack has one of the lowest tokens."""
    saved = 0
    for seed in range(20):
        template = [(seed, "template", n) for n in range(8)]
        mine = [named(*template) for _ in range(3)]
        attack = [(seed, "attack", n) for n in range(12)]
        flood = [named(*template, *attack) for _ in range(2 * PLACES)]
        saved += flooded(mine, flood) == {0, 1, 2}
    assert saved >= 17
    assert DEPTH == 4
