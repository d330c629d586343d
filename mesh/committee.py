"""The committee: the members that share the mesh's evaluation key, and each share's public side.

Any `threshold` of the seats together evaluate what fewer of them can't. The public shares let
everybody verify each seat's answers, and show by themselves that all shares are of one key.
"""

from functools import cached_property
from itertools import pairwise
from typing import Annotated, ClassVar, Final, Self

from pydantic import AfterValidator, Field, model_validator

from mesh.errors import MeshError
from mesh.model import Digest, Model
from mesh.names import check_name
from proofs.ristretto import (
    Element,
    InvalidElementError,
    decode_element,
)
from proofs.threshold.feldman import multiply_sum_or_identity
from proofs.threshold.shamir import MAX_INDEX, lagrange

MIN_SEATS: Final = 2
MAX_SEATS: Final = 9


class CommitteeError(MeshError):
    """A committee that no mesh may have."""


class CommitteeFormatError(CommitteeError):
    """The fields are not exactly those of a committee, or a number is out of range."""


class CommitteeKeyError(CommitteeError):
    """A key or a public share is no group element: nothing could be verified against it."""


class SeatOrderError(CommitteeError):
    """Seats are not in the order of their indices, or a member or an index has two of them."""


class ThresholdError(CommitteeError):
    """The threshold is half of the seats or fewer, so that two groups could evaluate apart, or it
    is more than there are seats."""


class ShareConsistencyError(CommitteeError):
    """The public shares are not all of one key: results would depend on which seats were asked."""


class Seat(Model):
    """One member's place in the committee."""

    format_error: ClassVar[type[MeshError]] = CommitteeFormatError

    member: Annotated[str, AfterValidator(check_name)]
    """Name of the member that holds the share."""
    index: Annotated[int, Field(ge=1, le=MAX_INDEX)]
    """Index of the share (where the sharing polynomial is evaluated)."""
    share: Digest
    """Public share: the secret share times the generator, hex."""

    @model_validator(mode="after")
    def _decodes(self) -> Self:
        _decode(self.share, f"the public share of seat {self.index}")
        return self

    @cached_property
    def element(self) -> Element:
        """The public share."""
        return _decode(self.share, f"the public share of seat {self.index}")


class Committee(Model):
    """Who can evaluate, and against what their answers are verified."""

    format_error: ClassVar[type[MeshError]] = CommitteeFormatError

    threshold: Annotated[int, Field(ge=MIN_SEATS, le=MAX_SEATS)]
    """How many seats evaluate together."""
    public_key: Digest
    """The evaluation key times the generator, hex."""
    seats: Annotated[
        tuple[Seat, ...], Field(strict=False, min_length=MIN_SEATS, max_length=MAX_SEATS)
    ]
    """By index."""
    transcript: Digest
    """SHA-256 of the key generation's transcript, from which all of this can be recomputed."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(first.index >= second.index for first, second in pairwise(self.seats)):
            raise SeatOrderError("seats stand in the order of their indices, each index once")
        if len({seat.member for seat in self.seats}) != len(self.seats):
            raise SeatOrderError("a member has two seats: it would count twice")
        least = len(self.seats) // 2 + 1
        if not least <= self.threshold <= len(self.seats):
            raise ThresholdError(
                f"of {len(self.seats)} seats {least} to {len(self.seats)} evaluate together, "
                f"not {self.threshold}"
            )
        self._check_shares()
        return self

    def _check_shares(self) -> None:
        # The first t shares determine the polynomial; the key and every other share lie on it.
        key = _decode(self.public_key, "the evaluation key")
        first = self.seats[: self.threshold]
        indices = [seat.index for seat in first]
        expected = {0: key} | {seat.index: seat.element for seat in self.seats[self.threshold :]}
        elements = [seat.element for seat in first]
        for at, element in expected.items():
            # Two holders who collude can make a sum on the way the identity; that is no fault.
            if multiply_sum_or_identity(list(lagrange(indices, at).values()), elements) != element:
                raise ShareConsistencyError(
                    f"the public shares don't fit the {f'share of seat {at}' if at else 'key'}: "
                    "recompute the committee from the key generation's transcript"
                )

    @cached_property
    def public_element(self) -> Element:
        """The evaluation key times the generator."""
        return _decode(self.public_key, "the evaluation key")

    @cached_property
    def _by_member(self) -> dict[str, Seat]:
        return {seat.member: seat for seat in self.seats}

    @cached_property
    def _by_index(self) -> dict[int, Seat]:
        return {seat.index: seat for seat in self.seats}

    def seat_of(self, name: str) -> Seat | None:
        """The seat that a member holds, None if it has none."""
        return self._by_member.get(name)

    def seat(self, index: int) -> Seat | None:
        """The seat with this index, None if there is none."""
        return self._by_index.get(index)


def _decode(hexadecimal: str, what: str) -> Element:
    try:
        return decode_element(bytes.fromhex(hexadecimal))
    except InvalidElementError as error:
        raise CommitteeKeyError(f"{what} is unusable: {error}") from None
