from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.constraints import UnknownMemberError
from mesh.errors import MeshError
from mesh.evidence import (
    MAX_CHECKPOINT,
    Evidence,
    EvidenceError,
    EvidenceFormatError,
    EvidenceKind,
    EvidenceSignatureError,
    UnprovenEvidenceError,
    split_evidence,
    verify_evidence,
)
from mesh.strictjson import dumps, loads
from mesh.testing import OrgLog, make_mesh
from proofs.merkle import range_nodes
from proofs.note import add_signatures, sign_note

WORLD = make_mesh(4)
MESH = WORLD.mesh
NAME = WORLD.member(0).name
LENGTH = 40


def plain_log(member: int = 0, length: int = LENGTH, tag: bytes = b"") -> OrgLog:
    log = OrgLog(WORLD, member)
    for index in range(length):
        log.append_note(b"entry %d" % index + tag)
    return log


def branch(log: OrgLog, at: int, length: int = LENGTH) -> OrgLog:
    other = log.fork(at)
    for index in range(at, length):
        other.append_note(b"another entry %d" % index)
    return other


HONEST = plain_log()
FORKED = branch(HONEST, 13)


def fork_evidence(first: OrgLog, a: int, second: OrgLog, b: int) -> Evidence:
    return Evidence(
        EvidenceKind.FORK,
        NAME,
        first.checkpoint(a),
        second.checkpoint(b),
        tuple(second.nodes(range_nodes(0, a))),
        tuple(second.nodes(range_nodes(a, b))),
    )


def signed_twice(size: int = 20) -> Evidence:
    return Evidence(EvidenceKind.SPLIT, NAME, HONEST.checkpoint(size), FORKED.checkpoint(size))


# --- true evidence --------------------------------------------------------------------------------


def test_two_roots_of_one_size_convict() -> None:
    verify_evidence(MESH, signed_twice())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_fork_is_proven_between_any_two_sizes_past_it(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, LENGTH - 2))
    a = data.draw(st.integers(at + 1, LENGTH - 1))
    b = data.draw(st.integers(a + 1, LENGTH))
    other = branch(HONEST, at)
    for first, second in ((HONEST, other), (other, HONEST)):
        evidence = fork_evidence(first, a, second, b)
        verify_evidence(MESH, evidence)
        assert Evidence.from_json(evidence.to_json()) == evidence


@pytest.mark.parametrize("evidence", [signed_twice(), fork_evidence(HONEST, 16, FORKED, 33)])
def test_evidence_travels_as_strict_json(evidence: Evidence) -> None:
    again = Evidence.from_json(evidence.to_json())
    assert again == evidence
    assert again.kind is evidence.kind
    verify_evidence(MESH, again)
    assert again.reason


def test_a_log_that_signed_a_root_for_size_nothing_is_convicted_by_any_later_checkpoint() -> None:
    first = HONEST.sign_root(0, bytes(32))
    evidence = replace(fork_evidence(HONEST, 0, HONEST, 5), first=first)
    verify_evidence(MESH, evidence)


# --- an honest log can't be framed ----------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_checkpoints_of_one_history_convict_nobody(data: st.DataObject) -> None:
    a = data.draw(st.integers(0, LENGTH))
    b = data.draw(st.integers(0, LENGTH))
    kind = data.draw(st.sampled_from(EvidenceKind))
    source = data.draw(st.sampled_from([HONEST, FORKED]))
    left = tuple(source.nodes(range_nodes(0, min(a, b))))
    right = tuple(source.nodes(range_nodes(min(a, b), max(a, b))))
    if data.draw(st.booleans()):
        left = right = ()
    evidence = Evidence(kind, NAME, HONEST.checkpoint(a), HONEST.checkpoint(b), left, right)
    with pytest.raises(EvidenceError):
        verify_evidence(MESH, evidence)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_altered_hashes_frame_no_honest_log(data: st.DataObject) -> None:
    a = data.draw(st.integers(1, LENGTH - 1))
    b = data.draw(st.integers(a + 1, LENGTH))
    evidence = fork_evidence(HONEST, a, HONEST, b)
    hashes = [*evidence.left, *evidence.right]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(hashes) - 1))
        how = data.draw(st.sampled_from(["flip", "drop", "repeat", "swap", "shift", "random"]))
        match how:
            case "flip":
                changed = bytearray(hashes[place])
                if changed:
                    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1
                hashes[place] = bytes(changed)
            case "drop":
                if len(hashes) > 1:
                    del hashes[place]
            case "repeat":
                hashes.insert(place, hashes[place])
            case "swap":
                other = data.draw(st.integers(0, len(hashes) - 1))
                hashes[place], hashes[other] = hashes[other], hashes[place]
            case "shift":
                if place + 1 < len(hashes):
                    joined = hashes[place] + hashes[place + 1]
                    cut = data.draw(st.integers(0, len(joined)))
                    hashes[place], hashes[place + 1] = joined[:cut], joined[cut:]
            case _:
                hashes[place] = data.draw(st.binary(min_size=32, max_size=32))
    cut = data.draw(st.integers(0, len(hashes)))
    framed = replace(evidence, left=tuple(hashes[:cut]), right=tuple(hashes[cut:]))
    with pytest.raises(EvidenceError):
        verify_evidence(MESH, framed)


def test_bytes_moved_between_neighbouring_hashes_frame_nobody() -> None:
    # 31 and 33 bytes hash to the same parent as 32 and 32, and the left part folds to another root.
    honest = fork_evidence(HONEST, 1, HONEST, 2)
    (left,), (right,) = honest.left, honest.right
    framed = replace(honest, left=(left[:31],), right=(left[31:] + right,))
    with pytest.raises(EvidenceFormatError):
        verify_evidence(MESH, framed)


def test_the_older_part_of_a_fork_is_one_history() -> None:
    for b in (14, 30):
        with pytest.raises(UnprovenEvidenceError):
            verify_evidence(MESH, fork_evidence(HONEST, 13, FORKED, b))


def test_hashes_that_do_not_lead_to_the_signed_root_prove_nothing() -> None:
    evidence = replace(fork_evidence(HONEST, 20, HONEST, 30), second=FORKED.checkpoint(30))
    with pytest.raises(UnprovenEvidenceError):
        verify_evidence(MESH, evidence)


def test_one_checkpoint_twice_is_no_split() -> None:
    evidence = signed_twice()
    with pytest.raises(UnprovenEvidenceError):
        verify_evidence(MESH, replace(evidence, second=evidence.first))


def test_two_sizes_are_no_split() -> None:
    with pytest.raises(UnprovenEvidenceError):
        verify_evidence(MESH, replace(signed_twice(), second=HONEST.checkpoint(21)))


def test_a_split_carries_no_hashes() -> None:
    with pytest.raises(EvidenceFormatError):
        verify_evidence(MESH, replace(signed_twice(), left=(bytes(32),)))


@pytest.mark.parametrize(("a", "b"), [(30, 20), (20, 20)])
def test_a_fork_names_the_smaller_checkpoint_first(a: int, b: int) -> None:
    true = fork_evidence(HONEST, 20, FORKED, 30)
    evidence = replace(true, first=HONEST.checkpoint(a), second=FORKED.checkpoint(b))
    with pytest.raises(EvidenceFormatError):
        verify_evidence(MESH, evidence)


def test_an_older_checkpoint_is_no_evidence_of_any_kind() -> None:
    """Every log has signed smaller ones, and whoever serves it may be behind."""
    assert set(EvidenceKind) == {"fork", "split"}
    with pytest.raises(MeshError):
        Evidence.from_json(signed_twice().to_json().replace(b'"split"', b'"shrink"'))


def test_two_checkpoints_of_one_size_are_made_evidence_if_they_are() -> None:
    cosigned = HONEST.certificate(20), FORKED.certificate(20)
    assert split_evidence(MESH, NAME, *cosigned) == signed_twice()
    with pytest.raises(UnprovenEvidenceError):
        split_evidence(MESH, NAME, HONEST.certificate(20), HONEST.checkpoint(20))
    with pytest.raises(UnprovenEvidenceError):
        split_evidence(MESH, NAME, HONEST.checkpoint(21), FORKED.checkpoint(20))
    with pytest.raises(EvidenceSignatureError):
        split_evidence(MESH, NAME, HONEST.checkpoint(20), plain_log(1).checkpoint(20))
    with pytest.raises(UnknownMemberError):
        split_evidence(MESH, "stranger.example", *cosigned)


# --- signatures -----------------------------------------------------------------------------------


def test_checkpoints_of_another_member_convict_nobody_else() -> None:
    other = WORLD.member(1).name
    for evidence in (signed_twice(), fork_evidence(HONEST, 16, FORKED, 33)):
        with pytest.raises(EvidenceSignatureError):
            verify_evidence(MESH, replace(evidence, log=other))


@pytest.mark.parametrize("which", ["first", "second"])
def test_both_checkpoints_must_be_signed(which: str) -> None:
    evidence = signed_twice()
    note = getattr(evidence, which)
    altered = replace(evidence, **{which: note.replace(b"\n20\n", b"\n21\n")})
    with pytest.raises(EvidenceSignatureError):
        verify_evidence(MESH, altered)


def test_the_same_members_log_in_another_mesh_is_another_log() -> None:
    elsewhere = make_mesh(5)
    with pytest.raises(EvidenceSignatureError):
        verify_evidence(elsewhere.mesh, signed_twice())


def test_only_members_can_be_accused() -> None:
    with pytest.raises(UnknownMemberError):
        verify_evidence(MESH, replace(signed_twice(), log="stranger.example"))


def test_an_oversize_checkpoint_is_not_read() -> None:
    evidence = replace(signed_twice(), first=b"x" * (MAX_CHECKPOINT + 1))
    with pytest.raises(EvidenceFormatError, match="at most"):
        verify_evidence(MESH, evidence)


@pytest.mark.parametrize("which", ["first", "second"])
def test_evidence_has_room_for_bare_checkpoints_only(which: str) -> None:
    """Whatever else stood in them would keep evidence from fitting an entry."""
    evidence = signed_twice()
    log = HONEST if which == "first" else FORKED
    note: bytes = getattr(evidence, which)
    signer = log.member.log_signer(MESH.mesh_id)
    text = note.partition(b"\n\n")[0].decode()
    extended = sign_note(f"{text}\nmore\n", (signer,))
    for other in (
        add_signatures(note, [log.member.card_witness]),
        log.certificate(20, by=[NAME]),
        note + note.splitlines(keepends=True)[-1],
        extended,
    ):
        with pytest.raises(EvidenceFormatError):
            verify_evidence(MESH, replace(evidence, **{which: other}))


# --- the encoding ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "rumour"},
        {"extra": 1},
        {"left": ["00"]},
        {"left": ["00" * 32] * 80},
        {"first": "no base64"},
        {"log": None},
    ],
)
def test_malformed_evidence_is_refused(change: dict[str, object]) -> None:
    value = {**loads(signed_twice().to_json()), **change}
    with pytest.raises(MeshError):
        Evidence.from_json(dumps(value))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(MeshError):
        Evidence.from_json(data)
