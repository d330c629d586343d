"""What the rules leave to an insider: guesses a day, and what equality of tokens shows."""

from __future__ import annotations

from collections import Counter

from benchmarks import corpora
from benchmarks.report import Row
from mesh.constraints import DEFAULT_EVALUATION_BUDGET
from mesh.days import Day
from mesh.evaluation import BATCH
from mesh.fingerprint import SHORT, NothingToPublishError, SelectionKey, published_fingerprint
from mesh.metering import BudgetExceededError, Meter

TODAY = Day(20_000)


def guesses(seats: int, threshold: int) -> int:
    """Guesses that one member gets through in a day, by asking whoever was asked least."""
    meters = [Meter(DEFAULT_EVALUATION_BUDGET) for _ in range(seats)]
    spent = [0] * seats
    done = 0
    while True:
        chosen = sorted(range(seats), key=spent.__getitem__)[:threshold]
        for seat in chosen:
            try:
                meters[seat].charge("insider.example", TODAY, BATCH)
            except BudgetExceededError:
                return done
            spent[seat] += BATCH
        done += BATCH


def _shared() -> list[Row]:
    key = SelectionKey(bytes(range(32)))
    holders: Counter[bytes] = Counter()
    texts = 0
    for sample in corpora.jailbreaks(least=SHORT):
        try:
            holders.update(set(published_fingerprint(key, sample.text).inputs))
        except NothingToPublishError:
            continue
        texts += 1
    common = sum(count > 1 for count in holders.values())
    how = f"{texts} published jailbreaks of the public sets, {len(holders)} different tokens"
    return [
        Row("tokens that occur in more than one prompt", 100 * common / len(holders), "%", how=how),
        Row("most prompts that share one token", max(holders.values()), "prompts", how=how),
    ]


def run() -> list[Row]:
    """Count with the meters that the nodes use, at the default budget."""
    how = f"budget {DEFAULT_EVALUATION_BUDGET} elements a day at each seat, spread over all seats"
    return [
        Row(f"guesses of one insider in a day, {t} of {m} seats", guesses(m, t), "guesses", how=how)
        for t, m in ((3, 5), (5, 9))
    ] + _shared()
