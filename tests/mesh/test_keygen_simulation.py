"""Key generation with random dishonest founders and random delivery: all the honest agree, and the
key works. Each run is named by its seed."""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from keygen_support import (
    Cast,
    cast,
    dishonest_deal,
    false_complaint,
    honest_deal,
    second_deal,
    seed_of,
)

from mesh.keygen import (
    KeyGeneration,
    KeygenOutcome,
    NoteReader,
    NothingToJudgeError,
    from_transcript,
)
from mesh.keygen.notes import OpenedDeal
from proofs.note import add_signatures
from proofs.oprf import (
    blind_input,
    evaluate,
    finalize,
    prove_evaluation,
    unblind,
    verify_evaluation,
)
from proofs.ristretto import multiply_base, random_scalars
from proofs.threshold.combining import combine
from proofs.threshold.shamir import recover

Deals = Callable[[Cast, str, str], list[bytes]]
"""The notes that a dishonest dealer shows instead of its deal; the last argument is a victim."""

DEALS: dict[str, tuple[Deals, str]] = {
    "silent": (lambda group, name, victim: [], "no deal"),
    "wrong share": (
        lambda group, name, victim: [dishonest_deal(group, name, wrong_share=(victim,))],
        "wrong payload",
    ),
    "garbage": (
        lambda group, name, victim: [dishonest_deal(group, name, garbage=(victim,))],
        "wrong payload",
    ),
    "wrong contribution": (
        lambda group, name, victim: [dishonest_deal(group, name, wrong_contribution=(victim,))],
        "wrong payload",
    ),
    "malformed": (
        lambda group, name, victim: [dishonest_deal(group, name, extra_commitment=True)],
        "malformed deal",
    ),
    "rogue": (
        lambda group, name, victim: [dishonest_deal(group, name, no_possession=True)],
        "malformed deal",
    ),
    "equivocating": (
        lambda group, name, victim: [honest_deal(group, name), second_deal(group, name)],
        "two different deals",
    ),
}


class Run:
    """One ceremony, with at most as many dishonest founders as the threshold allows."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        n = self.rng.randint(3, 7)
        seats = self.rng.randint(3, n)
        self.group = cast(n, seats)
        names, proposal = list(self.group.proposal.names), self.group.proposal
        dishonest = self.rng.sample(proposal.seats, self.rng.randint(0, seats - proposal.threshold))
        self.honest = [name for name in names if name not in dishonest]
        self.bad_deals: dict[str, str] = {}
        self.vanished: set[str] = set()
        self.liars: dict[str, str] = {}
        for name in dishonest:
            kind = self.rng.choice([*DEALS, "vanished", "liar", "liar"])
            if kind == "vanished":
                self.vanished.add(name)
            elif kind == "liar":
                self.liars[name] = self.rng.choice(
                    [dealer for dealer in self.honest if dealer in proposal.seats]
                )
            else:
                self.bad_deals[name] = kind
        self.deals: list[bytes] = []
        for name in proposal.seats:
            if name in self.bad_deals:
                victim = self.rng.choice([x for x in self.honest if x in proposal.seats])
                self.deals += DEALS[self.bad_deals[name]][0](self.group, name, victim)
            else:
                self.deals.append(honest_deal(self.group, name))
        self.machines = {name: self.group.machine(name) for name in self.honest}
        self.reader = NoteReader(proposal)

    def deliver(self, machine: KeyGeneration, notes: list[bytes]) -> None:
        """Show the notes in random order, some twice, among notes that don't count."""
        rubbish = [
            b"rubbish",
            add_signatures(notes[0], (self.group.member(0).card_witness,)),
            honest_deal(cast(3, None, 2), cast(3).proposal.names[0]),
            notes[-1][:-9],
        ]
        shown = notes + self.rng.choices(notes, k=3)
        self.rng.shuffle(shown)
        for note in rubbish:
            shown.insert(self.rng.randrange(len(shown)), note)
        for note in shown:
            if note in rubbish:
                with pytest.raises(ValueError):
                    machine.receive(note)
            else:
                machine.receive(note)

    def play(self) -> None:
        verdicts: list[bytes] = []
        for name, machine in self.machines.items():
            if self.rng.random() < 0.3:
                # It sees some of the deals only, and says something too early.
                early = self.rng.sample(self.deals, self.rng.randint(1, len(self.deals)))
                self.deliver(machine, early)
                with suppress(NothingToJudgeError):
                    verdicts.append(machine.verdict(seed_of("early", name)))
            self.deliver(machine, self.deals)
            verdicts.append(machine.verdict(seed_of("verdict", name)))
        opened = [self.reader.open(note) for note in self.deals]
        good = [deal for deal in opened if isinstance(deal, OpenedDeal) and deal.checked]
        for liar, about in self.liars.items():
            verdicts.append(false_complaint(self.group, liar, good, about))
        for machine in self.machines.values():
            self.deliver(machine, [*self.deals, *verdicts])

    def outcome(self) -> KeygenOutcome:
        outcomes = [machine.outcome() for machine in self.machines.values()]
        for outcome in outcomes:
            assert outcome == outcomes[0]
            assert outcome.transcript == outcomes[0].transcript
            assert outcome.selection_key_digest == outcomes[0].selection_key_digest
        return outcomes[0]


@pytest.mark.parametrize("seed", range(40))
def test_the_honest_agree_and_the_key_works(seed: int) -> None:
    run = Run(seed)
    run.play()
    outcome = run.outcome()
    proposal, committee = run.group.proposal, outcome.committee

    # Only the dishonest are named, each with the right reason.
    assert set(outcome.excluded) == set(run.bad_deals)
    for name, why in outcome.excluded.items():
        assert why.startswith(DEALS[run.bad_deals[name]][1])
    seatless = run.vanished | set(run.liars) | set(run.bad_deals)
    assert set(outcome.unseated) == seatless
    for name, about in run.liars.items():
        assert outcome.unseated[name] == f"false complaint about {about}"
    assert outcome.dealers == tuple(x for x in proposal.seats if x not in run.bad_deals)
    assert [seat.member for seat in committee.seats] == [
        name for name in proposal.seats if name not in seatless
    ]

    # Any t shares are the key; t − 1 are not.
    shares = {seat.index: run.machines[seat.member].share() for seat in committee.seats}
    some = run.rng.sample(sorted(shares), committee.threshold)
    key = recover({index: shares[index] for index in some})
    assert multiply_base(key) == committee.public_element
    assert recover({index: shares[index] for index in some[1:]}) != key

    # The VOPRF with shares is the VOPRF with the key.
    data = b"a window of a text"
    (blind, nonce) = random_scalars(seed_of(seed), b"voprf", 2)
    blinded = blind_input(data, blind)
    partials = {}
    for index in some:
        seat = next(seat for seat in committee.seats if seat.index == index)
        partials[index] = evaluate(shares[index], [blinded])
        proof = prove_evaluation(shares[index], seat.element, [blinded], partials[index], nonce)
        verify_evaluation(seat.element, [blinded], partials[index], proof)
    (whole,) = evaluate(key, [blinded])
    assert combine(partials) == (whole,)
    expected = finalize(data, unblind(whole, blind))
    assert finalize(data, combine(partials, [blind])[0]) == expected

    # A joiner comes to the same from the transcript.
    name = run.rng.choice(run.honest)
    member = run.group.member(name)
    again = from_transcript(proposal, outcome.transcript, name, member.identity, member.sealing)
    assert again.outcome() == outcome
    assert again.share() == run.machines[name].share()
    assert again.selection_key() == run.machines[name].selection_key()
    assert {m.selection_key() for m in run.machines.values()} == {again.selection_key()}


def test_the_runs_reach_every_kind_of_founder() -> None:
    runs = [Run(seed) for seed in range(40)]
    assert {kind for run in runs for kind in run.bad_deals.values()} == set(DEALS)
    assert any(run.vanished for run in runs)
    assert any(run.liars for run in runs)
    assert any(not run.bad_deals for run in runs)
