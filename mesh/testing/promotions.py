"""The committee of a test mesh at work: evaluations, the scalars they give, and promotions."""

from collections.abc import Sequence

from mesh.promotion import PromotedWindow, compose_promotion
from mesh.testing.members import TestMesh
from mesh.testing.seeds import seeded
from mesh.token import token_hex, token_scalar
from proofs.oprf import evaluate, finalize, hash_input, prove_evaluation
from proofs.ristretto import Element, Scalar, multiply_base, random_scalars
from proofs.threshold.shamir import recover

Evaluation = tuple[int, tuple[Element, ...], bytes]
"""Index of a seat, the elements that it evaluated, and its proof."""


def evaluated_scalars(world: TestMesh, inputs: Sequence[bytes]) -> list[Scalar]:
    """The token scalars of windows' inputs, as the committee's answers would give them."""
    shares = {seat.index: world.shares[seat.member] for seat in world.committee.seats}
    key = recover(shares)
    return [token_scalar(finalize(data, evaluate(key, [hash_input(data)])[0])) for data in inputs]


def open_evaluations(
    world: TestMesh, inputs: Sequence[bytes], seats: Sequence[int] | None = None
) -> list[Evaluation]:
    """What seats of the committee evaluate and prove, not blinded.

    :param seats: indices; by default the first ones, as many as the threshold says.
    """
    committee = world.committee
    chosen = seats or [seat.index for seat in committee.seats[: committee.threshold]]
    hashed = [hash_input(data) for data in inputs]
    made = []
    for index in chosen:
        seat = committee.seat(index)
        if seat is None:
            raise LookupError(index)
        share = world.shares[seat.member]
        evaluated = evaluate(share, hashed)
        rng = seeded("evaluation", world.mesh.mesh_id, index, *(data.hex() for data in inputs))
        nonce = random_scalars(rng.randbytes(32), b"nonce", 1)[0]
        proof = prove_evaluation(share, multiply_base(share), hashed, evaluated, nonce)
        made.append((index, evaluated, proof))
    return made


def make_promotion(
    world: TestMesh,
    inputs: Sequence[bytes],
    sources: Sequence[str],
    *,
    seats: Sequence[int] | None = None,
) -> bytes:
    """The body of a promotion of these inputs, with the right tokens.

    :param inputs: any different ones, 32 bytes each, in any order.
    :param sources: ids of the signals that are named as the evidence for each of them.
    :param seats: indices of the seats that evaluated; by default the first ones.
    """
    ordered = sorted(inputs)
    windows = [
        PromotedWindow(input=data.hex(), token=token_hex(scalar), sources=tuple(sorted(sources)))
        for data, scalar in zip(ordered, evaluated_scalars(world, ordered), strict=True)
    ]
    return compose_promotion(windows, open_evaluations(world, ordered, seats))
