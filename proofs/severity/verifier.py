"""Verifying severity proofs: one by one, or many in one equation.

Both apply the same rule on every back end: commitments must be in the prime-order subgroup, proof
points on the curve, and the equation holds after multiplication by the cofactor. Never verify a
feed one by one: in a batch of 256 a proof costs about a quarter.
"""

from collections.abc import Sequence
from hashlib import sha512, shake_256
from typing import Final

from proofs.errors import ProofsError
from proofs.group import SCALAR_BYTES, Backend, backend
from proofs.severity.equation import Checked, Inverses, holds, inverses, refusal
from proofs.severity.errors import EntropyError
from proofs.severity.statement import Statement

BATCH_ENTROPY: Final = 32
"""Least number of fresh random bytes that `verify_batch` must be handed."""

_WEIGHT_BYTES: Final = 16
_BATCH_DOMAIN: Final = b"signal-mesh/severity/v1/batch"


def verify(statement: Statement, proof: bytes, *, group: Backend | None = None) -> None:
    """Check one proof; return if it holds.

    The weight that joins its two equations is drawn from the transcript, after every byte of the
    proof.

    Raises:
        ProofLengthError: not 768 bytes.
        ScalarRangeError: a scalar is not below r.
        PointEncodingError, InfinityPointError, NotOnCurveError: a commitment or proof point is
            malformed.
        NotInSubgroupError: a commitment is outside the subgroup.
        ProofEquationError: the proof is false.
    """
    chosen = group or backend()
    checked = Checked.decode(chosen, statement, proof)
    if not holds(chosen, [checked], inverses([checked]), [(1, checked.challenges.weight)]):
        raise refusal()


def verify_batch(
    items: Sequence[tuple[Statement, bytes]],
    entropy: bytes,
    *,
    hints: Sequence[bytes] = (),
    group: Backend | None = None,
) -> list[ProofsError | None]:
    """Check many proofs at once; return for each the error that `verify` raises, or None.

    Each proof's equations are multiplied by two weights of 128 bits, hashed from all proofs and the
    entropy, so that no errors cancel (but with a probability of 2^−128). If the sum is not the
    identity the batch is halved until the false ones are named: about 2·log2(n) more sums for one
    false proof among n.

    Args:
        items: statements with their proofs.
        entropy: at least 32 fresh bytes from the operating system's generator.
        hints: for each item a hint (`severity.hints`) or no bytes; none for any if left out. They
            save time and decide nothing.
        group: overrides the back end, for tests.

    Raises:
        EntropyError: fewer than 32 bytes.
        ValueError: there is not one hint for each item.
    """
    if len(entropy) < BATCH_ENTROPY:
        raise EntropyError(f"a batch needs {BATCH_ENTROPY} fresh random bytes")
    chosen = group or backend()
    results: list[ProofsError | None] = [None] * len(items)
    places: list[int] = []
    checked: list[Checked] = []
    given = hints or [b""] * len(items)
    for place, ((statement, proof), hint) in enumerate(zip(items, given, strict=True)):
        try:
            checked.append(Checked.decode(chosen, statement, proof, hint))
        except ProofsError as error:
            results[place] = error
        else:
            places.append(place)
    if checked:
        batch = _Batch(chosen, checked, inverses(checked), _weights(checked, entropy))
        for index in batch.false_ones():
            results[places[index]] = refusal()
    return results


def _weights(checked: Sequence[Checked], entropy: bytes) -> list[tuple[int, int]]:
    digest = sha512(_BATCH_DOMAIN)
    digest.update(len(entropy).to_bytes(8, "big") + entropy)
    for proof in checked:
        # It was drawn after the whole statement and proof had been absorbed, so it stands for both.
        digest.update(proof.challenges.weight.to_bytes(SCALAR_BYTES, "big"))
    stream = shake_256(digest.digest()).digest(2 * _WEIGHT_BYTES * len(checked))
    numbers = [
        int.from_bytes(stream[at : at + _WEIGHT_BYTES], "big") or 1
        for at in range(0, len(stream), _WEIGHT_BYTES)
    ]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


class _Batch:
    """A batch that can be asked about any slice of itself."""

    def __init__(
        self,
        group: Backend,
        checked: Sequence[Checked],
        inverted: Sequence[Inverses],
        weights: Sequence[tuple[int, int]],
    ) -> None:
        self._group = group
        self._checked = checked
        self._inverted = inverted
        self._weights = weights

    def false_ones(self) -> list[int]:
        """Return the places of the false proofs."""
        whole = slice(0, len(self._checked))
        return [] if self._holds(whole) else self._search(whole)

    def _holds(self, part: slice) -> bool:
        return holds(self._group, self._checked[part], self._inverted[part], self._weights[part])

    def _search(self, part: slice) -> list[int]:
        """Name the false proofs in a slice whose sum is known not to be the identity."""
        if part.stop - part.start == 1:
            return [part.start]
        middle = (part.start + part.stop) // 2
        left, right = slice(part.start, middle), slice(middle, part.stop)
        if self._holds(left):
            return self._search(right)  # the whole fails and the left holds, so the right fails
        found = self._search(left)
        return found if self._holds(right) else found + self._search(right)
