"""One dealer's part of a distributed key generation, and complaints that anybody can judge.

Every dealer shares a secret of its own among the holders, and the key is the sum of the secrets
(Pedersen 1991). A deal holds Feldman commitments, one sealed payload for each recipient, and one
proof of possession, as FROST's key generation has it (Komlo, Goldberg 2020; RFC 9591 keeps to it).
The proof is bound to the dealer's context and to the whole deal, and it covers

- the dealer's secret: else the last dealer subtracts the others' commitments from its own and owns
  the key alone (a rogue key), or copies another's commitment;
- the Diffie–Hellman scalar of every payload: else a dealer copies an honest dealer's points, and
  whoever complains about the copy opens the original (see `sealing`).

A payload is the recipient's share, if it holds one, and an *enclosure* that is the same for all
recipients and committed to by its hash. A recipient whose payload is wrong exposes it; then
everybody sees whether the dealer or the complainer lied.

`Terms` are what is agreed before anybody deals. Only a `CheckedDeal` can be opened, complained
about or judged, for only its points are known to be the dealer's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256, sha512
from typing import Final

from proofs.holder import HolderProofError, prove_holding, verify_holding
from proofs.ristretto import (
    SCALAR_BYTES,
    Element,
    InvalidElementError,
    InvalidScalarError,
    Scalar,
    decode_element,
    decode_scalar,
    multiply_base,
    random_scalars,
    scalar,
)
from proofs.threshold.errors import (
    DealerFaultError,
    DuplicateIndexError,
    ThresholdError,
    TooFewSharesError,
)
from proofs.threshold.feldman import commit, verify_share
from proofs.threshold.sealing import (
    SEAL_OVERHEAD,
    ExposureError,
    draw_ephemeral,
    ephemeral_element,
    expose,
    open_exposed,
    open_sealed,
    seal_with,
)
from proofs.threshold.shamir import check_index, evaluate_polynomial

_LABEL: Final = b"signal-mesh/v1/dealing"
ENCLOSURE_DIGEST_BYTES: Final = 32


class MalformedDealError(DealerFaultError):
    """A deal that everybody can see to be wrong, without opening anything."""


class CommitmentCountError(MalformedDealError):
    """Not one commitment for each coefficient: a polynomial of higher degree would need more
    holders than the threshold says, one of lower degree fewer."""


class CommitmentError(MalformedDealError):
    """A commitment is no group element, or is the identity."""


class WrongConstantError(MalformedDealError):
    """A deal that must share a given secret shares another: it would change the public key."""


class PayloadCountError(MalformedDealError):
    """Not one sealed payload of the right length for each recipient."""


class PossessionError(MalformedDealError):
    """The dealer did not prove that it knows its secret and its points: they may be others'."""


class PayloadFormatError(DealerFaultError):
    """A payload opens, but holds no scalar where the share has to be."""


class EnclosureMismatchError(DealerFaultError):
    """A payload's enclosure is not the one that the dealer committed to."""


class NotARecipientError(ThresholdError):
    """This private key is not the recipient's: use the sealing key that the terms name."""


class FalseComplaintError(ThresholdError):
    """A complaint about a dealer whose payload is right: the complainer is at fault."""


@dataclass(frozen=True)
class Recipient:
    """Who is sent a payload: its sealing key, and the index of its share if it gets one."""

    key: Element
    index: int | None = None


@dataclass(frozen=True)
class Terms:
    """What a dealer has to deal.

    :raises TooFewSharesError: fewer holders than the threshold, or a threshold under 1 (2 where
        the shared secret is zero).
    :raises ShareIndexError: an index is not in 1..255.
    :raises DuplicateIndexError: two recipients have one index.
    """

    threshold: int
    """Number of coefficients: so many shares are needed."""
    recipients: tuple[Recipient, ...]
    context: bytes
    """Binds the run of the protocol and the dealer's name: no deal is good for another."""
    enclosure_bytes: int = 0
    zero: bool = False
    """The secret is zero, as in a refresh; it is not committed to."""
    constant: Element | None = None
    """What the commitment to the secret must be, or None if the dealer draws the secret."""

    def __post_init__(self) -> None:
        indices = [r.index for r in self.recipients if r.index is not None]
        for index in indices:
            check_index(index)
        if len(set(indices)) != len(indices):
            raise DuplicateIndexError("each holder has an index of its own")
        if not (2 if self.zero else 1) <= self.threshold <= len(indices):
            raise TooFewSharesError("the threshold is at most the number of holders, and not zero")

    @cached_property
    def digest(self) -> bytes:
        """SHA-512 over all of the terms, each part with its length."""
        parts = [
            self.threshold.to_bytes(4, "big"),
            self.enclosure_bytes.to_bytes(4, "big"),
            b"\x01" if self.zero else b"\x00",
            self.constant or b"",
            self.context,
            *(r.key + (r.index or 0).to_bytes(4, "big") for r in self.recipients),
        ]
        return _hash(b" terms", parts)

    def payload_context(self, place: int) -> bytes:
        """What the payload of the recipient at this place is bound to."""
        return _LABEL + b" payload" + self.digest + place.to_bytes(4, "big")

    def enclosure_digest(self, enclosure: bytes) -> bytes:
        """The commitment to an enclosure; it hides one that has 32 random bytes or more."""
        return sha256(_LABEL + b" enclosure" + self.digest + enclosure).digest()

    def payload_bytes(self, recipient: Recipient) -> int:
        """Length of a recipient's sealed payload."""
        share = 0 if recipient.index is None else SCALAR_BYTES
        return SEAL_OVERHEAD + share + self.enclosure_bytes


@dataclass(frozen=True)
class Deal:
    """What a dealer publishes. Nothing of it is checked yet; all of it is public."""

    commitments: tuple[bytes, ...]
    """aₖ·G by rising k; without the constant one if the secret is zero."""
    enclosure_digest: bytes
    sealed: tuple[bytes, ...]
    """One payload for each recipient, in the order of the terms."""
    proof: bytes
    """Possession of the secret and of each payload's ephemeral scalar, in this order."""


@dataclass(frozen=True)
class CheckedDeal:
    """A deal that is what the terms ask for, as far as can be seen without opening payloads."""

    terms: Terms
    deal: Deal
    commitments: tuple[Element | None, ...]
    """One for each coefficient; None stands for the zero secret."""


@dataclass(frozen=True)
class Payload:
    """What a recipient got from one dealer."""

    share: Scalar | None = field(repr=False)
    enclosure: bytes = field(repr=False)


def make_deal(
    terms: Terms, seed: bytes, *, secret: Scalar | None = None, enclosure: bytes = b""
) -> Deal:
    """Deal under the terms. The same arguments give the same deal.

    :param seed: at least 32 secret random bytes.
    :param secret: what to share; drawn from the seed if None.
    :raises WrongConstantError: the secret is not that of `terms.constant`, or one is given where
        the terms ask for zero.
    :raises EnclosureMismatchError: the enclosure is not as long as the terms say.
    :raises InvalidScalarError: the seed is shorter, or the secret is zero.
    """
    if len(enclosure) != terms.enclosure_bytes:
        raise EnclosureMismatchError(f"the enclosure is {terms.enclosure_bytes} bytes")
    drawn = random_scalars(seed, _LABEL + b" coefficients" + terms.digest, terms.threshold)
    if terms.zero:
        if secret is not None:
            raise WrongConstantError("these terms ask for the secret zero")
        coefficients = [scalar(0), *drawn[1:]]
        commitments = commit(drawn[1:])
    else:
        coefficients = [drawn[0] if secret is None else secret, *drawn[1:]]
        commitments = commit(coefficients)
        if terms.constant is not None and commitments[0] != terms.constant:
            raise WrongConstantError("this is not the secret that the terms ask for")
    ephemerals, sealed = [], []
    for place, recipient in enumerate(terms.recipients):
        plaintext = enclosure
        if recipient.index is not None:
            plaintext = evaluate_polynomial(coefficients, recipient.index) + enclosure
        context = terms.payload_context(place)
        ephemeral = draw_ephemeral(recipient.key, plaintext, seed, context)
        ephemerals.append(ephemeral)
        sealed.append(seal_with(ephemeral, recipient.key, plaintext, context))
    unproven = Deal(commitments, terms.enclosure_digest(enclosure), tuple(sealed), b"")
    known = ephemerals if terms.zero else [coefficients[0], *ephemerals]
    proof = prove_holding(known, _possession_context(terms, unproven), seed)
    return Deal(unproven.commitments, unproven.enclosure_digest, unproven.sealed, proof)


def check_deal(terms: Terms, deal: Deal) -> CheckedDeal:
    """Check all of a deal that can be seen without opening payloads.

    :raises MalformedDealError: one of its subclasses says what is wrong.
    """
    if len(deal.commitments) != terms.threshold - terms.zero:
        raise CommitmentCountError(
            f"{len(deal.commitments)} commitments where {terms.threshold - terms.zero} are due"
        )
    lengths = [terms.payload_bytes(recipient) for recipient in terms.recipients]
    if [len(sealed) for sealed in deal.sealed] != lengths:
        raise PayloadCountError("each recipient is sent one payload of the length that is due")
    if len(deal.enclosure_digest) != ENCLOSURE_DIGEST_BYTES:
        raise PayloadCountError(f"an enclosure's digest is {ENCLOSURE_DIGEST_BYTES} bytes")
    try:
        commitments = [decode_element(data) for data in deal.commitments]
    except InvalidElementError as error:
        raise CommitmentError(f"a commitment does not hold: {error}") from None
    if terms.constant is not None and commitments[0] != terms.constant:
        raise WrongConstantError("the deal shares another secret than the terms ask for")
    try:
        known: list[bytes] = [ephemeral_element(sealed) for sealed in deal.sealed]
        if not terms.zero:
            known.insert(0, commitments[0])
        verify_holding(known, _possession_context(terms, deal), deal.proof)
    except (HolderProofError, InvalidElementError, DealerFaultError) as error:
        raise PossessionError(f"the deal's secrets are not proven to be its own: {error}") from None
    return CheckedDeal(terms, deal, (None, *commitments) if terms.zero else tuple(commitments))


def open_payload(checked: CheckedDeal, place: int, key: Scalar) -> Payload:
    """Open the payload of the recipient at this place and check it against the commitments.

    :raises DealerFaultError: it is wrong: `complain`. Its subclass says how.
    :raises NotARecipientError: the key is not this recipient's.
    """
    context = _context_of(checked, place, key)
    return _check_payload(checked, place, open_sealed(key, checked.deal.sealed[place], context))


def complain(checked: CheckedDeal, place: int, key: Scalar, seed: bytes) -> bytes:
    """Expose the payload of the recipient at this place, so that all can judge the dealer.

    From then on the payload is public. Complain only if `open_payload` raised a fault.

    :param seed: at least 32 secret random bytes.
    :raises NotARecipientError: the key is not this recipient's.
    :raises FalseComplaintError: the payload is right, so there is nothing to complain about.
    """
    context = _context_of(checked, place, key)
    try:
        open_payload(checked, place, key)
    except DealerFaultError:
        return expose(key, checked.deal.sealed[place], seed, context)
    raise FalseComplaintError("this payload is right: exposing it would only give it away")


def judge(checked: CheckedDeal, place: int, exposure: bytes) -> DealerFaultError:
    """Judge a complaint of the recipient at this place; everybody comes to the same result.

    :return: the dealer's fault, proven.
    :raises FalseComplaintError: the payload is right, or the exposure is false.
    :raises NotARecipientError: there is no recipient at this place.
    """
    _check_place(checked, place)
    try:
        plaintext = open_exposed(
            checked.terms.recipients[place].key,
            checked.deal.sealed[place],
            exposure,
            checked.terms.payload_context(place),
        )
        _check_payload(checked, place, plaintext)
    except DealerFaultError as fault:
        return fault
    except ExposureError as error:
        raise FalseComplaintError(f"the complaint proves nothing: {error}") from error
    raise FalseComplaintError("the payload that was complained about is right")


def _check_payload(checked: CheckedDeal, place: int, plaintext: bytes) -> Payload:
    index = checked.terms.recipients[place].index
    share, enclosure = None, plaintext
    if index is not None:
        try:
            share = decode_scalar(plaintext[:SCALAR_BYTES])
        except InvalidScalarError:
            raise PayloadFormatError("the payload holds no scalar") from None
        verify_share(checked.commitments, index, share)
        enclosure = plaintext[SCALAR_BYTES:]
    if checked.terms.enclosure_digest(enclosure) != checked.deal.enclosure_digest:
        raise EnclosureMismatchError("the enclosure is not the one that was committed to")
    return Payload(share, enclosure)


def _context_of(checked: CheckedDeal, place: int, key: Scalar) -> bytes:
    _check_place(checked, place)
    if multiply_base(key) != checked.terms.recipients[place].key:
        raise NotARecipientError("this is not the recipient's private sealing key")
    return checked.terms.payload_context(place)


def _check_place(checked: CheckedDeal, place: int) -> None:
    if not 0 <= place < len(checked.terms.recipients):
        raise NotARecipientError(f"there is no recipient at place {place}")


def _possession_context(terms: Terms, deal: Deal) -> bytes:
    head = [terms.digest, len(deal.commitments).to_bytes(4, "big"), deal.enclosure_digest]
    return _LABEL + b" possession" + _hash(b" deal", [*head, *deal.commitments, *deal.sealed])


def _hash(label: bytes, parts: Sequence[bytes]) -> bytes:
    state = sha512(_LABEL + label)
    for part in parts:
        state.update(len(part).to_bytes(8, "big") + part)
    return state.digest()
