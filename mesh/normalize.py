"""Normalization: what stays the same of a text when somebody dresses it up.

Case, spacing, punctuation, accents, zero-width characters, text direction, look-alike letters and
leetspeak are undone, so that their variants give equal fingerprints. The result is for comparing,
not for reading: "l" and "1" and "!" all become "i". It is part of the protocol: every member must
compute it alike. (Letters that a later Unicode version adds are the exception: an older Python does
not know them as letters and drops them.)
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import accumulate, pairwise
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
_KNOWN: Final = 0x10000
"""Characters of which the folding is kept."""
_JOINING: Final = "".join(map(chr, (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))))
"""The letters that composition joins to the one before: Hangul vowels and final consonants."""
_COMPOSING: Final = re.compile(f"[{_JOINING}]+")


def normalize(text: str) -> str:
    """Fold a text to its letters and digits.

    In order: look-alikes to Latin (`mesh.confusables`), compatibility decomposition (Unicode NFKD),
    accents off, look-alikes again, case folding, digits of all scripts to ASCII, leetspeak to
    letters; then everything but letters and digits is dropped, spaces, zero-width and direction
    marks with it. What is left is composed again (NFC). Normalizing twice changes nothing.
    """
    return _compose(_fold(text))


def normalize_spans(
    text: str, spans: Sequence[tuple[int, int]]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Normalize a text and say where parts of it have gone.

    :param spans: parts [start, end) of the text, ascending, that do not overlap.
    :returns: `normalize(text)`, and for each part the part of the result that came from it, maybe
        empty. A Hangul syllable that a part shares with its surroundings counts to the part.
    """
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    # Folding goes character by character, so the pieces give what the whole would; composing does
    # not, but looks only at the letters of `_JOINING`.
    pieces = [_fold(text[a:b]) for a, b in pairwise(edges)]
    moved: list[list[str]] = [[] for _ in pieces]
    last: int | None = None
    for at, piece in enumerate(pieces):
        joined = _COMPOSING.match(piece)
        begin = 0
        if joined and last is not None:
            if at % 2 and not last % 2:
                # The part begins inside a syllable, which is its own then.
                before = "".join(moved[last])
                cut = max(len(before.rstrip(_JOINING)) - 1, 0)
                moved[last], moved[at] = [before[:cut]], [before[cut:]]
            else:
                moved[last].append(joined[0])
                begin = joined.end()
        moved[at].append(piece[begin:])
        if begin < len(piece):
            last = at
    composed = [_compose("".join(parts)) for parts in moved]
    ends = list(accumulate(map(len, composed)))
    places = tuple((ends[i - 1], ends[i]) for i in range(1, len(composed), 2))
    return "".join(composed), places


def _fold(text: str) -> str:
    if not text.isascii():
        return text.translate(_TABLE)
    return "".join(filter(str.isalnum, text.casefold().translate(_LEET)))


def _compose(folded: str) -> str:
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)


class _Folding(dict[int, str]):
    """What each character folds to, worked out when it is first met.

    Nothing in folding looks at a neighbour: only marks change places when a text is decomposed, and
    they are dropped.
    """

    def __missing__(self, code: int) -> str:
        folded = _fold_unicode(chr(code)).casefold().translate(_LEET)
        folded = "".join(filter(str.isalnum, folded))
        if len(self) < _KNOWN:
            self[code] = folded
        return folded


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


_TABLE: Final = _Folding()
