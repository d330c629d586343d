"""New shares of an old key: nobody who holds only old shares can use them with new ones.

*Refresh* (Herzberg and others 1995): each holder deals a polynomial whose secret is zero, and adds
what it got to its share. Holders and threshold stay.

*Resharing* (Desmedt, Jajodia 1997; checked as in Wong, Wang, Wing 2002): each of t or more old
holders deals its own share sᵢ to the new holders. The deal's first commitment must be sᵢ·G, which
everybody knows, so nobody can deal another secret. A new share is Σ λᵢ·gᵢ(j) with Lagrange's λᵢ
of the old holders that dealt. Holders and threshold may change; the key does not.

Which deals count must be agreed on before: all that were checked, were convicted of nothing, and
reached their receivers. The new public shares follow from the deals alone. Old shares must be
erased once enough new ones are durable, for t old ones still give the key.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from proofs.ristretto import (
    Element,
    Scalar,
    add_scalars,
    multiply,
    multiply_base,
    scalar,
)
from proofs.threshold.dealing import CheckedDeal, Recipient, Terms, WrongConstantError
from proofs.threshold.errors import ThresholdError, TooFewSharesError
from proofs.threshold.feldman import (
    ShareMismatchError,
    add_or_identity,
    evaluate_commitments,
    multiply_sum_or_identity,
)
from proofs.threshold.shamir import lagrange, recover


class UnknownHolderError(ThresholdError):
    """Somebody without a share of the key deals in its resharing, or asks for a new share."""


class TermsMismatchError(ThresholdError):
    """Two deals of one resharing, or a deal and the sharing, have different holders or thresholds:
    their shares don't fit together."""


class PublicKeyChangedError(ThresholdError):
    """The new shares would be those of another key: every token of the mesh would lose its use."""


@dataclass(frozen=True)
class Sharing:
    """What everybody knows of a shared key."""

    threshold: int
    public_key: Element
    public_shares: Mapping[int, Element]
    """sᵢ·G by index. An index whose share turned out zero is left out: it can't answer. Only a
    holder that dealt last, and chose its deal for it, can bring that on itself."""

    def check(self) -> None:
        """Check that the public shares are shares of the public key, all on one polynomial.

        :raises TooFewSharesError: fewer public shares than the threshold.
        :raises ShareMismatchError: a public share does not fit the others and the public key.
        """
        indices = sorted(self.public_shares)
        if not 1 <= self.threshold <= len(indices):
            raise TooFewSharesError("fewer public shares than the threshold")
        some = indices[: self.threshold]
        elements = [self.public_shares[index] for index in some]
        for at in (0, *indices[self.threshold :]):
            expected = self.public_key if at == 0 else self.public_shares[at]
            weights = tuple(lagrange(some, at).values())
            if multiply_sum_or_identity(weights, elements) != expected:
                raise ShareMismatchError("the public shares are not those of the public key")


def refresh_terms(sharing: Sharing, keys: Mapping[int, Element], context: bytes) -> Terms:
    """What a holder deals in a refresh.

    :param keys: the holders' sealing keys by index, exactly the sharing's indices.
    :param context: binds the run and the dealer's name.
    :raises TermsMismatchError: the keys are not those of the sharing's holders.
    """
    if set(keys) != set(sharing.public_shares):
        raise TermsMismatchError("a refresh is among exactly the present holders")
    recipients = tuple(Recipient(keys[index], index) for index in sorted(keys))
    return Terms(sharing.threshold, recipients, context, zero=True)


def reshare_terms(
    sharing: Sharing, dealer: int, threshold: int, keys: Mapping[int, Element], context: bytes
) -> Terms:
    """What the old holder of index `dealer` deals to new holders; its secret is its old share.

    :param threshold: the new one.
    :param keys: the new holders' sealing keys by new index.
    :param context: binds the run and the dealer's name.
    :raises UnknownHolderError: there is no such holder.
    :raises ThresholdError: the new threshold or an index does not hold.
    """
    recipients = tuple(Recipient(keys[index], index) for index in sorted(keys))
    return Terms(threshold, recipients, context, constant=_public_share(sharing, dealer))


def refresh(sharing: Sharing, deals: Mapping[int, CheckedDeal]) -> Sharing:
    """The sharing after a refresh.

    :param deals: those that count, by the dealer's index: t or more, so that one is honest.
    :raises TooFewSharesError: fewer deals than the threshold.
    :raises UnknownHolderError: a dealer is not a holder.
    :raises WrongConstantError: a deal's secret need not be zero.
    :raises TermsMismatchError: a deal is for other holders or another threshold.
    """
    _check_dealers(sharing, deals)
    for deal in deals.values():
        if not deal.terms.zero:
            raise WrongConstantError("a refresh adds zero to the key and nothing else")
    holders = _holders(deals)
    if holders != set(sharing.public_shares) or _threshold(deals) != sharing.threshold:
        raise TermsMismatchError("a refresh keeps the holders and the threshold")
    renewed: dict[int, Element] = {}
    for index in sorted(holders):
        total: Element | None = sharing.public_shares[index]
        for deal in deals.values():
            total = add_or_identity(total, evaluate_commitments(deal.commitments, index))
        if total is not None:
            renewed[index] = total
    return Sharing(sharing.threshold, sharing.public_key, renewed)


def refreshed_share(
    renewed: Sharing, index: int, old: Scalar, received: Mapping[int, Scalar]
) -> Scalar:
    """A holder's share after a refresh.

    :param received: the shares of exactly the deals that counted, by the dealer's index.
    :raises ShareMismatchError: it is not the share that the deals make public.
    :raises UnknownHolderError: the index has no share any more.
    """
    total = old
    for share in received.values():
        total = add_scalars(total, share)
    return _checked(renewed, index, total)


def reshare(sharing: Sharing, deals: Mapping[int, CheckedDeal]) -> Sharing:
    """The sharing among the new holders.

    :param deals: those that count, by the old holder's index: as many as the old threshold or more.
    :raises TooFewSharesError: fewer deals than the old threshold.
    :raises UnknownHolderError: a dealer is not a holder.
    :raises WrongConstantError: a deal does not share just the dealer's old share.
    :raises TermsMismatchError: two deals are for different holders or thresholds.
    :raises PublicKeyChangedError: the old public shares are not those of the public key.
    """
    _check_dealers(sharing, deals)
    for dealer, deal in deals.items():
        if deal.commitments[0] != sharing.public_shares[dealer]:
            raise WrongConstantError(f"the holder {dealer} does not deal its share of the key")
    holders, threshold = _holders(deals), _threshold(deals)
    commitments: list[Element | None] = [None] * threshold
    for dealer, weight in lagrange(tuple(deals)).items():
        for place, commitment in enumerate(deals[dealer].commitments):
            assert commitment is not None, "no deal of a resharing is for zero"
            commitments[place] = add_or_identity(commitments[place], multiply(weight, commitment))
    if commitments[0] != sharing.public_key:
        raise PublicKeyChangedError("the new shares would not be those of the public key")
    public = {index: evaluate_commitments(commitments, index) for index in sorted(holders)}
    return Sharing(
        threshold, sharing.public_key, {index: e for index, e in public.items() if e is not None}
    )


def reshared_share(reshared: Sharing, index: int, received: Mapping[int, Scalar]) -> Scalar:
    """A new holder's share.

    :param received: the shares of exactly the deals that counted, by the old holder's index.
    :raises ShareMismatchError: it is not the share that the deals make public.
    :raises UnknownHolderError: the index has no share.
    """
    return _checked(reshared, index, recover(received))


def _checked(sharing: Sharing, index: int, share: Scalar) -> Scalar:
    expected = _public_share(sharing, index)
    if share == scalar(0) or multiply_base(share) != expected:
        raise ShareMismatchError(
            "the new share does not fit the deals: use the shares of just the deals that count"
        )
    return share


def _public_share(sharing: Sharing, index: int) -> Element:
    try:
        return sharing.public_shares[index]
    except KeyError:
        raise UnknownHolderError(f"nobody holds a share of index {index}") from None


def _check_dealers(sharing: Sharing, deals: Mapping[int, CheckedDeal]) -> None:
    for dealer in deals:
        _public_share(sharing, dealer)
    if len(deals) < sharing.threshold:
        raise TooFewSharesError(
            f"{len(deals)} holders dealt; {sharing.threshold} or more are needed"
        )


def _holders(deals: Mapping[int, CheckedDeal]) -> set[int]:
    sets = {deal.terms.recipients for deal in deals.values()}
    if len(sets) != 1:
        raise TermsMismatchError("the deals are for different holders")
    return {recipient.index for recipient in sets.pop() if recipient.index is not None}


def _threshold(deals: Mapping[int, CheckedDeal]) -> int:
    thresholds = {deal.terms.threshold for deal in deals.values()}
    if len(thresholds) != 1:
        raise TermsMismatchError("the deals are for different thresholds")
    return thresholds.pop()
