"""How many varied jailbreaks are still recognized, and against an attacker who knows the method."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from multiprocessing import get_context
from statistics import fmean
from time import process_time

from benchmarks.corpora import Sample, default_corpus, filler, jailbreaks
from benchmarks.mutations import MUTATIONS, Mutator, padded, padding
from benchmarks.report import Row, quantile
from mesh.fingerprint import (
    SHORT,
    Query,
    SelectionKey,
    WindowSet,
    published_fingerprint,
    query_fingerprint,
)

KEY = SelectionKey(sha256(b"the key of the measured mesh").digest())
GUESSED = SelectionKey(sha256(b"what an attacker takes for the key").digest())
ESCALATE = 2
"""Common tokens within one chunk that make a match."""
BLOCK = 4
"""Common tokens within one chunk that a block needs."""
BIG_STEP = 4
"""Of the largest variation every fourth text is tried, for time."""


@dataclass(frozen=True)
class Attempt:
    """One variation of one text: the most tokens that one chunk of it has in common with it."""

    mutation: str
    attack: str
    exact: bool
    common: int
    asked: int


def common_tokens(query: Query, published: frozenset[bytes]) -> int:
    """The most inputs that one chunk of a query has in common with a fingerprint."""
    return max(sum(value in published for value in chunk) for chunk in query.chunks)


class Trial:
    """What is tried on each text."""

    def __init__(self, names: Sequence[str], drop: WindowSet, attacks: bool = True) -> None:
        self.mutator = Mutator.of(filler())
        self.names = names
        self.drop = drop
        blocks = {"none": ""}
        if attacks:
            blocks["guessed"] = padding(GUESSED, self.mutator.words, 1)
            blocks["known"] = padding(KEY, self.mutator.words, 2)
        self.blocks = blocks

    def of(self, sample: Sample) -> list[Attempt]:
        """All variations of one text."""
        published = frozenset(published_fingerprint(KEY, sample.text, drop=self.drop).inputs)
        found = []
        for name in self.names:
            rng = random.Random(f"{sample.source} {name}")
            text = MUTATIONS[name][0](self.mutator, rng, sample.text)
            plain = query_fingerprint(KEY, text, drop=self.drop)
            for attack, block in self.blocks.items():
                if attack == "known" and name != "unchanged":
                    continue
                query = plain
                if block:
                    query = query_fingerprint(KEY, padded(text, block), drop=self.drop)
                common = common_tokens(query, published)
                found.append(Attempt(name, attack, plain.exact, common, len(query.inputs)))
        return found


def attempts(samples: Sequence[Sample], names: Sequence[str], *, attacks: bool) -> list[Attempt]:
    """Try these variations of these texts, on two processes; with the default benign corpus."""
    with get_context("spawn").Pool(2, _start, (tuple(names), attacks)) as pool:
        return [a for found in pool.imap(_try, samples, chunksize=8) for a in found]


_trial: Trial | None = None


def _start(names: Sequence[str], attacks: bool) -> None:
    global _trial
    _trial = Trial(names, WindowSet.of(KEY, default_corpus()), attacks)


def _try(sample: Sample) -> list[Attempt]:
    assert _trial is not None
    return _trial.of(sample)


def share(found: Iterable[Attempt], least: int = ESCALATE) -> float:
    """How many of these attempts are recognized, in %."""
    hits = [attempt.common >= least for attempt in found]
    return 100 * sum(hits) / len(hits)


def run() -> list[Row]:
    """Vary every jailbreak of at least 200 normalized characters and ask about it."""
    samples = jailbreaks(SHORT)
    big = [name for name in MUTATIONS if "50" in name]
    found = attempts(samples, [name for name in MUTATIONS if name not in big], attacks=True)
    found += attempts(samples[::BIG_STEP], big, attacks=True)
    rows = [
        _row(found, name, "none", asked, f"≥ {ESCALATE} common tokens in a chunk")
        for name, (_, asked) in MUTATIONS.items()
    ]
    rows += [
        _row(
            found,
            name,
            "guessed",
            None if asked is None else 95,
            "padded with low hashes under a guessed key",
        )
        for name, (_, asked) in MUTATIONS.items()
    ]
    known = _row(found, "unchanged", "known", 5, "the same attack with the mesh's own key works")
    rows.append(replace(known, what="unchanged, attacker has the key", at_most=True))
    for name in ("unchanged", "2 % typos", "10 % of words replaced", "inside 10 × benign text"):
        mine = _of(found, name, "none")
        rows.append(
            Row(f"{name}: ≥ {BLOCK} tokens", share(mine, BLOCK), "%", how="enough to block")
        )
    whole = _of(found, "unchanged", "none")
    rows.append(Row("tokens asked for a text", fmean(a.asked for a in whole), "tokens", how="mean"))
    rows.append(_speed(samples))
    return rows


def _of(found: Iterable[Attempt], name: str, attack: str) -> list[Attempt]:
    """The attempts of a kind, also those of which under 200 characters are left."""
    return [a for a in found if a.mutation == name and a.attack == attack]


def _row(found: Sequence[Attempt], name: str, attack: str, asked: float | None, how: str) -> Row:
    mine = _of(found, name, attack)
    what = name if attack == "none" else f"{name}, padded"
    return Row(what, share(mine), "%", asked, at_most=False, how=f"{len(mine)} texts; {how}")


def _speed(samples: Sequence[Sample]) -> Row:
    """The time to choose the windows of texts of 2,000 characters."""
    texts = [sample.text[:2_000] for sample in samples if len(sample.text) >= 2_000][:50]
    drop = WindowSet.of(KEY, default_corpus())

    times = []
    for text in texts * 5:
        start = process_time()
        query_fingerprint(KEY, text, drop=drop)
        times.append((process_time() - start) * 1_000)
    return Row(
        "fingerprint of 2,000 characters",
        quantile(times, 0.5),
        "ms",
        1.4,
        how=f"{len(times)} queries; median of the processor's time",
    )
