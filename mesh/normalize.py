"""Normalization: what stays the same of a text when somebody dresses it up.

Case, spacing, punctuation, accents, zero-width characters, text direction, look-alike letters and
leetspeak are undone, so that their variants give equal fingerprints. The result is for comparing,
not for reading: "l" and "1" and "!" all become "i". It is part of the protocol: every member must
compute it alike. (Letters that a later Unicode version adds are the exception: an older Python does
not know them as letters and drops them.)
"""

import re
import unicodedata
from typing import Final

from mesh.confusables import CONFUSABLES

# Letters by Unicode's classes that show nothing, or an apostrophe: the fillers of Hangul, saltillo,
# the spacing modifiers that decompose to no letter.
_SILENT = (
    *(0x115F, 0x1160, 0x3164, 0xFFA0),
    *(0xA78B, 0xA78C),
    *range(0x2B9, 0x2E0),
    *range(0x2E5, 0x300),
)

_FOLD: Final = str.maketrans({**CONFUSABLES, **dict.fromkeys(map(chr, _SILENT), "")})
_LEET: Final = str.maketrans("01l!|34@5$7", "oiiiieaasst")
_OTHER_DIGIT: Final = re.compile(r"(?![0-9])\d")
_PIECE: Final = 256
"""Characters decomposed at a time."""


def normalize(text: str) -> str:
    """Fold a text to its letters and digits.

    In order: look-alikes to Latin (`mesh.confusables`), compatibility decomposition (Unicode NFKD),
    accents off, look-alikes again, case folding, digits of all scripts to ASCII, leetspeak to
    letters; then everything but letters and digits is dropped, spaces, zero-width and direction
    marks with it. What is left is composed again (NFC). Normalizing twice changes nothing.
    """
    if not text.isascii():
        text = _fold_unicode(text)
    folded = "".join(filter(str.isalnum, text.casefold().translate(_LEET)))
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)


def _fold_unicode(text: str) -> str:
    # Twice: decomposition can uncover a look-alike, and turns some into a letter of another shape.
    for _ in range(2):
        text = _without_accents(text.translate(_FOLD))
    # Case folding can uncover one too, and can decompose: Armenian capitals, İ.
    text = unicodedata.normalize("NFKD", text.casefold()).translate(_FOLD)
    return _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)


def _without_accents(text: str) -> str:
    # Piece by piece: marks are sorted in time that grows with the square of their number, so one
    # text of nothing but marks would stop a node for minutes. Characters decompose one by one and
    # only marks change places, which are dropped, so the pieces give what the whole would.
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    return "".join(
        char
        for piece in pieces
        for char in unicodedata.normalize("NFKD", piece)
        if not unicodedata.combining(char)
    )
