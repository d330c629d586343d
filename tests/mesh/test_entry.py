import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.days import LAST_DAY, Day, DayFormatError, parse_day
from mesh.entry import (
    Envelope,
    Kind,
    body_digest,
    check_body,
    check_dates,
    entry_id,
    is_expired,
    open_entry,
    sign_entry,
)
from mesh.errors import (
    BodyDigestError,
    BodyTooLargeError,
    DatedAheadError,
    EntryFormatError,
    EntryTooLargeError,
    ExpiryBeforeDayError,
    ExpiryTooFarError,
    ExpiryTooSoonError,
    ForeignMeshError,
    MeshError,
    SaltLengthError,
    UnknownKindError,
    UnknownVersionError,
)
from mesh.strictjson import (
    DuplicateKeyError,
    JSONDepthError,
    JSONEncodingError,
    JSONNumberError,
    StrictJSONError,
    dumps,
)
from mesh.testing.members import make_mesh
from proofs.errors import ProofsError
from proofs.merkle import leaf_hash
from proofs.note import (
    BadSignatureError,
    NoteError,
    Signer,
    UnsignedNoteError,
    add_signatures,
    sign_note,
)

MADE = make_mesh(4)
MESH = MADE.mesh
ISSUER = MADE.member(0)
OTHER = MADE.member(1)
TODAY = parse_day("2026-11-21")
SALT = bytes(range(32))
BODY = b'{"any":"body"}'
FIELDS: dict[str, Any] = {
    "mesh": MESH.mesh_id,
    "version": 0,
    "day": "2026-11-21",
    "expires": "2027-02-19",
    "body": body_digest(SALT, BODY),
}


def envelope(**fields: Any) -> Envelope:
    base = {
        "kind": Kind.SIGNAL,
        "mesh": MESH.mesh_id,
        "version": 0,
        "day": TODAY,
        "expires": TODAY + 90,
        "body": body_digest(SALT, BODY),
    }
    return Envelope(**{**base, **fields})


def written(line: str, kind: str = "signal", signer: Signer = ISSUER.identity) -> bytes:
    return sign_note(f"signal-mesh/v1/{kind}\n{line}\n", (signer,))


def opened(note: bytes) -> Envelope:
    return open_entry(note, ISSUER.card, MESH)


def test_an_entry_is_read_as_written() -> None:
    note = sign_entry(envelope(), ISSUER.identity)
    assert opened(note) == envelope()
    assert note.splitlines()[0] == b"signal-mesh/v1/signal"
    assert json.loads(note.splitlines()[1]) == FIELDS
    assert note.splitlines()[2] == b""
    assert opened(written(dumps(FIELDS).decode())) == envelope()


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(FIELDS),
        " " + dumps(FIELDS).decode(),
        dumps(FIELDS).decode() + " " * 60_000,  # kept for ever by everybody
        dumps(FIELDS).decode().replace("version", "\\u0076ersion"),
        json.dumps(dict(reversed(FIELDS.items())), separators=(",", ":")),
    ],
)
def test_an_entry_has_one_spelling(line: str) -> None:
    with pytest.raises(EntryFormatError, match="canonical"):
        opened(written(line))


@given(
    st.sampled_from(Kind),
    st.integers(0, LAST_DAY),
    st.integers(0, LAST_DAY),
    st.binary(max_size=40),
)
def test_every_envelope_survives(kind: Kind, day: int, expires: int, body: bytes) -> None:
    made = envelope(kind=kind, day=day, expires=expires, body=body_digest(SALT, body))
    assert opened(sign_entry(made, ISSUER.identity)) == made


def test_the_id_is_the_leaf_hash() -> None:
    note = sign_entry(envelope(), ISSUER.identity)
    assert entry_id(note) == leaf_hash(note).hex()


def test_one_signed_text_makes_one_entry() -> None:
    # Whoever holds the log's key but not the identity key could otherwise append a retracted signal
    # again, under another id, with a line that nothing covers.
    note = sign_entry(envelope(), ISSUER.identity)
    again = note + note.splitlines(keepends=True)[-1]
    for second in (again, add_signatures(note, (OTHER.identity,))):
        with pytest.raises(EntryFormatError, match="one signature"):
            opened(second)


def test_every_changed_byte_is_noticed() -> None:
    note = sign_entry(envelope(), ISSUER.identity)
    for at in range(len(note)):
        changed = bytearray(note)
        changed[at] ^= 0x01
        with pytest.raises((MeshError, ProofsError)):
            opened(bytes(changed))


def test_a_known_keys_false_signature_is_refused_before_content_is_read() -> None:
    good = sign_entry(envelope(), ISSUER.identity)
    text, _, line = good.partition(b"\n\n")
    # Were content read first, the error would be about the JSON.
    broken = text.replace(b'"version":0', b'"version":NaN') + b"\n\n" + line
    with pytest.raises(BadSignatureError):
        opened(broken)
    foreign = text.replace(MESH.mesh_id.encode(), b"0" * 64) + b"\n\n" + line
    with pytest.raises(BadSignatureError):
        opened(foreign)


def test_an_unknown_keys_signature_is_none() -> None:
    with pytest.raises(UnsignedNoteError):
        opened(sign_entry(envelope(), OTHER.identity))
    # Under the issuer's name, with another key; with another of the issuer's own keys.
    with pytest.raises(UnsignedNoteError):
        opened(sign_entry(envelope(), Signer(ISSUER.name, OTHER.identity.seed)))
    with pytest.raises(UnsignedNoteError):
        opened(sign_entry(envelope(), ISSUER.card_witness))
    with pytest.raises(NoteError):
        opened(b"signal-mesh/v1/signal\n{}\n")


def test_the_issuers_key_under_another_name_is_none() -> None:
    with pytest.raises(UnsignedNoteError):
        opened(sign_entry(envelope(), Signer(OTHER.name, ISSUER.identity.seed)))


@pytest.mark.parametrize("kind", ["news", "keys", "adopt", "votes", "member-card", "x", "x-1"])
def test_unknown_kinds_are_named_once_signed(kind: str) -> None:
    with pytest.raises(UnknownKindError) as caught:
        opened(written("whatever a later version says", kind))
    assert caught.value.kind == kind
    with pytest.raises(UnsignedNoteError):
        opened(written("{}", kind, OTHER.identity))


def test_a_later_protocol_version_is_an_unknown_kind() -> None:
    with pytest.raises(UnknownKindError):
        opened(sign_note(f"signal-mesh/v2/signal\n{json.dumps(FIELDS)}\n", (ISSUER.identity,)))


@pytest.mark.parametrize(
    "first",
    [
        "signal",
        "signal-mesh/v1/",
        "signal-mesh/v1/Signal",
        "signal-mesh/v1/signal ",
        " signal-mesh/v1/signal",
        "signal-mesh/v01/signal",
        "signal-mesh/v1/signal/x",
        "signal-mesh/v1/" + "x" * 33,
        "other-protocol/v1/signal",
        "",
    ],
)
def test_malformed_kind_lines(first: str) -> None:
    with pytest.raises(EntryFormatError):
        opened(sign_note(f"{first}\n{json.dumps(FIELDS)}\n", (ISSUER.identity,)))


@pytest.mark.parametrize(
    "text",
    [
        "signal-mesh/v1/signal\n",
        "signal-mesh/v1/signal\n\n",
        f"signal-mesh/v1/signal\n{json.dumps(FIELDS)}\n\n",
        f"signal-mesh/v1/signal\n{json.dumps(FIELDS)}\nmore\n",
        f"signal-mesh/v1/signal\n{json.dumps(FIELDS, indent=1)}\n",
        f"\nsignal-mesh/v1/signal\n{json.dumps(FIELDS)}\n",
    ],
)
def test_an_entry_is_exactly_two_lines(text: str) -> None:
    with pytest.raises((EntryFormatError, StrictJSONError)):
        opened(sign_note(text, (ISSUER.identity,)))


def without(field: str) -> str:
    return json.dumps({key: value for key, value in FIELDS.items() if key != field})


def with_field(**fields: Any) -> str:
    return json.dumps({**FIELDS, **fields})


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (with_field(extra=1), EntryFormatError),
        (with_field(kind="signal"), EntryFormatError),
        *((without(field), EntryFormatError) for field in FIELDS),
        ("[]", EntryFormatError),
        ("null", EntryFormatError),
        ('"text"', EntryFormatError),
        (with_field(version="0"), EntryFormatError),
        (with_field(version=True), EntryFormatError),
        (with_field(version=-1), EntryFormatError),
        (with_field(mesh="AB" * 32), EntryFormatError),
        (with_field(mesh=1), EntryFormatError),
        (with_field(body="ab"), EntryFormatError),
        (with_field(body=None), EntryFormatError),
        (with_field(day=20_000), EntryFormatError),
        (with_field(expires=None), EntryFormatError),
        (with_field(day="2026-02-30"), DayFormatError),
        (with_field(day="2026-11-21T00:00:00Z"), DayFormatError),
        (with_field(expires="10000-01-01"), DayFormatError),
        (with_field(mesh="0" * 64), ForeignMeshError),
        (with_field(version=1), UnknownVersionError),
        (json.dumps(FIELDS)[:-1] + ',"version":0}', DuplicateKeyError),
        (with_field(version=float("nan")), JSONNumberError),
        (json.dumps(FIELDS).replace('"version": 0', '"version": 1' + "0" * 400), JSONNumberError),
        (json.dumps(FIELDS).replace('"version": 0', '"version": 1e400'), JSONNumberError),
        (json.dumps(FIELDS).replace('"version": 0', '"version": 0.0'), JSONNumberError),
        (with_field(mesh="\ud800"), JSONEncodingError),
        ("[" * 30_000 + "]" * 30_000, JSONDepthError),
    ],
)
def test_content_is_strict(line: str, error: type[MeshError]) -> None:
    with pytest.raises(error):
        opened(written(line))


def test_an_entry_is_at_most_65535_bytes() -> None:
    def padded(size: int) -> bytes:
        overhead = len(written("", kind="news"))
        return written(" " * (size - overhead), kind="news")

    longest = padded(65_535)
    assert len(longest) == 65_535
    with pytest.raises(UnknownKindError):  # a later version may have a use for the room
        opened(longest)
    with pytest.raises(EntryTooLargeError):
        opened(padded(65_536))
    with pytest.raises(EntryTooLargeError):
        opened(b"[" * 200_000)


def test_an_oversize_entry_is_not_signed() -> None:
    signer = Signer("x" * 65_400, bytes(32))
    with pytest.raises(EntryTooLargeError):
        sign_entry(envelope(), signer)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises((MeshError, ProofsError)):
        opened(data)


@given(st.binary(max_size=100))
def test_any_signed_text_is_read_or_refused_by_name(data: bytes) -> None:
    line = data.decode("utf-8", "replace").translate(dict.fromkeys((*range(32), 127), " "))
    with pytest.raises((MeshError, ProofsError)):
        opened(written(line))


# Bodies


def test_a_body_must_match_its_digest() -> None:
    check_body(envelope(), SALT, BODY, MESH.constraints)
    for salt, body in ((SALT, BODY + b" "), (bytes(32), BODY), (SALT, b"")):
        with pytest.raises(BodyDigestError):
            check_body(envelope(), salt, body, MESH.constraints)


def test_salt_and_body_cannot_be_shifted_into_each_other() -> None:
    with pytest.raises(SaltLengthError):
        check_body(envelope(), SALT + BODY[:1], BODY[1:], MESH.constraints)
    with pytest.raises(SaltLengthError):
        body_digest(SALT[:31], BODY)


def test_a_body_has_a_size_limit() -> None:
    limit = MESH.constraints.max_body_bytes
    longest = b" " * limit
    check_body(envelope(body=body_digest(SALT, longest)), SALT, longest, MESH.constraints)
    too_long = longest + b" "
    with pytest.raises(BodyTooLargeError):
        check_body(envelope(body=body_digest(SALT, too_long)), SALT, too_long, MESH.constraints)


# Days


@pytest.mark.parametrize(
    ("day", "expires", "error"),
    [
        (0, 90, None),
        (0, 0, None),
        (0, 365, None),
        (1, 91, None),
        (-400, -300, None),
        (2, 92, DatedAheadError),
        (1_000, 1_001, DatedAheadError),
        (0, 366, ExpiryTooFarError),
        (0, -1, ExpiryBeforeDayError),
    ],
)
def test_dates(day: int, expires: int, error: type[MeshError] | None) -> None:
    made = envelope(day=TODAY + day, expires=TODAY + expires)
    if error is None:
        check_dates(made, TODAY, MESH.constraints)
    else:
        with pytest.raises(error):
            check_dates(made, TODAY, MESH.constraints)


def test_expiring_in_the_year_9999() -> None:
    note = sign_entry(envelope(expires=LAST_DAY), ISSUER.identity)
    with pytest.raises(ExpiryTooFarError):
        check_dates(opened(note), TODAY, MESH.constraints)


def test_an_entry_lives_through_its_last_day() -> None:
    made = envelope(expires=TODAY)
    assert not is_expired(made, TODAY)
    assert is_expired(made, Day(TODAY + 1))


def test_the_last_days_of_the_calendar_do_not_overflow() -> None:
    made = envelope(day=LAST_DAY, expires=LAST_DAY)
    check_dates(made, LAST_DAY, MESH.constraints)
    with pytest.raises(EntryFormatError):
        envelope(expires=LAST_DAY + 1)


def test_who_promotes_does_not_choose_when_it_ends() -> None:
    """A promotion that ended early would let later claims on its tokens count again."""
    longest = MESH.constraints.max_expiry_days
    for life, holds in ((longest, True), (longest - 1, False), (0, False)):
        made = envelope(kind=Kind.PROMOTION, expires=TODAY + life)
        if holds:
            check_dates(made, TODAY, MESH.constraints)
        else:
            with pytest.raises(ExpiryTooSoonError):
                check_dates(made, TODAY, MESH.constraints)
