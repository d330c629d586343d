"""Signed notes: the C2SP example, what round-trips, and every way of bending the format."""

from base64 import b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proofs.ed25519 import KeyLengthError
from proofs.note import (
    MAX_SIGNATURES,
    TYPE_COSIGNATURE,
    TYPE_ED25519,
    TYPE_MLDSA44,
    AmbiguousKeyError,
    BadSignatureError,
    MissingSignatureError,
    NoteError,
    NoteFormatError,
    NoteSizeError,
    Signer,
    UnsignedNoteError,
    UnsupportedKeyTypeError,
    VerifierKey,
    VerifierKeyError,
    add_signatures,
    decode_base64,
    is_valid_name,
    open_note,
    parse_note,
    sign_note,
)

TEXT = "signal-mesh/v1/test\nfirst\n\nafter an empty line\n"
ALICE = Signer("alice.example", bytes(range(32)))
BOB = Signer("bob.example", bytes(range(1, 33)))
CAROL = Signer("carol.example", bytes(range(2, 34)))
NOTE = sign_note(TEXT, [ALICE])
ALICE_KEY, BOB_KEY, CAROL_KEY = (s.verifier_key for s in (ALICE, BOB, CAROL))
TILE_LOG_KEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"

texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=80
).map(lambda text: text + "\n")
names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20).filter(
    lambda name: "+" not in name
)


def line(name: str, key_id: bytes, signature: bytes) -> str:
    return f"— {name} {b64encode(key_id + signature).decode()}\n"


def test_the_note_has_the_form_of_the_specification() -> None:
    head, tail = NOTE.decode().rsplit("\n\n", 1)
    assert head + "\n" == TEXT
    dash, name, encoded = tail[:-1].split(" ")
    assert (dash, name, tail[-1]) == ("\u2014", ALICE.name, "\n")
    assert decode_base64(encoded) is not None


@given(texts, names)
@example("\n", "a")
@example("\n\n\n", "a")
@example("— alice.example AAAA\n", "alice.example")
def test_what_is_signed_opens(text: str, name: str) -> None:
    signer = Signer(name, bytes(32))
    opened = open_note(sign_note(text, [signer]), [signer.verifier_key])
    assert opened.text == text
    assert opened.verified == (signer.verifier_key,)
    assert opened.unverified == ()


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_a_changed_byte_anywhere_refuses_the_note(at: int, difference: int) -> None:
    changed = NOTE[:at] + bytes([NOTE[at] ^ difference]) + NOTE[at + 1 :]
    with pytest.raises(NoteError):
        open_note(changed, [ALICE_KEY])


def test_every_byte_with_one_bit_changed_refuses_the_note() -> None:
    for at in range(len(NOTE)):
        changed = NOTE[:at] + bytes([NOTE[at] ^ 1]) + NOTE[at + 1 :]
        with pytest.raises(NoteError):
            open_note(changed, [ALICE_KEY])


def test_a_note_cut_or_prolonged_anywhere_is_refused() -> None:
    for end in range(len(NOTE)):
        with pytest.raises(NoteError):
            open_note(NOTE[:end], [ALICE_KEY])
    for last in (b"x", b" ", b"="):
        with pytest.raises(NoteFormatError):
            open_note(NOTE[:-1] + last, [ALICE_KEY])
    for more in (b"\n", b"x", b" ", b"\n\n", b"\x00", NOTE):
        with pytest.raises(NoteError):
            open_note(NOTE + more, [ALICE_KEY])


def test_the_text_ends_at_the_last_empty_line() -> None:
    # A parser that splits at the first would verify "first" and see signatures where text is.
    inner = sign_note("inner\n", [BOB]).decode()
    note = sign_note(inner, [ALICE])
    assert open_note(note, [ALICE_KEY]).text == inner
    with pytest.raises(UnsignedNoteError):
        open_note(note, [BOB_KEY])


GOOD = line(ALICE.name, ALICE_KEY.key_id, bytes(64))


@pytest.mark.parametrize(
    "bad",
    [
        "no dash\n",
        "-- bob.example AAAAAAAA\n",
        "- bob.example AAAAAAAA\n",
        "– bob.example AAAAAAAA\n",
        "—bob.example AAAAAAAA\n",
        "— \n",
        "— bob.example\n",
        "— bob.example \n",
        "— bob.example AAAAAAA=\n ",
        "—  bob.example AAAAAAA=\n",
        "— bob.example  AAAAAAA=\n",
        "— bob.example AAAAAAA= \n",
        "— bob.example AAAAAAA= x\n",
        "— bob+example AAAAAAA=\n",
        "— bob\u00a0example AAAAAAA=\n",
        "— bob\u2003example AAAAAAA=\n",
        "— bob.example AAAAAAB=\n",  # bits after the last byte
        "— bob.example AAAAAAA\n",  # no padding
        "— bob.example AAAAAA==\n",  # the id alone
        "— bob.example AAAA\n",
        "— bob.example AAAA AAA=\n",
        "— bob.example AAAA\tAAA=\n",
        "— bob.example AAA*AAAA=\n",
        "— bob.example AAAAAA-_\n",
        "— bob.example AAAAAAA==\n",
        "— bob.example AAAAAAA=AAAA\n",
    ],
)
def test_a_malformed_signature_line_refuses_the_note(bad: str) -> None:
    good = NOTE.decode()
    for note in (good + bad, good.replace("\n\n— ", f"\n\n{bad}— ")):
        with pytest.raises(NoteFormatError):
            open_note(note.encode(), [ALICE_KEY])


def test_an_empty_line_before_the_signatures_belongs_to_the_text() -> None:
    with pytest.raises(BadSignatureError):
        open_note(NOTE.replace("\n\n— ".encode(), "\n\n\n— ".encode()), [ALICE_KEY])


def test_the_good_neighbour_of_the_malformed_lines_is_ignored() -> None:
    note = NOTE.decode() + "— bob.example AAAAAAA=\n"
    opened = open_note(note.encode(), [ALICE_KEY])
    assert [s.name for s in opened.unverified] == ["bob.example"]
    assert opened.unverified[0].key_id == bytes(4)
    assert opened.unverified[0].signature == bytes(1)


@pytest.mark.parametrize("code", [*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0)])
def test_control_characters_are_refused(code: int) -> None:
    with pytest.raises(NoteFormatError):
        sign_note(f"a{chr(code)}b\n", [ALICE])
    with pytest.raises(NoteFormatError):
        parse_note(NOTE.replace(b"first", f"fir{chr(code)}".encode()))


def test_what_is_not_utf_8_is_refused() -> None:
    for wrong in (b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80"):
        with pytest.raises(NoteFormatError):
            parse_note(NOTE.replace(b"first", wrong))
    with pytest.raises(NoteFormatError):
        sign_note("\ud800\n", [ALICE])


@pytest.mark.parametrize("note", [b"", b"\n", b"\n\n", b"text\n", b"text\n\n", b"text\n\n\n"])
def test_what_has_no_signatures_is_no_note(note: bytes) -> None:
    with pytest.raises(NoteFormatError):
        parse_note(note)


def test_a_text_that_does_not_end_its_line_is_not_signed() -> None:
    for text in ("", "text", "text\r"):
        with pytest.raises(NoteFormatError):
            sign_note(text, [ALICE])
    with pytest.raises(NoteFormatError):
        sign_note("text\n", [])


def test_signatures_of_unknown_keys_are_ignored_whatever_their_type() -> None:
    cosignature = line("witness.example", b"\x01\x02\x03\x04", bytes(72))
    post_quantum = line("witness.example", b"\x05\x06\x07\x08", bytes(8 + 2420))
    note = NOTE + (cosignature + post_quantum).encode()
    opened = open_note(note, [ALICE_KEY, BOB_KEY])
    assert opened.verified == (ALICE_KEY,)
    assert [len(s.signature) for s in opened.unverified] == [72, 2428]


def test_a_key_is_known_by_name_and_id_together() -> None:
    signature = parse_note(NOTE).signatures[0].signature
    for name, key_id in ((BOB.name, ALICE_KEY.key_id), (ALICE.name, BOB_KEY.key_id)):
        note = f"{TEXT}\n{line(name, key_id, signature)}".encode()
        with pytest.raises(UnsignedNoteError):
            open_note(note, [ALICE_KEY, BOB_KEY])


def test_a_false_signature_of_a_known_key_refuses_the_whole_note() -> None:
    false = line(BOB.name, BOB_KEY.key_id, bytes(64)).encode()
    assert open_note(NOTE + false, [ALICE_KEY]).verified == (ALICE_KEY,)
    with pytest.raises(BadSignatureError):
        open_note(NOTE + false, [ALICE_KEY, BOB_KEY])
    for length in (1, 63, 65, 72):
        cut = line(BOB.name, BOB_KEY.key_id, bytes(length)).encode()
        with pytest.raises(BadSignatureError):
            open_note(NOTE + cut, [ALICE_KEY, BOB_KEY])


def test_a_second_signature_of_a_known_key_is_verified_too_and_counts_once() -> None:
    signature_line = NOTE[NOTE.rindex(b"\n\n") + 2 :]
    assert open_note(NOTE + signature_line, [ALICE_KEY]).verified == (ALICE_KEY,)
    with pytest.raises(BadSignatureError):
        open_note(NOTE + GOOD.encode(), [ALICE_KEY])


def test_nobody_known_has_signed() -> None:
    with pytest.raises(UnsignedNoteError):
        open_note(NOTE, [BOB_KEY])
    with pytest.raises(UnsignedNoteError):
        open_note(NOTE, [])


def test_all_can_be_required() -> None:
    both = add_signatures(NOTE, [BOB])
    assert open_note(both, [ALICE_KEY, BOB_KEY], require_all=True).verified == (ALICE_KEY, BOB_KEY)
    assert open_note(both, [ALICE_KEY, ALICE_KEY], require_all=True).verified == (ALICE_KEY,)
    with pytest.raises(MissingSignatureError, match=r"carol\.example"):
        open_note(both, [ALICE_KEY, BOB_KEY, CAROL_KEY], require_all=True)
    assert len(open_note(both, [ALICE_KEY, BOB_KEY, CAROL_KEY]).verified) == 2


def test_keys_of_types_that_do_not_sign_notes_are_not_mistaken_for_false_ones() -> None:
    for key in (
        VerifierKey(ALICE.name, TYPE_COSIGNATURE, ALICE_KEY.public),
        VerifierKey(ALICE.name, TYPE_MLDSA44, bytes(1312)),
    ):
        with pytest.raises(UnsupportedKeyTypeError):
            open_note(NOTE, [ALICE_KEY, key])
    with pytest.raises(UnsupportedKeyTypeError):
        sign_note(TEXT, [Signer(ALICE.name, ALICE.seed, TYPE_COSIGNATURE)])


def test_a_cosignature_key_has_an_id_of_its_own() -> None:
    signer = Signer(ALICE.name, ALICE.seed, TYPE_COSIGNATURE)
    assert signer.verifier_key.public == ALICE_KEY.public
    assert signer.verifier_key.key_id != ALICE_KEY.key_id


def test_two_keys_of_one_name_and_id_are_refused() -> None:
    other = VerifierKey(ALICE.name, TYPE_ED25519, BOB_KEY.public)
    # A real collision takes some 2^32 tries; here the id that is kept with the key is replaced.
    other.__dict__["key_id"] = ALICE_KEY.key_id
    with pytest.raises(AmbiguousKeyError):
        open_note(NOTE, [ALICE_KEY, other])


@pytest.mark.parametrize("count", [16, MAX_SIGNATURES])
def test_many_signatures_are_read(count: int) -> None:
    signers = [Signer(f"member-{n}.example", bytes([n]) * 32) for n in range(count)]
    keys = [signer.verifier_key for signer in signers]
    note = sign_note(TEXT, signers)
    assert open_note(note, keys, require_all=True).verified == tuple(keys)


def test_more_signatures_than_the_limit_are_neither_read_nor_written() -> None:
    note = NOTE + b"".join(
        line(f"member-{n}.example", bytes(4), bytes(64)).encode() for n in range(MAX_SIGNATURES)
    )
    with pytest.raises(NoteSizeError):
        parse_note(note)
    full = note[: note.rindex(b"\n", 0, -1) + 1]
    assert len(parse_note(full).signatures) == MAX_SIGNATURES
    with pytest.raises(NoteSizeError):
        add_signatures(full, [BOB])


def test_the_size_limit() -> None:
    assert parse_note(NOTE, len(NOTE)).text == TEXT
    with pytest.raises(NoteSizeError):
        parse_note(NOTE, len(NOTE) - 1)
    with pytest.raises(NoteSizeError):
        open_note(NOTE, [ALICE_KEY], max_size=len(NOTE) - 1)
    with pytest.raises(NoteSizeError):
        add_signatures(NOTE, [BOB], max_size=len(NOTE) - 1)
    with pytest.raises(NoteSizeError):
        parse_note(b"a" * 1_000_000 + NOTE)


def test_adding_signatures_keeps_the_text_and_the_others() -> None:
    both = add_signatures(NOTE, [BOB])
    assert both.startswith(NOTE)
    assert both == sign_note(TEXT, [ALICE, BOB])
    assert add_signatures(both, [ALICE, BOB]) == both
    assert add_signatures(NOTE, []) == NOTE


def test_adding_replaces_a_false_line_of_the_same_key_where_it_stands() -> None:
    note = f"{TEXT}\n{GOOD}".encode()
    assert add_signatures(add_signatures(note, [BOB]), [ALICE]) == sign_note(TEXT, [ALICE, BOB])


def test_the_key_of_a_real_log_reads_and_writes() -> None:
    key = VerifierKey.parse(TILE_LOG_KEY)
    assert (key.name, key.type) == ("example.com/log/testdata", TYPE_ED25519)
    assert key.key_id.hex() == "33d7b496"
    assert key.encode() == TILE_LOG_KEY


@given(names, st.binary(min_size=32, max_size=32))
def test_verifier_keys_round_trip(name: str, seed: bytes) -> None:
    key = Signer(name, seed).verifier_key
    assert VerifierKey.parse(key.encode()) == key


@pytest.mark.parametrize("type_", [TYPE_COSIGNATURE, TYPE_MLDSA44])
def test_verifier_keys_of_the_other_types_round_trip(type_: int) -> None:
    public = ALICE_KEY.public if type_ == TYPE_COSIGNATURE else bytes(1312)
    key = VerifierKey("witness.example", type_, public)
    assert VerifierKey.parse(key.encode()) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice.example",
        TILE_LOG_KEY.replace("33d7b496", "33d7b497"),
        TILE_LOG_KEY.replace("33d7b496", "33D7B496"),
        TILE_LOG_KEY.replace("33d7b496", "33d7b4"),
        TILE_LOG_KEY.replace("33d7b496", ""),
        TILE_LOG_KEY.replace("testdata", "testdate"),
        TILE_LOG_KEY.replace("example", "exa mple"),
        TILE_LOG_KEY[:-1],
        TILE_LOG_KEY + "=",
        TILE_LOG_KEY + "\n",
        TILE_LOG_KEY[: TILE_LOG_KEY.rindex("+") + 1],
        TILE_LOG_KEY[TILE_LOG_KEY.index("+") :],
    ],
)
def test_a_verifier_key_has_one_spelling(text: str) -> None:
    with pytest.raises(VerifierKeyError):
        VerifierKey.parse(text)


def test_a_verifier_key_that_could_check_nothing_is_refused() -> None:
    for public in (bytes(32), (1).to_bytes(32, "little"), b"\xff" * 32):
        with pytest.raises(VerifierKeyError):
            VerifierKey.parse(VerifierKey("a.example", TYPE_ED25519, public).encode())
    for length in (0, 31, 33):
        with pytest.raises(VerifierKeyError):
            VerifierKey("a.example", TYPE_ED25519, bytes(length))
    for type_ in (0x00, 0x02, 0x03, 0x05, 0xFF):
        with pytest.raises(UnsupportedKeyTypeError):
            VerifierKey("a.example", type_, ALICE_KEY.public)


@pytest.mark.parametrize("name", ["a", "acme.example", "acme.example/0f3a", "é.example", "名前"])
def test_valid_names(name: str) -> None:
    assert is_valid_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a+b",
        "+",
        "a\n",
        "a\u00a0b",
        "a\u2028b",
        "a\u3000b",
        "a\x00",
        "\ud800",
        "a\t",
    ],
)
def test_invalid_names(name: str) -> None:
    assert not is_valid_name(name)
    with pytest.raises(VerifierKeyError):
        Signer(name, bytes(32))
    with pytest.raises(VerifierKeyError):
        VerifierKey(name, TYPE_ED25519, ALICE_KEY.public)


def test_a_signer_has_an_ed25519_seed_and_does_not_show_it() -> None:
    with pytest.raises(KeyLengthError):
        Signer("a.example", bytes(31))
    with pytest.raises(UnsupportedKeyTypeError):
        Signer("a.example", bytes(32), TYPE_MLDSA44)
    signer = Signer("a.example", b"secret seed, of thirty-two bytes")
    assert signer.verifier_key.name == "a.example"
    assert "secret" not in repr(signer)
    assert "secret" not in str(vars(signer)["verifier_key"])


def test_errors_do_not_quote_the_text() -> None:
    secret = "what nobody signed"
    for wrong in (NOTE.replace(b"first", secret.encode()), f"{secret}\n\n— x y\n".encode()):
        with pytest.raises(NoteError) as refusal:
            open_note(wrong, [ALICE_KEY])
        assert secret not in str(refusal.value)


@given(st.binary(max_size=40))
def test_base64_round_trips(data: bytes) -> None:
    assert decode_base64(b64encode(data).decode()) == data


@given(st.text("ABab01+/=-_ \n\t\x00é", max_size=12))
def test_base64_has_one_spelling(text: str) -> None:
    data = decode_base64(text)
    assert data is None or b64encode(data).decode() == text


@given(st.binary(max_size=200))
def test_parsing_ends_in_a_note_or_a_named_error(data: bytes) -> None:
    for candidate in (data, b"a\n\n" + data, "a\n\n— ".encode() + data + b"\n"):
        try:
            parse_note(candidate)
        except NoteFormatError:
            continue
