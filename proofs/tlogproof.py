"""Portable proofs that an entry was logged and witnessed, after C2SP `tlog-proof`.

    c2sp.org/tlog-proof@v1
    extra <base64>                  opaque data, authenticated by nothing; left out if there is none
    index <n>
    <base64>                        inclusion proof, leaf to root, a hash a line

    <checkpoint>                    verbatim, with whatever cosignatures it carries

Reading one verifies nothing. Whoever does must hash the entry, check the inclusion against the
checkpoint, and the checkpoint against the log's key and the witnesses that they trust.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proofs.checkpoint import MAX_CHECKPOINT
from proofs.errors import ProofsError
from proofs.merkle import HASH_BYTES, MAX_SIZE
from proofs.note import NoteError, decode_base64, encode_base64, parse_note

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_HASHES: Final = 63
"""Hashes of the longest inclusion proof: the largest tree has 2^63 - 1 leaves."""
MAX_EXTRA: Final = 1 << 20
"""Bytes of extra data that are read."""
MAX_PROOF: Final = MAX_CHECKPOINT + 4 * MAX_HASHES * HASH_BYTES + 2 * MAX_EXTRA
"""Bytes of a proof that are read."""

_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")
_EXTRA: Final = "extra "


class TlogProofError(ProofsError):
    """Not a tlog-proof in its one spelling: a line that is missing, malformed, or too many."""


@dataclass(frozen=True, slots=True)
class TlogProof:
    """What a tlog-proof holds: where an entry is, and the way from there to a signed root.

    :raises TlogProofError: an index that no log has, hashes that are too many or not 32 bytes each,
        a checkpoint that is no signed note, or extra data that is empty or too long.
    """

    index: int
    """The entry's position in the log, from 0."""
    hashes: tuple[bytes, ...]
    """Inclusion proof (RFC 6962, section 2.1.1), leaf to root."""
    checkpoint: bytes
    """The signed note."""
    extra: bytes | None = None
    """Opaque data that nothing authenticates."""

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_SIZE:
            raise TlogProofError(f"no log has an entry with the index {self.index}")
        if len(self.hashes) > MAX_HASHES or any(len(one) != HASH_BYTES for one in self.hashes):
            raise TlogProofError(
                f"an inclusion proof has at most {MAX_HASHES} hashes of {HASH_BYTES} bytes"
            )
        if self.extra is not None and not 0 < len(self.extra) <= MAX_EXTRA:
            raise TlogProofError(f"extra data is 1 to {MAX_EXTRA} bytes, or left out")
        try:
            parse_note(self.checkpoint, MAX_CHECKPOINT)
        except NoteError as error:
            raise TlogProofError(f"a proof ends in a signed checkpoint: {error}") from error

    def encode(self) -> bytes:
        """Return the proof as it is stored and handed round (file extension `.tlog-proof`)."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(_EXTRA + encode_base64(self.extra))
        lines.append(f"index {self.index}")
        lines += map(encode_base64, self.hashes)
        return "\n".join((*lines, "", "")).encode() + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> TlogProof:
        """Read what `encode` writes, in that spelling alone.

        :raises TlogProofError: it is not such a proof.
        """
        if len(data) > MAX_PROOF:
            raise TlogProofError(f"a proof of {len(data)} bytes is more than {MAX_PROOF}")
        # The first empty line: the checkpoint has one of its own, between text and signatures.
        head, _, checkpoint = data.partition(b"\n\n")
        if not head.isascii():
            raise TlogProofError("a proof is lines of ASCII, an empty line, and a checkpoint")
        first, *lines = head.decode("ascii").split("\n")
        if first != HEADER:
            raise TlogProofError(f"a proof begins with the line {HEADER}")
        extra = None
        if lines and lines[0].startswith(_EXTRA):
            extra = _decode(lines.pop(0)[len(_EXTRA) :])
        index = _INDEX.fullmatch(lines[0]) if lines else None
        if index is None:
            raise TlogProofError("a proof has the line `index` and a decimal number")
        return cls(int(index[1]), tuple(map(_decode, lines[1:])), checkpoint, extra)


def _decode(text: str) -> bytes:
    data = decode_base64(text)
    if data is None:
        raise TlogProofError("hashes and extra data are canonical base64")
    return data
