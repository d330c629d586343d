"""A second reader of logs, written from the C2SP texts alone (signed-note, tlog-checkpoint,
tlog-cosignature, tlog-tiles, tlog-proof; trees: RFC 6962, RFC 9162). It shares no line with the
project, so both can't be wrong in one way. `fetch` gives the file of a path below the log's prefix.
What does not hold raises ValueError or InvalidSignature."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def need(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(what)


def decoded(text: str) -> bytes:
    need(b64encode(b64decode(text, validate=True)).decode() == text, "canonical base64")
    return b64decode(text)


def open_note(note: bytes, vkeys: Iterable[str]) -> tuple[str, dict[str, int]]:
    """The text of a note, and which keys signed it at what time (0: a plain signature)."""
    body, gap, lines = note.decode().rpartition("\n\n")
    clean = gap and lines.endswith("\n") and not re.search("[\x00-\x09\x0b-\x1f]", body + lines)
    need(clean, "a text, an empty line, signature lines, no control characters")
    known, signed = {}, {}
    for name, _, key in (vkey.split("+", 2) for vkey in vkeys):
        known[name, sha256(f"{name}\n".encode() + decoded(key)).digest()[:4]] = decoded(key)
    for line in lines[:-1].split("\n"):
        need(line.startswith("— ") and line.count(" ") == 2, "dash, name, base64")
        name, data = line.split(" ")[1], decoded(line.split(" ")[2])
        if key := known.get((name, data[:4])):
            cut = 12 if key[0] == 4 else 4  # a cosignature carries its time
            signed[name] = int.from_bytes(data[4:cut], "big")
            message = f"cosignature/v1\ntime {signed[name]}\n" * (key[0] == 4) + f"{body}\n"
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(data[cut:], message.encode())
    return body + "\n", signed


def open_checkpoint(note: bytes, log: str, witnesses: Iterable[str]) -> tuple[int, bytes, set[str]]:
    """Size and root that a log signed, and the names of those who cosigned."""
    text, signed = open_note(note, [log, *witnesses])
    origin, size, root, *_ = text.split("\n")
    need(origin == log.split("+")[0] and origin in signed, "the log signed its own checkpoint")
    need(size == str(abs(int(size))), "a decimal without sign or leading zeros")
    return int(size), decoded(root), set(signed) - {origin}


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def tiles(fetch: Callable[[str], bytes], level: object, count: int) -> Iterable[bytes]:
    for index in range((count + 255) // 256):
        *high, low = (group.zfill(3) for group in f"{index:,}".split(","))
        partial = f".p/{count % 256}" if (index + 1) * 256 > count else ""
        yield fetch("/".join(["tile", str(level), *(f"x{group}" for group in high), low]) + partial)


def check_log(fetch: Callable[[str], bytes], log: str, witnesses: Iterable[str]) -> set[str]:
    """The cosigners of a log's checkpoint, if entries, tiles and signed root agree."""
    size, root, cosigners = open_checkpoint(fetch("checkpoint"), log, witnesses)
    hashes, data = [], b"".join(tiles(fetch, "entries", size))
    while data:
        end = 2 + int.from_bytes(data[:2], "big")
        need(end <= len(data), "a bundle of whole entries")
        hashes, data = [*hashes, sha256(b"\0" + data[2:end]).digest()], data[end:]
    need(len(hashes) == size and tree_hash(hashes) == root, "the entries hash to the signed root")
    for level in range(8):
        stored = b"".join(tiles(fetch, level, len(hashes)))
        need(stored == b"".join(hashes), f"the tiles of level {level} are the tree's hashes")
        hashes = [tree_hash(hashes[n : n + 256]) for n in range(0, len(hashes) // 256 * 256, 256)]
    return cosigners


def check_proof(proof: bytes, entry: bytes, log: str, witnesses: Iterable[str]) -> set[str]:
    """The cosigners of a tlog-proof, if it shows that the log holds this entry."""
    head, _, checkpoint = proof.partition(b"\n\n")
    first, *lines = re.sub("\nextra .*", "", head.decode("ascii"), count=1).split("\n")
    need(first == "c2sp.org/tlog-proof@v1", "a tlog-proof")
    size, root, cosigners = open_checkpoint(checkpoint, log, witnesses)
    at, last, node = int(lines[0][6:]), size - 1, sha256(b"\0" + entry).digest()
    need(lines[0] == f"index {at}" and 0 <= at <= last, "an entry of this tree")
    for sibling in map(decoded, lines[1:]):  # RFC 9162 section 2.1.3.2
        need(last > 0, "no more hashes than the tree is high")
        left = at & 1 or at == last
        node = sha256(b"\1" + (sibling + node if left else node + sibling)).digest()
        while left and at and not at & 1:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    need(last == 0 and node == root, "the hashes lead to the signed root")
    return cosigners
