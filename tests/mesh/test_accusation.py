from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.accusation import RepeatedAccusationError, compose_accusation, parse_accusation
from mesh.constraints import MIN_BODY_BYTES
from mesh.entry import Kind
from mesh.errors import EntryError, MeshError
from mesh.evidence import MAX_SIZE, Evidence, EvidenceKind, verify_evidence
from mesh.names import MAX_NAME, check_name
from mesh.testing import OrgLog, found, founder, make_mesh
from proofs.checkpoint import Checkpoint, sign_checkpoint
from proofs.merkle import Frontier, range_nodes, root_from_ranges

WORLD = make_mesh(4)
LONGEST = check_name("a" * 60 + "." + "b" * (MAX_NAME - 61))


def test_an_accusation_is_evidence_as_it_travels() -> None:
    log = OrgLog(WORLD, 1)
    first, second = log.sign_root(3, bytes(32)), log.sign_root(3, b"\x01" * 32)
    evidence = Evidence(EvidenceKind.SPLIT, log.name, first, second)
    body = compose_accusation(evidence)
    assert parse_accusation(body) == evidence
    assert body == evidence.to_json()


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(MeshError):
        parse_accusation(data)


def test_an_accusation_is_an_entry_and_no_second_one_is() -> None:
    assert Kind("evidence") is Kind.EVIDENCE
    assert issubclass(RepeatedAccusationError, EntryError)


def test_any_evidence_fits_under_any_constraints() -> None:
    """However large a log its owner pretends to have signed, and however long its name is."""
    world = found([founder(0, name=LONGEST), *(founder(place) for place in range(1, 4))])
    mesh = world.mesh
    signer = world.member(LONGEST).log_signer(mesh.mesh_id)
    longest = 0
    sizes = [MAX_SIZE, MAX_SIZE // 2, MAX_SIZE // 2 + 1, MAX_SIZE - 1, MAX_SIZE // 3]
    for a, b in product(sizes, sizes):
        if not a < b:
            continue
        left = tuple(bytes([i]) * 32 for i in range(len(range_nodes(0, a))))
        right = tuple(bytes([i]) * 32 for i in range(len(range_nodes(a, b))))
        root = root_from_ranges(Frontier(a, left), right, b)
        first = sign_checkpoint(Checkpoint(signer.name, a, b"\xff" * 32), signer)
        second = sign_checkpoint(Checkpoint(signer.name, b, root), signer)
        evidence = Evidence(EvidenceKind.FORK, LONGEST, first, second, left, right)
        verify_evidence(mesh, evidence)
        body = compose_accusation(evidence)
        assert parse_accusation(body) == evidence
        longest = max(longest, len(body))
    assert 0.7 * MIN_BODY_BYTES < longest <= MIN_BODY_BYTES


@settings(max_examples=500, deadline=None)
@given(st.integers(0, MAX_SIZE), st.integers(0, MAX_SIZE))
def test_no_fork_needs_more_hashes_than_the_worst_of_these(one: int, other: int) -> None:
    a, b = sorted((one, other))
    worst = len(range_nodes(0, MAX_SIZE // 2)) + len(range_nodes(MAX_SIZE // 2, MAX_SIZE))
    assert len(range_nodes(0, a)) + len(range_nodes(a, b)) <= worst
