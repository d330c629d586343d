"""A committee whose public shares are not all of one key, or whose numbers are off, is refused."""

from typing import Any

import pytest

from mesh.committee import (
    Committee,
    CommitteeError,
    CommitteeFormatError,
    CommitteeKeyError,
    Seat,
    SeatOrderError,
    ShareConsistencyError,
    ThresholdError,
)
from mesh.errors import MeshError
from mesh.names import NameFormatError
from proofs.ristretto import multiply_base, random_scalars, scalar
from proofs.threshold.shamir import evaluate_polynomial

COEFFICIENTS = random_scalars(bytes(32), b"committee", 5)
NAMES = tuple(f"org{place}.example" for place in range(1, 12))


def share(index: int, threshold: int = 3) -> str:
    return multiply_base(evaluate_polynomial(COEFFICIENTS[:threshold], index)).hex()


def seats(*indices: int, threshold: int = 3) -> list[dict[str, Any]]:
    return [
        {"member": NAMES[index - 1], "index": index, "share": share(index, threshold)}
        for index in indices
    ]


def committee(**fields: object) -> Committee:
    base = {
        "threshold": 3,
        "public_key": multiply_base(COEFFICIENTS[0]).hex(),
        "seats": seats(1, 2, 3, 4, 5),
        "transcript": "ab" * 32,
    }
    return Committee.parse({**base, **fields})


def changed(place: int, **fields: object) -> list[dict[str, Any]]:
    made = seats(1, 2, 3, 4, 5)
    made[place] = {**made[place], **fields}
    return made


def test_a_committee_of_one_key() -> None:
    made = committee()
    assert made.public_element == multiply_base(COEFFICIENTS[0])
    assert Committee.parse(made.to_json()) == made
    seat = made.seat_of("org2.example")
    assert seat is not None
    assert seat is made.seat(2)
    assert (seat.index, seat.element.hex()) == (2, share(2))
    assert made.seat_of("org7.example") is None
    assert made.seat(7) is None


@pytest.mark.parametrize(
    ("indices", "threshold"),
    [((1, 2), 2), ((1, 3), 2), ((2, 3, 5), 2), ((1, 2, 3), 3), ((1, 4, 5, 7, 9), 3),
     (tuple(range(1, 10)), 5), ((1, 2, 3, 4, 5), 5)],
)  # fmt: skip
def test_sizes_and_gaps(indices: tuple[int, ...], threshold: int) -> None:
    committee(threshold=threshold, seats=seats(*indices, threshold=threshold))


OTHER = multiply_base(scalar(7)).hex()


@pytest.mark.parametrize(
    "fields",
    [
        {"public_key": OTHER},
        *({"seats": changed(place, share=OTHER)} for place in range(5)),
        {"seats": changed(0, share=share(2))},
        {"seats": changed(3, index=6)[:3] + changed(3, index=6)[4:] + changed(3, index=6)[3:4]},
        # Shares of another threshold's polynomial: any 3 of them give another key.
        {"seats": seats(1, 2, 3, 4, 5, threshold=4)},
        {"seats": seats(1, 2, 3, 4, 5, threshold=5)},
    ],
)
def test_shares_are_all_of_the_one_key(fields: dict[str, object]) -> None:
    with pytest.raises(ShareConsistencyError):
        committee(**fields)


def test_a_wrong_share_is_named() -> None:
    with pytest.raises(ShareConsistencyError, match="share of seat 5"):
        committee(seats=changed(4, share=OTHER))
    with pytest.raises(ShareConsistencyError, match="the key"):
        committee(public_key=OTHER)


@pytest.mark.parametrize(
    ("size", "threshold"), [(5, 2), (4, 2), (2, 1), (9, 4), (5, 6), (3, 4), (2, 3)]
)
def test_more_than_half_of_the_seats_evaluate_together(size: int, threshold: int) -> None:
    """With half of them, two disjoint groups could; above their number, nobody could."""
    made = seats(*range(1, size + 1), threshold=min(threshold, 5))
    with pytest.raises((ThresholdError, CommitteeFormatError)):
        committee(threshold=threshold, seats=made)
    if threshold > 1:
        with pytest.raises(ThresholdError):
            committee(threshold=threshold, seats=made)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"seats": seats(1)}, CommitteeFormatError),
        ({"seats": []}, CommitteeFormatError),
        ({"seats": seats(*range(1, 11))}, CommitteeFormatError),
        ({"threshold": True}, CommitteeFormatError),
        ({"threshold": 10}, CommitteeFormatError),
        ({"extra": 1}, CommitteeFormatError),
        ({"transcript": "AB" * 32}, CommitteeFormatError),
        ({"transcript": None}, CommitteeFormatError),
        ({"public_key": "ab"}, CommitteeFormatError),
        ({"seats": seats(2, 1, 3, 4, 5)}, SeatOrderError),
        ({"seats": seats(1, 2, 3, 4, 4)}, SeatOrderError),
        ({"seats": changed(1, member=NAMES[0])}, SeatOrderError),
        ({"seats": changed(1, member="Not A Name")}, NameFormatError),
        ({"seats": changed(0, index=0)}, CommitteeFormatError),
        ({"seats": changed(4, index=256)}, CommitteeFormatError),
        ({"seats": changed(0, index="1")}, CommitteeFormatError),
        ({"seats": changed(0, extra=1)}, CommitteeFormatError),
        ({"seats": changed(0, share=bytes(32).hex())}, CommitteeKeyError),
        ({"seats": changed(4, share="ff" * 32)}, CommitteeKeyError),
        ({"public_key": bytes(32).hex()}, CommitteeKeyError),
        ({"public_key": "ff" * 32}, CommitteeKeyError),
    ],
)
def test_refused(fields: dict[str, object], error: type[MeshError]) -> None:
    with pytest.raises(error):
        committee(**fields)


def test_a_seat_by_itself_has_a_share_that_can_be_verified_against() -> None:
    (seat,) = seats(1)
    assert Seat.parse(seat).element.hex() == seat["share"]
    for bad in (bytes(32).hex(), "ff" * 32):
        with pytest.raises(CommitteeKeyError, match="seat 1"):
            Seat.parse({**seat, "share": bad})


def test_a_sum_that_is_the_identity_is_refused_by_name() -> None:
    """Seats 1 and 2 with public shares that cancel out in a Lagrange sum."""
    # λ₁ = 2 and λ₂ = −1 at zero, so with f(2) = 2·f(1) the key would be the identity.
    one, two = scalar(5), scalar(10)
    made = [
        {"member": NAMES[0], "index": 1, "share": multiply_base(one).hex()},
        {"member": NAMES[1], "index": 2, "share": multiply_base(two).hex()},
    ]
    with pytest.raises(ShareConsistencyError):
        committee(threshold=2, seats=made)


def test_every_refusal_is_a_committee_error() -> None:
    for error in (CommitteeFormatError, CommitteeKeyError, SeatOrderError, ThresholdError):
        assert issubclass(error, CommitteeError)
