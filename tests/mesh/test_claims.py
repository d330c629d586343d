"""A signal's two proofs: who republishes another's tokens is found out, and nobody else is hurt."""

import json
import pickle
from base64 import b64encode
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest

from mesh import claims as claims_module
from mesh.claims import Claim, claim_of, verify_claims, verify_holder
from mesh.severity import HOLDER_LABEL, context_of, rubric_of
from mesh.signal import SignalBody, compose_signal, parse_signal
from mesh.testing import Lie, MadeSignal, forge_signal, make_mesh, make_signal
from mesh.testing.signals import random_draft, random_token_scalars
from proofs.errors import ProofsError
from proofs.holder import (
    FalseHolderProofError,
    HolderProofFormatError,
    NoTokensError,
    RepeatedTokenError,
    prove_holding,
    token_of,
)
from proofs.pedersen import blinding_from_bytes
from proofs.ristretto import InvalidElementError, multiply_base, random_scalars
from proofs.severity import (
    HINT_BYTES,
    EntropyError,
    ProofEquationError,
    commit_components,
    hint,
    prove,
    verify,
    verify_batch,
)

MESH = make_mesh(4).mesh
VICTIM, THIEF = MESH.members[0].name, MESH.members[1].name
ENTROPY = bytes(range(32))


def made(issuer: str = VICTIM, seed: int = 1) -> MadeSignal:
    rng = Random(seed)
    draft = replace(random_draft(MESH, rng), token_scalars=random_token_scalars(rng, 3))
    return make_signal(MESH, issuer, rng, draft)


GOOD = made()
BODY = parse_signal(GOOD.body)


def claim(signal: MadeSignal = GOOD, issuer: str = "", **fields: Any) -> Claim:
    body = SignalBody.parse({**json.loads(signal.body), **fields})
    return claim_of(MESH, issuer or signal.issuer, body, signal.salt)


def verdict(one: Claim) -> ProofsError | None:
    (error,) = verify_claims([one], ENTROPY)
    return error


def as_text(proof: bytes) -> str:
    return b64encode(proof).decode()


@cache
def stolen_severity() -> tuple[bytes, dict[str, Any]]:
    """The thief's own true scores, proven for the victim's tokens under the thief's name."""
    rng, components = Random(9), (9, 7, 5, 3)
    blindings = [blinding_from_bytes(rng.randbytes(64)) for _ in components]
    salt = rng.randbytes(32)
    context = context_of(MESH, THIEF, BODY.tokens, 50, salt)
    proof = prove(
        rubric_of(MESH.constraints), 50, components, blindings, context, rng.randbytes(64)
    )
    commitments = [as_text(each) for each in commit_components(components, blindings)]
    return salt, {"band": 3, "commitments": commitments, "proof": as_text(proof)}


def republished(holder: bytes) -> Claim:
    """The victim's tokens in a signal of the thief's, right in everything but the holder proof."""
    salt, severity = stolen_severity()
    body = SignalBody.parse(
        {**json.loads(GOOD.body), "severity": severity, "holder": as_text(holder)}
    )
    return claim_of(MESH, THIEF, body, salt)


def thiefs_context() -> bytes:
    return context_of(MESH, THIEF, BODY.tokens, 50, stolen_severity()[0], HOLDER_LABEL)


def test_an_honest_signals_claim_holds() -> None:
    one = claim()
    verify(one.statement, one.proof)
    verify_holder(one)
    assert verdict(one) is None
    assert pickle.loads(pickle.dumps(one)) == one


def test_nobody_republishes_anothers_tokens() -> None:
    """All that the thief lacks is the scalars: with them the same signal would hold."""
    k, z = random_scalars(bytes(32), b"made up", 2)
    other = random_token_scalars(Random(2), 3)
    for holder in (
        BODY.holder,
        multiply_base(k) + z,
        prove_holding(other, thiefs_context(), bytes(32)),
        bytes(64),
    ):
        stolen = republished(holder)
        verify(stolen.statement, stolen.proof)
        with pytest.raises((FalseHolderProofError, HolderProofFormatError)):
            verify_holder(stolen)
        assert isinstance(verdict(stolen), (FalseHolderProofError, HolderProofFormatError))
    scalars = sorted(GOOD.draft.token_scalars, key=token_of)
    assert verdict(republished(prove_holding(scalars, thiefs_context(), bytes(32)))) is None


def test_one_token_of_anothers_is_enough_to_be_refused() -> None:
    """Two tokens of the thief's own beside one of the victim's, for which it puts a third."""
    own = sorted(random_token_scalars(Random(4), 3), key=token_of)
    tokens = sorted([BODY.tokens[0], *(token_of(x).hex() for x in own[:2])])
    context = context_of(MESH, THIEF, tokens, 50, bytes(32), HOLDER_LABEL)
    mixed = replace(
        claim(),
        tokens=tuple(bytes.fromhex(token) for token in tokens),
        holder_context=context,
        holder_proof=prove_holding(own, context, bytes(32)),
    )
    with pytest.raises(FalseHolderProofError):
        verify_holder(mixed)
    right = tuple(token_of(x) for x in own)
    verify_holder(replace(mixed, tokens=right))


def test_a_holder_proof_copied_from_another_issuers_signal() -> None:
    """The whole signal, salt included, under the thief's name; and only its holder proof."""
    assert isinstance(verdict(claim(issuer=THIEF)), FalseHolderProofError)
    copied = forge_signal(MESH, THIEF, Lie.COPIED_HOLDER, Random(3))
    one = claim(copied)
    verify(one.statement, one.proof)
    assert isinstance(verdict(one), FalseHolderProofError)


def test_a_severity_proof_is_no_holder_proofs_business() -> None:
    """A proof made in the severity proof's context is none in the holder proof's."""
    scalars = sorted(GOOD.draft.token_scalars, key=token_of)
    threshold = MESH.constraints.band(BODY.severity.band).threshold
    context = context_of(MESH, VICTIM, BODY.tokens, threshold, GOOD.salt)
    wrong = prove_holding(scalars, context, bytes(32))
    assert isinstance(verdict(claim(holder=as_text(wrong))), FalseHolderProofError)


def test_a_token_list_in_another_order() -> None:
    """It does not parse; and were it read, the proof is about the tokens in their order."""
    one = claim()
    for tokens in (one.tokens[::-1], (one.tokens[1], one.tokens[0], one.tokens[2])):
        with pytest.raises(FalseHolderProofError):
            verify_holder(replace(one, tokens=tokens))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"holder_proof": bytes(64)}, HolderProofFormatError),
        ({"holder_proof": b""}, HolderProofFormatError),
        ({"tokens": ()}, NoTokensError),
        ({"holder_context": b""}, FalseHolderProofError),
    ],
)
def test_what_else_is_refused(fields: dict[str, Any], error: type[ProofsError]) -> None:
    assert isinstance(verdict(replace(claim(), **fields)), error)


def test_tokens_that_are_no_elements() -> None:
    one = claim()
    for bad in (bytes(32), b"\xff" * 32, b"\x01" + bytes(31)):
        assert isinstance(verdict(replace(one, tokens=(bad,))), InvalidElementError)
    assert isinstance(verdict(replace(one, tokens=one.tokens[:1] * 2)), RepeatedTokenError)


def test_each_signal_gets_its_own_verdict() -> None:
    """False ones of either kind among true ones, in any place."""
    lies = [forge_signal(MESH, VICTIM, lie, Random(lie.name)) for lie in Lie]
    signals = [GOOD, *lies, made(THIEF, 5)]
    Random(1).shuffle(signals)
    batch = [claim(signal) for signal in signals]
    verdicts = verify_claims(batch, ENTROPY)
    assert [type(each) for each in verdicts] == [type(verdict(one)) for one in batch]
    true = [signal for signal, error in zip(signals, verdicts, strict=True) if error is None]
    assert len(true) == 2
    assert {signal.issuer for signal in true} == {VICTIM, THIEF}
    assert verify_claims([], ENTROPY) == []


@pytest.mark.parametrize("lie", Lie)
def test_every_lie_is_refused_for_the_one_proof_that_is_false(lie: Lie) -> None:
    one = claim(forge_signal(MESH, VICTIM, lie, Random(6)))
    if lie in {Lie.NO_HOLDER, Lie.COPIED_HOLDER}:
        verify(one.statement, one.proof)
        assert isinstance(verdict(one), FalseHolderProofError)
    else:
        verify_holder(one)
        assert type(verdict(one)) is type(verify_batch([(one.statement, one.proof)], ENTROPY)[0])
        assert verdict(one) is not None


def test_false_holder_proofs_stay_out_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A false severity proof costs the batch a search: not for who did not hold its tokens."""
    batches: list[int] = []

    def counted(batch: list[Any], entropy: bytes, **hints: Any) -> list[ProofsError | None]:
        batches.append(len(batch))
        return verify_batch(batch, entropy, **hints)

    monkeypatch.setattr(claims_module, "verify_batch", counted)
    both = claim(forge_signal(MESH, VICTIM, Lie.ALTERED_PROOF, Random(7)), issuer=THIEF)
    first, second = verify_claims([both, claim()], ENTROPY)
    assert isinstance(first, FalseHolderProofError)
    assert second is None
    assert batches == [1]


def test_the_severity_batch_needs_entropy() -> None:
    with pytest.raises(EntropyError):
        verify_claims([claim()], bytes(31))


def test_a_claims_severity_proof_is_verified() -> None:
    altered = bytes([*BODY.severity.proof[:-1], BODY.severity.proof[-1] ^ 1])
    assert isinstance(verdict(replace(claim(), proof=altered)), ProofEquationError)


def test_a_hint_spares_time_and_changes_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[list[bytes]] = []

    def told(batch: list[Any], entropy: bytes, *, hints: list[bytes]) -> Any:
        handed.append(hints)
        return verify_batch(batch, entropy, hints=hints)

    monkeypatch.setattr(claims_module, "verify_batch", told)
    true = hint(BODY.severity.commitments, BODY.severity.proof)
    lost = claim(forge_signal(MESH, VICTIM, Lie.NO_HOLDER, Random(8)))
    hinted, odd = replace(claim(), hint=true), replace(claim(), hint=bytes(HINT_BYTES))
    verdicts = verify_claims([lost, hinted, odd, claim()], ENTROPY)
    assert [error is None for error in verdicts] == [False, True, True, True]
    assert handed == [[true, bytes(HINT_BYTES), b""]], "each goes with its own proof"
    assert pickle.loads(pickle.dumps(hinted)).hint == true
    assert hinted == claim(), "it is no part of what is claimed"


def test_a_composed_signal_comes_with_its_hint() -> None:
    rng = Random(11)
    draft = replace(random_draft(MESH, rng), token_scalars=random_token_scalars(rng, 1))
    composed = compose_signal(MESH, VICTIM, draft, bytes(32), rng.randbytes(64))
    severity = parse_signal(composed.body).severity
    assert composed.hint == hint(severity.commitments, severity.proof)
