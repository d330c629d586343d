"""The arithmetic of one batch on the asker's side; all of it runs in threads.

Each batch has exactly 32 elements, so that nobody learns how many windows a text has. The places
that are left are filled with random multiples of the generator. A blinded element is a uniformly
random element whatever its input, and so is a filler: the two can't be told apart, wherever in the
batch they stand, so that there is nothing to shuffle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mesh.days import Day
from mesh.evaluation import BATCH, compose_request
from mesh.genesis import Mesh
from mesh.token import token_hex, token_scalar
from proofs.note import Signer
from proofs.oprf import blind_input, finalize, hash_input
from proofs.ristretto import Element, Scalar, multiply_base, random_scalars
from proofs.threshold.combining import combine

_BLIND_LABEL = b"signal-mesh/v1/blind"


@dataclass(frozen=True)
class Batch:
    """Windows on their way to the committee. `blinds` is empty in an open batch."""

    inputs: tuple[bytes, ...] = field(repr=False)
    blinds: tuple[Scalar, ...] = field(repr=False)
    elements: tuple[Element, ...] = field(repr=False)
    request: bytes = field(repr=False)
    """The signed request, the same for every seat."""


def blinded_batch(
    mesh: Mesh, signer: Signer, inputs: Sequence[bytes], seed: bytes, nonce: bytes, day: Day
) -> Batch:
    """Blind 1 to 32 inputs, fill up to 32, and sign the request.

    :param seed: 64 fresh random bytes, for the blinds.
    :param nonce: 32 fresh random bytes, for the request.
    """
    if not 1 <= len(inputs) <= BATCH:
        raise ValueError(f"a batch has 1 to {BATCH} inputs")
    scalars = random_scalars(seed, _BLIND_LABEL, BATCH)
    blinds = tuple(scalars[: len(inputs)])
    elements = tuple(
        blind_input(given, blind) for given, blind in zip(inputs, blinds, strict=True)
    ) + tuple(multiply_base(filler) for filler in scalars[len(inputs) :])
    request = compose_request(mesh, signer, elements, nonce, day)
    return Batch(tuple(inputs), blinds, elements, request)


def open_batch(
    mesh: Mesh, signer: Signer, inputs: Sequence[bytes], nonce: bytes, day: Day
) -> Batch:
    """Sign an open request for 1 to 32 inputs that are about to be published."""
    elements = tuple(map(hash_input, inputs))
    request = compose_request(mesh, signer, elements, nonce, day, public=True)
    return Batch(tuple(inputs), (), elements, request)


def scalars_of(batch: Batch, partials: Mapping[int, Sequence[Element]]) -> dict[bytes, Scalar]:
    """The secret scalar of each input, from the verified answers of enough seats."""
    own = {index: elements[: len(batch.inputs)] for index, elements in partials.items()}
    combined = combine(own, batch.blinds)
    return {
        given: token_scalar(finalize(given, element))
        for given, element in zip(batch.inputs, combined, strict=True)
    }


def tokens_of(batch: Batch, partials: Mapping[int, Sequence[Element]]) -> dict[bytes, str]:
    """The token (hex) of each input, likewise."""
    return {given: token_hex(scalar) for given, scalar in scalars_of(batch, partials).items()}
