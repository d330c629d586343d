import json
import pickle
from base64 import b64encode
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.claims import claim_of, verify_claims, verify_holder
from mesh.constraints import MAX_TOKENS, UnknownBandError, UnknownMemberError
from mesh.dampening import DampenedAwayError, OverconfidentError
from mesh.errors import BodyError, BodyFormatError, FormatError, MeshError, SaltLengthError
from mesh.severity import rubric_of, statement_of
from mesh.signal import (
    NoBandError,
    SignalBody,
    SignalDraft,
    SignalEntropyError,
    SignalFormatError,
    TokenOrderError,
    check_draft,
    compose_signal,
    parse_signal,
)
from mesh.strictjson import (
    DuplicateKeyError,
    JSONDepthError,
    JSONNumberError,
    JSONSizeError,
    StrictJSONError,
)
from mesh.taxonomy import TechniqueFormatError, UnknownBarrierError, UnknownCategoryError
from mesh.testing.members import make_mesh
from proofs.errors import ProofsError
from proofs.holder import token_of
from proofs.pedersen import open_commitment
from proofs.ristretto import ZeroScalarError, random_scalars, scalar
from proofs.severity import BelowThresholdError, ComponentRangeError, verify

MESH = make_mesh(4).mesh
ISSUER = MESH.members[0].name
RNG = Random(7)
SCALARS = tuple(sorted(random_scalars(RNG.randbytes(32), b"tokens", 3), key=lambda x: token_of(x)))
TOKENS = tuple(token_of(x).hex() for x in SCALARS)
SALT = RNG.randbytes(32)
ENTROPY = RNG.randbytes(64)
DRAFT = SignalDraft("prv", "AML.T0054", SCALARS, (9, 7, 5, 3))  # total 66: high
MADE = compose_signal(MESH, ISSUER, DRAFT, SALT, ENTROPY)
VALUE: dict[str, Any] = json.loads(MADE.body)


def compose(**fields: Any) -> SignalBody:
    draft = replace(DRAFT, **fields)
    return parse_signal(compose_signal(MESH, ISSUER, draft, SALT, ENTROPY).body)


def with_fields(**fields: Any) -> bytes:
    return json.dumps({**VALUE, **fields}).encode()


def with_severity(**fields: Any) -> bytes:
    return with_fields(severity={**VALUE["severity"], **fields})


def test_a_composed_signal_parses_and_its_proofs_verify() -> None:
    body = parse_signal(MADE.body)
    assert body.category == "prv"
    assert body.technique == "AML.T0054"
    assert body.tokens == TOKENS
    assert body.confidence == 80
    assert body.direct
    assert body.derived_from is None
    assert body.barrier is None
    assert body.severity.band == MADE.band.level == 3
    verify(statement_of(MESH, ISSUER, body, SALT), body.severity.proof)
    verify_holder(claim_of(MESH, ISSUER, body, SALT))
    assert verify_claims([claim_of(MESH, ISSUER, body, SALT)], bytes(32)) == [None]


def test_the_wire_form() -> None:
    assert set(VALUE) == {
        "category",
        "technique",
        "tokens",
        "holder",
        "severity",
        "confidence",
        "derived_from",
        "barrier",
    }
    assert set(VALUE["severity"]) == {"band", "commitments", "proof"}
    assert b"\n" not in MADE.body
    assert parse_signal(MADE.body).encode() == MADE.body


def test_the_openings_open_the_commitments() -> None:
    body = parse_signal(MADE.body)
    for commitment, score, blinding in zip(
        body.severity.commitments, DRAFT.components, MADE.blindings, strict=True
    ):
        assert open_commitment(commitment, score, blinding)
        assert not open_commitment(commitment, score + 1, blinding)


def test_optional_fields() -> None:
    body = compose(derived_from="ab" * 32, barrier="off_switch", confidence=60)
    assert not body.direct
    assert (body.derived_from, body.barrier, body.confidence) == ("ab" * 32, "off_switch", 60)
    assert compose(confidence=0).confidence == 0


@pytest.mark.parametrize(
    ("confidence", "error"), [(49, DampenedAwayError), (81, OverconfidentError)]
)
def test_what_every_member_would_refuse_is_not_derived(
    confidence: int, error: type[MeshError]
) -> None:
    with pytest.raises(error):
        compose(derived_from="ab" * 32, confidence=confidence)
    assert compose(confidence=confidence).direct


def test_tokens_are_sorted_and_each_once() -> None:
    for scalars in ((*SCALARS[::-1], SCALARS[0]), (SCALARS[1], SCALARS[0], SCALARS[2])):
        body = compose(token_scalars=scalars)
        assert body.tokens == TOKENS == tuple(sorted(TOKENS))
        verify_holder(claim_of(MESH, ISSUER, body, SALT))


@pytest.mark.parametrize(
    ("components", "level"),
    [
        ((10, 10, 10, 10), 4),
        ((10, 10, 5, 0), 4),
        ((10, 4, 0, 0), 2),
        ((0, 5, 0, 0), 1),
        ((2, 1, 0, 0), 1),
    ],
)
def test_the_highest_band_reached_is_claimed(components: tuple[int, ...], level: int) -> None:
    assert compose(components=components).severity.band == level


def test_a_lower_band_may_be_claimed_and_a_higher_may_not() -> None:
    for level in (1, 2, 3):
        body = compose(band=level)
        assert body.severity.band == level
        verify(statement_of(MESH, ISSUER, body, SALT), body.severity.proof)
    with pytest.raises(BelowThresholdError):
        compose(band=4)
    with pytest.raises(UnknownBandError):
        compose(band=5)


def test_below_every_band_nothing_is_published() -> None:
    with pytest.raises(NoBandError):
        compose(components=(2, 0, 0, 0))
    with pytest.raises(BelowThresholdError):
        compose(components=(2, 0, 0, 0), band=1)


@pytest.mark.parametrize(
    "components",
    [
        (11, 0, 0, 0),
        (10, 10, 10, 11),
        (-1, 10, 10, 10),
        (2**256, 0, 0, 0),
        (9, 9, 9),
        (9, 9, 9, 9, 9),
        (),
        (True, 9, 9, 9),
        (9.0, 9, 9, 9),
        ("9", 9, 9, 9),
        (None, 9, 9, 9),
    ],
)
@pytest.mark.parametrize("band", [None, 1])
def test_components_are_integers_in_range(components: tuple[Any, ...], band: int | None) -> None:
    with pytest.raises(ComponentRangeError) as caught:
        compose(components=components, band=band)
    assert caught.value.__cause__ is None
    assert str(2**256) not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"category": "xyz"}, UnknownCategoryError),
        ({"technique": "T0054"}, TechniqueFormatError),
        ({"barrier": "luck"}, UnknownBarrierError),
        ({"confidence": 101}, SignalFormatError),
        ({"confidence": -1}, SignalFormatError),
        ({"confidence": 0.8}, SignalFormatError),
        ({"confidence": True}, SignalFormatError),
        ({"token_scalars": ()}, SignalFormatError),
        ({"token_scalars": tuple(map(scalar, range(1, MAX_TOKENS + 2)))}, SignalFormatError),
        ({"derived_from": "ab"}, SignalFormatError),
    ],
)
def test_drafts_are_checked(fields: dict[str, Any], error: type[MeshError]) -> None:
    with pytest.raises(error):
        compose(**fields)
    if "token_scalars" not in fields:
        with pytest.raises(error):
            check_draft(MESH, ISSUER, replace(DRAFT, token_scalars=(), **fields))


def test_as_many_tokens_as_allowed() -> None:
    body = compose(token_scalars=tuple(map(scalar, range(1, MAX_TOKENS + 1))))
    assert len(body.tokens) == MAX_TOKENS
    verify_holder(claim_of(MESH, ISSUER, body, SALT))


def test_a_zero_scalar_has_no_token() -> None:
    with pytest.raises(ZeroScalarError):
        compose(token_scalars=(SCALARS[0], scalar(0)))


def test_a_draft_is_checked_before_there_are_tokens() -> None:
    """Nobody asks the committee about an incident that can't be published."""
    bare = replace(DRAFT, token_scalars=())
    check_draft(MESH, ISSUER, bare)
    with pytest.raises(NoBandError):
        check_draft(MESH, ISSUER, replace(bare, components=(2, 0, 0, 0)))
    with pytest.raises(BelowThresholdError):
        check_draft(MESH, ISSUER, replace(bare, band=4))
    with pytest.raises(UnknownBandError):
        check_draft(MESH, ISSUER, replace(bare, band=5))
    with pytest.raises(ComponentRangeError):
        check_draft(MESH, ISSUER, replace(bare, components=(11, 0, 0, 0)))
    with pytest.raises(UnknownMemberError):
        check_draft(MESH, "stranger.example", bare)


def test_what_else_must_hold() -> None:
    with pytest.raises(UnknownMemberError):
        compose_signal(MESH, "stranger.example", DRAFT, SALT, ENTROPY)
    with pytest.raises(SaltLengthError):
        compose_signal(MESH, ISSUER, DRAFT, SALT[:31], ENTROPY)
    with pytest.raises(SignalEntropyError):
        compose_signal(MESH, ISSUER, DRAFT, SALT, ENTROPY[:63])


def test_composing_is_pure_and_works_across_processes() -> None:
    args = pickle.loads(pickle.dumps((MESH, ISSUER, DRAFT, SALT, ENTROPY)))
    assert compose_signal(*args) == MADE
    assert pickle.loads(pickle.dumps(MADE)) == MADE


def test_repeated_entropy_gives_no_related_blindings() -> None:
    others = [
        compose_signal(MESH, ISSUER, replace(DRAFT, components=(9, 7, 5, 4)), SALT, ENTROPY),
        compose_signal(MESH, ISSUER, DRAFT, bytes(32), ENTROPY),
        compose_signal(MESH, MESH.members[1].name, DRAFT, SALT, ENTROPY),
        compose_signal(MESH, ISSUER, replace(DRAFT, token_scalars=SCALARS[:2]), SALT, ENTROPY),
        compose_signal(MESH, ISSUER, replace(DRAFT, band=1), SALT, ENTROPY),
    ]
    blindings = [blinding for made in (MADE, *others) for blinding in made.blindings]
    assert len(set(blindings)) == len(blindings)
    # Nor do two holder proofs share a nonce, whose public half they begin with.
    proofs = [parse_signal(made.body).holder for made in (MADE, *others)]
    assert len({proof[:32] for proof in proofs}) == len(proofs)


def test_secrets_are_in_no_repr_and_no_error() -> None:
    secret = replace(DRAFT, components=(9, 7, 5, 3))
    assert "(9, 7, 5, 3)" not in repr(secret)
    assert "components" not in repr(secret)
    assert "scalars" not in repr(secret)
    for x in SCALARS:
        assert repr(x) not in repr(secret)
        assert x.hex() not in repr(secret)
        assert x.hex().encode() not in MADE.body
    for blinding in MADE.blindings:
        assert str(blinding) not in repr(MADE)
        assert f"{blinding:064x}".encode() not in MADE.body
    errors: list[str] = []
    for fields in ({"components": (9, 7, 5, 77_777)}, {"band": 4}, {"confidence": 7_777}):
        with pytest.raises((MeshError, ProofsError)) as caught:
            compose(**fields)
        errors += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
    assert not [text for text in errors if "7777" in text or "66" in text or "7, 5" in text]


# Reading


def test_size_limit() -> None:
    with pytest.raises(JSONSizeError):
        parse_signal(MADE.body, len(MADE.body) - 1)
    assert parse_signal(MADE.body, len(MADE.body)) == parse_signal(MADE.body)
    with pytest.raises(JSONSizeError):
        parse_signal(MADE.body + b" " * 65_536)


@pytest.mark.parametrize("field", list(VALUE))
def test_no_field_may_be_missing(field: str) -> None:
    value = {key: item for key, item in VALUE.items() if key != field}
    with pytest.raises(SignalFormatError):
        parse_signal(json.dumps(value).encode())


B64_48 = b64encode(bytes(48)).decode()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (with_fields(extra=1), SignalFormatError),
        (with_fields(prompt="text"), SignalFormatError),
        (with_fields(category="xyz"), UnknownCategoryError),
        (with_fields(category=None), SignalFormatError),
        (with_fields(technique="AML.T0054 "), TechniqueFormatError),
        (with_fields(barrier="luck"), UnknownBarrierError),
        (with_fields(barrier=1), SignalFormatError),
        (with_fields(confidence=101), SignalFormatError),
        (with_fields(confidence=-1), SignalFormatError),
        (with_fields(confidence="80"), SignalFormatError),
        (with_fields(confidence=True), SignalFormatError),
        (with_fields(confidence=None), SignalFormatError),
        (with_fields(derived_from=""), SignalFormatError),
        (with_fields(derived_from="AB" * 32), SignalFormatError),
        (with_fields(tokens=[]), SignalFormatError),
        (with_fields(tokens=TOKENS[0]), SignalFormatError),
        (with_fields(tokens={TOKENS[0]: 1}), SignalFormatError),
        (with_fields(tokens=[TOKENS[1], TOKENS[0]]), TokenOrderError),
        (with_fields(tokens=[TOKENS[0], TOKENS[0]]), TokenOrderError),
        (with_fields(tokens=[f"{i:064x}" for i in range(33)]), SignalFormatError),
        (with_fields(tokens=[TOKENS[0].upper()]), SignalFormatError),
        (with_fields(tokens=[TOKENS[0] + "\n"]), SignalFormatError),
        (with_fields(tokens=["٠" * 64]), SignalFormatError),
        (with_fields(tokens=[1]), SignalFormatError),
        (with_fields(holder=b64encode(bytes(63)).decode()), SignalFormatError),
        (with_fields(holder=b64encode(bytes(65)).decode()), SignalFormatError),
        (with_fields(holder=bytes(64).hex()), SignalFormatError),
        (with_fields(holder=""), SignalFormatError),
        (with_fields(holder=None), SignalFormatError),
        (with_fields(holder=VALUE["holder"] + "\n"), FormatError),
        (with_fields(severity=None), SignalFormatError),
        (with_fields(severity=[]), SignalFormatError),
        (with_severity(band=0), SignalFormatError),
        (with_severity(band=5), SignalFormatError),
        (with_severity(band="high"), SignalFormatError),
        (with_severity(band=True), SignalFormatError),
        (with_severity(extra=1), SignalFormatError),
        (with_severity(commitments=[B64_48] * 3), SignalFormatError),
        (with_severity(commitments=[B64_48] * 5), SignalFormatError),
        (with_severity(commitments=[B64_48] * 3 + ["AAAA"]), SignalFormatError),
        (with_severity(commitments=[B64_48] * 3 + [1]), SignalFormatError),
        (with_severity(commitments=B64_48), SignalFormatError),
        (with_severity(commitments=[B64_48] * 3 + [B64_48 + "\n"]), FormatError),
        (with_severity(proof=b64encode(bytes(767)).decode()), SignalFormatError),
        (with_severity(proof=b64encode(bytes(769)).decode()), SignalFormatError),
        (with_severity(proof=""), SignalFormatError),
        (with_severity(proof=None), SignalFormatError),
        (with_severity(proof="!" * 1024), FormatError),
        (MADE.body[:-1] + b',"confidence":80}', DuplicateKeyError),
        (MADE.body[:-1] + b',"confidence":99}', DuplicateKeyError),
        (MADE.body.replace(b'"confidence":80', b'"confidence":NaN'), JSONNumberError),
        (MADE.body.replace(b'"confidence":80', b'"confidence":80.0'), JSONNumberError),
        (MADE.body.replace(b'"confidence":80', b'"confidence":1' + b"0" * 400), JSONNumberError),
        (MADE.body.replace(b'"barrier":null', b'"barrier":' + b"[" * 20_000), JSONDepthError),
        (MADE.body + MADE.body, StrictJSONError),
        (b"[]", SignalFormatError),
        (b"null", SignalFormatError),
        (b"", StrictJSONError),
    ],
)
def test_refused(body: bytes, error: type[MeshError]) -> None:
    with pytest.raises(error):
        parse_signal(body)


def test_every_refusal_of_content_is_a_body_error() -> None:
    assert issubclass(SignalFormatError, BodyFormatError)
    for error in (UnknownCategoryError, TechniqueFormatError, UnknownBarrierError, TokenOrderError):
        assert issubclass(error, BodyError)


def test_errors_do_not_repeat_what_a_peer_sent() -> None:
    with pytest.raises(SignalFormatError) as caught:
        parse_signal(with_fields(confidence="x" * 5_000, **{"y" * 5_000: 1}))
    assert len(str(caught.value)) < 200


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.sampled_from(["prv", "ab" * 32, ""]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(list(VALUE)), inner),
))  # fmt: skip
def test_any_value_in_any_place_is_read_or_refused_by_name(value: Any) -> None:
    for field in VALUE:
        try:
            body = parse_signal(with_fields(**{field: value}))
        except MeshError:
            continue
        assert json.loads(body.encode()) == {**VALUE, field: value}


def test_the_constraints_rubric_is_the_proofs() -> None:
    rubric = rubric_of(MESH.constraints)
    assert rubric.weights == (4, 2, 2, 2)
    assert rubric.component_max == 10
    assert rubric.total(DRAFT.components) == 66
