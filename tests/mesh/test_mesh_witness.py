"""The witness's rules: every answer of C2SP tlog-witness, in its order."""

from base64 import b64encode
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.testing import OrgLog, make_mesh
from mesh.witness import (
    MAX_CHECKPOINT,
    MAX_PROOF_HASHES,
    MAX_REQUEST,
    AddCheckpoint,
    BadConsistencyError,
    ForeignCheckpointError,
    Judged,
    MalformedRequestError,
    OldAboveNewError,
    SplitCheckpointError,
    StaleOldSizeError,
    UnknownOriginError,
    Witnessed,
    WitnessError,
    decode_size,
    encode_size,
    judge,
    log_of,
    member_of,
    origin_of,
)
from proofs.checkpoint import Checkpoint, sign_checkpoint
from proofs.cosignature import cosign, verify_cosignature
from proofs.merkle import EMPTY_ROOT, MAX_SIZE, consistency_proof, range_nodes
from proofs.note import Signer, add_signatures, parse_note, sign_note

WORLD = make_mesh(4)
MESH = WORLD.mesh
OWNER = WORLD.member(0)
LOG = OrgLog(WORLD, OWNER)
for number in range(20):
    LOG.append_note(b"entry %d" % number)
TWIN = LOG.fork(5)
for number in range(15):
    TWIN.append_note(b"another entry %d" % number)
SIZES = range(LOG.size + 1)
KNOWN = [Witnessed(size, LOG.frontier(size).root()) for size in SIZES]


def proof(old: int, new: int, log: OrgLog = LOG) -> tuple[bytes, ...]:
    return tuple(consistency_proof(old, new, log.nodes)) if 0 < old <= new else ()


def request(old: int, new: int, log: OrgLog = LOG) -> AddCheckpoint:
    return AddCheckpoint(old, proof(old, new, log), log.checkpoint(new))


def signed(text: str, signer: Signer | None = None) -> bytes:
    return sign_note(text, [signer or OWNER.log_signer(MESH.mesh_id)])


def with_note(note: bytes) -> AddCheckpoint:
    return AddCheckpoint(0, (), note)


# --- the request


def test_the_form_of_the_specification() -> None:
    hashes = tuple(bytes([n]) * 32 for n in range(2))
    made = AddCheckpoint(20_852_014, hashes, LOG.checkpoint())
    lines = [b64encode(one).decode() for one in hashes]
    assert made.encode().decode() == (
        f"old 20852014\n{lines[0]}\n{lines[1]}\n\n{LOG.checkpoint().decode()}"
    )
    assert AddCheckpoint(0, (), LOG.checkpoint()).encode() == b"old 0\n\n" + LOG.checkpoint()


@given(
    st.integers(0, MAX_SIZE),
    st.lists(st.binary(min_size=32, max_size=32), max_size=MAX_PROOF_HASHES),
    st.binary(max_size=300),
)
def test_requests_round_trip(old: int, hashes: list[bytes], note: bytes) -> None:
    made = AddCheckpoint(old, tuple(hashes), note)
    assert AddCheckpoint.parse(made.encode()) == made


@given(st.data())
@settings(deadline=None)
def test_a_changed_byte_is_refused_or_is_another_request(data: st.DataObject) -> None:
    made = request(3, 7)
    body = bytearray(made.encode())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    try:
        read = AddCheckpoint.parse(bytes(body))
    except MalformedRequestError:
        return
    assert read != made
    assert read.encode() == bytes(body)
    with pytest.raises(WitnessError):
        judge(MESH, read, KNOWN[3])


@pytest.mark.parametrize(
    "head",
    [
        "",
        "old",
        "old ",
        "old  3",
        "old 03",
        "old 00",
        "old +3",
        "old -0",
        "old 3 ",
        " old 3",
        "OLD 3",
        "old\t3",
        "old 3\r",
        "old 1_0",
        "old 0x3",
        "old ٤",
        "old ４",
        f"old {2**63}",
        "old " + "9" * 30,
        "new 3",
        "3",
        "\nold 3",
        "old 3\nold 3",
        "old 3\nAAAA",
        "old 3\n" + b64encode(bytes(31)).decode(),
        "old 3\n" + b64encode(bytes(33)).decode(),
        "old 3\n" + b64encode(bytes(32)).decode()[:-1],
        "old 3\n" + b64encode(bytes(32)).decode()[:-2] + "B=",
        "old 3\n" + b64encode(bytes(32)).decode().replace("A", "-", 1),
        "old 3\n " + b64encode(bytes(32)).decode(),
        "old 3\n" + "\n".join([b64encode(bytes(32)).decode()] * 64),
    ],
)
def test_heads_that_are_refused(head: str) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        AddCheckpoint.parse(head.encode() + b"\n\n" + LOG.checkpoint())
    assert refused.value.status == 400


def test_a_request_without_a_gap_or_past_its_limit() -> None:
    for body in (b"", b"old 0\n", b"old 0", b"\n\n"):
        with pytest.raises(MalformedRequestError):
            AddCheckpoint.parse(body)
    with pytest.raises(MalformedRequestError, match="at most"):
        AddCheckpoint.parse(b"old 0\n\n" + b"x" * MAX_REQUEST)
    largest = AddCheckpoint(MAX_SIZE, (bytes(32),) * MAX_PROOF_HASHES, b"x" * MAX_CHECKPOINT)
    assert len(largest.encode()) <= MAX_REQUEST
    assert AddCheckpoint.parse(largest.encode()) == largest


@pytest.mark.parametrize(
    ("old", "hashes"),
    [(-1, ()), (2**63, ()), (1, (bytes(31),)), (1, (bytes(32),) * 64)],
)
def test_what_cannot_be_a_request(old: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedRequestError):
        AddCheckpoint(old, hashes, LOG.checkpoint())


# --- whose log it is


def test_the_origin_leads_to_the_log() -> None:
    origin = MESH.log_key(OWNER.name).name
    assert origin_of(request(0, 3)) == origin
    assert log_of(MESH, request(0, 3)) == member_of(MESH, origin) == OWNER.name
    assert {member_of(MESH, MESH.log_key(card.name).name) for card in MESH.members} == {
        card.name for card in MESH.members
    }


@pytest.mark.parametrize("note", [b"", b"x", LOG.checkpoint()[:-1], b"\xff" + LOG.checkpoint()])
def test_a_request_that_ends_in_no_note(note: bytes) -> None:
    for refused in (origin_of, lambda made: log_of(MESH, made)):
        with pytest.raises(MalformedRequestError):
            refused(with_note(note))


def test_a_checkpoint_is_not_read_without_bound() -> None:
    note = LOG.checkpoint() + b"\xe2\x80\x94 w.example AAAAAAAA\n" * 100
    assert log_of(MESH, with_note(note)) == OWNER.name
    long = b"\xe2\x80\x94 w.example " + b64encode(bytes(MAX_CHECKPOINT * 3 // 4)) + b"\n"
    with pytest.raises(MalformedRequestError, match="at most"):
        origin_of(with_note(LOG.checkpoint() + long))


@pytest.mark.parametrize(
    "origin",
    [
        "stranger.example/0123456789abcdef",
        OWNER.name,
        f"{OWNER.name}/0123456789abcdef",
        MESH.log_key(OWNER.name).name + "0",
        MESH.log_key(OWNER.name).name.upper(),
    ],
)
def test_an_unknown_origin(origin: str) -> None:
    signer = Signer(origin, OWNER.log_seed)
    note = sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), signer)
    with pytest.raises(UnknownOriginError) as refused:
        judge(MESH, with_note(note), Witnessed())
    assert refused.value.status == 404


def test_a_signature_that_is_not_the_logs() -> None:
    text = parse_note(LOG.checkpoint(0)).text
    log_signer = OWNER.log_signer(MESH.mesh_id)
    for signer in (
        WORLD.member(1).log_signer(MESH.mesh_id),
        OWNER.identity,
        OWNER.card_witness,
        Signer(log_signer.name, OWNER.identity.seed),
    ):
        with pytest.raises(ForeignCheckpointError) as refused:
            judge(MESH, with_note(signed(text, signer)), Witnessed())
        assert refused.value.status == 403
    bent = LOG.checkpoint(3).replace(b"\n3\n", b"\n4\n")
    with pytest.raises(ForeignCheckpointError):
        judge(MESH, with_note(bent), Witnessed())


def test_other_signatures_do_not_matter() -> None:
    stranger = Signer("stranger.example", bytes(32))
    note = add_signatures(LOG.checkpoint(3), [stranger])
    assert judge(MESH, with_note(note), Witnessed()).size == 3
    assert judge(MESH, with_note(LOG.certificate(3)), Witnessed()).size == 3


@pytest.mark.parametrize("bend", [lambda text: text + "extension\n", lambda text: text + "\nx\n"])
def test_a_checkpoint_has_three_lines(bend: object) -> None:
    assert callable(bend)
    note = signed(bend(parse_note(LOG.checkpoint(3)).text))
    with pytest.raises(MalformedRequestError) as refused:
        judge(MESH, with_note(note), Witnessed())
    assert refused.value.status == 400


# --- from where to where


@pytest.mark.parametrize("old", SIZES)
def test_every_growth_is_cosigned(old: int) -> None:
    for new in range(old, LOG.size + 1):
        judged = judge(MESH, request(old, new), KNOWN[old])
        assert judged == Judged(OWNER.name, new, KNOWN[new].root, judged.text)
        assert judged.text == parse_note(LOG.checkpoint(new)).text
        line = cosign(judged.text, WORLD.member(1).witness, 7)
        assert verify_cosignature(judged.text, line, WORLD.member(1).card.witness_key) == 7


def test_before_the_first_checkpoint() -> None:
    assert Witnessed() == Witnessed(0, EMPTY_ROOT) == KNOWN[0]


def test_old_above_new() -> None:
    with pytest.raises(OldAboveNewError) as refused:
        judge(MESH, AddCheckpoint(9, (), LOG.checkpoint(8)), KNOWN[9])
    assert refused.value.status == 400
    # Before anything is told about what was cosigned.
    with pytest.raises(OldAboveNewError):
        judge(MESH, AddCheckpoint(9, (), LOG.checkpoint(8)), KNOWN[3])


def test_a_stale_old_size_is_told_the_right_one() -> None:
    for old, new, known in ((0, 8, 5), (4, 8, 5), (6, 8, 5), (0, 0, 5), (8, 8, 20), (3, 8, 0)):
        with pytest.raises(StaleOldSizeError) as refused:
            judge(MESH, request(old, new), KNOWN[known])
        assert (refused.value.status, refused.value.size) == (409, known)
        assert decode_size(encode_size(refused.value.size)) == known


def test_the_signature_comes_before_the_size() -> None:
    """Who did not sign as the log learns nothing of what was cosigned."""
    forged = signed(parse_note(LOG.checkpoint(8)).text, WORLD.member(1).log_signer(MESH.mesh_id))
    with pytest.raises(ForeignCheckpointError):
        judge(MESH, with_note(forged), KNOWN[5])


def test_a_second_root_for_one_size() -> None:
    for size in (6, 20):
        made = AddCheckpoint(size, (), TWIN.checkpoint(size))
        with pytest.raises(SplitCheckpointError) as refused:
            judge(MESH, made, KNOWN[size])
        assert refused.value.status == 422
    # The same root again is no split, and may be cosigned again.
    assert judge(MESH, request(20, 20), KNOWN[20]).size == 20
    empty = LOG.sign_root(0, bytes(32))
    with pytest.raises(SplitCheckpointError):
        judge(MESH, with_note(empty), Witnessed())


def test_another_history_is_not_cosigned() -> None:
    for old in range(6, 20):
        made = AddCheckpoint(old, proof(old, 20, TWIN), TWIN.checkpoint(20))
        with pytest.raises(BadConsistencyError) as refused:
            judge(MESH, made, KNOWN[old])
        assert refused.value.status == 422
        # Nor with the honest history's proof.
        with pytest.raises(BadConsistencyError):
            judge(MESH, AddCheckpoint(old, proof(old, 20), TWIN.checkpoint(20)), KNOWN[old])
    # As far as the two share their past they are one log.
    assert judge(MESH, request(5, 20, TWIN), KNOWN[5]).root == TWIN.frontier().root()


@pytest.mark.parametrize(
    ("old", "new", "hashes"),
    [
        (0, 3, (bytes(32),)),
        (0, 0, (bytes(32),)),
        (3, 3, (bytes(32),)),
        (3, 7, ()),
        (3, 7, proof(3, 7)[:-1]),
        (3, 7, (*proof(3, 7), bytes(32))),
        (3, 7, tuple(reversed(proof(3, 7)))),
        (3, 7, proof(3, 8)),
        (4, 7, (LOG.frontier(4).root(), *proof(4, 7))),
    ],
)
def test_a_proof_is_exactly_as_long_as_it_must_be(
    old: int, new: int, hashes: Sequence[bytes]
) -> None:
    with pytest.raises(BadConsistencyError):
        judge(MESH, AddCheckpoint(old, tuple(hashes), LOG.checkpoint(new)), KNOWN[old])


@given(st.integers(1, 20), st.integers(1, 20), st.data())
@settings(deadline=None)
def test_no_changed_proof_holds(first: int, second: int, data: st.DataObject) -> None:
    old, new = sorted((first, second))
    hashes = list(proof(old, new))
    if not hashes:
        return
    place = data.draw(st.integers(0, len(hashes) - 1))
    changed = bytearray(hashes[place])
    changed[data.draw(st.integers(0, 31))] ^= data.draw(st.integers(1, 255))
    hashes[place] = bytes(changed)
    with pytest.raises(BadConsistencyError):
        judge(MESH, AddCheckpoint(old, tuple(hashes), LOG.checkpoint(new)), KNOWN[old])


def test_a_known_root_that_is_not_the_logs() -> None:
    """What is stored decides, not what the request's proof happens to fit."""
    with pytest.raises(BadConsistencyError):
        judge(MESH, request(5, 8), Witnessed(5, TWIN.frontier(8).root()))
    assert len(range_nodes(0, 5)) == 2


# --- the answer 409


@given(st.integers(0, MAX_SIZE))
def test_sizes_round_trip(size: int) -> None:
    assert decode_size(encode_size(size)) == size


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\n", b"5", b"05\n", b"+5\n", b"-5\n", b" 5\n", b"5 \n", b"5\r\n", b"5\n\n"),
        *(b"5\n6\n", str(2**63).encode() + b"\n", b"9" * 30 + b"\n", "٤\n".encode(), b"5_0\n"),
    ],
)
def test_sizes_have_one_spelling(body: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        decode_size(body)
