"""Key generation among honest founders, by machine and in one call."""

from hashlib import sha256

import pytest
from keygen_support import (
    assert_key_works,
    cast,
    dishonest_deal,
    finish,
    honest_deal,
    opened,
    seed_of,
)

from mesh.fingerprint.keys import SelectionKey
from mesh.keygen import (
    FounderKeyError,
    KeyGeneration,
    NotADealerError,
    NoteReader,
    NothingToJudgeError,
    SelectionKeyUnknownError,
    TooFewDealersError,
    UnknownFounderError,
    from_transcript,
    run_ceremony,
)
from mesh.keygen.outcome import stand
from proofs.note import (
    Signer,
)
from proofs.ristretto import (
    InvalidScalarError,
    add_scalars,
    multiply_base,
    scalar,
    subtract_scalars,
)
from proofs.threshold.dealing import open_payload
from proofs.threshold.shamir import recover


@pytest.mark.parametrize(("n", "seats"), [(2, None), (3, None), (4, None), (5, 3), (9, None)])
def test_honest_founders(n: int, seats: int | None) -> None:
    group = cast(n, seats)
    machines = finish(group, group.deals())
    outcomes = [machine.outcome() for machine in machines.values()]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    first = outcomes[0]
    assert (first.excluded, first.unseated, first.disputed) == ({}, {}, {})
    assert first.dealers == group.proposal.seats
    committee = first.committee
    assert [(seat.member, seat.index) for seat in committee.seats] == [
        (name, place + 1) for place, name in enumerate(group.proposal.seats)
    ]
    assert committee.threshold == len(group.proposal.seats) // 2 + 1
    assert committee.transcript == sha256(first.transcript).hexdigest()
    assert_key_works(machines, committee)
    keys = {machine.selection_key() for machine in machines.values()}
    assert len(keys) == 1
    (key,) = keys
    assert {outcome.selection_key_digest for outcome in outcomes} == {SelectionKey(key).digest}
    for name, machine in machines.items():
        assert (machine.share() is None) == (name not in group.proposal.seats)
        assert machine.missing_deals == machine.missing_verdicts == ()
        assert machine.equivocations == {}


def test_one_share_too_few_gives_another_key() -> None:
    group = cast(5)
    machines = finish(group, group.deals())
    committee = machines[group.proposal.names[0]].outcome().committee
    two = {seat.index: machines[seat.member].share() for seat in committee.seats[:2]}
    assert multiply_base(recover(two)) != committee.public_element


def test_who_is_missing() -> None:
    group = cast(4, 3)
    names, machine = group.proposal.names, group.machine(3)
    assert not machine.is_dealer
    assert group.machine(0).is_dealer
    assert machine.missing_deals == names[:3]
    assert machine.missing_verdicts == names
    with pytest.raises(NothingToJudgeError):
        machine.verdict(seed_of(1))
    machine.receive(honest_deal(group, names[1]))
    assert machine.missing_deals == (names[0], names[2])
    assert machine.missing_verdicts == names
    first = machine.verdict(seed_of(1))
    assert machine.missing_verdicts == names[:3]
    machine.receive(honest_deal(group, names[0]))
    assert machine.missing_verdicts == names  # There is more to say.
    second = machine.verdict(seed_of(2))
    assert second != first
    assert machine.missing_verdicts == names[:3]


def test_notes_are_made_once() -> None:
    group = cast(3)
    machine = group.machine(0)
    assert not machine.has_dealt
    deal = machine.deal(seed_of(1))
    assert machine.has_dealt
    assert machine.deal(seed_of(2)) == deal
    again = group.machine(0)
    again.receive(deal)
    assert again.deal(seed_of(3)) == deal
    assert machine.equivocations == {}
    verdict = machine.verdict(seed_of(1))
    assert machine.verdict(seed_of(2)) == verdict
    again.receive(verdict)
    assert again.verdict(seed_of(3)) == verdict


def test_a_verdict_with_a_complaint_is_made_once() -> None:
    group = cast(3)
    names = group.proposal.names
    machine = group.machine(0)
    machine.receive(dishonest_deal(group, names[1], wrong_share=(names[0],)))
    machine.receive(honest_deal(group, names[2]))
    verdict = machine.verdict(seed_of(1))
    assert machine.verdict(seed_of(2)) == verdict


def test_a_wrong_deal_that_comes_late_is_complained_about() -> None:
    group = cast(3)
    names = group.proposal.names
    machine = group.machine(0)
    machine.receive(honest_deal(group, names[0]))
    machine.receive(honest_deal(group, names[2]))
    first = machine.verdict(seed_of(1))
    machine.receive(dishonest_deal(group, names[1], wrong_share=(names[0],)))
    second = machine.verdict(seed_of(1))
    assert second != first
    assert set(stand(machine._reader, machine._notes).deals) == {names[0], names[2]}


def test_equal_seeds_make_equal_deals_and_others_do_not() -> None:
    group = cast(3)
    assert group.machine(0).deal(seed_of(1)) == group.machine(0).deal(seed_of(1))
    assert group.machine(0).deal(seed_of(1)) != group.machine(0).deal(seed_of(2))
    with pytest.raises(InvalidScalarError):
        group.machine(0).deal(bytes(31))


def test_a_seed_that_is_used_twice_gives_two_contributions() -> None:
    enclosures = set()
    for group, place in ((cast(3), 0), (cast(3), 1), (cast(3, None, 2), 0)):
        (deal,) = opened(group, [group.machine(place).deal(seed_of(1))])
        enclosures.add(open_payload(deal.checked, 0, group.member(0).sealing).enclosure)
    assert len(enclosures) == 3


def test_every_contribution_changes_the_selection_key() -> None:
    group = cast(4)
    names = group.proposal.names
    keys = set()
    for dealers in (names, names[:3], names[1:]):
        deals = {name: honest_deal(group, name) for name in dealers}
        keys.add(finish(group, deals)[names[0]].selection_key())
    assert len(keys) == 3


def test_keys_that_are_not_the_founders() -> None:
    group = cast(3)
    a, b = group.member(0), group.member(1)
    for own, identity, sealing in (
        (a.name, b.identity, a.sealing),
        (a.name, a.identity, b.sealing),
        (a.name, Signer(a.name, bytes(32)), None),
        (None, a.identity, None),
        (None, None, a.sealing),
    ):
        with pytest.raises(FounderKeyError):
            KeyGeneration(group.proposal, own, identity, sealing)
    with pytest.raises(UnknownFounderError):
        KeyGeneration(group.proposal, "stranger.example")
    with pytest.raises(ValueError, match="another proposal"):
        KeyGeneration(group.proposal, reader=NoteReader(cast(4).proposal))


def test_without_keys_one_can_only_look_on() -> None:
    group = cast(3)
    machines = finish(group, group.deals())
    transcript = machines[group.proposal.names[0]].outcome().transcript
    for onlooker in (
        from_transcript(group.proposal, transcript),
        from_transcript(group.proposal, transcript, group.proposal.names[0]),
    ):
        assert onlooker.outcome().committee == machines[group.proposal.names[0]].outcome().committee
        for speak in (
            lambda o=onlooker: o.deal(seed_of(1)),
            lambda o=onlooker: o.verdict(seed_of(1)),
            onlooker.share,
            onlooker.selection_key,
        ):
            with pytest.raises(FounderKeyError):
                speak()
        with pytest.raises(SelectionKeyUnknownError):
            _ = onlooker.outcome().selection_key_digest
    with pytest.raises(NotADealerError, match="so it does not deal"):
        cast(4, 3).machine(3).deal(seed_of(1))


def test_no_secret_in_any_repr() -> None:
    group = cast(3)
    machines = finish(group, group.deals())
    machine = machines[group.proposal.names[0]]
    secrets = [machine.share(), machine.selection_key(), group.member(0).sealing]
    shown = repr(machine) + repr(vars(machine)["_payloads"]) + repr(machine.outcome())
    for secret in secrets:
        assert secret is not None
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


def test_a_ceremony_in_one_call() -> None:
    group = cast(5, 3)
    signers = {m.name: (m.identity, m.sealing) for m in group.members.values()}
    outcome, shares, key = run_ceremony(group.proposal.text, signers, seed_of(1))
    assert run_ceremony(group.proposal.text, signers, seed_of(1))[0] == outcome
    assert run_ceremony(group.proposal.text, signers, seed_of(2))[0] != outcome
    assert outcome.selection_key_digest == SelectionKey(key).digest
    assert set(shares) == set(group.proposal.seats)
    by_index = {seat.index: shares[seat.member] for seat in outcome.committee.seats}
    assert multiply_base(recover(by_index)) == outcome.committee.public_element
    again = from_transcript(group.proposal, outcome.transcript)
    assert again.outcome() == outcome
    assert again.missing_verdicts == ()


def test_a_ceremony_with_a_silent_founder() -> None:
    group = cast(5)
    absent = group.proposal.names[0]
    signers = {m.name: (m.identity, m.sealing) for m in group.members.values() if m.name != absent}
    outcome, shares, _ = run_ceremony(group.proposal.text, signers, seed_of(1))
    assert outcome.excluded == {absent: "no deal"}
    assert outcome.unseated == {absent: "no verdict"}
    assert absent not in shares
    assert [seat.index for seat in outcome.committee.seats] == [2, 3, 4, 5]
    with pytest.raises(TooFewDealersError):
        run_ceremony(group.proposal.text, {}, seed_of(1))


def test_a_share_that_comes_to_zero_costs_its_holder_the_seat() -> None:
    # Who deals last knows what the others dealt to it, and can make its own share zero. Its seat
    # goes, the ceremony does not.
    group = cast(4)
    names = group.proposal.names
    cheat, place = names[1], 1
    others = {name: honest_deal(group, name) for name in names if name != cheat}
    total = scalar(0)
    for deal in opened(group, list(others.values())):
        payload = open_payload(deal.checked, place, group.member(cheat).sealing)
        total = add_scalars(total, payload.share)
    # f(2) = a + 2·b + 4·c = −total
    b, c = scalar(3), scalar(5)
    a = subtract_scalars(scalar(0), add_scalars(total, scalar(2 * 3 + 4 * 5)))
    deals = others | {cheat: dishonest_deal(group, cheat, coefficients=[a, b, c])}
    machines = finish(group, deals)
    outcome = machines[names[0]].outcome()
    assert (outcome.excluded, set(outcome.unseated)) == ({}, {cheat})
    assert [seat.index for seat in outcome.committee.seats] == [1, 3, 4]
    assert machines[cheat].share() is None
    assert_key_works(machines, outcome.committee)
