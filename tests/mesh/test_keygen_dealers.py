"""What a dishonest dealer achieves: to be named, and nothing else."""

import pytest
from keygen_support import (
    assert_key_works,
    cast,
    dishonest_deal,
    false_complaint,
    finish,
    honest_deal,
    opened,
    second_deal,
    seed_of,
)

from mesh.keygen import (
    SelectionKeyUnknownError,
    TooFewDealersError,
    TooFewSeatsError,
)
from mesh.keygen.notes import compose_verdict
from mesh.keygen.outcome import stand
from proofs.threshold.errors import DealerFaultError


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ("wrong_share", "ShareMismatchError"),
        ("garbage", "SealError"),
        ("wrong_contribution", "EnclosureMismatchError"),
    ],
)
@pytest.mark.parametrize("victim", [0, 2, 4])
def test_a_wrong_payload_is_proven(how: str, fault: str, victim: int) -> None:
    group = cast(5)
    cheat, hurt = group.proposal.names[1], group.proposal.names[victim]
    deals = group.deals() | {cheat: dishonest_deal(group, cheat, **{how: (hurt,)})}
    machines = finish(group, deals)
    outcomes = [machine.outcome() for machine in machines.values()]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0].excluded == {cheat: f"wrong payload to {hurt}: {fault}"}
    assert set(outcomes[0].unseated) == {cheat}
    assert cheat not in outcomes[0].dealers
    assert_key_works(machines, outcomes[0].committee)
    assert machines[hurt].missing_verdicts == ()


def test_a_wrong_contribution_to_a_founder_without_a_seat() -> None:
    group = cast(5, 3)
    cheat, hurt = group.proposal.names[1], group.proposal.names[4]
    deals = group.deals() | {cheat: dishonest_deal(group, cheat, wrong_contribution=(hurt,))}
    machines = finish(group, deals)
    outcome = machines[hurt].outcome()
    assert outcome.excluded == {cheat: f"wrong payload to {hurt}: EnclosureMismatchError"}
    assert len({machine.selection_key() for machine in machines.values()}) == 1


def test_a_victim_that_does_not_complain_learns_it_in_time() -> None:
    group = cast(5)
    cheat, hurt = group.proposal.names[1], group.proposal.names[0]
    deals = group.deals() | {cheat: dishonest_deal(group, cheat, wrong_contribution=(hurt,))}
    machines = finish(group, deals, silent=(hurt,))
    machine = machines[hurt]
    assert machine.outcome() == machines[cheat].outcome()
    with pytest.raises(SelectionKeyUnknownError):
        _ = machine.outcome().selection_key_digest
    with pytest.raises(DealerFaultError):
        machine.selection_key()
    assert machine.share() is None
    assert machine.missing_verdicts == (hurt,)


@pytest.mark.parametrize(
    ("how", "fault"),
    [("extra_commitment", "CommitmentCountError"), ("no_possession", "PossessionError")],
)
def test_a_malformed_deal_needs_no_complaint(how: str, fault: str) -> None:
    group = cast(5)
    cheat = group.proposal.names[1]
    deals = group.deals() | {cheat: dishonest_deal(group, cheat, **{how: True})}
    machines = finish(group, deals)
    outcome = machines[group.proposal.names[0]].outcome()
    assert outcome.excluded == {cheat: f"malformed deal: {fault}"}
    assert cheat in outcome.unseated
    assert_key_works(machines, outcome.committee)


def test_two_deals_of_one_dealer_are_the_proof() -> None:
    group = cast(5)
    cheat = group.proposal.names[1]
    deals = [*group.deals().values(), second_deal(group, cheat)]
    # Half of them saw one deal first and said so, the others the other.
    machines = {}
    verdicts = []
    for place, name in enumerate(group.proposal.names):
        machine = machines[name] = group.machine(name)
        for note in deals[:-1] if place % 2 else [n for n in deals if n != deals[1]]:
            machine.receive(note)
        verdicts.append(machine.verdict(seed_of(name)))
    for machine in machines.values():
        for note in [*deals, *verdicts]:
            machine.receive(note)
        first, second = machine.equivocations[cheat]
        assert {first, second} == {deals[1], deals[-1]}
    outcomes = [machine.outcome() for machine in machines.values()]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0].excluded == {cheat: "two different deals"}
    assert set(outcomes[0].unseated) == {cheat}
    assert outcomes[0].disputed == {}
    assert_key_works(machines, outcomes[0].committee)


def test_of_many_deals_of_one_dealer_the_same_two_are_kept() -> None:
    group = cast(3)
    cheat = group.proposal.names[1]
    notes = [dishonest_deal(group, cheat, variant=variant) for variant in range(4)]
    machines = []
    for order in (notes, notes[::-1], [*notes[2:], *notes[:2], *notes]):
        machine = group.machine(0)
        for note in [*group.deals().values(), *order]:
            machine.receive(note)
        machines.append(machine)
    assert machines[0].equivocations == machines[1].equivocations == machines[2].equivocations
    assert list(machines[0].equivocations) == [cheat]
    # Verdicts on those that were not kept are not on deals that nobody has.
    verdicts = [
        compose_verdict(group.proposal, group.member(0).identity, {cheat: deal.digest}, ())
        for deal in opened(group, notes)
    ]
    for machine in (machines[0], *finish(group, [*group.deals().values(), *notes]).values()):
        for verdict in verdicts:
            machine.receive(verdict)
        assert stand(machine._reader, machine._notes).disputed == {}


def test_silent_dealers_and_founders() -> None:
    group = cast(5)
    names = group.proposal.names
    deals = group.deals()
    del deals[names[4]]
    machines = finish(group, deals, silent=(names[3],))
    outcome = machines[names[0]].outcome()
    assert outcome.excluded == {names[4]: "no deal"}
    assert outcome.unseated == {names[3]: "no verdict"}
    # It dealt rightly and vanished: its deal counts.
    assert names[3] in outcome.dealers
    # It did not deal, but it checked the others' deals: it has a seat.
    assert outcome.committee.seat_of(names[4]) is not None
    assert [seat.index for seat in outcome.committee.seats] == [1, 2, 3, 5]
    assert_key_works(machines, outcome.committee)
    assert machines[names[3]].share() is None


def test_too_few_dealers() -> None:
    group = cast(5)
    names = group.proposal.names
    deals = {name: honest_deal(group, name) for name in names[:2]}
    machines = finish(group, deals)
    with pytest.raises(TooFewDealersError, match="2 deals count and 3 are needed") as caught:
        machines[names[0]].outcome()
    assert caught.value.excluded == dict.fromkeys(names[2:], "no deal")
    assert names[4] in str(caught.value)
    with pytest.raises(TooFewDealersError):
        machines[names[0]].share()
    with pytest.raises(TooFewDealersError):
        machines[names[0]].selection_key()


def test_too_few_seats() -> None:
    group = cast(4)
    names = group.proposal.names
    liar = group.proposal.names[3]
    machines = finish(
        group,
        group.deals(),
        verdicts={
            liar: false_complaint(group, liar, opened(group, [*group.deals().values()]), names[0])
        },
        silent=(names[2],),
    )
    with pytest.raises(TooFewSeatsError, match="2 founders have a share") as caught:
        machines[names[0]].outcome()
    assert caught.value.unseated == {
        names[2]: "no verdict",
        liar: f"false complaint about {names[0]}",
    }


def test_a_deal_that_hardly_anybody_saw_does_not_count() -> None:
    group = cast(5)
    names = group.proposal.names
    late = names[4]
    deals = group.deals()
    early = {name: note for name, note in deals.items() if name != late}
    machines = finish(group, early)
    for machine in machines.values():
        machine.receive(deals[late])
    assert machines[names[0]].outcome().excluded == {
        late: "fewer founders than the threshold checked its deal"
    }
    assert machines[names[0]].missing_verdicts == names
    # Once enough have checked it, it counts, and those that have not lose their seats.
    more = [machines[name].verdict(seed_of("more")) for name in names[:3]]
    for machine in machines.values():
        for note in more:
            machine.receive(note)
    outcome = machines[names[4]].outcome()
    assert outcome.excluded == {}
    assert outcome.unseated == dict.fromkeys(
        names[3:], f"its verdict does not confirm the deal of {late}"
    )
    assert_key_works(machines, outcome.committee)
    # They can still give another verdict.
    rest = [machines[name].verdict(seed_of("more")) for name in names[3:]]
    for note in rest:
        machines[names[0]].receive(note)
    assert machines[names[0]].outcome().unseated == {}
    assert machines[names[0]].missing_verdicts == ()
