"""Cosignatures: whose they are, what they are of, when; and every way of bending them."""

from base64 import b64encode
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs import ed25519
from proofs.checkpoint import Checkpoint, CheckpointError, open_checkpoint, sign_checkpoint
from proofs.cosignature import (
    COSIGNATURE_V1,
    MAX_TIME,
    CosignatureError,
    RepeatedCosignatureError,
    bare,
    cosign,
    cosignatures,
    join,
    verify_cosignature,
)
from proofs.note import (
    AmbiguousKeyError,
    BadSignatureError,
    NoteError,
    NoteFormatError,
    NoteSignature,
    NoteSizeError,
    Signer,
    UnsignedNoteError,
    UnsupportedKeyTypeError,
    VerifierKey,
    add_signatures,
    parse_note,
    parse_signature_lines,
    sign_note,
    write_note,
)

LOG = Signer("acme.example/0f3a", bytes(range(32)))
W1, W2, W3 = (Signer(f"w{n}.example", bytes(range(n, 32 + n)), COSIGNATURE_V1) for n in range(1, 4))
KEYS = [witness.verifier_key for witness in (W1, W2, W3)]
TEXT = Checkpoint(LOG.name, 42, bytes(range(32))).to_text()
OTHER_TEXT = Checkpoint(LOG.name, 43, bytes(range(32))).to_text()
BARE = sign_note(TEXT, [LOG])
NOW = 1_679_315_147
LINE = cosign(TEXT, W1, NOW)

times = st.integers(0, MAX_TIME)


def line(signer: Signer, payload: bytes) -> bytes:
    return NoteSignature(signer.name, signer.verifier_key.key_id, payload).encode()


def signed(signer: Signer, time: int, message: bytes) -> bytes:
    return line(signer, time.to_bytes(8, "big") + ed25519.sign(signer.seed, message))


def test_the_example_of_the_specification() -> None:
    """The example's lines parse; its time is the one that the signed message of the text names."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    shown = (
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWX"
        "EhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    (read,) = parse_signature_lines(shown.encode())
    assert (read.name, len(read.signature)) == ("witness.example.com/w1", 72)
    assert int.from_bytes(read.signature[:8], "big") == 1_679_315_147
    assert read.encode().decode() == shown
    # Under another key of the same name it is nobody's.
    assert cosignatures(text.encode() + b"\n" + shown.encode(), KEYS) == {}


def test_what_is_signed_is_exactly_what_the_specification_says() -> None:
    message = f"cosignature/v1\ntime {NOW}\n{TEXT}".encode()
    assert signed(W1, NOW, message) == LINE
    key_id, payload = (part := parse_signature_lines(LINE)[0]).key_id, part.signature
    assert key_id == VerifierKey(W1.name, 0x04, W1.verifier_key.public).key_id
    assert ed25519.verify(W1.verifier_key.public, message, payload[8:])


@given(times)
def test_a_cosignature_round_trips(time: int) -> None:
    made = cosign(TEXT, W1, time)
    assert verify_cosignature(TEXT, made, KEYS[0]) == time
    (read,) = parse_signature_lines(made)
    assert verify_cosignature(TEXT, read, KEYS[0]) == time
    assert read.encode() == made
    assert cosignatures(BARE + made, KEYS) == {W1.name: time}


def test_a_witness_signs_nothing_but_checkpoints() -> None:
    for text in (
        "hello\n",
        "signal-mesh/v1/signal\n{}\n",
        TEXT[:-1],
        "",
        TEXT.replace("42", "042"),
    ):
        with pytest.raises(CheckpointError):
            cosign(text, W1, NOW)
    with pytest.raises(NoteFormatError):
        cosign(TEXT + "an extension with a \t\n", W1, NOW)


def test_only_keys_that_cosign_do_so() -> None:
    plain = Signer(W1.name, W1.seed)
    with pytest.raises(UnsupportedKeyTypeError):
        cosign(TEXT, plain, NOW)
    with pytest.raises(UnsupportedKeyTypeError):
        verify_cosignature(TEXT, LINE, plain.verifier_key)
    with pytest.raises(UnsupportedKeyTypeError):
        cosignatures(BARE, [plain.verifier_key])


@pytest.mark.parametrize("time", [-1, MAX_TIME + 1, 2**64])
def test_no_cosignature_has_such_a_time(time: int) -> None:
    with pytest.raises(CosignatureError):
        cosign(TEXT, W1, time)


def test_a_time_past_63_bits_is_refused_though_it_is_signed() -> None:
    time = 2**63
    made = signed(W1, time, f"cosignature/v1\ntime {time}\n{TEXT}".encode())
    with pytest.raises(CosignatureError):
        verify_cosignature(TEXT, made, KEYS[0])


def test_another_text_time_or_key() -> None:
    with pytest.raises(BadSignatureError):
        verify_cosignature(OTHER_TEXT, LINE, KEYS[0])
    (read,) = parse_signature_lines(LINE)
    later = line(W1, (NOW + 1).to_bytes(8, "big") + read.signature[8:])
    with pytest.raises(BadSignatureError):
        verify_cosignature(TEXT, later, KEYS[0])
    with pytest.raises(CosignatureError):
        verify_cosignature(TEXT, LINE, KEYS[1])
    # The key's name alone says nothing: another key under it has another id.
    renewed = Signer(W1.name, W2.seed, COSIGNATURE_V1)
    with pytest.raises(CosignatureError):
        verify_cosignature(TEXT, LINE, renewed.verifier_key)
    # Nor does the id alone.
    renamed = NoteSignature("other.example", read.key_id, read.signature).encode()
    with pytest.raises(CosignatureError):
        verify_cosignature(TEXT, renamed, KEYS[0])


def test_a_plain_signature_under_the_keys_id_is_no_cosignature() -> None:
    plain = ed25519.sign(W1.seed, TEXT.encode())
    with pytest.raises(CosignatureError):
        verify_cosignature(TEXT, line(W1, plain), KEYS[0])
    with pytest.raises(BadSignatureError):  # the domain separation is in what is signed
        verify_cosignature(TEXT, signed(W1, NOW, TEXT.encode()), KEYS[0])
    with pytest.raises(BadSignatureError):  # no leading zero in the time that is signed
        verify_cosignature(
            TEXT, signed(W1, 7, f"cosignature/v1\ntime 07\n{TEXT}".encode()), KEYS[0]
        )


@pytest.mark.parametrize(
    "payload", [b"\x00", bytes(71), bytes(73), bytes(8), bytes(64), bytes(2428)]
)
def test_a_cosignature_has_one_length(payload: bytes) -> None:
    with pytest.raises(CosignatureError):
        verify_cosignature(TEXT, line(W1, payload), KEYS[0])
    with pytest.raises(CosignatureError):
        cosignatures(BARE + line(W1, payload), KEYS)


@pytest.mark.parametrize(
    "bent",
    [
        b"",
        b"\n",
        LINE[:-1],
        LINE + b"\n",
        b"\n" + LINE,
        b"x\n\n" + LINE,
        TEXT.encode() + b"\n" + LINE,
        LINE.replace("—".encode(), b"-"),
        LINE.replace(b" ", b"  ", 1),
        LINE.replace(b"\n", b" \n"),
        LINE.replace(b"\n", b"\r\n"),
        LINE[:-2] + b"\n",
        b"\xff" + LINE,
    ],
)
def test_bytes_that_are_not_one_signature_line(bent: bytes) -> None:
    with pytest.raises(NoteFormatError):
        verify_cosignature(TEXT, bent, KEYS[0])


def test_one_line_is_due() -> None:
    with pytest.raises(CosignatureError):
        verify_cosignature(TEXT, LINE + cosign(TEXT, W2, NOW), KEYS[0])


@given(st.data())
def test_a_changed_byte_is_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(LINE) - 1))
    bent = bytearray(LINE)
    bent[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NoteError):
        verify_cosignature(TEXT, bytes(bent), KEYS[0])


# --- notes with cosignatures


def test_who_of_the_known_witnesses_cosigned() -> None:
    stranger = Signer("stranger.example", bytes(32), COSIGNATURE_V1)
    note = BARE + cosign(TEXT, W2, 5) + LINE + cosign(TEXT, stranger, 1) + line(stranger, bytes(9))
    assert cosignatures(note, KEYS) == {W1.name: NOW, W2.name: 5}
    assert list(cosignatures(note, KEYS)) == [W1.name, W2.name]
    assert cosignatures(note, []) == {}
    assert cosignatures(BARE, KEYS) == {}


def test_a_known_witness_under_another_key_is_unknown() -> None:
    renewed = Signer(W1.name, W3.seed, COSIGNATURE_V1)
    assert cosignatures(BARE + cosign(TEXT, renewed, NOW), KEYS) == {}
    # Both keys' lines: only the known one's counts.
    assert cosignatures(BARE + cosign(TEXT, renewed, NOW) + LINE, KEYS) == {W1.name: NOW}


def test_a_plain_signature_with_the_witnesses_key_is_no_cosignature() -> None:
    note = add_signatures(BARE, [Signer(W1.name, W1.seed)])
    assert cosignatures(note, KEYS) == {}


def test_one_false_cosignature_of_a_known_witness_refuses_the_note() -> None:
    note = BARE + cosign(OTHER_TEXT, W2, NOW) + LINE
    with pytest.raises(BadSignatureError):
        cosignatures(note, KEYS)
    assert cosignatures(note, [KEYS[0], KEYS[2]]) == {W1.name: NOW}


def test_no_witness_counts_twice() -> None:
    for second in (NOW, NOW + 1):
        with pytest.raises(RepeatedCosignatureError):
            cosignatures(BARE + LINE + cosign(TEXT, W1, second), KEYS)


def test_known_witnesses_have_different_names() -> None:
    renewed = Signer(W1.name, W2.seed, COSIGNATURE_V1).verifier_key
    with pytest.raises(AmbiguousKeyError):
        cosignatures(BARE, [KEYS[0], renewed])
    assert cosignatures(BARE + LINE, [KEYS[0], KEYS[0]]) == {W1.name: NOW}


def test_a_note_is_not_read_without_bound() -> None:
    with pytest.raises(NoteSizeError):
        cosignatures(sign_note(TEXT + "x" * 70_000 + "\n", [LOG]), KEYS)


def test_the_bare_note_is_the_logs_own_line() -> None:
    key = LOG.verifier_key
    stranger = Signer("stranger.example", bytes(32))
    assert bare(BARE, key) == BARE
    assert bare(BARE + LINE + cosign(TEXT, W2, NOW), key) == BARE
    assert bare(sign_note(TEXT, [stranger, LOG]) + LINE, key) == BARE
    assert bare(BARE + BARE.partition(b"\n\n")[2], key) == BARE
    with pytest.raises(UnsignedNoteError):
        bare(sign_note(TEXT, [stranger]) + LINE, key)
    with pytest.raises(BadSignatureError):
        bare(BARE.replace(b"\n42\n", b"\n43\n"), key)
    with pytest.raises(NoteSizeError):
        bare(sign_note(TEXT + "x" * 70_000 + "\n", [LOG]), key)


def test_joining_sorts_and_takes_each_name_once() -> None:
    one, two = cosign(TEXT, W1, 1), cosign(TEXT, W2, 2)
    joined = join(BARE, [two, one, cosign(TEXT, W1, 3)])
    assert joined == BARE + one + two
    assert join(BARE, []) == BARE
    assert join(BARE, [two + one]) == joined
    three = cosign(TEXT, W3, 3)
    assert join(joined, [three, cosign(TEXT, W2, 9)]) == joined + three
    for bad in (b"", b"\n", one[:-1], b"x\n\n" + one):
        with pytest.raises(NoteFormatError):
            join(BARE, [bad])
    with pytest.raises(NoteFormatError):
        join(b"no note", [one])


@given(
    st.lists(st.tuples(st.sampled_from([W1, W2, W3]), times), max_size=6),
)
def test_what_is_joined_can_be_read_and_stripped_again(made: Sequence[tuple[Signer, int]]) -> None:
    lines = [cosign(TEXT, witness, time) for witness, time in made]
    joined = join(BARE, lines)
    first = {}
    for witness, time in made:
        first.setdefault(witness.name, time)
    assert cosignatures(joined, KEYS) == first
    assert bare(joined, LOG.verifier_key) == BARE
    assert join(joined, lines) == join(joined, reversed(lines)) == joined
    assert open_checkpoint(joined, LOG.verifier_key).size == 42


def test_no_more_signatures_than_a_reader_takes() -> None:
    many = [
        cosign(TEXT, Signer(f"w{n}.example", bytes(32), COSIGNATURE_V1), NOW) for n in range(128)
    ]
    assert len(parse_note(join(BARE, many[:127])).signatures) == 128
    with pytest.raises(NoteSizeError):
        join(BARE, many)


# --- lines and notes put together by hand


@given(
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=9).filter(
        lambda name: "+" not in name
    ),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=1, max_size=90),
)
def test_signature_lines_round_trip(name: str, key_id: bytes, payload: bytes) -> None:
    made = NoteSignature(name, key_id, payload)
    assert made.encode().decode() == f"— {name} {b64encode(key_id + payload).decode()}\n"
    assert parse_signature_lines(made.encode() * 2) == (made, made)
    assert parse_note(write_note(TEXT, [made])).signatures == (made,)


def test_a_note_needs_a_signature_and_a_text() -> None:
    (read,) = parse_signature_lines(LINE)
    assert write_note(TEXT, [read]) == TEXT.encode() + b"\n" + LINE
    with pytest.raises(NoteFormatError):
        write_note(TEXT, [])
    with pytest.raises(NoteFormatError):
        write_note(TEXT[:-1], [read])


def test_the_logs_signature_is_not_a_witnesss_business() -> None:
    """`cosignatures` says who cosigned; whether the log signed is for `open_checkpoint` to say."""
    unsigned = TEXT.encode() + b"\n" + LINE
    assert cosignatures(unsigned, KEYS) == {W1.name: NOW}
    with pytest.raises(UnsignedNoteError):
        open_checkpoint(unsigned, LOG.verifier_key)
    assert sign_checkpoint(Checkpoint(LOG.name, 42, bytes(range(32))), LOG) == BARE
