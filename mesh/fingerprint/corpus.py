"""The benign corpus: texts that everybody writes, whose windows say nothing about an attack.

A file of JSON lines, one string a line. The constraints pin it by digest, so that all members leave
out the same windows.
"""

import json
from hashlib import sha256

from mesh.fingerprint.errors import CorpusFormatError


def parse_corpus(data: bytes) -> tuple[str, ...]:
    """The texts of a corpus, in order; empty lines are skipped.

    :raises CorpusFormatError: it is not UTF-8, or a line is not a JSON string; it names the line.
    """
    texts = []
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise CorpusFormatError("the benign corpus is not UTF-8 text") from error
    for number, given in enumerate(lines, 1):
        line = given.strip()
        if not line:
            continue
        # Nothing else is parsed at all: deeply nested brackets can end the interpreter.
        if not line.startswith('"'):
            raise CorpusFormatError(f"line {number} of the benign corpus is not a JSON string")
        try:
            texts.append(json.loads(line))
        except ValueError as error:
            raise CorpusFormatError(f"line {number} of the benign corpus is not JSON") from error
    return tuple(texts)


def corpus_digest(data: bytes) -> str:
    """What the constraints say of a corpus: the SHA-256 of the file, hex."""
    return sha256(data).hexdigest()
