"""Both proofs are bound to one signal: copied anywhere else, neither verifies."""

from hashlib import sha256
from random import Random
from typing import Any

import pytest

from mesh.claims import claim_of, verify_holder
from mesh.constraints import RubricRule
from mesh.genesis import Mesh
from mesh.severity import HOLDER_LABEL, context_of, severity_context, statement_of
from mesh.signal import SignalBody, SignalDraft, compose_signal, parse_signal
from mesh.testing.members import found, founders, make_mesh
from proofs.group import PointError
from proofs.holder import HolderProofError, token_of
from proofs.ristretto import random_scalars
from proofs.severity import ProofEquationError, SeverityProofError, verify

MADE = make_mesh(4)
MESH = MADE.mesh
ISSUER, OTHER = MESH.members[0].name, MESH.members[1].name
RNG = Random(11)
SCALARS = tuple(random_scalars(RNG.randbytes(32), b"tokens", 3))
TOKENS = tuple(sorted(token_of(x).hex() for x in SCALARS))
SALT = RNG.randbytes(32)
DRAFT = SignalDraft("prv", "AML.T0054", SCALARS, (9, 7, 5, 3), band=2)
BODY = parse_signal(compose_signal(MESH, ISSUER, DRAFT, SALT, RNG.randbytes(64)).body)


def holds(mesh: Mesh, issuer: str, body: SignalBody, salt: bytes) -> bool:
    """Whether the severity proof holds; the holder proof, of the same context, must do as well."""
    severity = holder = True
    try:
        verify(statement_of(mesh, issuer, body, salt), body.severity.proof)
    except ProofEquationError:
        severity = False
    try:
        verify_holder(claim_of(mesh, issuer, body, salt))
    except HolderProofError:
        holder = False
    assert severity is holder
    return severity


def with_claim(**fields: Any) -> SignalBody:
    return BODY.model_copy(update={"severity": BODY.severity.model_copy(update=fields)})


def mesh_like(**fields: Any) -> Mesh:
    """The same mesh under other constraints."""
    constraints = MESH.constraints.model_copy(update=fields)
    return Mesh(MESH.mesh_id, constraints, MESH.note)


def test_it_verifies_where_it_was_made_for() -> None:
    assert holds(MESH, ISSUER, BODY, SALT)


def test_copied_into_another_issuers_signal() -> None:
    assert not holds(MESH, OTHER, BODY, SALT)


def test_copied_into_another_mesh() -> None:
    other = make_mesh(4, seed=1).mesh
    assert other.mesh_id != MESH.mesh_id
    assert not holds(other, ISSUER, BODY, SALT)
    # The same members and the same rules under another name are another mesh.
    renamed = found(founders(4), name="other").mesh
    assert not holds(renamed, ISSUER, BODY, SALT)


def test_copied_to_another_version_of_the_constraints() -> None:
    assert not holds(mesh_like(version=1, parent="ab" * 32), ISSUER, BODY, SALT)


@pytest.mark.parametrize("band", [1, 3, 4])
def test_copied_under_another_band(band: int) -> None:
    """Band 1 too: the claim says which threshold was proven."""
    assert not holds(MESH, ISSUER, with_claim(band=band), SALT)


def test_under_other_thresholds_for_the_same_band() -> None:
    bands = MESH.constraints.bands
    lower = (bands[0], bands[1].model_copy(update={"threshold": 29}), *bands[2:])
    assert not holds(mesh_like(bands=lower), ISSUER, BODY, SALT)


@pytest.mark.parametrize(
    "rubric",
    [
        RubricRule(components=(("capability_gain", 4), ("breadth", 2), ("ease", 2), ("x", 2))),
        RubricRule(component_max=11),
        RubricRule(
            components=(
                ("capability_gain", 5),
                ("breadth", 2),
                ("ease_of_weaponization", 2),
                ("discoverability", 1),
            )
        ),
    ],
)
def test_under_another_rubric(rubric: RubricRule) -> None:
    assert not holds(mesh_like(rubric=rubric), ISSUER, BODY, SALT)


def test_with_other_tokens() -> None:
    (other,) = random_scalars(RNG.randbytes(32), b"other", 1)
    for tokens in (TOKENS[:2], TOKENS[1:], TOKENS[::-1], (*TOKENS[:2], token_of(other).hex())):
        assert not holds(MESH, ISSUER, BODY.model_copy(update={"tokens": tokens}), SALT)


def test_with_another_salt() -> None:
    assert not holds(MESH, ISSUER, BODY, bytes(32))


def test_with_other_commitments() -> None:
    first, second, *rest = BODY.severity.commitments
    swapped = with_claim(commitments=(second, first, *rest))
    with pytest.raises(ProofEquationError):
        verify(statement_of(MESH, ISSUER, swapped, SALT), swapped.severity.proof)
    draft = SignalDraft("prv", "AML.T0054", SCALARS, (10, 10, 10, 10), band=2)
    other = parse_signal(compose_signal(MESH, ISSUER, draft, SALT, RNG.randbytes(64)).body)
    others = with_claim(commitments=other.severity.commitments)
    with pytest.raises(ProofEquationError):
        verify(statement_of(MESH, ISSUER, others, SALT), others.severity.proof)


@pytest.mark.parametrize("at", [0, 40, 300, 767])
def test_a_changed_byte_of_the_proof(at: int) -> None:
    proof = bytearray(BODY.severity.proof)
    proof[at] ^= 0x01
    with pytest.raises((SeverityProofError, PointError)):
        verify(statement_of(MESH, ISSUER, BODY, SALT), bytes(proof))


@pytest.mark.parametrize("point", [bytes(48), b"\xc0" + bytes(47), b"\x80" + bytes(47)])
def test_commitments_that_are_no_points_of_the_group(point: bytes) -> None:
    body = with_claim(commitments=(point, *BODY.severity.commitments[1:]))
    with pytest.raises((SeverityProofError, PointError)):
        verify(statement_of(MESH, ISSUER, body, SALT), body.severity.proof)


# The context's bytes


def test_the_contexts_bytes() -> None:
    def sized(data: bytes) -> bytes:
        return len(data).to_bytes(2, "big") + data

    parts = [
        (b"mesh", bytes.fromhex(MESH.mesh_id)),
        (b"version", bytes(8)),
        (b"rubric", MESH.constraints.rubric.digest),
        (b"issuer", ISSUER.encode()),
        (b"tokens", sha256(b"".join(bytes.fromhex(token) for token in TOKENS)).digest()),
        (b"threshold", (30).to_bytes(8, "big")),
        (b"salt", SALT),
    ]
    expected = sized(b"signal-mesh/v1/severity") + b"".join(
        sized(label) + sized(part) for label, part in parts
    )
    assert context_of(MESH, ISSUER, TOKENS, 30, SALT) == expected
    claim = claim_of(MESH, ISSUER, BODY, SALT)
    assert statement_of(MESH, ISSUER, BODY, SALT).context == claim.statement.context == expected
    holder = sized(b"signal-mesh/v1/holder") + expected.removeprefix(
        sized(b"signal-mesh/v1/severity")
    )
    assert claim.holder_context == holder


def test_each_part_changes_the_context() -> None:
    args: dict[str, Any] = {
        "mesh_id": "ab" * 32,
        "version": 1,
        "rubric_digest": bytes(32),
        "issuer": "a.example",
        "tokens": TOKENS,
        "threshold": 10,
        "salt": SALT,
    }
    others: dict[str, Any] = {
        "mesh_id": "ac" * 32,
        "version": 2,
        "rubric_digest": bytes(31) + b"\x01",
        "issuer": "b.example",
        "tokens": TOKENS[:2],
        "threshold": 11,
        "salt": bytes(32),
    }
    contexts = {severity_context(**args)}
    contexts |= {severity_context(**{**args, name: other}) for name, other in others.items()}
    contexts.add(severity_context(**args, label=HOLDER_LABEL))
    assert len(contexts) == len(others) + 2
