"""Private fingerprints, first half: which windows stand for a text.

This page is normative: members whose nodes compute otherwise do not match.

*Keys.* The mesh's selection key is 32 bytes. The order key is BLAKE2b-256 (RFC 7693) keyed with
it of ``signal-mesh/v1/fingerprint/order key``, the input key the same of
``signal-mesh/v1/fingerprint/input key``. The constraints hold the key's SHA-256. The order must
be secret: whoever knows it pads a text with windows that come first until none of the attack is
left in the fingerprint.

*Windows.* A text is normalized (`mesh.normalize`); n characters of it are left. None: no
fingerprint. n < 200: the text is *short*; what is published of it is one *exact input*,
BLAKE2b-256, keyed with the input key, of ``exact``, a line feed and the normalized text in UTF-8.
The windows of a text are the n - 23 strings of 24 consecutive characters (code points), each at a
*place* 0, 1, .... The *input* of a window is BLAKE2b-256, keyed with the input key, of ``window``,
a line feed and the window in UTF-8. Its *order hash* is BLAKE2b with 8 bytes, keyed with the order
key, of the window in UTF-8; order hashes are compared as bytes. "Smallest first" below means by
order hash, equal ones by place.

*Candidates* (winnowing). Of every 32 consecutive windows of the text the one with the smallest
order hash, the leftmost of equal ones; of fewer than 32 windows, the smallest of all.

*Taking.* Windows are taken until there are 32. One is never taken whose input is in the benign
set (below) or was taken already.

1. Of the candidates, smallest first, those that overlap no taken one (places at least 24 apart).
2. While there are fewer than 32: of the 128 smallest windows, smallest first, those that overlap
   no taken one.
3. Only when asking, while there are fewer than 32: of the same 128, smallest first, any.

*Publishing* does steps 1 and 2 once for the whole text, after windows that overlap an identifier
(`mesh.fingerprint.identifiers`) are removed from the candidates and before the 128 are counted.
Overlaps are not published, for the window next to a known one would have few unknown characters.
Nothing taken: nothing is published. What counts as an identifier is the publisher's affair;
finding more of them loses windows and does no harm.

*Asking* does steps 1 to 3 for each chunk: 4,000 characters from each multiple of 2,000, the last
chunk being the first that reaches the end of the text. A chunk's windows lie in it wholly; its
candidates are those of the text that do. Identifiers make no difference when asking: the text
goes nowhere, and mail addresses between the words of an attack must not hide it. The committee
evaluates 32 inputs at a time anyway, so the third step costs nothing; it finds variants of texts
of 200 to about 700 characters.

A short text is asked about as a chunk with its exact input and, if it has windows, a second chunk
with the first 31 that the three steps take: it may be what is left of a long text. It is never
blocked.

*The benign set* holds the inputs of all windows of each text of the benign corpus (JSON lines,
one string each, pinned by SHA-256 in the constraints), and the exact inputs of its short texts.
An asker may add its own prompt templates. A set may know inputs by their first 8 bytes.

*Matching* (`mesh.matching`) counts the tokens that are known within one chunk.
"""

from mesh.fingerprint.corpus import corpus_digest, parse_corpus
from mesh.fingerprint.errors import (
    CorpusFormatError,
    EmptyTextError,
    FingerprintError,
    NothingToPublishError,
    SelectionKeyError,
    WindowSetError,
)
from mesh.fingerprint.fingerprints import (
    CHUNK,
    STEP,
    Fingerprint,
    Query,
    published_fingerprint,
    query_fingerprint,
)
from mesh.fingerprint.keys import (
    INPUT_BYTES,
    KEY_BYTES,
    SelectionKey,
    exact_input_of,
    input_of,
)
from mesh.fingerprint.selection import MOST, RUN, WINDOW
from mesh.fingerprint.windowset import SHORT, WindowSet

__all__ = [
    "CHUNK",
    "INPUT_BYTES",
    "KEY_BYTES",
    "MOST",
    "RUN",
    "SHORT",
    "STEP",
    "WINDOW",
    "CorpusFormatError",
    "EmptyTextError",
    "Fingerprint",
    "FingerprintError",
    "NothingToPublishError",
    "Query",
    "SelectionKey",
    "SelectionKeyError",
    "WindowSet",
    "WindowSetError",
    "corpus_digest",
    "exact_input_of",
    "input_of",
    "parse_corpus",
    "published_fingerprint",
    "query_fingerprint",
]
