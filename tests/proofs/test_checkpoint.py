"""Checkpoints: one spelling, one log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs.checkpoint import (
    MAX_CHECKPOINT,
    Checkpoint,
    CheckpointError,
    OriginMismatchError,
    open_checkpoint,
    parse_checkpoint_text,
    sign_checkpoint,
)
from proofs.note import (
    BadSignatureError,
    NoteError,
    NoteSizeError,
    Signer,
    UnsignedNoteError,
    add_signatures,
    sign_note,
)

LOG = Signer("acme.example/0f3a", bytes(range(32)))
OTHER = Signer("globex.example/0f3a", bytes(range(1, 33)))
ROOT = bytes(range(32))
CHECKPOINT = Checkpoint(LOG.name, 42, ROOT)
TEXT = CHECKPOINT.to_text()
SIGNED = sign_checkpoint(CHECKPOINT, LOG)
ENCODED = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_the_text_is_origin_size_and_root() -> None:
    assert f"acme.example/0f3a\n42\n{ENCODED}\n" == TEXT


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_checkpoints_round_trip(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(LOG.name, size, root)
    assert parse_checkpoint_text(checkpoint.to_text()) == checkpoint
    assert open_checkpoint(sign_checkpoint(checkpoint, LOG), LOG.verifier_key) == checkpoint


@pytest.mark.parametrize(
    "size",
    [
        "",
        "042",
        "00",
        "+42",
        "-42",
        "-0",
        " 42",
        "42 ",
        "4_2",
        "4,2",
        "42.0",
        "0x2a",
        "4e1",
        "٤٢",
        "４２",
        "4²",
        "4٢",
        str(2**63),
        str(2**64),
        "9" * 30,
        "9" * 5000,
    ],
)
def test_a_size_has_one_spelling(size: str) -> None:
    with pytest.raises(CheckpointError):
        parse_checkpoint_text(f"{LOG.name}\n{size}\n{ENCODED}\n")


@pytest.mark.parametrize(
    "root",
    [
        "",
        ENCODED[:-1],
        ENCODED + "=",
        ENCODED.replace("h8=", "h9="),
        ENCODED.replace("DxAR", "DxA R"),
        " " + ENCODED,
        ENCODED[:-4],
        "AAAA" + ENCODED,
        ENCODED.replace("A", "-", 1),
    ],
)
def test_a_root_is_32_bytes_in_one_spelling(root: str) -> None:
    with pytest.raises(CheckpointError):
        parse_checkpoint_text(f"{LOG.name}\n42\n{root}\n")


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\tb", "a\u2028b"])
def test_an_origin_is_a_keys_name(origin: str) -> None:
    with pytest.raises(CheckpointError):
        parse_checkpoint_text(f"{origin}\n42\n{ENCODED}\n")


@pytest.mark.parametrize(
    "text", ["", "\n", TEXT[:-1], TEXT + "\n", "\n" + TEXT, "a\n42\n", TEXT.replace("\n", "\r\n")]
)
def test_lines_are_neither_missing_nor_empty(text: str) -> None:
    with pytest.raises(CheckpointError):
        parse_checkpoint_text(text)


def test_extension_lines_are_tolerated_and_not_kept() -> None:
    assert parse_checkpoint_text(TEXT + "an extension\n") == CHECKPOINT
    for extension in ("\nan extension\n", "one without an end"):
        with pytest.raises(CheckpointError):
            parse_checkpoint_text(TEXT + extension)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("", 1, ROOT), ("a b", 1, ROOT), ("a", -1, ROOT), ("a", 2**63, ROOT), ("a", 1, ROOT[:31])],
)
def test_what_cannot_be_a_checkpoint(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint(origin, size, root)


def test_no_log_signs_for_another() -> None:
    with pytest.raises(OriginMismatchError):
        sign_checkpoint(CHECKPOINT, OTHER)
    with pytest.raises(OriginMismatchError):
        open_checkpoint(sign_note(TEXT, [OTHER]), OTHER.verifier_key)


def test_the_logs_own_signature_is_needed() -> None:
    with pytest.raises(UnsignedNoteError):
        open_checkpoint(SIGNED, OTHER.verifier_key)
    with pytest.raises(BadSignatureError):
        open_checkpoint(SIGNED.replace(b"\n42\n", b"\n43\n"), LOG.verifier_key)


def test_signatures_of_others_are_ignored() -> None:
    cosigned = add_signatures(SIGNED, [OTHER])
    assert open_checkpoint(cosigned, LOG.verifier_key) == CHECKPOINT


def test_a_signed_note_that_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(sign_note("something else\n", [LOG]), LOG.verifier_key)


def test_the_size_of_a_signed_checkpoint_is_limited() -> None:
    large = sign_note(TEXT + "x" * MAX_CHECKPOINT + "\n", [LOG])
    with pytest.raises(NoteSizeError):
        open_checkpoint(large, LOG.verifier_key)


def test_a_changed_byte_anywhere_is_refused() -> None:
    for at in range(len(SIGNED)):
        for difference in (1, 0x20, 0x80):
            changed = SIGNED[:at] + bytes([SIGNED[at] ^ difference]) + SIGNED[at + 1 :]
            with pytest.raises(NoteError):
                open_checkpoint(changed, LOG.verifier_key)
