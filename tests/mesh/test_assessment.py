from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.assessment import (
    MAX_REASON,
    RETRYABLE,
    Assessed,
    Outcome,
    VerdictCountError,
    assess,
    claims_of,
    settle,
)
from mesh.claims import claim_of, verify_holder
from mesh.days import Day
from mesh.entry import Kind
from mesh.errors import MeshError
from mesh.history import LogHistory
from mesh.sighting import Verdict
from mesh.signal import parse_signal
from mesh.strictjson import dumps, loads
from mesh.testing import (
    TODAY,
    Lie,
    MadeSignal,
    OrgLog,
    ProofChecker,
    Rows,
    forge_signal,
    make_mesh,
    make_promotion,
)
from mesh.wire import ERASED, MISSING, Present
from proofs.errors import ProofsError
from proofs.merkle import leaf_hash
from proofs.note import Signer, sign_note
from proofs.severity import verify

WORLD = make_mesh(4)
MESH = WORLD.mesh
ISSUER = WORLD.member(0)
PROOFS = ProofChecker()


def log(member: int = 0) -> OrgLog:
    return OrgLog(WORLD, member)


def look(source: OrgLog, index: int = 0, today: Day = TODAY) -> Assessed:
    return assess(
        MESH, source.member.card, index, source.notes[index], source.answers[index], today
    )


def look_at_all(source: OrgLog) -> list[Assessed]:
    return [look(source, index) for index in range(source.size)]


def decide(assessed: list[Assessed], history: LogHistory | None = None) -> list[Assessed]:
    verdicts = PROOFS(claims_of(assessed))
    history = Rows() if history is None else history
    return list(settle(assessed, verdicts, mesh=MESH, history=history))


def stored(source: OrgLog) -> Rows:
    """What a node has of a log that it followed to its end."""
    rows = Rows()
    rows.append(decide(look_at_all(source)))
    return rows


def without_content(entry: Assessed) -> bool:
    contents = (
        entry.signal,
        entry.retraction,
        entry.sighting,
        entry.promotion,
        entry.evidence,
        entry.claim,
    )
    return all(content is None for content in contents)


# --- one entry ------------------------------------------------------------------------------------


def test_a_signal_is_accepted_with_the_claim_that_its_proofs_must_meet() -> None:
    source = log()
    entry_id = source.append_signal()
    entry = look(source)
    assert entry.outcome is Outcome.ACCEPTED
    assert (entry.reason, entry.error) == ("", "")
    assert entry.entry_id == entry_id == leaf_hash(source.notes[0]).hex()
    assert entry.signal is not None
    answer = source.answers[0]
    assert isinstance(answer, Present)
    assert entry.claim is not None
    assert entry.claim == claim_of(MESH, ISSUER.name, entry.signal, answer.salt)
    verify(entry.claim.statement, entry.claim.proof)
    verify_holder(entry.claim)


def test_each_member_issues_its_own_signals() -> None:
    for place in range(3):
        source = log(place)
        source.append_signal()
        (entry,) = decide(look_at_all(source))
        assert entry.outcome is Outcome.ACCEPTED


def test_a_retraction_is_read() -> None:
    source = log()
    target = source.append_signal()
    source.append_retraction(target)
    entry = look(source, 1)
    assert entry.outcome is Outcome.ACCEPTED
    assert entry.retraction is not None
    assert entry.retraction.target == target
    assert entry.claim is None


@pytest.mark.parametrize("verdict", Verdict)
def test_a_sighting_is_accepted_whatever_it_is_of(verdict: Verdict) -> None:
    """Its target stands in another log, which this node may not have yet."""
    source = log()
    target = log(1).append_signal()
    source.append_sighting(target, verdict)
    (entry,) = decide(look_at_all(source))
    assert entry.outcome is Outcome.ACCEPTED
    assert entry.sighting is not None
    assert (entry.sighting.target, entry.sighting.verdict) == (target, verdict)
    assert entry.claim is None
    assert not entry.holds_signal


def test_a_promotion_is_accepted_once_its_evaluations_are_verified() -> None:
    source = log()
    source.append_promotion(make_promotion(WORLD, [bytes(32), b"\x01" * 32], ["ab" * 32]))
    (entry,) = decide(look_at_all(source))
    assert entry.outcome is Outcome.ACCEPTED
    assert entry.promotion is not None
    assert [window.input for window in entry.promotion.windows] == ["00" * 32, "01" * 32]
    assert entry.claim is None
    assert not entry.holds_signal


def test_a_false_promotion_is_refused_for_good() -> None:
    source = log()
    value = loads(make_promotion(WORLD, [bytes(32)], ["ab" * 32]))
    value["windows"][0]["token"] = source.pool[0].body.decode().partition('"tokens":["')[2][:64]
    source.append_promotion(dumps(value))
    source.append_promotion(make_promotion(make_mesh(4, seed=1), [bytes(32)], ["ab" * 32]))
    token, foreign = decide(look_at_all(source))
    assert (token.outcome, token.error) == (Outcome.REFUSED, "WrongTokenError")
    assert (foreign.outcome, foreign.error) == (Outcome.REFUSED, "PromotionProofError")
    for entry in (token, foreign):
        assert without_content(entry)
        assert not entry.retryable


@pytest.mark.parametrize("kind", [Kind.SIGHTING, Kind.PROMOTION])
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"target":"","verdict":"confirm"}'])
def test_a_signed_body_of_the_new_kinds_that_is_none_is_refused(kind: Kind, body: bytes) -> None:
    source = log()
    source.append(kind, bytes(32), body)
    entry = look(source)
    assert entry.outcome is Outcome.REFUSED
    assert entry.error in {
        "JSONSyntaxError",
        "SightingFormatError",
        "PromotionFormatError",
        "UnknownVerdictError",
    }
    assert without_content(entry)


def test_a_sighting_that_lapsed_is_without_content() -> None:
    source = log()
    source.append_sighting("ab" * 32)
    assert without_content(look(source, today=Day(TODAY + 91)))
    assert look(source).without_content(Outcome.LAPSED, MeshError("")).sighting is None
    source.append_promotion(make_promotion(WORLD, [bytes(32)], ["ab" * 32]))
    assert without_content(look(source, 1).without_content(Outcome.LAPSED, MeshError("")))


def test_an_entry_that_another_member_signed_is_refused() -> None:
    source, other = log(0), log(1)
    other.append_signal()
    source.append_note(other.notes[0], other.answers[0])
    entry = look(source)
    assert entry.outcome is Outcome.REFUSED
    assert entry.error == "UnsignedNoteError"
    assert entry.envelope is None
    assert without_content(entry)


def test_a_false_signature_is_refused_before_the_content_is_read() -> None:
    source = log()
    forger = Signer(ISSUER.name, bytes(32))
    note = sign_note("no kind and no JSON\n", (forger,))
    # The signature line must carry the member's own key id, or it is just an unknown key.
    honest = sign_note("no kind and no JSON\n", (ISSUER.identity,))
    forged = honest.replace(b"no kind", b"no king")
    for data in (note, forged):
        entry = assess(MESH, source.member.card, 0, data, MISSING, TODAY)
        assert entry.outcome is Outcome.REFUSED
        assert entry.error in {"UnsignedNoteError", "BadSignatureError"}


@pytest.mark.parametrize(
    ("note", "error"),
    [
        (b"", "NoteFormatError"),
        (b"\xff\xfe", "NoteFormatError"),
        (b"x" * 65_536, "EntryTooLargeError"),
        (sign_note("two\nlines\nor more\n", (ISSUER.identity,)), "EntryFormatError"),
        (sign_note("signal-mesh/v1/signal\n[]\n", (ISSUER.identity,)), "EntryFormatError"),
        (sign_note("signal-mesh/v1/signal\n{\n", (ISSUER.identity,)), "JSONSyntaxError"),
    ],
)
def test_a_malformed_entry_is_refused(note: bytes, error: str) -> None:
    entry = assess(MESH, ISSUER.card, 7, note, MISSING, TODAY)
    assert (entry.index, entry.outcome, entry.error) == (7, Outcome.REFUSED, error)
    assert entry.reason
    assert not entry.retryable


def test_an_entry_of_another_mesh_is_refused() -> None:
    source = log()
    made = source.pool[0]
    source.append(Kind.SIGNAL, made.salt, made.body, mesh_id="ab" * 32)
    assert (look(source).outcome, look(source).error) == (Outcome.REFUSED, "ForeignMeshError")


def test_unknown_kinds_and_versions_are_deferred_so_that_members_can_differ() -> None:
    source = log()
    source.append_unknown("adopt")
    made = source.pool[0]
    source.append(Kind.SIGNAL, made.salt, made.body, version=1)
    kind, version = look_at_all(source)
    assert (kind.outcome, kind.error) == (Outcome.DEFERRED, "UnknownKindError")
    assert (version.outcome, version.error) == (Outcome.DEFERRED, "UnknownVersionError")
    assert kind.retryable
    assert version.retryable
    assert without_content(version)
    # Nobody could tell when it is to be erased: it is asked for by versions that can.
    assert kind.answer == version.answer == MISSING


@pytest.mark.parametrize(
    ("day", "expires", "error"),
    [
        (TODAY + 2, TODAY + 9, "DatedAheadError"),
        (TODAY, TODAY - 1, "ExpiryBeforeDayError"),
        (TODAY, TODAY + 366, "ExpiryTooFarError"),
    ],
)
def test_dates_outside_the_constraints_are_refused(day: int, expires: int, error: str) -> None:
    source = log()
    source.append_signal(source.pool[0], day=Day(day), expires=Day(expires))
    entry = look(source)
    assert (entry.outcome, entry.error) == (Outcome.REFUSED, error)
    assert entry.envelope is not None
    assert without_content(entry)


def test_an_entry_lives_through_its_last_day_and_lapses_after_it() -> None:
    source = log()
    source.append_signal(source.pool[0], expires=Day(TODAY + 10))
    assert look(source, today=Day(TODAY + 10)).outcome is Outcome.ACCEPTED
    entry = look(source, today=Day(TODAY + 11))
    assert (entry.outcome, entry.error) == (Outcome.LAPSED, "ExpiredEntryError")
    assert entry.answer == ERASED, "expired content is not kept"
    assert without_content(entry)


def test_the_missing_body_of_an_expired_entry_is_not_waited_for() -> None:
    source = log()
    source.append_signal(source.pool[0], expires=Day(TODAY + 10))
    source.withhold_body(0)
    assert look(source, today=Day(TODAY + 11)).outcome is Outcome.LAPSED


def test_a_missing_body_defers() -> None:
    source = log()
    source.append_signal()
    source.withhold_body(0)
    missing = look(source)
    assert (missing.outcome, missing.error) == (Outcome.DEFERRED, "MissingBodyError")
    assert missing.retryable
    assert without_content(missing)


def test_that_an_unknown_kinds_body_was_erased_is_not_kept() -> None:
    source = log()
    source.append_unknown()
    source.erase_body(0)
    assert look(source).answer == MISSING


def test_a_body_that_is_not_the_entrys_is_refused_dropped_and_asked_for_again() -> None:
    source = log()
    source.append_signals(2)
    source.corrupt_body(0)
    wrong_salt = source.answers[1]
    assert isinstance(wrong_salt, Present)
    source.answers[1] = Present(bytes(32), wrong_salt.body)
    for entry in look_at_all(source):
        assert (entry.outcome, entry.error) == (Outcome.REFUSED, "BodyDigestError")
        assert entry.answer == MISSING
        assert entry.retryable
        assert without_content(entry)


def test_a_body_over_the_limit_is_refused_for_good() -> None:
    source = log()
    source.append(Kind.SIGNAL, bytes(32), b" " * (MESH.constraints.max_body_bytes + 1))
    entry = look(source)
    assert (entry.outcome, entry.error) == (Outcome.REFUSED, "BodyTooLargeError")
    assert entry.answer == MISSING
    assert not entry.retryable


def _changed(**fields: object) -> Callable[[MadeSignal], bytes]:
    return lambda made: dumps({**loads(made.body), **fields})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda made: made.body + b" x", "JSONSyntaxError"),
        (lambda made: made.body.replace(b"{", b'{"confidence":1,', 1), "DuplicateKeyError"),
        (_changed(extra=1), "SignalFormatError"),
        (_changed(category="no such"), "UnknownCategoryError"),
        (_changed(confidence=101), "SignalFormatError"),
        (_changed(tokens=["ff" * 32, "aa" * 32]), "TokenOrderError"),
        (_changed(tokens=[]), "SignalFormatError"),
        (_changed(derived_from="ab" * 32, confidence=81), "OverconfidentError"),
        (_changed(derived_from="ab" * 32, confidence=49), "DampenedAwayError"),
    ],
)
def test_a_signed_body_that_is_no_signal_is_refused(
    change: Callable[[MadeSignal], bytes], error: str
) -> None:
    source = log()
    made = source.pool[0]
    source.append(Kind.SIGNAL, made.salt, change(made))
    entry = look(source)
    assert (entry.outcome, entry.error) == (Outcome.REFUSED, error)
    assert without_content(entry)
    assert not entry.retryable


def test_a_signed_body_that_is_no_retraction_is_refused() -> None:
    source = log()
    source.append(Kind.RETRACTION, bytes(32), dumps({"target": "ab" * 32, "reason": "whim"}))
    assert (look(source).outcome, look(source).error) == (Outcome.REFUSED, "UnknownReasonError")


def test_a_reason_is_short_and_printable_whatever_a_peer_sends() -> None:
    source = log()
    source.append_signal()
    plain = look(source)
    told = plain.without_content(Outcome.REFUSED, MeshError("a\x1b[31m\nb\u202e" + "x" * 5_000))
    assert len(told.reason) == MAX_REASON
    assert told.reason.isprintable()
    assert told.reason.startswith("a")


@settings(max_examples=150, deadline=None)
@given(note=st.binary(max_size=300), body=st.binary(max_size=300))
def test_no_bytes_of_a_peer_raise(note: bytes, body: bytes) -> None:
    assert assess(MESH, ISSUER.card, 0, note, Present(bytes(32), body), TODAY).outcome


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=80), kind=st.sampled_from(["", "signal-mesh/v1/signal\n"]))
def test_no_text_that_the_issuer_signs_raises(text: str, kind: str) -> None:
    text = "".join(char for char in kind + text if char == "\n" or char.isprintable()) + "\n"
    note = sign_note(text, (ISSUER.identity,))
    assert assess(MESH, ISSUER.card, 0, note, MISSING, TODAY).outcome is not Outcome.ACCEPTED


@settings(max_examples=100, deadline=None)
@given(
    at=st.integers(min_value=0),
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=5,
    ),
)
def test_no_field_of_a_signed_body_raises(at: int, value: object) -> None:
    source = log()
    made = source.pool[0]
    fields = loads(made.body)
    where = fields if at % 2 else fields["severity"]
    where[sorted(where)[at // 2 % len(where)]] = value
    try:
        body = dumps(fields)
    except MeshError:
        return  # a lone surrogate: no peer can send it as strict JSON
    source.append(Kind.SIGNAL, made.salt, body)
    entry = look(source)
    assert entry.outcome is Outcome.REFUSED or body == made.body or parse_signal(body)


# --- entries among each other ---------------------------------------------------------------------


def test_a_false_proof_is_refused_and_its_neighbours_are_not() -> None:
    source = log()
    good = source.append_signal()
    source.append_signal(forge_signal(MESH, ISSUER.name, Lie.ALTERED_PROOF, Random(1)))
    source.append_retraction(good)
    last = source.append_signal()
    entries = decide(look_at_all(source))
    assert [entry.outcome.value for entry in entries] == [
        "accepted",
        "refused",
        "accepted",
        "accepted",
    ]
    assert entries[1].error == "ProofEquationError"
    assert without_content(entries[1])
    assert entries[3].entry_id == last
    assert all(entry.claim is None for entry in entries), "nothing is left to verify"
    assert entries[0].signal is not None


@pytest.mark.parametrize("lie", Lie)
def test_every_lie_of_an_issuer_is_refused_for_its_proof(lie: Lie) -> None:
    source = log()
    source.append_signal(forge_signal(MESH, ISSUER.name, lie, Random(lie.name)))
    assert look(source).outcome is Outcome.ACCEPTED, "the lie is in the proof alone"
    (entry,) = decide(look_at_all(source))
    assert entry.outcome is Outcome.REFUSED
    holder = lie in {Lie.NO_HOLDER, Lie.COPIED_HOLDER}
    assert entry.error in (
        {"FalseHolderProofError"}
        if holder
        else {"ProofEquationError", "PointEncodingError", "NotOnCurveError"}
    )


def test_a_signal_copied_from_another_issuer_is_refused() -> None:
    source, other = log(0), log(1)
    source.append_signal(other.pool[0])
    (entry,) = decide(look_at_all(source))
    assert (entry.outcome, entry.error) == (Outcome.REFUSED, "FalseHolderProofError")


@pytest.mark.parametrize("verdicts", [[], [None, None]])
def test_each_claim_needs_its_verdict(verdicts: list[ProofsError | None]) -> None:
    source = log()
    source.append_signal()
    with pytest.raises(VerdictCountError):
        settle(look_at_all(source), verdicts, mesh=MESH, history=Rows())


def test_an_entry_that_stands_twice_counts_once() -> None:
    source = log()
    source.append_signal()
    source.append_note(source.notes[0], source.answers[0])
    first, second = decide(look_at_all(source))
    assert first.outcome is Outcome.ACCEPTED
    assert (second.outcome, second.error) == (Outcome.REFUSED, "DuplicateEntryError")
    assert without_content(second)
    assert not second.retryable


def test_an_entry_that_was_stored_before_counts_once() -> None:
    source = log()
    source.append_signal()
    (entry,) = decide(look_at_all(source), stored(source))
    assert (entry.outcome, entry.error) == (Outcome.REFUSED, "DuplicateEntryError")


def test_a_second_copy_is_a_duplicate_even_while_the_first_waits_for_its_body() -> None:
    source = log()
    source.append_signal()
    source.append_note(source.notes[0], source.answers[0])
    source.withhold_body(0)
    first, second = decide(look_at_all(source))
    assert first.outcome is Outcome.DEFERRED
    assert second.error == "DuplicateEntryError"


@pytest.mark.parametrize(
    "prepare",
    [
        lambda source: None,
        lambda source: source.withhold_body(0),
        lambda source: source.erase_body(0),
        lambda source: source.corrupt_body(0),
        lambda source: source.answers.__setitem__(0, Present(bytes(32), bytes(40_000))),
    ],
    ids=["live", "missing body", "erased body", "wrong body", "refused body"],
)
def test_a_retraction_counts_for_a_signal_before_it(prepare: Callable[[OrgLog], object]) -> None:
    source = log()
    source.append_retraction(source.append_signal())
    prepare(source)
    assert decide(look_at_all(source))[1].outcome is Outcome.ACCEPTED


def test_a_retraction_counts_for_a_signal_stored_before() -> None:
    source = log()
    target = source.append_signal()
    before = stored(source)
    source.append_retraction(target)
    retraction = look(source, 1)
    assert decide([retraction])[0].error == "UnknownTargetError"
    assert decide([retraction], before)[0].outcome is Outcome.ACCEPTED


def test_a_retraction_before_its_signal_is_refused() -> None:
    later = log()
    target = later.append_signal()
    source = log()
    source.append_retraction(target)
    source.append_note(later.notes[0], later.answers[0])
    retraction, signal = decide(look_at_all(source))
    assert (retraction.outcome, retraction.error) == (Outcome.REFUSED, "UnknownTargetError")
    assert without_content(retraction)
    assert signal.outcome is Outcome.ACCEPTED


def test_nobody_retracts_a_signal_of_another_log() -> None:
    victim = log(1)
    target = victim.append_signal()
    source = log(0)
    source.append_signal()
    source.append_retraction(target)
    assert decide(look_at_all(source))[1].error == "UnknownTargetError"


def test_a_retraction_of_a_refused_signal_is_judged_like_that_of_one_still_awaited() -> None:
    """Members get bodies at different times, and must judge the retraction alike."""
    source = log()
    lie = forge_signal(MESH, ISSUER.name, Lie.SWAPPED_COMMITMENTS, Random(2))
    source.append_retraction(source.append_signal(lie))
    assert [entry.outcome for entry in decide(look_at_all(source))] == [
        Outcome.REFUSED,
        Outcome.ACCEPTED,
    ]
    source.withhold_body(0)
    assert decide(look_at_all(source))[1].outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    "target_kind", ["backdated", "ahead", "retraction", "sighting", "promotion", "unknown"]
)
def test_what_is_no_signal_that_stands_cant_be_retracted(target_kind: str) -> None:
    source = log()
    match target_kind:
        case "backdated":
            source.append_signal()
            target = source.append_signal(day=Day(TODAY - 1))
        case "ahead":
            target = source.append_signal(day=Day(TODAY + 2))
        case "retraction":
            target = source.append_retraction(source.append_signal())
        case "sighting":
            target = source.append_sighting("ab" * 32)
        case "promotion":
            target = source.append_promotion(make_promotion(WORLD, [bytes(32)], ["ab" * 32]))
        case _:
            target = source.append_unknown()
    source.append_retraction(target)
    assert decide(look_at_all(source))[-1].error == "UnknownTargetError"


def test_only_what_a_later_look_can_lift_is_retryable() -> None:
    assert {
        "MissingBodyError",
        "BodyDigestError",
        "UnknownKindError",
        "UnknownVersionError",
    } == RETRYABLE
