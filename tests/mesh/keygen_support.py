"""Founders with real keys, and dishonest ones, for the tests of key generation."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256

from mesh.committee import Committee
from mesh.keygen import KeyGeneration, KeygenProposal, NoteReader, propose, read_proposal
from mesh.keygen.notes import ComplaintBody, OpenedDeal, compose_deal, compose_verdict
from mesh.testing.members import TestMember, founders
from proofs.holder import prove_holding
from proofs.ristretto import Scalar, add_scalars, multiply_base, random_scalars, scalar
from proofs.threshold.dealing import Deal, _possession_context, make_deal
from proofs.threshold.feldman import commit
from proofs.threshold.sealing import expose, seal_with
from proofs.threshold.shamir import evaluate_polynomial, recover


@lru_cache(maxsize=64)
def cast(n: int, seats: int | None = None, attempt: int = 1) -> "Cast":
    members = sorted(founders(n), key=lambda member: member.name)
    names = [member.name for member in members[:seats]] if seats else None
    text = propose(
        "test mesh", [member.card_note for member in members], seats=names, attempt=attempt
    )
    return Cast(read_proposal(text), {member.name: member for member in members})


@dataclass(frozen=True)
class Cast:
    proposal: KeygenProposal
    members: dict[str, TestMember] = field(repr=False)

    def machine(self, name: str | int) -> KeyGeneration:
        member = self.member(name)
        return KeyGeneration(self.proposal, member.name, member.identity, member.sealing)

    def member(self, name: str | int) -> TestMember:
        return self.members[self.proposal.names[name] if isinstance(name, int) else name]

    @property
    def threshold(self) -> int:
        return self.proposal.threshold

    def deals(self) -> dict[str, bytes]:
        return {name: honest_deal(self, name) for name in self.proposal.seats}


def seed_of(*parts: object) -> bytes:
    return sha256(repr(parts).encode()).digest()


_DEALS: dict[tuple[str, str], bytes] = {}


def honest_deal(group: Cast, name: str) -> bytes:
    key = group.proposal.ceremony, name
    if key not in _DEALS:
        _DEALS[key] = group.machine(name).deal(seed_of("deal", name))
    return _DEALS[key]


def dishonest_deal(
    group: Cast,
    name: str,
    *,
    wrong_share: tuple[str, ...] = (),
    wrong_contribution: tuple[str, ...] = (),
    garbage: tuple[str, ...] = (),
    extra_commitment: bool = False,
    no_possession: bool = False,
    variant: int = 0,
    coefficients: list[Scalar] | None = None,
) -> bytes:
    """A deal that is wrong in the ways that are named, proven and signed as if it were right."""
    terms = group.proposal.terms(name)
    degree = terms.threshold + extra_commitment
    coefficients = coefficients or random_scalars(seed_of("cheat", name, variant), b"f", degree)
    ephemerals = random_scalars(seed_of("cheat", name, variant), b"e", len(terms.recipients))
    contribution = seed_of("contribution", name, variant)
    sealed = []
    for place, (recipient, ephemeral) in enumerate(zip(terms.recipients, ephemerals, strict=True)):
        victim = group.proposal.names[place]
        share = b""
        if recipient.index is not None:
            share = evaluate_polynomial(coefficients, recipient.index)
            if victim in wrong_share:
                share = add_scalars(share, scalar(1))
        given = contribution[::-1] if victim in wrong_contribution else contribution
        context = terms.payload_context(place)
        payload = seal_with(ephemeral, recipient.key, share + given, context)
        if victim in garbage:
            payload = payload[:32] + bytes(len(payload) - 32)
        sealed.append(payload)
    deal = Deal(commit(coefficients), terms.enclosure_digest(contribution), tuple(sealed), b"")
    known = [scalar(7) if no_possession else coefficients[0], *ephemerals]
    proof = prove_holding(known, _possession_context(terms, deal), seed_of("proof", name))
    return compose_deal(group.proposal, group.member(name).identity, replace(deal, proof=proof))


def second_deal(group: Cast, name: str) -> bytes:
    """Another deal of a dealer, right in itself."""
    terms = group.proposal.terms(name)
    deal = make_deal(terms, seed_of("second", name), enclosure=seed_of("second", name))
    return compose_deal(group.proposal, group.member(name).identity, deal)


def false_complaint(group: Cast, name: str, deals: list[OpenedDeal], about: str) -> bytes:
    """A verdict that accepts all deals but one, and complains about that one without a reason."""
    place = group.proposal.place_of(name)
    (accused,) = (deal for deal in deals if deal.dealer == about)
    assert accused.checked is not None
    exposure = expose(
        group.member(name).sealing,
        accused.checked.deal.sealed[place],
        seed_of("lie"),
        group.proposal.terms(about).payload_context(place),
    )
    complaint = ComplaintBody(dealer=about, deal=accused.digest, exposure=exposure)
    return compose_verdict(
        group.proposal,
        group.member(name).identity,
        {deal.dealer: deal.digest for deal in deals},
        (complaint,),
    )


def finish(
    group: Cast,
    deals: dict[str, bytes] | list[bytes],
    *,
    verdicts: dict[str, bytes] | None = None,
    silent: tuple[str, ...] = (),
) -> dict[str, KeyGeneration]:
    """Everybody gets these deals, gives a verdict (or the one that is given for it), and gets all
    verdicts."""
    notes = list(deals.values()) if isinstance(deals, dict) else deals
    machines = {name: group.machine(name) for name in group.proposal.names}
    given = dict(verdicts or {})
    for name, machine in machines.items():
        for note in notes:
            machine.receive(note)
        if name not in given and name not in silent:
            given[name] = machine.verdict(seed_of("verdict", name))
    for machine in machines.values():
        for note in given.values():
            machine.receive(note)
    return machines


def opened(group: Cast, notes: list[bytes]) -> list[OpenedDeal]:
    reader = NoteReader(group.proposal)
    return [deal for deal in map(reader.open, notes) if isinstance(deal, OpenedDeal)]


def assert_key_works(machines: dict[str, KeyGeneration], committee: Committee) -> None:
    shares = {seat.index: machines[seat.member].share() for seat in committee.seats}
    for seat in committee.seats:
        assert multiply_base(shares[seat.index]) == seat.element
    for some in (committee.seats[: committee.threshold], committee.seats[-committee.threshold :]):
        key = recover({seat.index: shares[seat.index] for seat in some})
        assert multiply_base(key) == committee.public_element
