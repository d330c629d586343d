"""What a set of notes amounts to: a pure function, the same for everybody, in any order of notes.

1. A dealer without a deal is left out (*silent*); one with two different deals (*equivocation*),
   a malformed deal, or a deal that a complaint proves wrong, is left out with the proof in the
   transcript, and gets no seat either.
2. A deal that fewer than t seats' founders checked does not count (*unchecked*): else a dealer
   could bring forth a deal that nobody saw.
3. The other dealers *qualify*, even if they were not heard of again. There must be t or more of
   them, so that one honest founder's secret is in the key whenever fewer than t are dishonest.
4. A founder has its seat if its verdicts say that it checked the deals of all that qualified, and
   if it made no false complaint. There must be t or more seats.
5. The key is the sum of the qualified dealers' secrets, a seat's share the sum of their shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mesh.committee import Committee
from mesh.keygen.errors import SelectionKeyUnknownError, TooFewDealersError, TooFewSeatsError
from mesh.keygen.notes import NoteReader, OpenedDeal, OpenedVerdict
from proofs.ristretto import Element
from proofs.threshold.feldman import add_or_identity, evaluate_commitments

SILENT: Final = "no deal"
EQUIVOCATION: Final = "two different deals"
UNCHECKED: Final = "fewer founders than the threshold checked its deal"
NO_VERDICT: Final = "no verdict"
ZERO_SHARE: Final = "its share is zero, which only its own late deal can have brought about"


@dataclass(frozen=True)
class Notes:
    """All notes that count: per dealer the different deals, per founder the different verdicts."""

    deals: Mapping[str, tuple[OpenedDeal, ...]]
    verdicts: Mapping[str, tuple[OpenedVerdict, ...]]


@dataclass(frozen=True)
class Standing:
    """What is known of deals and founders before it is asked whether they suffice."""

    deals: dict[str, OpenedDeal]
    """Deals without a known fault, by dealer in the order of seats."""
    faults: dict[str, str]
    """Why a dealer's deal does not count."""
    liars: dict[str, str]
    """Founders that complained falsely, and about whom."""
    checked: dict[str, dict[str, set[str]]]
    """By founder and dealer: digests of the deals that the founder found right."""
    disputed: dict[str, tuple[str, ...]]
    """Founders whose verdicts name a deal that nobody has, with the dealers. Get that deal: either
    the dealer showed different deals to different founders, or the founder made it up."""


@dataclass(frozen=True)
class Resolution:
    """What the notes amount to, before it is put into a committee."""

    qualified: tuple[OpenedDeal, ...]
    """In the order of seats."""
    public_key: Element
    shares: tuple[tuple[str, int, Element], ...]
    """Name, index and public share of each seat's holder."""
    excluded: dict[str, str]
    unseated: dict[str, str]
    disputed: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class KeygenOutcome:
    """What a key generation came to. Equal notes give equal outcomes."""

    committee: Committee
    transcript: bytes = field(repr=False)
    """All notes; its SHA-256 is `committee.transcript`."""
    dealers: tuple[str, ...]
    """Who qualified, in the order of seats."""
    excluded: dict[str, str]
    """Why the other dealers' deals don't count."""
    unseated: dict[str, str]
    """Why the other founders that were to have a seat have none."""
    disputed: dict[str, tuple[str, ...]]
    """Founders whose verdicts name a deal that is not among the notes, with the dealers: ask both
    for it before you sign a genesis."""
    selection_digest: str | None = field(default=None, compare=False)
    """Digest of the selection key, or None for one who can't open all contributions to it."""

    @property
    def selection_key_digest(self) -> str:
        """Digest of the selection key, for the constraints.

        :raises SelectionKeyUnknownError: the outcome was worked out without a sealing key, or by a
            founder that was dealt a wrong payload and has not complained.
        """
        if self.selection_digest is None:
            raise SelectionKeyUnknownError(
                "the selection key is known to founders only, with their sealing key, and once "
                "they have given their verdict on what they were dealt"
            )
        return self.selection_digest


def stand(reader: NoteReader, notes: Notes) -> Standing:
    """Judge all deals and complaints."""
    deals: dict[str, OpenedDeal] = {}
    faults: dict[str, str] = {}
    for dealer in reader.proposal.seats:
        match notes.deals.get(dealer, ()):
            case ():
                faults[dealer] = SILENT
            case (OpenedDeal(fault=None) as deal,):
                deals[dealer] = deal
            case (deal,):
                faults[dealer] = f"malformed deal: {type(deal.fault).__name__}"
            case _:
                faults[dealer] = EQUIVOCATION
    liars: dict[str, str] = {}
    checked: dict[str, dict[str, set[str]]] = {}
    disputed: dict[str, tuple[str, ...]] = {}
    convicted: dict[str, str] = {}
    for founder in reader.proposal.names:
        unknown: set[str] = set()
        seen = checked.setdefault(founder, {})
        for verdict in notes.verdicts.get(founder, ()):
            for dealer, digest in verdict.checked.items():
                seen.setdefault(dealer, set()).add(digest)
                if not _has(notes, dealer, digest):
                    unknown.add(dealer)
            for complaint in verdict.complaints:
                if not _has(notes, complaint.dealer, complaint.deal):
                    unknown.add(complaint.dealer)
                    continue
                accused = deals.get(complaint.dealer)
                if accused is None:
                    continue  # The dealer does not count anyway.
                fault = reader.judge(accused, complaint, founder)
                if fault is None:
                    liars.setdefault(founder, complaint.dealer)
                else:
                    convicted.setdefault(complaint.dealer, f"wrong payload to {founder}: {fault}")
        if unknown:
            disputed[founder] = tuple(sorted(unknown))
    for dealer, why in convicted.items():
        del deals[dealer]
        faults[dealer] = why
    return Standing(deals, faults, liars, checked, disputed)


def resolve(reader: NoteReader, notes: Notes) -> Resolution:
    """Work out what the notes amount to.

    :raises TooFewDealersError: fewer than t deals qualify.
    :raises TooFewSeatsError: fewer than t founders get a seat.
    """
    proposal, standing = reader.proposal, stand(reader, notes)
    excluded, unseated = dict(standing.faults), {}
    for name in proposal.seats:
        if name in standing.liars:
            unseated[name] = f"false complaint about {standing.liars[name]}"
        elif standing.faults.get(name, SILENT) != SILENT:
            unseated[name] = f"did not deal rightly: {standing.faults[name]}"
        elif not notes.verdicts.get(name):
            unseated[name] = NO_VERDICT
    qualified = []
    for dealer, deal in standing.deals.items():
        if sum(_covers(standing, name, deal) for name in proposal.seats) >= proposal.threshold:
            qualified.append(deal)
        else:
            excluded[dealer] = UNCHECKED
    if len(qualified) < proposal.threshold:
        raise TooFewDealersError(
            f"{len(qualified)} deals count and {proposal.threshold} are needed: get the missing "
            "notes, or propose again without those who don't deal rightly",
            excluded,
            unseated,
        )
    for name in proposal.seats:
        lacking = [deal.dealer for deal in qualified if not _covers(standing, name, deal)]
        if lacking and name not in unseated:
            unseated[name] = f"its verdict does not confirm the deal of {', '.join(lacking)}"
    commitments = _sum(qualified, proposal.threshold)
    shares = []
    for name in proposal.seats:
        index = proposal.index_of(name)
        if name in unseated or index is None:
            continue
        share = evaluate_commitments(commitments, index)
        if share is None:
            unseated[name] = ZERO_SHARE
        else:
            shares.append((name, index, share))
    if len(shares) < proposal.threshold or commitments[0] is None:
        raise TooFewSeatsError(
            f"{len(shares)} founders have a share and {proposal.threshold} are needed: get the "
            "missing verdicts, or propose again without those who don't give one",
            excluded,
            unseated,
        )
    return Resolution(
        tuple(qualified), commitments[0], tuple(shares), excluded, unseated, standing.disputed
    )


def _has(notes: Notes, dealer: str, digest: str) -> bool:
    deals = notes.deals.get(dealer, ())
    # Of an equivocator's deals only two are kept; a verdict may well be on a third.
    return len(deals) > 1 or any(deal.digest == digest for deal in deals)


def _covers(standing: Standing, founder: str, deal: OpenedDeal) -> bool:
    return deal.digest in standing.checked[founder].get(deal.dealer, ())


def _sum(deals: list[OpenedDeal], threshold: int) -> list[Element | None]:
    total: list[Element | None] = [None] * threshold
    for deal in deals:
        assert deal.checked is not None, "only well-formed deals qualify"
        for place, commitment in enumerate(deal.checked.commitments):
            total[place] = add_or_identity(total[place], commitment)
    return total
