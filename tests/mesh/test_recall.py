"""A sample of `make bench ARGS="recall falsepositives"`: a change that loses matches fails here."""

import random
from pathlib import Path

import pytest

from benchmarks.corpora import DATA, benign, filler, jailbreaks, personas
from benchmarks.falsepositives import KEYS, Published
from benchmarks.mutations import MUTATIONS
from benchmarks.recall import BLOCK, ESCALATE, Attempt, Trial, share
from mesh.fingerprint import WindowSet

pytestmark = pytest.mark.skipif(
    not Path(DATA).is_dir(), reason="the measuring texts are not here: no ../shared/data"
)
NAMES = [name for name in MUTATIONS if "50" not in name]


@pytest.fixture(scope="module")
def attempts() -> list[Attempt]:
    trial = Trial(NAMES, WindowSet())
    samples = random.Random(7).sample(jailbreaks(200), 36)
    return [attempt for sample in samples for attempt in trial.of(sample)]


def of(attempts: list[Attempt], mutation: str, attack: str) -> list[Attempt]:
    found = [a for a in attempts if (a.mutation, a.attack) == (mutation, attack)]
    assert len(found) >= 25
    return found


@pytest.mark.parametrize("mutation", NAMES)
def test_variants_are_recognized(attempts: list[Attempt], mutation: str) -> None:
    # One of 36 texts is 3 %; `make bench` tries all and asks for more.
    least = {"5 % typos": 90, "25 % of words replaced": 65}.get(mutation, 94)
    assert share(of(attempts, mutation, "none")) >= least


@pytest.mark.parametrize("mutation", NAMES)
def test_padding_without_the_key_hides_nothing(attempts: list[Attempt], mutation: str) -> None:
    least = {"5 % typos": 78, "25 % of words replaced": 50}.get(mutation, 86)
    assert share(of(attempts, mutation, "guessed")) >= least


def test_padding_with_the_key_hides_everything(attempts: list[Attempt]) -> None:
    # Else the attack above would be none.
    assert share(of(attempts, "unchanged", "known")) <= 5


def test_what_is_unchanged_can_be_blocked(attempts: list[Attempt]) -> None:
    assert share(of(attempts, "unchanged", "none"), BLOCK) == 100
    assert all(a.common > ESCALATE for a in of(attempts, "unchanged", "none"))


def test_harmless_texts_do_not_match() -> None:
    published = Published(jailbreaks(), KEYS[0], WindowSet())
    sets = benign()
    sample = [s for name in sorted(sets) for s in random.Random(name).sample(sets[name], 120)]
    found = [m for s in sample if (m := published.match(s)) is not None]
    assert not any(match.escalates for match in found)
    acts = [m for s in personas() if (m := published.match(s)) is not None]
    assert sum(match.blocks_widely for match in acts) <= 4
    # One of them is in the jailbreak set word for word: the measurement sees what there is.
    assert any("word for word" in match.why() for match in acts if match.escalates)


def test_there_is_text_to_hide_in() -> None:
    assert len(filler()) > 1_000
