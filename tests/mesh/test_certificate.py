"""Certificates: who counts, what for, and how often."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.certificate import (
    MAX_CERTIFICATE,
    CertificateError,
    CertificateFormatError,
    CertificateSignatureError,
    ExtensionLinesError,
    QuorumError,
    certify,
    check_cosignature,
    cosigned_by,
    open_certificate,
    open_plain_checkpoint,
)
from mesh.constraints import MAX_MEMBERS, UnknownMemberError, quorum
from mesh.names import MAX_NAME
from mesh.testing import OrgLog, make_mesh
from proofs.checkpoint import Checkpoint
from proofs.cosignature import COSIGNATURE_V1, MAX_TIME, bare, cosign, join
from proofs.note import Signer, add_signatures, parse_note, sign_note

WORLD = make_mesh(5)
MESH = WORLD.mesh
NAMES = [member.name for member in WORLD.members]
OWNER = NAMES[0]
QUORUM = 4
LOG = OrgLog(WORLD, OWNER)
for number in range(3):
    LOG.append_note(b"entry %d" % number)
BARE = LOG.checkpoint()
TEXT = parse_note(BARE).text
NOON = LOG.day * 86_400 + 43_200


def cosigned(name: str, time: int = NOON, text: str = TEXT) -> bytes:
    return cosign(text, WORLD.member(name).witness, time)


def test_a_quorum_with_the_owner_certifies() -> None:
    assert quorum(5) == QUORUM
    note = LOG.certificate()
    certificate = open_certificate(MESH, OWNER, note)
    assert (certificate.log, certificate.note, certificate.size) == (OWNER, note, 3)
    assert certificate.root == LOG.frontier().root()
    assert certificate.cosigners == tuple(NAMES[:QUORUM])
    # The fakes cosign a second apart.
    assert certificate.time == NOON + 1
    assert bare(note, MESH.log_key(OWNER)) == BARE


def test_the_owner_is_not_needed_and_all_may_cosign() -> None:
    others = open_certificate(MESH, OWNER, LOG.certificate(by=NAMES[1:]))
    assert others.cosigners == tuple(NAMES[1:])
    everybody = open_certificate(MESH, OWNER, LOG.certificate(by=NAMES))
    assert everybody.cosigners == tuple(NAMES)


@pytest.mark.parametrize("count", range(QUORUM))
def test_fewer_than_a_quorum_certify_nothing(count: int) -> None:
    with pytest.raises(QuorumError) as refused:
        open_certificate(MESH, OWNER, LOG.certificate(by=NAMES[:count]))
    assert (refused.value.have, refused.value.need, refused.value.members) == (count, QUORUM, 5)
    assert f"{count} of 5" in str(refused.value)


@given(st.permutations(NAMES), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_any_members_in_any_order(order: list[str], count: int) -> None:
    note = BARE + b"".join(cosigned(name) for name in order[:count])
    assert set(cosigned_by(MESH, OWNER, note)) == set(order[:count])
    if count < QUORUM:
        with pytest.raises(QuorumError):
            open_certificate(MESH, OWNER, note)
    else:
        assert open_certificate(MESH, OWNER, note).cosigners == tuple(sorted(order[:count]))


def test_cosignatures_of_others_do_not_count() -> None:
    strangers = [Signer(f"w{n}.example", bytes(32), COSIGNATURE_V1) for n in range(9)]
    elsewhere = make_mesh(5, seed=1)
    foreign = [elsewhere.member(place).witness for place in range(5)]  # same names, other keys
    log = [Signer(name, WORLD.member(name).log_seed, COSIGNATURE_V1) for name in NAMES]
    identity = [Signer(name, WORLD.member(name).identity.seed, COSIGNATURE_V1) for name in NAMES]
    for signers in (strangers, foreign, log, identity):
        note = BARE + b"".join(cosign(TEXT, signer, NOON) for signer in signers)
        with pytest.raises(QuorumError) as refused:
            open_certificate(MESH, OWNER, note)
        assert refused.value.have == 0
    plain = add_signatures(BARE, [WORLD.member(name).card_witness for name in NAMES])
    with pytest.raises(QuorumError):
        open_certificate(MESH, OWNER, plain)
    # But they are no harm either.
    note = LOG.certificate() + b"".join(cosign(TEXT, signer, NOON) for signer in strangers)
    assert len(open_certificate(MESH, OWNER, note).cosigners) == QUORUM


def test_one_member_counts_once() -> None:
    lines = [cosigned(NAMES[0], NOON + n) for n in range(QUORUM)]
    with pytest.raises(CertificateFormatError):
        open_certificate(MESH, OWNER, BARE + b"".join(lines))
    with pytest.raises(QuorumError):
        open_certificate(MESH, OWNER, join(BARE, lines))


def test_a_false_cosignature_of_a_member_refuses_the_note() -> None:
    other = TEXT.replace("\n3\n", "\n2\n")
    assert other != TEXT
    note = LOG.certificate(by=NAMES[1:]) + cosigned(OWNER, text=other)
    with pytest.raises(CertificateSignatureError, match=OWNER):
        open_certificate(MESH, OWNER, note)


def test_the_log_itself_must_have_signed() -> None:
    key = WORLD.member(1).log_signer(MESH.mesh_id)
    lines = LOG.certificate()[len(BARE) :]
    unsigned = TEXT.encode() + b"\n" + lines
    foreign = sign_note(TEXT, [key]) + lines
    bent = LOG.certificate().replace(b"\n3\n", b"\n2\n")
    for note in (unsigned, foreign, bent):
        with pytest.raises(CertificateSignatureError):
            open_certificate(MESH, OWNER, note)
    with pytest.raises(CertificateSignatureError):
        open_certificate(MESH, NAMES[1], LOG.certificate())
    with pytest.raises(UnknownMemberError):
        open_certificate(MESH, "stranger.example", LOG.certificate())
    # Signed by one log in the name of another.
    posing = sign_note(TEXT, [key])
    with pytest.raises(CertificateSignatureError):
        open_certificate(MESH, NAMES[1], posing)


def test_a_certificate_of_another_mesh() -> None:
    elsewhere = OrgLog(make_mesh(5, seed=1), 0)
    elsewhere.append_note(b"entry 0")
    assert elsewhere.name == OWNER
    with pytest.raises(CertificateSignatureError):
        open_certificate(MESH, OWNER, elsewhere.certificate())


@pytest.mark.parametrize(
    "text",
    ["hello\n", "acme.example\n", TEXT.replace("\n3\n", "\n03\n"), TEXT + "\nmore\n"],
)
def test_what_the_log_signed_is_a_checkpoint(text: str) -> None:
    note = sign_note(text, [WORLD.member(OWNER).log_signer(MESH.mesh_id)])
    with pytest.raises(CertificateFormatError):
        open_certificate(MESH, OWNER, note)


@pytest.mark.parametrize("note", [b"", b"\n", TEXT.encode(), BARE[:-1], b"\xff" + BARE])
def test_what_is_no_note(note: bytes) -> None:
    for check in (open_certificate, open_plain_checkpoint, cosigned_by):
        with pytest.raises(CertificateFormatError):
            check(MESH, OWNER, note)


def test_checkpoints_have_no_extension_lines() -> None:
    """They would be signed, and could make evidence against the log too large to publish."""
    text = TEXT + "an extension\n"
    note = sign_note(text, [WORLD.member(OWNER).log_signer(MESH.mesh_id)])
    for name in NAMES:
        note += cosigned(name, text=text)
    with pytest.raises(ExtensionLinesError):
        open_certificate(MESH, OWNER, note)
    with pytest.raises(ExtensionLinesError):
        open_plain_checkpoint(MESH, OWNER, note)


def test_a_plain_checkpoint() -> None:
    expected = Checkpoint(MESH.log_key(OWNER).name, 3, LOG.frontier().root())
    assert open_plain_checkpoint(MESH, OWNER, BARE) == expected
    assert open_plain_checkpoint(MESH, OWNER, LOG.certificate()) == expected


@pytest.mark.parametrize(
    ("times", "median"),
    [
        ([5, 1, 9, 7], 5),
        ([5, 1, 9, 7, 8], 7),
        # One faulty cosigner, whatever it claims, moves the time no further than to an honest one.
        ([5, 6, 7, 0], 5),
        ([5, 6, 7, MAX_TIME], 6),
        ([4, 4, 4, 4, MAX_TIME], 4),
    ],
)
def test_the_time_is_the_lower_median(times: list[int], median: int) -> None:
    note = join(BARE, [cosigned(name, time) for name, time in zip(NAMES, times, strict=False)])
    assert open_certificate(MESH, OWNER, note).time == median


# --- collecting


def test_collecting_lines_until_they_certify() -> None:
    lines: dict[str, bytes] = {}
    for count, name in enumerate(reversed(NAMES), start=1):
        lines[name] = cosigned(name, NOON + count)
        assert check_cosignature(MESH, name, BARE, lines[name]) == NOON + count
        certificate = certify(MESH, OWNER, BARE, lines)
        assert (certificate is not None) == (count >= QUORUM)
        if certificate is not None:
            assert certificate.cosigners == tuple(sorted(lines))
            assert open_certificate(MESH, OWNER, certificate.note) == certificate


def test_a_line_is_checked_when_it_comes_in() -> None:
    other = TEXT.replace("\n3\n", "\n2\n")
    good = cosigned(NAMES[1])
    assert check_cosignature(MESH, NAMES[1], LOG.certificate(), good) == NOON
    with pytest.raises(CertificateSignatureError, match=NAMES[1]):
        check_cosignature(MESH, NAMES[1], BARE, cosigned(NAMES[1], text=other))
    for line in (b"", good + good, cosigned(NAMES[2]), good[:-1]):
        with pytest.raises(CertificateFormatError, match=NAMES[1]):
            check_cosignature(MESH, NAMES[1], BARE, line)
    with pytest.raises(CertificateFormatError):
        check_cosignature(MESH, NAMES[1], b"no note", good)
    with pytest.raises(UnknownMemberError):
        check_cosignature(MESH, "stranger.example", BARE, good)


def test_lines_that_were_not_checked_are_refused_in_the_end() -> None:
    lines = {name: cosigned(name) for name in NAMES}
    with pytest.raises(CertificateFormatError):
        certify(MESH, OWNER, BARE, {**lines, NAMES[1]: b"rubbish\n"})
    wrong = cosigned(NAMES[1], text=TEXT.replace("\n3\n", "\n2\n"))
    with pytest.raises(CertificateSignatureError):
        certify(MESH, OWNER, BARE, {**lines, NAMES[1]: wrong})
    twice = {name: cosigned(NAMES[0]) for name in NAMES}
    with pytest.raises(QuorumError):
        certify(MESH, OWNER, BARE, twice)
    with pytest.raises(CertificateError):
        certify(MESH, NAMES[1], BARE, lines)


def test_the_largest_certificate_is_read() -> None:
    """As many cosigners as a mesh has members, all with the longest names."""
    names = [f"{n:03d}".ljust(MAX_NAME - 8, "x") + ".example" for n in range(MAX_MEMBERS)]
    assert len(names[0]) == MAX_NAME
    text = Checkpoint(names[0] + "/" + "0" * 16, 2**53 - 1, bytes(32)).to_text()
    signers = [Signer(name, bytes(32), COSIGNATURE_V1) for name in names]
    note = join(
        sign_note(text, [Signer(names[0] + "/" + "0" * 16, bytes(32))]),
        [cosign(text, signer, MAX_TIME) for signer in signers],
    )
    assert len(note) <= MAX_CERTIFICATE
    assert len(parse_note(note).signatures) == MAX_MEMBERS + 1


def test_the_fakes_announce_certified_logs_unless_told_otherwise() -> None:
    announced = LOG.announcement(1)
    assert open_certificate(MESH, OWNER, announced.certificate).size == LOG.size
    assert (announced.checkpoint, announced.start, len(announced.entries)) == (BARE, 1, 2)
    assert LOG.announcement(1, certified=False).certificate == b""
    assert open_certificate(MESH, OWNER, LOG.certificate(2, time=7)).time == 8
