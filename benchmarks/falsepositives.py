"""How often harmless prompts match published jailbreaks, and why.

What a block needs besides is left out (a person's confirmation, the shadow period): a text "could be
blocked" when one chunk of it has four tokens with three sources. Two settings: each jailbreak was
reported by three control groups, so that every known token has three sources; or each by one group
of its own, so that a token has three sources when three of the jailbreaks share it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from hashlib import sha256
from multiprocessing import get_context

from benchmarks.corpora import Sample, benign, default_corpus, jailbreaks, personas
from benchmarks.report import Row
from mesh.constraints import MatchingRule
from mesh.fingerprint import (
    SHORT,
    NothingToPublishError,
    SelectionKey,
    WindowSet,
    published_fingerprint,
    query_fingerprint,
)
from mesh.normalize import normalize

KEYS = tuple(SelectionKey(sha256(b"a measured mesh %d" % i).digest()) for i in range(4))
"""Which windows are published depends on the key, so several are tried."""
RULE = MatchingRule()
PERSONAS = "act as"


@dataclass(frozen=True)
class Match:
    """One harmless text that the mesh knows something of."""

    sample: Sample
    tokens: int
    """Known tokens of the chunk that has most of them."""
    corroborated: int
    """Tokens, of the chunk that has most such, with three different jailbreaks behind them."""
    short: bool
    """Under 200 normalized characters: never blocked."""
    exact: bool
    """The whole of it was published."""
    near: Sample
    """The published jailbreak that shares most tokens."""

    @property
    def escalates(self) -> bool:
        """Whether a check would answer `escalate` at least."""
        return self.exact or self.tokens >= RULE.escalate_tokens

    @property
    def blocks_widely(self) -> bool:
        """Whether it could be blocked when three groups reported each jailbreak."""
        return not self.short and self.tokens >= RULE.block_tokens

    @property
    def blocks(self) -> bool:
        """Whether it could be blocked when each jailbreak was reported by a group of its own."""
        return not self.short and self.corroborated >= RULE.block_tokens

    def why(self) -> str:
        """What the two texts have in common, in numbers and in the words of the harmless one."""
        one, other = normalize(self.sample.text), normalize(self.near.text)
        if one in other:
            share = "word for word in it"
        else:
            matcher = SequenceMatcher(None, one, other, autojunk=False)
            blocks = [b for b in matcher.get_matching_blocks() if b.size >= 24]
            share = f"{100 * sum(b.size for b in blocks) / len(one):.0f} % of it in stretches of 24 or more"
        return f"{self.sample.source}: {self.tokens} tokens with {self.near.source}; {share}"


class Published:
    """All jailbreaks, published under one key."""

    def __init__(self, samples: Iterable[Sample], key: SelectionKey, drop: WindowSet) -> None:
        self.key = key
        self.drop = drop
        self.texts: dict[bytes, list[Sample]] = defaultdict(list)
        self.refused = 0
        for sample in samples:
            try:
                fingerprint = published_fingerprint(key, sample.text, drop=drop)
            except NothingToPublishError:
                self.refused += 1
                continue
            for value in fingerprint.inputs:
                self.texts[value].append(sample)

    def match(self, sample: Sample) -> Match | None:
        """What is known of a text, or None."""
        query = query_fingerprint(self.key, sample.text, drop=self.drop)
        known = [[value for value in chunk if value in self.texts] for chunk in query.chunks]
        most = max(known, key=len)
        if not most:
            return None
        counts: dict[str, int] = defaultdict(int)
        nearest: Mapping[str, Sample] = {s.source: s for v in most for s in self.texts[v]}
        for value in most:
            for other in self.texts[value]:
                counts[other.source] += 1
        wide = max(sum(len(self.texts[v]) >= RULE.block_sources for v in chunk) for chunk in known)
        exact = query.exact and bool(known[0])
        near = nearest[max(counts, key=counts.__getitem__)]
        return Match(sample, len(most), wide, query.exact, exact, near)


Found = Mapping[str, tuple[Match, ...]]


def ask_all(key: SelectionKey, corpus: tuple[str, ...]) -> tuple[Found, int]:
    """What all harmless texts match under a key, by set, and how many jailbreaks were published."""
    published = jailbreaks()
    known = Published(published, key, WindowSet.of(key, corpus))
    sets = {**benign(), PERSONAS: personas()}
    found = {
        name: tuple(m for s in samples if (m := known.match(s)) is not None)
        for name, samples in sets.items()
    }
    return found, len(published) - known.refused


def run() -> list[Row]:
    """Publish all jailbreaks; ask about all harmless texts, without and with the benign corpus."""
    sets = benign()
    counts = {name: len(samples) for name, samples in sets.items()}
    long = {
        name: sum(len(normalize(s.text)) >= SHORT for s in samples)
        for name, samples in sets.items()
    }
    acts = len(personas())
    rows: list[Row] = []
    with get_context("spawn").Pool(2) as pool:
        for label, corpus in (
            ("no benign corpus", ()),
            ("default benign corpus", default_corpus()),
        ):
            asked = pool.starmap(ask_all, [(key, corpus) for key in KEYS])
            everywhere = [m for found, _ in asked for name in counts for m in found[name]]
            personae = [m for found, _ in asked for m in found[PERSONAS]]
            total = sum(counts.values()) * len(KEYS)
            how = f"{sum(counts.values())} texts ({sum(long.values())} long), {len(KEYS)} keys; {asked[0][1]} jailbreaks; {label}"
            rows += [
                _share("false escalate", everywhere, "escalates", total, 0.03, how),
                _share("false block, each jailbreak from three groups", everywhere, "blocks_widely", total, 0, how),
                _share("false block, each jailbreak from one group", everywhere, "blocks", total, 0, how),
            ]  # fmt: skip
            for name, count in counts.items():
                matches = [m for found, _ in asked for m in found[name]]
                how = f"{count} texts ({long[name]} long), {len(KEYS)} keys; {label}"
                rows.append(
                    _share(
                        f"… escalate: {name}", matches, "escalates", count * len(KEYS), None, how
                    )
                )
            how = f"{acts} personas, {len(KEYS)} keys; {label}"
            acted = acts * len(KEYS)
            rows += [
                _share('"act as": escalate', personae, "escalates", acted, None, how),
                _share('"act as": block, each jailbreak from three groups', personae, "blocks_widely", acted, 2, how),
                _share('"act as": block, each jailbreak from one group', personae, "blocks", acted, 2, how),
            ]  # fmt: skip
            for line in _explained(label, (*everywhere, *personae)):
                print(f"  {line}", file=sys.stderr)
    return rows


def _explained(label: str, matches: Sequence[Match]) -> list[str]:
    """Why each harmless text matched, each once, those that could be blocked first."""
    worst: dict[str, Match] = {}
    for match in matches:
        kept = worst.get(match.sample.source)
        if match.escalates and (kept is None or match.tokens > kept.tokens):
            worst[match.sample.source] = match
    ordered = sorted(worst.values(), key=lambda m: -m.tokens)
    return [f"{label}: {'block' if m.blocks_widely else 'escalate'}: {m.why()}" for m in ordered]


def _share(
    what: str,
    matches: Sequence[Match],
    kind: str,
    total: int,
    asked: float | None,
    how: str,
) -> Row:
    hits = sum(bool(getattr(match, kind)) for match in matches)
    return Row(what, 100 * hits / total, "%", asked, how=f"{hits} of {total}: {how}")
