"""A strong Fiat–Shamir transcript over SHA-512.

Everything public is absorbed, with a label and its length, before a challenge is drawn that depends
on it. Leaving out the statement or a commitment is the forgery known as "Frozen Heart".

With `u16`, `u64` big-endian lengths and ‖ for concatenation, the state is a running SHA-512:

    start(label)         state ← SHA-512("signal-mesh/transcript/v1" ‖ u16(|label|) ‖ label ‖ …
    absorb(label, data)  … ‖ 0x01 ‖ u16(|label|) ‖ label ‖ u64(|data|) ‖ data ‖ …
    challenge(label)     … ‖ 0x02 ‖ u16(|label|) ‖ label), its 64 bytes are d;
                         the challenge is d mod r, big-endian (were it 0: d ← SHA-512(d), again);
                         state ← SHA-512(d ‖ …
    challenge_bytes(label)  as challenge, but d itself is returned, for groups of another order

Every field is preceded by a type byte and its lengths, so that two different sequences of calls
never feed the same bytes to the hash.
"""

from functools import lru_cache
from hashlib import sha512
from typing import Final

from proofs.errors import ProofsError
from proofs.group.scalars import ORDER

_VERSION: Final = b"signal-mesh/transcript/v1"
_ABSORB: Final = b"\x01"
_CHALLENGE: Final = b"\x02"


class TranscriptLabelError(ProofsError):
    """A label is longer than its two-byte length can say."""


@lru_cache(maxsize=256)
def _framed(prefix: bytes, label: bytes) -> bytes:
    if len(label) > 0xFFFF:
        raise TranscriptLabelError("a transcript label has at most 65,535 bytes")
    return prefix + len(label).to_bytes(2, "big") + label


class Transcript:
    """One run of a protocol: absorb public values, draw challenges, in a fixed order.

    Raises:
        TranscriptLabelError: the label, here or below, has more than 65,535 bytes.
    """

    __slots__ = ("_state",)

    def __init__(self, label: bytes) -> None:
        self._state = sha512(_framed(_VERSION, label))

    def absorb(self, label: bytes, data: bytes) -> None:
        """Bind `data` to everything drawn from now on."""
        self._state.update(_framed(_ABSORB, label) + len(data).to_bytes(8, "big") + data)

    def challenge(self, label: bytes) -> int:
        """Draw a scalar in 1..r−1 that depends on all that was absorbed and drawn before."""
        self._state.update(_framed(_CHALLENGE, label))
        digest = self._state.digest()
        while (scalar := int.from_bytes(digest, "big") % ORDER) == 0:
            digest = sha512(digest).digest()
        self._state = sha512(digest)
        return scalar

    def challenge_bytes(self, label: bytes) -> bytes:
        """Draw 64 uniform bytes in place of a scalar, to be reduced by another group's order."""
        self._state.update(_framed(_CHALLENGE, label))
        digest = self._state.digest()
        self._state = sha512(digest)
        return digest

    def fork(self) -> "Transcript":
        """Return an independent copy of the present state, for runs with a common beginning."""
        twin = object.__new__(Transcript)
        twin._state = self._state.copy()
        return twin
