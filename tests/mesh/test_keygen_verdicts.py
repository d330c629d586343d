"""What a dishonest verdict achieves: to be named, and nothing else."""

from keygen_support import (
    assert_key_works,
    cast,
    dishonest_deal,
    false_complaint,
    finish,
    honest_deal,
    opened,
    seed_of,
)

from mesh.keygen import (
    NoteReader,
)
from mesh.keygen.machine import MAX_VERDICTS
from mesh.keygen.notes import compose_verdict


def test_a_false_complaint_hits_the_complainer() -> None:
    group = cast(5)
    liar, accused = group.proposal.names[3], group.proposal.names[0]
    deals = group.deals()
    lie = false_complaint(group, liar, opened(group, list(deals.values())), accused)
    machines = finish(group, deals, verdicts={liar: lie})
    outcomes = [machine.outcome() for machine in machines.values()]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0].excluded == {}
    assert accused in outcomes[0].dealers
    assert outcomes[0].unseated == {liar: f"false complaint about {accused}"}
    assert_key_works(machines, outcomes[0].committee)


def test_who_complains_falsely_has_spoken() -> None:
    group = cast(3)
    names = group.proposal.names
    deals = group.deals()
    lie = false_complaint(group, names[2], opened(group, list(deals.values())), names[0])
    (complaint,) = NoteReader(group.proposal).open(lie).complaints
    rest = {deal.dealer: deal.digest for deal in opened(group, list(deals.values())[1:])}
    verdict = compose_verdict(group.proposal, group.member(2).identity, rest, (complaint,))
    machine = finish(group, deals, verdicts={names[2]: verdict})[names[0]]
    assert machine.missing_verdicts == ()


def test_a_complaint_copied_from_another_founder_or_deal() -> None:
    group = cast(5)
    names = group.proposal.names
    cheat, hurt, liar = names[1], names[0], names[3]
    bad = dishonest_deal(group, cheat, wrong_share=(hurt,))
    deals = group.deals() | {cheat: bad}
    machine = group.machine(hurt)
    for note in deals.values():
        machine.receive(note)
    right = NoteReader(group.proposal).open(machine.verdict(seed_of(1)))
    (complaint,) = right.complaints
    digests = {deal.dealer: deal.digest for deal in opened(group, list(deals.values()))}
    signer = group.member(liar).identity
    for copied in (
        complaint,
        complaint.model_copy(update={"dealer": names[2], "deal": digests[names[2]]}),
    ):
        verdict = compose_verdict(group.proposal, signer, digests, (copied,))
        # Without the victim's own complaint the copy convicts nobody.
        machines = finish(group, deals, verdicts={liar: verdict}, silent=(hurt,))
        outcome = machines[names[4]].outcome()
        assert outcome.excluded == {}
        assert outcome.unseated[liar] == f"false complaint about {copied.dealer}"


def test_a_true_complaint_does_not_make_another_true() -> None:
    group = cast(5)
    names = group.proposal.names
    hurt, cheat, accused = names[0], names[1], names[2]
    deals = group.deals() | {cheat: dishonest_deal(group, cheat, wrong_share=(hurt,))}
    machine = group.machine(hurt)
    for note in deals.values():
        machine.receive(note)
    right = NoteReader(group.proposal).open(machine.verdict(seed_of(1)))
    digests = {deal.dealer: deal.digest for deal in opened(group, list(deals.values()))}
    moved = right.complaints[0].model_copy(update={"dealer": accused, "deal": digests[accused]})
    signer = group.member(hurt).identity
    for complaints in ((*right.complaints, moved), (moved, *right.complaints)):
        verdict = compose_verdict(group.proposal, signer, right.checked, complaints)
        outcome = finish(group, deals, verdicts={hurt: verdict})[accused].outcome()
        assert set(outcome.excluded) == {cheat}
        assert outcome.unseated[hurt] == f"false complaint about {accused}"


def test_a_complaint_with_the_name_of_another_deal() -> None:
    # The exposure of a wrong payload, claimed to be about the dealer's other deal.
    group = cast(5)
    names = group.proposal.names
    hurt, cheat = names[0], names[1]
    machine = group.machine(hurt)
    machine.receive(dishonest_deal(group, cheat, wrong_share=(hurt,)))
    machine.receive(honest_deal(group, names[2]))
    (complaint,) = NoteReader(group.proposal).open(machine.verdict(seed_of(1))).complaints
    deals = group.deals()
    digests = {deal.dealer: deal.digest for deal in opened(group, list(deals.values()))}
    moved = complaint.model_copy(update={"deal": digests[cheat]})
    verdict = compose_verdict(group.proposal, group.member(hurt).identity, digests, (moved,))
    outcome = finish(group, deals, verdicts={hurt: verdict})[names[2]].outcome()
    assert outcome.excluded == {}
    assert outcome.unseated == {hurt: f"false complaint about {cheat}"}


def test_verdicts_on_deals_that_nobody_has_are_named() -> None:
    group = cast(5)
    names = group.proposal.names
    deals = group.deals()
    digests = {deal.dealer: deal.digest for deal in opened(group, list(deals.values()))}
    other = digests | {names[2]: "ab" * 32}
    verdict = compose_verdict(group.proposal, group.member(4).identity, other, ())
    outcome = finish(group, deals, verdicts={names[4]: verdict})[names[0]].outcome()
    assert outcome.disputed == {names[4]: (names[2],)}
    assert outcome.unseated == {names[4]: f"its verdict does not confirm the deal of {names[2]}"}
    assert outcome.excluded == {}


def test_complaints_about_deals_that_nobody_has_are_named() -> None:
    group = cast(3)
    names = group.proposal.names
    machine = group.machine(0)
    machine.receive(dishonest_deal(group, names[1], wrong_share=(names[0],)))
    complaint = machine.verdict(seed_of(1))
    deals = group.deals()
    machines = finish(group, deals)
    machines[names[2]].receive(complaint)
    outcome = machines[names[2]].outcome()
    assert outcome.disputed == {names[0]: (names[1],)}
    assert (outcome.excluded, outcome.unseated) == ({}, {})


def test_a_flood_of_verdicts() -> None:
    group = cast(3)
    names = group.proposal.names
    deals = group.deals()
    flood = [
        compose_verdict(group.proposal, group.member(2).identity, {names[0]: f"{n:064x}"}, ())
        for n in range(MAX_VERDICTS + 5)
    ]
    one, other = (finish(group, deals)[names[0]] for _ in range(2))
    for note in flood:
        one.receive(note)
    for note in reversed(flood):
        other.receive(note)
    assert one.outcome() == other.outcome()
    assert one.outcome().transcript.count(b"keygen-verdict") == 2 + MAX_VERDICTS
