"""Notes that don't count, and transcripts that don't hold."""

from dataclasses import replace
from hashlib import sha256

import pytest
from keygen_support import (
    Cast,
    cast,
    dishonest_deal,
    finish,
    honest_deal,
    seed_of,
)

from mesh import strictjson
from mesh.document import document_text
from mesh.errors import FormatError
from mesh.keygen import (
    ForeignCeremonyError,
    ImpersonationError,
    KeyGeneration,
    KeygenFormatError,
    KeygenNoteError,
    NotADealerError,
    NoteReader,
    TranscriptError,
    UnknownFounderError,
    from_transcript,
)
from mesh.keygen.notes import compose_verdict
from mesh.names import NameFormatError
from mesh.strictjson import StrictJSONError
from proofs.note import (
    BadSignatureError,
    NoteFormatError,
    NoteSizeError,
    Signer,
    UnsignedNoteError,
    add_signatures,
    parse_note,
    sign_note,
)


def rewritten(group: Cast, note: bytes, signer: int = 1, **changes: object) -> bytes:
    first, line, _ = parse_note(note).text.split("\n")
    value = strictjson.loads(line.encode()) | changes
    kind = first.removeprefix("signal-mesh/v1/")
    return sign_note(document_text(kind, value), (group.member(signer).identity,))


def bad_notes(group: Cast) -> list[tuple[bytes, type[Exception]]]:
    deal = honest_deal(group, group.proposal.names[1])
    text = parse_note(deal).text
    member = group.member(1)
    stranger = Signer("stranger.example", bytes(32))
    machine = group.machine(1)
    machine.receive(deal)
    verdict = machine.verdict(seed_of(1))
    checked = {group.proposal.names[1]: "ab" * 32}
    return [
        (b"", NoteFormatError),
        (b"rubbish", NoteFormatError),
        (b"x" * 40_000, NoteSizeError),
        (deal.replace(b'"ceremony":"', b'"ceremony":"0', 1), BadSignatureError),
        (sign_note(text, (stranger,)), UnknownFounderError),
        (sign_note(text, (Signer(member.name, bytes(32)),)), UnsignedNoteError),
        (sign_note(text, (group.member(0).identity,)), ImpersonationError),
        (add_signatures(deal, (stranger,)), KeygenFormatError),
        (sign_note("hello\n", (member.identity,)), KeygenNoteError),
        (sign_note(document_text("signal", {}), (member.identity,)), KeygenNoteError),
        (honest_deal(cast(4, 3, 2), group.proposal.names[1]), ForeignCeremonyError),
        (rewritten(group, deal, more=1), KeygenFormatError),
        (rewritten(group, deal, proof="A"), FormatError),
        (rewritten(group, deal, commitments=["00"]), KeygenFormatError),
        (rewritten(group, verdict, founder="X"), NameFormatError),
        (rewritten(group, verdict, checked={"unknown.example": "ab" * 32}), KeygenFormatError),
        (
            rewritten(group, verdict, checked={group.proposal.names[3]: "ab" * 32}),
            KeygenFormatError,
        ),
        (rewritten(group, verdict, checked={"a b": "ab" * 32}), NameFormatError),
        (rewritten(group, verdict, founder=group.proposal.names[0]), ImpersonationError),
        (
            rewritten(group, verdict, ceremony="00" * 32),
            ForeignCeremonyError,
        ),
        (
            sign_note(text.replace('{"ceremony"', '{ "ceremony"'), (member.identity,)),
            KeygenFormatError,
        ),
        (
            sign_note(text.replace('{"ceremony"', '{"dealer":1,"ceremony"'), (member.identity,)),
            StrictJSONError,
        ),
        (
            compose_verdict(group.proposal, group.member(0).identity, checked, ()).replace(
                group.proposal.names[0].encode(), group.proposal.names[1].encode()
            ),
            UnsignedNoteError,
        ),
        (rewritten(group, deal, 3, dealer=group.proposal.names[3]), NotADealerError),
    ]


def test_notes_that_do_not_count_lose_nothing() -> None:
    group = cast(4, 3)
    machines = finish(group, group.deals())
    machine = machines[group.proposal.names[0]]
    before = machine.outcome()
    for note, error in bad_notes(group):
        with pytest.raises(error):
            machine.receive(note)
    assert machine.outcome() == before
    for note in [*group.deals().values()]:
        machine.receive(note)  # Replayed.
    assert machine.outcome() == before


def test_an_oversize_verdict() -> None:
    group = cast(3)
    note = compose_verdict(group.proposal, group.member(0).identity, {}, ())
    padded = parse_note(note).text + " " * 17_000 + "\n"
    with pytest.raises(KeygenFormatError, match="at most"):
        group.machine(1).receive(sign_note(padded, (group.member(0).identity,)))


def test_two_signatures_under_one_text_make_one_transcript() -> None:
    # A dealer can sign one text in two ways; that must not split the founders.
    group = cast(3)
    machines = finish(group, group.deals())
    names = group.proposal.names
    note = honest_deal(group, names[1])
    reader_a, reader_b = NoteReader(group.proposal), NoteReader(group.proposal)
    changed = note[:-6] + b"AAAA=\n"
    real = reader_a.open(note)
    forged = replace(real, note=changed)
    for reader in (reader_a, reader_b):
        reader._notes[note], reader._notes[changed] = real, forged
    one = KeyGeneration(group.proposal, reader=reader_a)
    other = KeyGeneration(group.proposal, reader=reader_b)
    verdicts = [machines[name].verdict(seed_of(1)) for name in names]
    rest = [honest_deal(group, names[0]), honest_deal(group, names[2]), *verdicts]
    for each in (note, changed, *rest):
        one.receive(each)
    for each in (changed, *rest, note):
        other.receive(each)
    assert one.outcome().transcript == other.outcome().transcript


def test_a_joiner_verifies_a_transcript_and_derives_its_share() -> None:
    group = cast(5)
    names = group.proposal.names
    cheat, hurt = names[1], names[0]
    deals = group.deals() | {cheat: dishonest_deal(group, cheat, wrong_share=(hurt,))}
    machines = finish(group, deals)
    outcome = machines[hurt].outcome()
    for name in names:
        member = group.member(name)
        again = from_transcript(
            group.proposal.text, outcome.transcript, name, member.identity, member.sealing
        )
        assert again.outcome() == outcome
        assert again.outcome().selection_key_digest == outcome.selection_key_digest
        assert again.share() == machines[name].share()
        assert again.selection_key() == machines[name].selection_key()


def test_transcripts_that_do_not_hold() -> None:
    group = cast(3)
    machines = finish(group, group.deals())
    transcript = machines[group.proposal.names[0]].outcome().transcript
    first, line, _ = transcript.decode().split("\n")
    value = strictjson.loads(line.encode(), max_bytes=100_000)
    notes = value["notes"]

    def written(**changes: object) -> bytes:
        return document_text("keygen-transcript", value | changes).encode()

    assert written() == transcript
    other_attempt = finish(cast(3, None, 2), cast(3, None, 2).deals())
    for false in (
        b"",
        b"\xff",
        transcript[:-1],
        first.encode() + b"\n " + line.encode() + b"\n",
        written(notes=notes[::-1]),
        written(notes=[notes[0], *notes]),
        written(ceremony="00" * 32),
        written(more=1),
        written(notes=1),
        other_attempt[group.proposal.names[0]].outcome().transcript,
    ):
        with pytest.raises(TranscriptError):
            from_transcript(group.proposal, false)
    with pytest.raises(BadSignatureError):
        from_transcript(
            group.proposal,
            written(notes=[notes[0].replace('"ceremony":"', '"ceremony":"0', 1), *notes[1:]]),
        )
    with pytest.raises(StrictJSONError):
        from_transcript(group.proposal, first.encode() + b"\n{\n")
    # Without a verdict it is another transcript, of another committee: the digest tells them apart.
    fewer = from_transcript(group.proposal, written(notes=notes[:-1]))
    assert fewer.outcome().committee != machines[group.proposal.names[0]].outcome().committee


def test_a_committee_does_not_outlive_its_transcript() -> None:
    group = cast(3)
    outcome = finish(group, group.deals())[group.proposal.names[0]].outcome()
    assert sha256(outcome.transcript).hexdigest() == outcome.committee.transcript
    assert outcome.transcript.startswith(b"signal-mesh/v1/keygen-transcript\n")
