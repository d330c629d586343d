"""What known tokens in a text mean: nothing, a person's look, or a block.

Counting is per token and within one chunk of the text, and it counts *origins*: distinct control
groups that each published a direct signal with the token. Two stretches of a known attack in a long
harmless text are a hint; only an attack's body is a match.

- `escalate`: a chunk holds enough tokens known from anyone (a short text, which has one exact
  token: that one).
- `block`: a chunk holds enough tokens that are each known from enough control groups, or from an
  issuer that this operator trusts, all past their shadow period; and a person confirmed at least
  one of those signals. *Attack:* a member, or several under one owner, publishes everyday text as
  an attack to have it blocked everywhere.

A derived signal (made because of the mesh) is no source, so that warnings can't feed themselves. A
promoted token's scalar can be computed by every member, so a signal that comes after its promotion
proves nothing and is no source, then or ever: see `counted_sources`. A token that this node's
breaker holds escalates and never counts for a block: see `mesh.breaker`.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mesh.constraints import Constraints


class Finding(StrEnum):
    """What a text was found to be. In order: each is more than the one before."""

    ALLOW = "allow"
    ESCALATE = "escalate"
    BLOCK = "block"

    @property
    def rank(self) -> int:
        """Its place in that order."""
        return list(Finding).index(self)


@dataclass(frozen=True)
class Source:
    """One live signal with a token.

    `age_seconds` is how long this node has held it, and negative after its clock was set back;
    `direct` says that its issuer met the attack itself; `confirmed` that a person of another
    control group than the issuer's, or of this organization, confirmed it.
    """

    signal: str
    issuer: str
    control_group: str
    band_level: int
    category: str
    age_seconds: float
    direct: bool
    confirmed: bool
    technique: str | None = None


@dataclass(frozen=True)
class Promoted:
    """One promotion of a token.

    `sources` are the live ones among the signals that it names; `groups_then` the control groups of
    those named signals that this node has ever held with the token, live or not; `age_seconds` is
    how long this node has held the promotion, by the clock of `Source.age_seconds`.
    """

    sources: tuple[Source, ...]
    groups_then: frozenset[str]
    age_seconds: float


@dataclass(frozen=True)
class Matched:
    """A token of the text that somebody published, with the sources that count for it."""

    token: str
    sources: tuple[Source, ...]
    promoted: bool = False


@dataclass(frozen=True)
class KnownToken:
    """What is known of one token.

    `control_groups` are those whose direct signals are past the shadow period; `shadowed` is how
    many more groups there will be when it ends; `sufficient` says that the token counts for a
    block, `confirmed` that a person confirmed one of the sources that count, `held` that the
    breaker keeps it from counting.
    """

    token: str
    promoted: bool
    control_groups: tuple[str, ...]
    shadowed: int
    trusted: bool
    sufficient: bool
    confirmed: bool
    sources: tuple[Source, ...]
    held: bool = False


@dataclass(frozen=True)
class Judgement:
    """What was found, why, and the known tokens of all chunks."""

    finding: Finding
    reason: str
    tokens: tuple[KnownToken, ...] = ()
    chunk: int | None = None
    """Place of the chunk that decided, None when nothing is known."""


def counted_sources(
    live: Sequence[Source], promotions: Iterable[Promoted], wanted: int
) -> tuple[Source, ...]:
    """The sources that count for a token.

    A promotion is *sound* if its evidence came from `wanted` or more control groups. The earliest
    sound one decides: what was here by then counts, and its evidence, as far as they are live.
    What came later never does, not even if that evidence is gone. *Attack:* a member computes a
    promoted token's scalar, publishes a signal, and waits until a source retracts its own.

    A promotion that is not sound changes nothing. *Attack:* a member promotes a token early, naming
    next to nothing, so that it never counts.

    :param live: live signals with the token; none where only promotions are looked at.
    :param promotions: all promotions of the token.
    """
    known = list(promotions)
    sound = [one for one in known if len(one.groups_then) >= wanted]
    if not sound:
        named = max((one.sources for one in known), key=lambda some: len(_groups(some)), default=())
        return tuple(live or named)
    first = max(sound, key=lambda one: one.age_seconds)
    timely = tuple(source for source in live if source.age_seconds >= first.age_seconds)
    counted = {source.signal for source in timely}
    return (*timely, *(source for source in first.sources if source.signal not in counted))


def judge(
    constraints: Constraints,
    chunks: Sequence[Sequence[Matched]],
    *,
    exact: bool,
    trusted: frozenset[str] = frozenset(),
    held: Container[str] = frozenset(),
) -> Judgement:
    """Judge a text by the tokens found in each of its chunks.

    :param exact: the text is short: its first chunk is its exact token, which alone escalates, the
        others are windows. It can only escalate.
    :param trusted: issuers whose signal alone makes a token count, by this operator's choice.
    :param held: tokens that this node's breaker keeps from counting for a block.
    """
    known = [_known_chunk(constraints, chunk, trusted, held) for chunk in chunks]
    everything = tuple({one.token: one for chunk in known for one in chunk}.values())
    best: Judgement | None = None
    for place, tokens in enumerate(known):
        finding, reason = _judge_chunk(constraints, tokens, exact=exact and place == 0)
        if exact and finding is Finding.BLOCK:
            finding = Finding.ESCALATE
            reason += "; but the text is short: that can only escalate"
        if tokens and (best is None or finding.rank > best.finding.rank):
            best = Judgement(finding, reason, everything, place)
    return best or Judgement(Finding.ALLOW, "nothing in it is known to the mesh")


def _known_chunk(
    constraints: Constraints,
    chunk: Sequence[Matched],
    trusted: frozenset[str],
    held: Container[str],
) -> list[KnownToken]:
    found: dict[str, KnownToken] = {}
    for one in chunk:
        if any(source.direct for source in one.sources):
            found.setdefault(one.token, _known(constraints, one, trusted, one.token in held))
    return list(found.values())


def _known(
    constraints: Constraints, matched: Matched, trusted: frozenset[str], held: bool
) -> KnownToken:
    direct = [source for source in matched.sources if source.direct]
    shadow = constraints.matching.shadow_seconds
    counting = [source for source in direct if source.age_seconds >= shadow]
    groups = _groups(counting)
    is_trusted = any(source.issuer in trusted for source in counting)
    return KnownToken(
        token=matched.token,
        promoted=matched.promoted,
        control_groups=tuple(sorted(groups)),
        shadowed=len(_groups(direct) - groups),
        trusted=is_trusted,
        sufficient=not held and (is_trusted or len(groups) >= constraints.block_sources),
        confirmed=any(source.confirmed for source in counting),
        sources=tuple(direct),
        held=held,
    )


def _judge_chunk(
    constraints: Constraints, tokens: Sequence[KnownToken], *, exact: bool
) -> tuple[Finding, str]:
    rule = constraints.matching
    if exact:
        if tokens:
            return Finding.ESCALATE, (
                "the whole text is known, and it is short: that can only escalate"
            )
        return Finding.ALLOW, "nothing in it is known to the mesh"
    if len(tokens) < rule.escalate_tokens:
        return Finding.ALLOW, (
            f"{_parts(len(tokens))} known; it takes {rule.escalate_tokens} close together"
        )
    strong = [one for one in tokens if one.sufficient]
    if len(strong) < rule.block_tokens:
        return Finding.ESCALATE, (
            f"{_parts(len(tokens))} known, {len(strong)} of them from "
            f"{constraints.block_sources} or more independent organizations or a trusted one; "
            f"a block takes {rule.block_tokens} such{_shadow_note(tokens)}{_held_note(tokens)}"
        )
    if not any(one.confirmed for one in strong):
        return Finding.ESCALATE, (
            f"{_parts(len(strong))} known from enough organizations, but no person has confirmed "
            "one of their signals"
        )
    return Finding.BLOCK, (
        f"{_parts(len(strong))} known from {constraints.block_sources} or more independent "
        "organizations or a trusted one, and a person confirmed one of their signals"
    )


def _groups(sources: Iterable[Source]) -> set[str]:
    return {source.control_group for source in sources if source.direct}


def _parts(count: int) -> str:
    return "1 passage is" if count == 1 else f"{count} passages are"


def _shadow_note(tokens: Sequence[KnownToken]) -> str:
    waiting = sum(1 for one in tokens if one.shadowed)
    return f" ({waiting} have sources still in their shadow period)" if waiting else ""


def _held_note(tokens: Sequence[KnownToken]) -> str:
    held = sum(1 for one in tokens if one.held)
    return f" (the breaker holds {held} back)" if held else ""
