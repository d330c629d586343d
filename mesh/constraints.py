"""The shared constraints: who is a member, who evaluates, what severity weighs, when a text
matches, how large, old and many things may be, how warnings about warnings fade.

Every member computes with the same numbers, so each is part of a version that all of them agreed
on; each has a floor or a ceiling that no vote can lift. Quorum and fault bound follow from the
number of members and are computed, never stored.
"""

from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, ClassVar, Final, Self

from pydantic import AfterValidator, Field, model_validator

from mesh import strictjson
from mesh.committee import Committee, CommitteeError
from mesh.errors import MeshError
from mesh.member import MemberCard
from mesh.model import Digest, Model
from mesh.names import NameFormatError
from proofs.severity import Rubric

MIN_MEMBERS: Final = 2
MAX_MEMBERS: Final = 100
"""All founders sign one note, the genesis."""
MAX_MESH_NAME: Final = 100
MIN_BODY_BYTES: Final = 8_192
"""Floor of `max_body_bytes`: room for the largest signal, and for what later kinds add."""
MAX_TOKENS: Final = 32
"""Most tokens that one signal holds, and most elements that are evaluated at once."""
DEFAULT_EVALUATION_BUDGET: Final = 65_536
MIN_EVALUATION_BUDGET: Final = MAX_TOKENS
"""Floor of `evaluation_budget`: one signal a day can be made."""
MAX_EVALUATION_BUDGET: Final = 10_000_000
"""Ceiling of `evaluation_budget`: it is also how many guesses an insider has a day."""
MAX_SHADOW_SECONDS: Final = 30 * 86_400
MIN_DAILY_QUOTA: Final = 16
"""Floor of `daily_quota`: a member can always report what it met."""
MAX_DAILY_QUOTA: Final = 1_000_000
"""Ceiling of `daily_quota`: what one member can make every other store and verify in a day."""
DEFAULT_DAILY_QUOTA: Final = 4_096
DEFAULT_COOLDOWN_DAYS: Final = 1
MAX_COOLDOWN_DAYS: Final = 30
MAX_DAMPENING_PERCENT: Final = 80
"""Ceiling of `dampening_percent`: a warning about a warning is always weaker, so chains end."""
MIN_DAMPENING_FLOOR: Final = 50
"""Floor of `dampening_floor`: what is more likely wrong than right is never passed on."""

BAND_NAMES: Final = ("low", "moderate", "high", "critical")
"""Names of the severity bands, levels 1 to 4."""

_DIGEST_LABEL = b"signal-mesh/v1/constraints\n"
_RUBRIC_LABEL = b"signal-mesh/v1/rubric\n"


class ConstraintsError(MeshError):
    """Constraints that no mesh may run under."""


class ConstraintsFormatError(ConstraintsError):
    """The fields are not exactly those of constraints, or a number is past its floor or ceiling."""


class DuplicateMemberError(ConstraintsError):
    """Two members share a name, key, endpoint or certificate: one could speak as the other."""


class BandsError(ConstraintsError):
    """Bands are not the four known ones with rising thresholds that the rubric can reach."""


class RubricRuleError(ConstraintsError):
    """A rubric that the severity proof has no room for, or that names a component twice."""


class ForeignSeatError(ConstraintsError, CommitteeError):
    """A seat of the committee is held by nobody of the members: who would be answerable?"""


class UnknownMemberError(MeshError):
    """No member has this name."""


class UnknownBandError(MeshError):
    """There is no band of this level or name."""


def quorum(members: int) -> int:
    """More than two thirds of the members: ⌊2n/3⌋ + 1."""
    return 2 * members // 3 + 1


def max_faulty(members: int) -> int:
    """How many members may be faulty in any way: ⌊(n−1)/3⌋."""
    return (members - 1) // 3


def _check_mesh_name(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise NameFormatError("a mesh's name is printable and has no spaces around it")
    return name


def _check_component_name(name: str) -> str:
    if not name.isascii() or not name.isidentifier() or name != name.lower():
        raise RubricRuleError("a component is named like capability_gain")
    return name


ComponentName = Annotated[
    str, Field(min_length=1, max_length=40), AfterValidator(_check_component_name)
]
Weight = Annotated[int, Field(ge=1)]


class RubricRule(Model):
    """What severity weighs. Defaults follow the public Cyber Jailbreak Severity draft."""

    format_error: ClassVar[type[MeshError]] = ConstraintsFormatError

    components: Annotated[
        tuple[Annotated[tuple[ComponentName, Weight], Field(strict=False)], ...],
        Field(strict=False),
    ] = (
        ("capability_gain", 4),
        ("breadth", 2),
        ("ease_of_weaponization", 2),
        ("discoverability", 2),
    )
    """Name and weight of each component, in the order in which they are committed to."""
    component_max: Annotated[int, Field(ge=1)] = 10
    """Each component is an integer from 0 to this."""

    @model_validator(mode="after")
    def _provable(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise RubricRuleError("two components have one name")
        try:
            Rubric(self.weights, self.component_max)
        except ValueError as error:
            raise RubricRuleError(str(error)) from None
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the components, in order."""
        return tuple(name for name, _ in self.components)

    @property
    def weights(self) -> tuple[int, ...]:
        """Weights of the components, in order."""
        return tuple(weight for _, weight in self.components)

    @property
    def total_max(self) -> int:
        """The highest total."""
        return sum(self.weights) * self.component_max

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the rubric, which every severity proof is bound to."""
        return sha256(_RUBRIC_LABEL + self.encode()).digest()


class Band(Model):
    """A public class of severity: the totals from its threshold on, up to the next band's."""

    format_error: ClassVar[type[MeshError]] = ConstraintsFormatError

    level: Annotated[int, Field(ge=1, le=len(BAND_NAMES))]
    name: str
    threshold: Annotated[int, Field(ge=1)]


DEFAULT_BANDS: Final = (
    Band(level=1, name="low", threshold=10),
    Band(level=2, name="moderate", threshold=30),
    Band(level=3, name="high", threshold=50),
    Band(level=4, name="critical", threshold=70),
)
"""Bands over totals of 0 to 100."""


class MatchingRule(Model):
    """When a text matches what others published. All counts are within one chunk of a text."""

    format_error: ClassVar[type[MeshError]] = ConstraintsFormatError

    escalate_tokens: Annotated[int, Field(ge=2, le=MAX_TOKENS)] = 2
    """Known tokens from which on a person should look."""
    block_tokens: Annotated[int, Field(ge=4, le=MAX_TOKENS)] = 4
    """Tokens with enough sources from which on a text may be blocked."""
    block_sources: Annotated[int, Field(ge=3, le=MAX_MEMBERS)] = 3
    """Independent sources that each of those tokens needs; `Constraints.block_sources` may be
    more."""
    shadow_seconds: Annotated[int, Field(ge=0, le=MAX_SHADOW_SECONDS)] = 3_600
    """How long after it came in a signal is no source for a block yet."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.block_tokens < self.escalate_tokens:
            raise ConstraintsFormatError("block_tokens is under escalate_tokens")
        return self


class Constraints(Model):
    """One version of the shared rules. Members are kept sorted by name."""

    format_error: ClassVar[type[MeshError]] = ConstraintsFormatError

    version: Annotated[int, Field(ge=0, le=strictjson.MAX_INTEGER)] = 0
    """Number of the version; the genesis is 0."""
    parent: Digest | None = None
    """Digest of the version before, None for the genesis."""
    name: Annotated[
        str, Field(min_length=1, max_length=MAX_MESH_NAME), AfterValidator(_check_mesh_name)
    ]
    """What people call the mesh."""
    members: Annotated[
        tuple[MemberCard, ...],
        Field(strict=False, min_length=MIN_MEMBERS, max_length=MAX_MEMBERS),
        AfterValidator(lambda cards: tuple(sorted(cards, key=lambda card: card.name))),
    ]
    """The members' cards, by name."""
    rubric: RubricRule = RubricRule()
    bands: Annotated[tuple[Band, ...], Field(strict=False)] = DEFAULT_BANDS
    max_expiry_days: Annotated[int, Field(ge=1, le=3_650)] = 365
    """Longest life of an entry's content, in days."""
    default_expiry_days: Annotated[int, Field(ge=1)] = 90
    """Life of an entry's content in days, when its issuer names none."""
    clock_skew_days: Annotated[int, Field(ge=1, le=7)] = 1
    """How many days ahead of the reader's day an entry may be dated."""
    max_body_bytes: Annotated[int, Field(ge=MIN_BODY_BYTES, le=strictjson.MAX_BYTES)] = 32_768
    """Longest body in bytes."""
    committee: Committee
    """Members who share the evaluation key."""
    selection_key_digest: Digest
    """Digest of the key that selects a text's windows; the key generation hands it to founders."""
    matching: MatchingRule = MatchingRule()
    evaluation_budget: Annotated[int, Field(ge=MIN_EVALUATION_BUDGET, le=MAX_EVALUATION_BUDGET)] = (
        DEFAULT_EVALUATION_BUDGET
    )
    """How many elements a member may have evaluated by each seat of the committee, per day."""
    benign_digest: Digest | None = None
    """SHA-256 of the benign corpus, whose windows are never matched; None if there is none."""
    daily_quota: Annotated[int, Field(ge=MIN_DAILY_QUOTA, le=MAX_DAILY_QUOTA)] = DEFAULT_DAILY_QUOTA
    """How many entries dated one day count in a member's log; see `mesh.quota`."""
    cooldown_days: Annotated[int, Field(ge=0, le=MAX_COOLDOWN_DAYS)] = DEFAULT_COOLDOWN_DAYS
    """How many days after a retraction a new signal of its member is no source for its tokens."""
    dampening_percent: Annotated[int, Field(ge=1, le=MAX_DAMPENING_PERCENT)] = 80
    """What part of its parent's confidence a derived signal may claim at most, in percent."""
    dampening_floor: Annotated[int, Field(ge=MIN_DAMPENING_FLOOR, le=100)] = 50
    """The least confidence in percent that a derived signal is passed on with."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.version == 0) != (self.parent is None):
            raise ConstraintsFormatError("every version but the genesis names its parent")
        if self.default_expiry_days > self.max_expiry_days:
            raise ConstraintsFormatError("default_expiry_days is over max_expiry_days")
        self._check_bands()
        self._check_members()
        self._check_committee()
        return self

    def _check_bands(self) -> None:
        if tuple(band.name for band in self.bands) != BAND_NAMES or tuple(
            band.level for band in self.bands
        ) != tuple(range(1, len(BAND_NAMES) + 1)):
            raise BandsError(f"the bands are {', '.join(BAND_NAMES)}, levels 1 to 4, in this order")
        thresholds = [band.threshold for band in self.bands]
        if any(low >= high for low, high in pairwise(thresholds)):
            raise BandsError("thresholds rise from band to band")
        if thresholds[-1] > self.rubric.total_max:
            raise BandsError(
                f"no total reaches {thresholds[-1]}: the rubric ends at {self.rubric.total_max}"
            )

    def _check_members(self) -> None:
        holders: dict[tuple[str, object], str] = {}
        for card in self.members:
            for unique in (
                ("name", card.name),
                ("key", card.identity),
                ("key", card.log),
                ("key", card.witness),
                ("sealing key", card.sealing),
                ("endpoint", card.endpoint),
                ("certificate", card.certificate),
                ("transport pin", card.transport_pin),
            ):
                if unique in holders:
                    raise DuplicateMemberError(
                        f"{holders[unique]} and {card.name} have the same {unique[0]}"
                    )
                holders[unique] = card.name

    def _check_committee(self) -> None:
        names = {card.name for card in self.members}
        for seat in self.committee.seats:
            if seat.member not in names:
                raise ForeignSeatError(
                    f"seat {seat.index} of the committee is held by {seat.member}, no member"
                )

    @property
    def quorum(self) -> int:
        """How many members make a quorum."""
        return quorum(len(self.members))

    @property
    def max_faulty(self) -> int:
        """How many members may be faulty."""
        return max_faulty(len(self.members))

    @property
    def block_sources(self) -> int:
        """How many independent sources a token needs before it counts for a block.

        One more than may be faulty, whatever was chosen: faulty members alone block nothing.
        """
        return max(self.matching.block_sources, self.max_faulty + 1)

    @property
    def trial(self) -> bool:
        """Whether the mesh is too small to stand a faulty member (fewer than 4)."""
        return len(self.members) < 4

    @cached_property
    def _by_name(self) -> dict[str, MemberCard]:
        return {card.name: card for card in self.members}

    def member(self, name: str) -> MemberCard:
        """The member's card.

        :raises UnknownMemberError: there is none of this name.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownMemberError(f"{name[:100]!r} is not a member of {self.name!r}") from None

    def band(self, which: int | str) -> Band:
        """The band of a level (1 to 4) or a name.

        :raises UnknownBandError: there is none.
        """
        for band in self.bands:
            if which in (band.level, band.name):
                return band
        raise UnknownBandError(f"a band is one of {', '.join(BAND_NAMES)}, or 1 to 4")

    def band_for_total(self, total: int) -> Band | None:
        """The highest band whose threshold the total reaches, None below the lowest."""
        reached = [band for band in self.bands if band.threshold <= total]
        return reached[-1] if reached else None

    def digest(self) -> str:
        """SHA-256 of the version in hex, which the next version names as its parent."""
        return sha256(_DIGEST_LABEL + self.encode()).hexdigest()
