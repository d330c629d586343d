"""Refreshing and resharing: new shares, the same key, and old shares that are of no use."""

from dataclasses import dataclass, replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.holder import prove_holding
from proofs.ristretto import (
    Element,
    IdentityElementError,
    Scalar,
    add_scalars,
    invert_scalar,
    map_to_element,
    multiply,
    multiply_base,
    multiply_scalars,
    random_scalars,
    scalar,
    subtract_scalars,
)
from proofs.threshold.combining import combine
from proofs.threshold.dealing import (
    CheckedDeal,
    Deal,
    Terms,
    WrongConstantError,
    _possession_context,
    check_deal,
    make_deal,
    open_payload,
)
from proofs.threshold.errors import TooFewSharesError
from proofs.threshold.feldman import ShareMismatchError
from proofs.threshold.resharing import (
    PublicKeyChangedError,
    Sharing,
    TermsMismatchError,
    UnknownHolderError,
    refresh,
    refresh_terms,
    refreshed_share,
    reshare,
    reshare_terms,
    reshared_share,
)
from proofs.threshold.sealing import seal_with
from proofs.threshold.shamir import evaluate_polynomial, lagrange, recover

FEW = settings(max_examples=12, deadline=None)
SEED = b"thirty-two bytes of no randomness"


@dataclass
class Group:
    """Holders with their shares and private sealing keys."""

    sharing: Sharing
    shares: dict[int, Scalar]
    keys: dict[int, Scalar]

    @property
    def public_keys(self) -> dict[int, Element]:
        return {index: multiply_base(key) for index, key in self.keys.items()}


def keys_of(indices, seed: bytes = SEED) -> dict[int, Scalar]:
    drawn = random_scalars(seed, b"keys", max(indices))
    return {index: drawn[index - 1] for index in indices}


def group(threshold: int, indices, seed: bytes = SEED) -> Group:
    coefficients = random_scalars(seed, b"group", threshold)
    shares = {index: evaluate_polynomial(coefficients, index) for index in indices}
    public = {index: multiply_base(share) for index, share in shares.items()}
    sharing = Sharing(threshold, multiply_base(coefficients[0]), public)
    return Group(sharing, shares, keys_of(indices))


def dealt(terms: Terms, seed: bytes, secret: Scalar | None = None) -> CheckedDeal:
    return check_deal(terms, make_deal(terms, seed, secret=secret))


def received(
    deals: dict[int, CheckedDeal], index: int, keys: dict[int, Scalar]
) -> dict[int, Scalar]:
    place = sorted(keys).index(index)
    opened = {dealer: open_payload(d, place, keys[index]).share for dealer, d in deals.items()}
    return {dealer: share for dealer, share in opened.items() if share is not None}


def refreshed(old: Group, dealers, run: bytes = b"refresh 1") -> Group:
    deals = {
        dealer: dealt(
            refresh_terms(old.sharing, old.public_keys, run + bytes([dealer])),
            SEED + bytes([dealer]),
        )
        for dealer in dealers
    }
    sharing = refresh(old.sharing, deals)
    shares = {
        index: refreshed_share(sharing, index, share, received(deals, index, old.keys))
        for index, share in old.shares.items()
    }
    return Group(sharing, shares, old.keys)


def new_deals(old: Group, dealers, threshold: int, keys) -> dict[int, CheckedDeal]:
    public = {index: multiply_base(key) for index, key in keys.items()}
    return {
        dealer: dealt(
            reshare_terms(old.sharing, dealer, threshold, public, b"reshare" + bytes([dealer])),
            SEED + bytes([dealer]),
            old.shares[dealer],
        )
        for dealer in dealers
    }


def reshared(old: Group, dealers, threshold: int, indices) -> Group:
    keys = keys_of(indices, b"the new holders' keys, 32 bytes..")
    deals = new_deals(old, dealers, threshold, keys)
    sharing = reshare(old.sharing, deals)
    shares = {
        index: reshared_share(sharing, index, received(deals, index, keys)) for index in indices
    }
    return Group(sharing, shares, keys)


def assert_works(some: Group, key: Scalar) -> None:
    some.sharing.check()
    assert some.sharing.public_key == multiply_base(key)
    assert {i: multiply_base(s) for i, s in some.shares.items()} == some.sharing.public_shares
    p = map_to_element(b"p" * 64)
    for indices in combinations(some.shares, some.sharing.threshold):
        assert recover({index: some.shares[index] for index in indices}) == key
        partials = {index: [multiply(some.shares[index], p)] for index in indices}
        assert combine(partials) == (multiply(key, p),)


@FEW
@given(st.data())
def test_a_refresh_keeps_the_key(data: st.DataObject) -> None:
    threshold = data.draw(st.integers(2, 4))
    indices = range(1, threshold + data.draw(st.integers(1, 3)))
    old = group(threshold, indices, data.draw(st.binary(min_size=32, max_size=32)))
    size = data.draw(st.integers(threshold, len(indices)))
    dealers = data.draw(st.permutations(list(indices)))[:size]
    key = recover(old.shares)
    new = refreshed(old, dealers)
    assert_works(new, key)
    assert not set(new.shares.values()) & set(old.shares.values())
    assert_works(refreshed(new, indices, b"refresh 2"), key)


@FEW
@given(st.data())
def test_resharing_keeps_the_key(data: st.DataObject) -> None:
    before, after = data.draw(st.integers(2, 4)), data.draw(st.integers(2, 5))
    old = group(before, range(1, before + data.draw(st.integers(1, 3))))
    size = data.draw(st.integers(before, len(old.shares)))
    dealers = data.draw(st.permutations(list(old.shares)))[:size]
    new = reshared(
        old,
        dealers,
        after,
        data.draw(st.lists(st.integers(1, 12), min_size=after, max_size=after + 2, unique=True)),
    )
    assert new.sharing.threshold == after
    assert_works(new, recover(old.shares))


def test_old_shares_are_useless_with_new_ones() -> None:
    old = group(3, range(1, 6))
    key = recover(old.shares)
    for new in (refreshed(old, (1, 2, 4)), reshared(old, (1, 2, 4), 3, range(1, 6))):
        for mixed in range(1, 3):
            some = {i: old.shares[i] for i in range(1, mixed + 1)}
            some |= {i: new.shares[i] for i in range(mixed + 1, 4)}
            assert len(some) == 3
            assert recover(some) != key
        # Of a removed holder's share and t − 1 new ones, nothing comes either.
        assert recover({5: old.shares[5], 1: new.shares[1], 2: new.shares[2]}) != key


def test_too_few_old_holders() -> None:
    old = group(3, range(1, 6))
    with pytest.raises(TooFewSharesError, match="2 holders dealt"):
        refreshed(old, (1, 2))
    with pytest.raises(TooFewSharesError, match="2 holders dealt"):
        reshared(old, (1, 2), 2, (1, 2, 3))


def test_a_holder_can_deal_nothing_but_its_share() -> None:
    old = group(2, (1, 2, 3))
    keys = keys_of((1, 2))
    public = {index: multiply_base(key) for index, key in keys.items()}
    deals = new_deals(old, (1, 2), 2, keys)
    # It deals under terms that ask for another constant, its neighbour's share or any secret.
    for constant, secret in ((None, None), (old.sharing.public_shares[2], old.shares[2])):
        own = replace(reshare_terms(old.sharing, 1, 2, public, b"r"), constant=constant)
        with pytest.raises(WrongConstantError, match="holder 1"):
            reshare(old.sharing, deals | {1: dealt(own, SEED, secret)})
    with pytest.raises(WrongConstantError):
        make_deal(reshare_terms(old.sharing, 1, 2, public, b"r"), SEED, secret=old.shares[2])


def test_a_refresh_adds_nothing_but_zero() -> None:
    old = group(2, (1, 2, 3))
    terms = refresh_terms(old.sharing, old.public_keys, b"r")
    good = {d: dealt(replace(terms, context=bytes([d])), SEED) for d in (1, 2)}
    refresh(old.sharing, good)
    with pytest.raises(WrongConstantError):
        refresh(old.sharing, good | {3: dealt(replace(terms, zero=False), SEED)})


def test_strangers_do_not_deal() -> None:
    old = group(2, (1, 2, 3))
    terms = refresh_terms(old.sharing, old.public_keys, b"r")
    deals = {1: dealt(terms, SEED), 2: dealt(terms, SEED + b"x"), 4: dealt(terms, SEED + b"y")}
    with pytest.raises(UnknownHolderError):
        refresh(old.sharing, deals)
    with pytest.raises(UnknownHolderError):
        reshare(old.sharing, deals)
    with pytest.raises(UnknownHolderError):
        reshare_terms(old.sharing, 4, 2, old.public_keys, b"r")


def test_deals_for_different_holders_do_not_mix() -> None:
    old = group(2, (1, 2, 3))
    fewer = {1: old.public_keys[1], 2: old.public_keys[2]}
    moved = {1: old.public_keys[1], 2: old.public_keys[2], 9: old.public_keys[3]}

    def deal(dealer: int, threshold: int, keys: dict[int, Element]) -> CheckedDeal:
        terms = reshare_terms(old.sharing, dealer, threshold, keys, b"r")
        return dealt(terms, SEED, old.shares[dealer])

    for other in (deal(2, 2, fewer), deal(2, 2, moved), deal(2, 3, old.public_keys)):
        with pytest.raises(TermsMismatchError):
            reshare(old.sharing, {1: deal(1, 2, old.public_keys), 2: other})
    with pytest.raises(TermsMismatchError):
        refresh_terms(old.sharing, fewer, b"r")
    terms = Terms(3, refresh_terms(old.sharing, old.public_keys, b"r").recipients, b"r", zero=True)
    with pytest.raises(TermsMismatchError):
        refresh(old.sharing, {1: dealt(terms, SEED), 2: dealt(terms, SEED + b"x")})
    small = Terms(2, terms.recipients[:2], b"r", zero=True)
    with pytest.raises(TermsMismatchError):
        refresh(old.sharing, {1: dealt(small, SEED), 2: dealt(small, SEED + b"x")})


def test_public_shares_of_another_key() -> None:
    old = group(2, (1, 2, 3))
    old.sharing.check()
    wrong_key = replace(old.sharing, public_key=multiply_base(scalar(7)))
    keys = keys_of((1, 2))
    with pytest.raises(PublicKeyChangedError):
        reshare(wrong_key, new_deals(old, (1, 2), 2, keys))
    bent = dict(old.sharing.public_shares) | {3: multiply_base(scalar(7))}
    for wrong in (wrong_key, replace(old.sharing, public_shares=bent)):
        with pytest.raises(ShareMismatchError):
            wrong.check()
    with pytest.raises(TooFewSharesError):
        replace(old.sharing, threshold=4).check()


def test_a_share_left_out_or_wrong_is_noticed() -> None:
    old = group(2, (1, 2, 3))
    keys = keys_of((1, 2))
    deals = new_deals(old, (1, 2, 3), 2, keys)
    sharing = reshare(old.sharing, deals)
    right = received(deals, 1, keys)
    with pytest.raises(ShareMismatchError):
        reshared_share(sharing, 1, {dealer: right[dealer] for dealer in (1, 2)})
    with pytest.raises(ShareMismatchError):
        reshared_share(sharing, 2, right)
    with pytest.raises(UnknownHolderError):
        reshared_share(sharing, 3, right)
    with pytest.raises(ShareMismatchError):
        refreshed_share(old.sharing, 1, old.shares[1], {2: scalar(1)})
    assert refreshed_share(old.sharing, 1, old.shares[1], {}) == old.shares[1]


def test_a_share_that_comes_to_zero_is_left_out() -> None:
    # Holder 1 deals last and knows all that it is to get: it makes its own sum zero. The others
    # must be able to go on.
    old = group(2, (1, 2, 3))
    terms = {
        dealer: refresh_terms(old.sharing, old.public_keys, bytes([dealer])) for dealer in (1, 2)
    }
    honest = dealt(terms[2], SEED)
    due = add_scalars(old.shares[1], received({2: honest}, 1, old.keys)[2])
    slope = subtract_scalars(scalar(0), due)
    sly = _deal_line(terms[1], slope)
    sharing = refresh(old.sharing, {1: sly, 2: honest})
    assert set(sharing.public_shares) == {2, 3}
    shares = {
        i: refreshed_share(sharing, i, old.shares[i], received({1: sly, 2: honest}, i, old.keys))
        for i in (2, 3)
    }
    assert recover(shares) == recover(old.shares)


def _deal_line(terms: Terms, slope: Scalar) -> CheckedDeal:
    """The deal of f(x) = slope·x; its payloads are dealt as `make_deal` does."""
    ephemerals = random_scalars(SEED, b"line", len(terms.recipients))
    sealed = tuple(
        seal_with(
            e, r.key, multiply_scalars(slope, scalar(r.index or 0)), terms.payload_context(place)
        )
        for place, (e, r) in enumerate(zip(ephemerals, terms.recipients, strict=True))
    )
    deal = Deal((multiply_base(slope),), terms.enclosure_digest(b""), sealed, b"")
    proof = prove_holding(ephemerals, _possession_context(terms, deal), SEED)
    return check_deal(terms, replace(deal, proof=proof))


def test_colluding_holders_cannot_make_honest_shares_useless() -> None:
    # Holders 1 and 2 make their weighted shares cancel out: a sum on the way is the identity.
    weights = lagrange((1, 2, 3))
    s1 = scalar(5)
    s2 = multiply_scalars(
        subtract_scalars(scalar(0), multiply_scalars(weights[1], s1)), invert_scalar(weights[2])
    )
    s3 = scalar(11)
    shares = {1: s1, 2: s2, 3: s3}
    key = recover(shares)
    p = map_to_element(b"p" * 64)
    assert combine({i: [multiply(s, p)] for i, s in shares.items()}) == (multiply(key, p),)
    public = {i: multiply_base(s) for i, s in shares.items()}
    Sharing(3, multiply_base(key), public).check()
    two = lagrange((1, 2))
    opposite = multiply_scalars(
        subtract_scalars(scalar(0), multiply_scalars(two[1], s1)), invert_scalar(two[2])
    )
    with pytest.raises(IdentityElementError):
        combine({1: [multiply(s1, p)], 2: [multiply(opposite, p)]})
