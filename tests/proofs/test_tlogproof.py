"""tlog-proofs: one spelling, and nothing in them is believed."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs.checkpoint import MAX_CHECKPOINT, Checkpoint, sign_checkpoint
from proofs.cosignature import COSIGNATURE_V1, cosign
from proofs.merkle import MAX_SIZE
from proofs.note import Signer, sign_note
from proofs.tlogproof import MAX_EXTRA, MAX_HASHES, MAX_PROOF, TlogProof, TlogProofError

LOG = Signer("example.com/fancylog", bytes(range(32)))
CHECKPOINT = sign_checkpoint(Checkpoint(LOG.name, 109_482, bytes(32)), LOG)
TEXT = CHECKPOINT.decode().partition("\n\n")[0] + "\n"
HASHES = tuple(bytes([n]) * 32 for n in range(3))
PROOF = TlogProof(73_894, HASHES, CHECKPOINT, b"age-v1.2.1")
DATA = PROOF.encode()
BARE = TlogProof(0, (), CHECKPOINT)


def test_the_form_of_the_specification() -> None:
    assert DATA.decode() == (
        "c2sp.org/tlog-proof@v1\n"
        f"extra {b64encode(b'age-v1.2.1').decode()}\n"
        "index 73894\n"
        f"{b64encode(HASHES[0]).decode()}\n"
        f"{b64encode(HASHES[1]).decode()}\n"
        f"{b64encode(HASHES[2]).decode()}\n"
        "\n"
        f"{CHECKPOINT.decode()}"
    )
    assert BARE.encode() == b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + CHECKPOINT


@given(
    st.integers(0, MAX_SIZE - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=MAX_HASHES),
    st.none() | st.binary(min_size=1, max_size=200),
    st.booleans(),
)
def test_proofs_round_trip(
    index: int, hashes: list[bytes], extra: bytes | None, cosigned: bool
) -> None:
    witness = Signer("witness.example", bytes(32), COSIGNATURE_V1)
    note = CHECKPOINT + (cosign(TEXT, witness, index) if cosigned else b"")
    proof = TlogProof(index, tuple(hashes), note, extra)
    assert TlogProof.parse(proof.encode()) == proof


@given(st.data())
def test_a_changed_byte_never_reads_as_the_same_and_never_as_two_spellings(
    data: st.DataObject,
) -> None:
    at = data.draw(st.integers(0, len(DATA) - 1))
    bent = bytearray(DATA)
    bent[at] ^= data.draw(st.integers(1, 255))
    try:
        read = TlogProof.parse(bytes(bent))
    except TlogProofError:
        return
    assert read != PROOF
    assert read.encode() == bytes(bent)


@given(st.binary(max_size=60), st.booleans())
def test_rubbish_is_refused_by_name(rubbish: bytes, headed: bool) -> None:
    with pytest.raises(TlogProofError):
        TlogProof.parse((b"c2sp.org/tlog-proof@v1\n" if headed else b"") + rubbish)


@pytest.mark.parametrize(
    "head",
    [
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v2\nindex 0",
        "\nc2sp.org/tlog-proof@v1\nindex 0",
        "C2SP.org/tlog-proof@v1\nindex 0",
        "c2sp.org/tlog-proof@v1\r\nindex 0",
        "c2sp.org/tlog-proof@v1 \nindex 0",
        "c2sp.org/tlog-proof@v1\nindex 00",
        "c2sp.org/tlog-proof@v1\nindex 01",
        "c2sp.org/tlog-proof@v1\nindex +1",
        "c2sp.org/tlog-proof@v1\nindex -0",
        "c2sp.org/tlog-proof@v1\nindex 1_0",
        "c2sp.org/tlog-proof@v1\nindex  1",
        "c2sp.org/tlog-proof@v1\nindex 1 ",
        "c2sp.org/tlog-proof@v1\nindex\t1",
        "c2sp.org/tlog-proof@v1\nindex ",
        "c2sp.org/tlog-proof@v1\nindex",
        "c2sp.org/tlog-proof@v1\nINDEX 1",
        "c2sp.org/tlog-proof@v1\nindex ٤",
        f"c2sp.org/tlog-proof@v1\nindex {MAX_SIZE}",
        f"c2sp.org/tlog-proof@v1\nindex {2**64}",
        "c2sp.org/tlog-proof@v1\nindex " + "9" * 5000,
        "c2sp.org/tlog-proof@v1\nextra\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra \nindex 0",
        "c2sp.org/tlog-proof@v1\nextra  QUE=\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra QUE\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra QUF=\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra QU E=\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra QUE=\nextra QUE=\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra QUE=",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra QUE=",
        "c2sp.org/tlog-proof@v1\nindex 0\nindex 0",
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA",
        "c2sp.org/tlog-proof@v1\nindex 0\n" + b64encode(bytes(33)).decode(),
        "c2sp.org/tlog-proof@v1\nindex 0\n" + b64encode(bytes(32)).decode()[:-1],
        "c2sp.org/tlog-proof@v1\nindex 0\n" + b64encode(bytes(32)).decode()[:-2] + "B=",
        "c2sp.org/tlog-proof@v1\nindex 0\n " + b64encode(bytes(32)).decode(),
        "c2sp.org/tlog-proof@v1\nindex 0" + "\n" + "\n".join([b64encode(bytes(32)).decode()] * 64),
    ],
)
def test_heads_that_are_refused(head: str) -> None:
    with pytest.raises(TlogProofError):
        TlogProof.parse(head.encode() + b"\n\n" + CHECKPOINT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        CHECKPOINT,
        DATA[: -len(CHECKPOINT)],
        DATA[: -len(CHECKPOINT) - 1],
        DATA[:-1],
        DATA + b"\n",
        DATA + b"trailing\n",
        DATA[: -len(CHECKPOINT)] + b"\n" + CHECKPOINT[:40],
        DATA.replace("—".encode(), b"-"),
        b"\xef\xbb\xbf" + DATA,
    ],
)
def test_what_does_not_end_in_a_signed_note(data: bytes) -> None:
    with pytest.raises(TlogProofError):
        TlogProof.parse(data)


@pytest.mark.parametrize(
    ("index", "hashes", "checkpoint", "extra"),
    [
        (-1, (), CHECKPOINT, None),
        (MAX_SIZE, (), CHECKPOINT, None),
        (0, (bytes(31),), CHECKPOINT, None),
        (0, (bytes(33),), CHECKPOINT, None),
        (0, (bytes(32),) * 64, CHECKPOINT, None),
        (0, (), b"", None),
        (0, (), TEXT.encode(), None),
        (0, (), CHECKPOINT, b""),
        (0, (), CHECKPOINT, bytes(MAX_EXTRA + 1)),
        (0, (), sign_note("x" * MAX_CHECKPOINT + "\n", [LOG]), None),
    ],
)
def test_what_cannot_be_a_proof(
    index: int, hashes: tuple[bytes, ...], checkpoint: bytes, extra: bytes | None
) -> None:
    with pytest.raises(TlogProofError):
        TlogProof(index, hashes, checkpoint, extra)


def test_the_largest_proof_is_read_and_nothing_larger() -> None:
    lines = sign_note("x" * (MAX_CHECKPOINT - 200) + "\n", [LOG])
    largest = TlogProof(MAX_SIZE - 1, (bytes(32),) * MAX_HASHES, lines, bytes(MAX_EXTRA))
    data = largest.encode()
    assert len(data) <= MAX_PROOF
    assert TlogProof.parse(data) == largest
    with pytest.raises(TlogProofError, match="a proof of"):
        TlogProof.parse(data + b"A" * (MAX_PROOF - len(data) + 1))
