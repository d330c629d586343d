"""The breaker: what the mesh makes one node block, and what of it turns out to be benign.

It is local: nothing of it is published, and no peer can ask for it. It knows texts only as keyed
digests and by the tokens that had them blocked.

- Volume alone only alerts. *Attack:* somebody floods a node with a known jailbreak, so that its
  block looks like a fault and is switched off.
- A token goes into *shadow* when three diverse blocked texts that hold it were judged benign, by
  people or by the node's own evaluators. From then on it escalates and never blocks, until a person
  lifts the shadow. *Attack:* an outsider embeds a rival's prompt template in a jailbreak, and the
  rival's own users are blocked.

The rule. The suspects are the tokens that three texts have in common; exactly those go into shadow.
The texts are diverse if each has enough parts that were not matched (four, and a third as many as
its tokens), and if no two share more than half of those, nor more than half of the tokens that
either has beside the suspects: a text sent three times with a changed word is one text. A person
outweighs: once a person judged a text malicious, or lifted a token's shadow, only what persons
judged benign *after* that counts for its tokens. An evaluator never overrules a person.

What outweighs what is decided by the order of calls; times are only for people. How often texts
are blocked is counted in `mesh.volume`.

So many judgements are kept of each judge and opinion. *Attack:* somebody floods a node with a known
jailbreak; each is judged malicious, and what was judged benign between them is forgotten.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import combinations
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, StringConstraints

from mesh import strictjson
from mesh.crowding import most_crowded
from mesh.errors import MeshError
from mesh.model import Digest, Model

DIVERSE_TEXTS: Final = 3
"""How many diverse texts must be judged benign."""
OTHER_PARTS: Final = 4
"""How many parts that were not matched each of them must have, at least."""
TOKENS_PER_PART: Final = 3
"""One such part for so many tokens, at least."""
TEXT_TOKENS: Final = 64
"""Most tokens that are kept of one text: the lowest ones."""
TEXT_OTHERS: Final = 128
"""Most digests of other parts that are kept of one text: the lowest ones."""
MAX_OPINIONS: Final = 64
"""How many judgements are kept of each judge and opinion; `mesh.crowding` says which go first."""
MAX_JUDGED: Final = MAX_OPINIONS * 4
"""Most judgements that are kept: two judges have two opinions each."""
MAX_SHADOW: Final = 4_096
"""Most tokens in shadow."""
MAX_UPHELD: Final = 4_096
"""For how many tokens it is kept that a person stood by them; the oldest go first."""
MAX_STATE: Final = 4 << 20
"""Longest encoding of a breaker's state in bytes."""


class BreakerError(MeshError):
    """The breaker can't do what it was asked to."""


class BreakerStateError(BreakerError):
    """What was kept of a breaker's state can't be read."""


class NotInShadowError(BreakerError):
    """A token is not in shadow: there is nothing to lift."""


class ShadowFullError(BreakerError):
    """Thousands of tokens are in shadow: no more go there before a person looked at those."""


class PersonDecidedError(BreakerError):
    """A person judged this text already: no evaluator overrules that."""


class Opinion(StrEnum):
    """What a blocked text was judged to be."""

    BENIGN = "benign"
    MALICIOUS = "malicious"


class Judge(StrEnum):
    """Who judged."""

    PERSON = "person"
    EVALUATOR = "evaluator"


CheckId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
PartDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


class BlockedText(Model):
    """One text that the mesh had blocked. Texts that are alike have one `check`."""

    format_error: ClassVar[type[MeshError]] = BreakerStateError

    check: CheckId
    """Keyed digest of the text: 16 bytes, hex."""
    at: Annotated[int, Field(ge=0)]
    """When it was first blocked, Unix seconds."""
    tokens: Annotated[tuple[Digest, ...], Field(strict=False, min_length=1, max_length=TEXT_TOKENS)]
    """Tokens that counted for the block, or names for them: whoever keeps them chooses."""
    others: Annotated[tuple[PartDigest, ...], Field(strict=False, max_length=TEXT_OTHERS)]
    """Keyed digests of the text's other parts: 8 bytes each, hex."""

    @classmethod
    def of(cls, check: str, at: int, tokens: Iterable[str], others: Iterable[str]) -> Self:
        """A blocked text, as much of it as is kept.

        :raises BreakerStateError: no token, or a digest of the wrong length.
        """
        return cls(
            check=check,
            at=at,
            tokens=tuple(sorted(set(tokens))[:TEXT_TOKENS]),
            others=tuple(sorted(set(others))[:TEXT_OTHERS]),
        )

    @cached_property
    def held(self) -> tuple[frozenset[str], frozenset[str]]:
        """Its tokens and its other parts."""
        return frozenset(self.tokens), frozenset(self.others)


class Judged(Model):
    """A blocked text and what it was judged to be."""

    format_error: ClassVar[type[MeshError]] = BreakerStateError

    number: Annotated[int, Field(ge=0)]
    """Place in the order of judgements."""
    at: Annotated[int, Field(ge=0)]
    """When it was judged, Unix seconds."""
    opinion: Annotated[Opinion, Field(strict=False)]
    by: Annotated[Judge, Field(strict=False)]
    text: BlockedText


class Shadow(Model):
    """A token that no longer blocks here."""

    format_error: ClassVar[type[MeshError]] = BreakerStateError

    token: Digest
    since: Annotated[int, Field(ge=0)]
    """Unix seconds."""
    checks: Annotated[tuple[CheckId, ...], Field(strict=False)]
    """The texts that put it there."""


class _Upheld(Model):
    format_error: ClassVar[type[MeshError]] = BreakerStateError

    token: Digest
    number: Annotated[int, Field(ge=0)]


class _State(Model):
    format_error: ClassVar[type[MeshError]] = BreakerStateError

    next: Annotated[int, Field(ge=0)]
    judged: Annotated[tuple[Judged, ...], Field(strict=False, max_length=MAX_JUDGED)]
    shadow: Annotated[tuple[Shadow, ...], Field(strict=False, max_length=MAX_SHADOW)]
    upheld: Annotated[tuple[_Upheld, ...], Field(strict=False, max_length=MAX_UPHELD)]


def diverse(texts: Sequence[BlockedText]) -> frozenset[str]:
    """The suspects of three texts, in no order; none if the texts are not diverse.

    The rule stands at the head of this module.
    """
    suspects = frozenset.intersection(*(text.held[0] for text in texts))
    if not suspects or len({text.check for text in texts}) != len(texts):
        return frozenset()
    if any(len(text.others) < _wanted_parts(text) for text in texts):
        return frozenset()
    if all(_apart(one, other, len(suspects)) for one, other in combinations(texts, 2)):
        return suspects
    return frozenset()


def _wanted_parts(text: BlockedText) -> float:
    return max(OTHER_PARTS, len(text.tokens) / TOKENS_PER_PART)


def _apart(one: BlockedText, other: BlockedText, suspects: int) -> bool:
    """Whether two texts share at most half of their other parts, and of their other tokens."""
    (tokens, others), (more_tokens, more_others) = one.held, other.held
    fewest = min(len(tokens), len(more_tokens)) - suspects
    return 2 * (len(tokens & more_tokens) - suspects) <= fewest and 2 * len(
        others & more_others
    ) <= min(len(others), len(more_others))


@dataclass
class Breaker:
    """What was judged, and what follows from it. Bounded, however often it is called.

    An error changes nothing.
    """

    _next: int = 0
    _judged: dict[str, Judged] = field(default_factory=dict)
    _shadow: dict[str, Shadow] = field(default_factory=dict)
    _upheld: dict[str, int] = field(default_factory=dict)

    @property
    def shadow(self) -> Mapping[str, Shadow]:
        """The tokens that escalate and never block, in the order in which they came."""
        return self._shadow

    @property
    def judged(self) -> Mapping[str, Judged]:
        """What was judged, by check, the oldest judgement first."""
        return self._judged

    def judge(self, at: int, text: BlockedText, opinion: Opinion, by: Judge) -> tuple[str, ...]:
        """Take a judgement of a blocked text; a later one of the same text replaces it.

        :param at: Unix seconds.
        :returns: the tokens that went into shadow because of it, sorted.
        :raises PersonDecidedError: an evaluator judges what a person has judged.
        :raises ShadowFullError: it would put more tokens in shadow than there may be.
        """
        before = self._judged.get(text.check)
        if before is not None and before.by is Judge.PERSON and by is not Judge.PERSON:
            raise PersonDecidedError(f"a person judged this text to be {before.opinion} already")
        judged = Judged(number=self._next, at=at, opinion=opinion, by=by, text=text)
        found = self._found(judged) if opinion is Opinion.BENIGN else {}
        if len(self._shadow) + len(found) > MAX_SHADOW:
            raise ShadowFullError(
                f"{len(self._shadow)} tokens are in shadow already, of {MAX_SHADOW}: look at them, "
                "and retract or ignore the signals that they are from"
            )
        self._next += 1
        self._judged.pop(text.check, None)
        self._judged[text.check] = judged
        alike = [one for one in self._judged.values() if (one.by, one.opinion) == (by, opinion)]
        if len(alike) > MAX_OPINIONS:
            del self._judged[most_crowded((one.text.check, one.text.tokens) for one in alike[:-1])]
        if opinion is Opinion.MALICIOUS and by is Judge.PERSON:
            self._uphold(text.tokens, judged.number)
        for token, checks in sorted(found.items()):
            self._shadow[token] = Shadow(token=token, since=at, checks=checks)
        return tuple(sorted(found))

    def lift(self, token: str) -> None:
        """A person has a token block again.

        :raises NotInShadowError: it is not in shadow.
        """
        if token not in self._shadow:
            raise NotInShadowError(f"the token {token[:64]} is not in shadow; nothing was changed")
        del self._shadow[token]
        self._uphold((token,), self._next)
        self._next += 1

    def stood_by(self, text: BlockedText) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What outweighs benign judgements of a text that were made before it.

        :returns: the text's tokens that a person stood by and that are not in shadow, sorted; and
            the texts with any of them that a person judged malicious, by check, the oldest first.
        """
        tokens = [one for one in text.tokens if one in self._upheld and one not in self._shadow]
        checks = [
            check
            for check, one in self._judged.items()
            if one.opinion is Opinion.MALICIOUS
            and one.by is Judge.PERSON
            and not one.text.held[0].isdisjoint(tokens)
        ]
        return tuple(sorted(tokens)), tuple(checks)

    def copy(self) -> Self:
        """Another one in the same state, to be tried out before it counts."""
        return type(self)(self._next, dict(self._judged), dict(self._shadow), dict(self._upheld))

    def encode(self) -> bytes:
        """All of it, for the store."""
        state = _State(
            next=self._next,
            judged=tuple(self._judged.values()),
            shadow=tuple(self._shadow.values()),
            upheld=tuple(_Upheld(token=one, number=at) for one, at in self._upheld.items()),
        )
        return state.encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """What `encode` wrote.

        :raises BreakerStateError: it did not write this.
        :raises StrictJSONError: it is not even strict JSON.
        """
        state = _State.parse(strictjson.loads(data, max_bytes=MAX_STATE))
        return cls(
            state.next,
            {one.text.check: one for one in state.judged},
            {one.token: one for one in state.shadow},
            {one.token: one.number for one in state.upheld},
        )

    def _found(self, judged: Judged) -> dict[str, tuple[str, ...]]:
        """Tokens that this judgement puts in shadow, with the texts that speak for them."""
        found: dict[str, tuple[str, ...]] = {}
        wanted = {one for one in judged.text.tokens if one not in self._shadow}
        others = [
            one
            for one in self._judged.values()
            if one.opinion is Opinion.BENIGN and not wanted.isdisjoint(one.text.tokens)
        ]
        for more in combinations(others, DIVERSE_TEXTS - 1):
            group = (judged, *more)
            for token in diverse([one.text for one in group]) & wanted:
                if all(self._counts(one, token) for one in group):
                    found[token] = tuple(one.text.check for one in group)
                    wanted.discard(token)
            if not wanted:
                break
        return found

    def _counts(self, judged: Judged, token: str) -> bool:
        stood = self._upheld.get(token)
        return stood is None or (judged.by is Judge.PERSON and judged.number > stood)

    def _uphold(self, tokens: Iterable[str], number: int) -> None:
        for token in tokens:
            self._upheld.pop(token, None)
            self._upheld[token] = number
        for token in list(self._upheld)[:-MAX_UPHELD]:
            del self._upheld[token]
