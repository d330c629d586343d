"""RFC 9497, appendix A.1: ristretto255-SHA512 in modes OPRF and VOPRF.

The same vectors are then met with the key split among m holders of whom t answer.
"""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from proofs.oprf import (
    Mode,
    blind_input,
    context_string,
    derive_key,
    evaluate,
    finalize,
    prove_evaluation,
    unblind,
    verify_evaluation,
)
from proofs.ristretto import (
    Element,
    Scalar,
    decode_element,
    decode_scalar,
    multiply_base,
    random_scalars,
)
from proofs.threshold.combining import combine
from proofs.threshold.feldman import commit, public_share
from proofs.threshold.shamir import evaluate_polynomial

COUNTS = {Mode.OPRF: 2, Mode.VOPRF: 3}
CASES = [(mode, number) for mode, count in COUNTS.items() for number in range(count)]
THRESHOLDS = [(1, 1), (2, 2), (2, 3), (3, 4), (3, 5), (5, 9)]


@pytest.fixture(scope="module")
def suites(vectors: Path) -> dict[Mode, dict[str, Any]]:
    read = json.loads((vectors / "rfc9497" / "allVectors.json").read_text())
    found = {
        Mode(suite["mode"]): suite
        for suite in read
        if suite["identifier"] == "ristretto255-SHA512" and suite["mode"] in tuple(Mode)
    }
    assert {mode: len(suite["vectors"]) for mode, suite in found.items()} == COUNTS
    return found


def parts(joined: str) -> list[bytes]:
    return [bytes.fromhex(part) for part in joined.split(",")]


def key_of(suite: dict[str, Any]) -> Scalar:
    return decode_scalar(bytes.fromhex(suite["skSm"]))


@pytest.mark.parametrize("mode", Mode)
def test_keys_and_tags(suites: dict[Mode, dict[str, Any]], mode: Mode) -> None:
    suite = suites[mode]
    seed, info = bytes.fromhex(suite["seed"]), bytes.fromhex(suite["keyInfo"])
    assert derive_key(seed, info, mode) == key_of(suite)
    assert b"HashToGroup-" + context_string(mode) == bytes.fromhex(suite["groupDST"])
    if mode is Mode.VOPRF:
        assert multiply_base(key_of(suite)) == bytes.fromhex(suite["pkSm"])


@pytest.mark.parametrize(("mode", "number"), CASES)
def test_vectors(suites: dict[Mode, dict[str, Any]], mode: Mode, number: int) -> None:
    suite = suites[mode]
    key, vector = key_of(suite), suite["vectors"][number]
    inputs = parts(vector["Input"])
    blinds = [decode_scalar(blind) for blind in parts(vector["Blind"])]
    assert len(inputs) == len(blinds) == vector["Batch"]

    blinded = [blind_input(data, blind, mode) for data, blind in zip(inputs, blinds, strict=True)]
    assert blinded == parts(vector["BlindedElement"])
    assert all(decode_element(element) for element in blinded)
    evaluated = evaluate(key, blinded)
    assert list(evaluated) == parts(vector["EvaluationElement"])
    if mode is Mode.VOPRF:
        nonce = decode_scalar(bytes.fromhex(vector["Proof"]["r"]))
        public = multiply_base(key)
        proof = prove_evaluation(key, public, blinded, evaluated, nonce)
        assert proof == bytes.fromhex(vector["Proof"]["proof"])
        verify_evaluation(public, blinded, evaluated, proof)
    outputs = [
        finalize(data, unblind(element, blind))
        for data, element, blind in zip(inputs, evaluated, blinds, strict=True)
    ]
    assert outputs == parts(vector["Output"])


@pytest.mark.parametrize(("threshold", "holders"), THRESHOLDS)
@pytest.mark.parametrize(("mode", "number"), CASES)
def test_vectors_with_a_shared_key(
    suites: dict[Mode, dict[str, Any]], mode: Mode, number: int, threshold: int, holders: int
) -> None:
    suite = suites[mode]
    key, vector = key_of(suite), suite["vectors"][number]
    inputs = parts(vector["Input"])
    blinds = [decode_scalar(blind) for blind in parts(vector["Blind"])]
    blinded = [blind_input(data, blind, mode) for data, blind in zip(inputs, blinds, strict=True)]
    polynomial = [key, *random_scalars(bytes(32), b"polynomial", threshold - 1)]
    commitments = commit(polynomial)
    answers: dict[int, tuple[Element, ...]] = {}
    for index in range(1, holders + 1):
        share = evaluate_polynomial(polynomial, index)
        public = public_share(commitments, index)
        answers[index] = evaluate(share, blinded)
        (nonce,) = random_scalars(bytes(32), b"nonce %d" % index, 1)
        proof = prove_evaluation(share, public, blinded, answers[index], nonce)
        verify_evaluation(public, blinded, answers[index], proof)

    groups = list(combinations(answers, threshold))
    for group in groups[:20]:
        partials = {index: answers[index] for index in group}
        assert list(combine(partials)) == parts(vector["EvaluationElement"])
        unblinded = combine(partials, blinds)
        outputs = [finalize(data, element) for data, element in zip(inputs, unblinded, strict=True)]
        assert outputs == parts(vector["Output"])
    # More than are needed agree as well; one fewer gives something else.
    assert list(combine(answers)) == parts(vector["EvaluationElement"])
    if threshold > 1:
        few = {index: answers[index] for index in groups[0][:-1]}
        assert list(combine(few)) != parts(vector["EvaluationElement"])
