"""Sealed messages, deals, and complaints that convict the right one."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.holder import prove_holding
from proofs.ristretto import (
    Element,
    InvalidScalarError,
    Scalar,
    add,
    add_scalars,
    multiply_base,
    random_scalars,
    scalar,
    subtract,
)
from proofs.threshold.dealing import (
    CheckedDeal,
    CommitmentCountError,
    CommitmentError,
    Deal,
    EnclosureMismatchError,
    FalseComplaintError,
    MalformedDealError,
    NotARecipientError,
    PayloadCountError,
    PayloadFormatError,
    PossessionError,
    Recipient,
    Terms,
    WrongConstantError,
    _possession_context,
    check_deal,
    complain,
    judge,
    make_deal,
    open_payload,
)
from proofs.threshold.errors import DuplicateIndexError, ShareIndexError, TooFewSharesError
from proofs.threshold.feldman import ShareMismatchError, commit
from proofs.threshold.sealing import (
    EXPOSURE_BYTES,
    SEAL_OVERHEAD,
    ExposureError,
    SealError,
    draw_ephemeral,
    ephemeral_element,
    expose,
    open_exposed,
    open_sealed,
    seal,
    seal_with,
)
from proofs.threshold.shamir import evaluate_polynomial, recover

SEED = b"a seed that only this test knows"
OTHER = b"some other seed, of 32 bytes too"
KEYS = random_scalars(SEED, b"sealing", 4)
"""Private sealing keys; the last recipient gets no share."""
PUBLIC = [multiply_base(key) for key in KEYS]
RECIPIENTS = tuple(Recipient(p, i) for p, i in zip(PUBLIC, (1, 2, 3, None), strict=True))
ENCLOSURE = bytes(range(32))


def terms(context: bytes = b"run 1, dealer a", **changes: object) -> Terms:
    return replace(Terms(2, RECIPIENTS, context, enclosure_bytes=32), **changes)


def checked(context: bytes = b"run 1, dealer a", seed: bytes = SEED) -> CheckedDeal:
    own = terms(context)
    return check_deal(own, make_deal(own, seed, enclosure=ENCLOSURE))


class Cheat:
    """A dealer that proves possession of whatever it knows, and deals what it wants."""

    def __init__(self, own: Terms | None = None, seed: bytes = OTHER) -> None:
        self.terms = own or terms()
        self.coefficients = random_scalars(seed, b"cheat", self.terms.threshold)
        self.ephemerals = random_scalars(seed, b"cheat's ephemerals", len(self.terms.recipients))

    def plaintexts(self) -> list[bytes]:
        return [
            (evaluate_polynomial(self.coefficients, r.index) if r.index else b"") + ENCLOSURE
            for r in self.terms.recipients
        ]

    def deal(
        self,
        plaintexts: list[bytes] | None = None,
        sealed: dict[int, bytes] | None = None,
        commitments: tuple[bytes, ...] | None = None,
    ) -> Deal:
        made = [
            seal_with(e, r.key, text, self.terms.payload_context(place))
            for place, (e, r, text) in enumerate(
                zip(
                    self.ephemerals,
                    self.terms.recipients,
                    plaintexts or self.plaintexts(),
                    strict=True,
                )
            )
        ]
        for place, data in (sealed or {}).items():
            made[place] = data
        return self.prove(
            Deal(
                commit(self.coefficients) if commitments is None else commitments,
                self.terms.enclosure_digest(ENCLOSURE),
                tuple(made),
                b"",
            )
        )

    def prove(self, deal: Deal) -> Deal:
        known = [self.coefficients[0], *self.ephemerals]
        return replace(
            deal, proof=prove_holding(known, _possession_context(self.terms, deal), OTHER)
        )


# Sealing


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=100), st.binary(max_size=50))
def test_sealed_messages_open_for_their_receiver(message: bytes, context: bytes) -> None:
    sealed = seal(PUBLIC[0], message, SEED, context)
    assert len(sealed) == len(message) + SEAL_OVERHEAD
    assert open_sealed(KEYS[0], sealed, context) == message
    exposure = expose(KEYS[0], sealed, OTHER, context)
    assert len(exposure) == EXPOSURE_BYTES
    assert open_exposed(PUBLIC[0], sealed, exposure, context) == message
    for key, about in ((KEYS[1], context), (KEYS[0], context + b"x")):
        with pytest.raises(SealError):
            open_sealed(key, sealed, about)


def test_no_two_messages_under_one_key() -> None:
    one, two = (seal(PUBLIC[0], message, SEED, b"c") for message in (b"one", b"two"))
    assert one[:32] != two[:32]
    assert seal(PUBLIC[0], b"one", SEED, b"d")[:32] != one[:32]
    assert seal(PUBLIC[1], b"one", SEED, b"c")[:32] != one[:32]
    assert seal(PUBLIC[0], b"one", OTHER, b"c")[:32] != one[:32]
    assert seal(PUBLIC[0], b"one", SEED, b"c") == one
    with pytest.raises(InvalidScalarError):
        seal(PUBLIC[0], b"one", bytes(31), b"c")
    with pytest.raises(InvalidScalarError):
        draw_ephemeral(PUBLIC[0], b"one", bytes(31), b"c")


@pytest.mark.parametrize("at", [0, 31, 32, 47, 48, 50])
def test_a_changed_message_does_not_open(at: int) -> None:
    sealed = bytearray(seal(PUBLIC[0], b"abc", SEED, b"c"))
    sealed[at] ^= 1
    with pytest.raises(SealError):
        open_sealed(KEYS[0], bytes(sealed), b"c")


@pytest.mark.parametrize(
    "sealed", [b"", bytes(47), bytes(48), b"\xff" * 60, PUBLIC[0], PUBLIC[0] + bytes(15)]
)
def test_what_is_no_sealed_message(sealed: bytes) -> None:
    for use in (
        lambda: ephemeral_element(sealed),
        lambda: open_sealed(KEYS[0], sealed, b"c"),
        lambda: expose(KEYS[0], sealed, SEED, b"c"),
        lambda: open_exposed(PUBLIC[0], sealed, bytes(EXPOSURE_BYTES), b"c"),
    ):
        with pytest.raises(SealError):
            use()


def test_an_exposure_is_for_one_message_receiver_and_context() -> None:
    sealed, another = (seal(PUBLIC[0], m, SEED, b"c") for m in (b"one", b"two"))
    exposure = expose(KEYS[0], sealed, OTHER, b"c")
    assert open_exposed(PUBLIC[0], sealed, exposure, b"c") == b"one"
    for receiver, message, context in (
        (PUBLIC[0], another, b"c"),
        (PUBLIC[1], sealed, b"c"),
        (PUBLIC[0], sealed, b"d"),
    ):
        with pytest.raises(ExposureError):
            open_exposed(receiver, message, exposure, context)


def test_a_false_exposure_says_nothing_of_the_message() -> None:
    sealed = seal(PUBLIC[0], b"one", SEED, b"c")
    exposure = expose(KEYS[0], sealed, OTHER, b"c")
    shifted = add(Element(exposure[:32]), multiply_base(scalar(1)))
    for false in (
        shifted + exposure[32:],
        bytes(32) + exposure[32:],
        b"\xff" * 32 + exposure[32:],
        exposure[:32] + bytes(64),
        exposure[:32] + b"\xff" * 64,
        exposure[:-1],
        exposure + b"\0",
        b"",
    ):
        with pytest.raises(ExposureError):
            open_exposed(PUBLIC[0], sealed, false, b"c")


def test_an_exposure_of_garbage_is_the_senders_fault() -> None:
    (e,) = random_scalars(OTHER, b"e", 1)
    garbage = multiply_base(e) + b"rubbish that is longer than a tag"
    with pytest.raises(SealError):
        open_exposed(PUBLIC[0], garbage, expose(KEYS[0], garbage, SEED, b"c"), b"c")


# Deals


def test_an_honest_deal() -> None:
    deal = checked()
    payloads = [open_payload(deal, place, key) for place, key in enumerate(KEYS)]
    assert all(payload.enclosure == ENCLOSURE for payload in payloads)
    assert payloads[3].share is None
    shares = {i: payloads[i - 1].share for i in (1, 2, 3)}
    one, other = (recover({i: shares[i] for i in some}) for some in ((1, 2), (2, 3)))
    assert one == other
    assert multiply_base(one) == deal.commitments[0]
    assert shares[1] not in repr(payloads[0]).encode()
    assert str(list(shares[1]))[1:-1] not in repr(payloads)


def test_a_deal_follows_from_its_seed() -> None:
    assert make_deal(terms(), SEED, enclosure=ENCLOSURE) == checked().deal
    for other in (checked(seed=OTHER), checked(b"run 1, dealer b"), checked(b"run 2, dealer a")):
        assert not set(other.deal.commitments) & set(checked().deal.commitments)
    with pytest.raises(InvalidScalarError):
        make_deal(terms(), bytes(31), enclosure=ENCLOSURE)
    with pytest.raises(EnclosureMismatchError):
        make_deal(terms(), SEED, enclosure=b"short")


def test_terms_that_nobody_can_deal_under() -> None:
    with pytest.raises(TooFewSharesError):
        terms(threshold=4)
    with pytest.raises(TooFewSharesError):
        terms(threshold=0)
    with pytest.raises(TooFewSharesError):
        terms(threshold=1, zero=True)
    with pytest.raises(ShareIndexError):
        terms(recipients=(Recipient(PUBLIC[0], 1), Recipient(PUBLIC[1], 0)))
    with pytest.raises(DuplicateIndexError):
        terms(recipients=(Recipient(PUBLIC[0], 1), Recipient(PUBLIC[1], 1)))


def test_terms_differ_in_every_part() -> None:
    swapped = (RECIPIENTS[1], RECIPIENTS[0], *RECIPIENTS[2:])
    moved = (replace(RECIPIENTS[0], index=9), *RECIPIENTS[1:])
    variants = [
        terms(),
        terms(b"another"),
        terms(threshold=3),
        terms(recipients=swapped),
        terms(recipients=moved),
        terms(recipients=RECIPIENTS[:3]),
        terms(enclosure_bytes=31),
        terms(zero=True),
        terms(constant=PUBLIC[0]),
    ]
    assert len({variant.digest for variant in variants}) == len(variants)
    contexts = {variant.payload_context(place) for variant in variants for place in range(4)}
    assert len(contexts) == 4 * len(variants)


def test_the_number_of_commitments() -> None:
    cheat = Cheat()
    made = commit(cheat.coefficients)
    for commitments in ((), made[:1], (*made, PUBLIC[0])):
        with pytest.raises(CommitmentCountError):
            check_deal(cheat.terms, cheat.deal(commitments=commitments))


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32, b"short"])
@pytest.mark.parametrize("place", [0, 1])
def test_commitments_that_are_no_elements(bad: bytes, place: int) -> None:
    cheat = Cheat()
    made: list[bytes] = list(commit(cheat.coefficients))
    made[place] = bad
    with pytest.raises(CommitmentError):
        check_deal(cheat.terms, cheat.deal(commitments=tuple(made)))


def test_the_number_and_length_of_payloads() -> None:
    deal = checked().deal
    for sealed in (
        deal.sealed[:-1],
        (*deal.sealed, deal.sealed[-1]),
        (deal.sealed[0] + b"\0", *deal.sealed[1:]),
        (deal.sealed[3], *deal.sealed[1:]),
    ):
        with pytest.raises(PayloadCountError):
            check_deal(terms(), replace(deal, sealed=sealed))
    with pytest.raises(PayloadCountError):
        check_deal(terms(), replace(deal, enclosure_digest=bytes(31)))


def test_a_rogue_key_is_not_possessed() -> None:
    # The cheat deals last: its constant is its own secret's minus the sum of the others', so that
    # the sum of all would be its own key.
    victim = checked().commitments[0]
    cheat = Cheat(terms(b"run 1, dealer b"))
    made = commit(cheat.coefficients)
    rogue = (subtract(made[0], victim), *made[1:])
    with pytest.raises(PossessionError):
        check_deal(cheat.terms, cheat.deal(commitments=rogue))


def test_no_proof_or_a_false_one() -> None:
    deal = checked().deal
    changed = bytearray(deal.proof)
    changed[40] ^= 1
    for proof in (
        b"",
        bytes(64),
        deal.proof[:-1],
        bytes(changed),
        make_deal(terms(), OTHER, enclosure=ENCLOSURE).proof,
    ):
        with pytest.raises(PossessionError):
            check_deal(terms(), replace(deal, proof=proof))


def test_a_deal_copied_from_another_dealer() -> None:
    deal = checked().deal
    with pytest.raises(PossessionError):
        check_deal(terms(b"run 1, dealer b"), deal)
    with pytest.raises(PossessionError):
        check_deal(terms(b"run 2, dealer a"), deal)
    cheat = Cheat(terms(b"run 1, dealer b"))
    copied = (deal.commitments[0], *commit(cheat.coefficients)[1:])
    with pytest.raises(PossessionError):
        check_deal(cheat.terms, cheat.deal(commitments=copied))


def test_the_proof_covers_the_whole_deal() -> None:
    deal, other = checked().deal, checked(seed=OTHER).deal
    payload = bytearray(deal.sealed[1])
    payload[-1] ^= 1
    for changed in (
        replace(deal, commitments=(deal.commitments[0], other.commitments[1])),
        replace(deal, enclosure_digest=other.enclosure_digest[::-1]),
        replace(deal, sealed=(deal.sealed[0], bytes(payload), *deal.sealed[2:])),
    ):
        with pytest.raises(PossessionError):
            check_deal(terms(), changed)


def test_nobody_is_made_to_expose_an_honest_dealers_payload() -> None:
    # The cheat sends a victim an honest dealer's point E as its own. Were this deal taken, the
    # victim would find rubbish, complain, publish sk·E, and so open the honest payload to all.
    honest = checked()
    cheat = Cheat(terms(b"run 1, dealer b"))
    copied = cheat.deal(sealed={0: honest.deal.sealed[0]})
    with pytest.raises(PossessionError):
        check_deal(cheat.terms, copied)
    shifted = add(ephemeral_element(honest.deal.sealed[0]), multiply_base(scalar(5)))
    with pytest.raises(PossessionError):
        check_deal(cheat.terms, cheat.deal(sealed={0: shifted + honest.deal.sealed[0][32:]}))
    # This is what the exposure of the copy would have given away:
    exposure = expose(KEYS[0], copied.sealed[0], OTHER, honest.terms.payload_context(0))
    opened = open_exposed(
        PUBLIC[0], honest.deal.sealed[0], exposure, honest.terms.payload_context(0)
    )
    assert opened[:32] == open_payload(honest, 0, KEYS[0]).share


def test_a_payload_without_a_point() -> None:
    cheat = Cheat()
    for rubbish in (bytes(112), b"\xff" * 112):
        with pytest.raises(PossessionError):
            check_deal(cheat.terms, cheat.deal(sealed={0: rubbish}))


# Given secrets


def test_a_given_constant() -> None:
    own = terms(constant=multiply_base(KEYS[0]))
    deal = make_deal(own, SEED, secret=KEYS[0], enclosure=ENCLOSURE)
    assert check_deal(own, deal).commitments[0] == multiply_base(KEYS[0])
    with pytest.raises(WrongConstantError):
        make_deal(own, SEED, secret=KEYS[1], enclosure=ENCLOSURE)
    with pytest.raises(WrongConstantError):
        make_deal(own, SEED, enclosure=ENCLOSURE)
    with pytest.raises(WrongConstantError):
        check_deal(own, Cheat(own).deal())


def test_a_secret_of_zero() -> None:
    own = terms(zero=True)
    deal = make_deal(own, SEED, enclosure=ENCLOSURE)
    assert len(deal.commitments) == 1
    sharing = check_deal(own, deal)
    shares = {r.index: open_payload(sharing, i, KEYS[i]).share for i, r in enumerate(RECIPIENTS)}
    assert recover({1: shares[1], 3: shares[3]}) == scalar(0)
    with pytest.raises(WrongConstantError):
        make_deal(own, SEED, secret=KEYS[0], enclosure=ENCLOSURE)
    with pytest.raises(CommitmentCountError):
        check_deal(own, Cheat().deal())
    with pytest.raises(CommitmentError):
        check_deal(terms(), replace(deal, commitments=(bytes(32), *deal.commitments)))


# Complaints


def wrong_share(cheat: Cheat) -> list[bytes]:
    texts = cheat.plaintexts()
    texts[0] = add_scalars(Scalar(texts[0][:32]), scalar(1)) + ENCLOSURE
    return texts


def no_scalar(cheat: Cheat) -> list[bytes]:
    return [b"\xff" * 32 + ENCLOSURE, *cheat.plaintexts()[1:]]


def wrong_enclosure(cheat: Cheat) -> list[bytes]:
    texts = cheat.plaintexts()
    texts[0] = texts[0][:32] + ENCLOSURE[::-1]
    return texts


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        (wrong_share, ShareMismatchError),
        (no_scalar, PayloadFormatError),
        (wrong_enclosure, EnclosureMismatchError),
    ],
)
def test_a_wrong_payload_convicts_its_dealer(texts, fault) -> None:
    cheat = Cheat()
    bad = check_deal(cheat.terms, cheat.deal(texts(cheat)))
    with pytest.raises(fault):
        open_payload(bad, 0, KEYS[0])
    assert type(judge(bad, 0, complain(bad, 0, KEYS[0], SEED))) is fault
    assert open_payload(bad, 1, KEYS[1]).share  # The others' payloads are right.


def test_garbage_convicts_its_dealer() -> None:
    cheat = Cheat()
    garbage = multiply_base(cheat.ephemerals[0]) + b"\xaa" * 80
    bad = check_deal(cheat.terms, cheat.deal(sealed={0: garbage}))
    with pytest.raises(SealError):
        open_payload(bad, 0, KEYS[0])
    assert type(judge(bad, 0, complain(bad, 0, KEYS[0], SEED))) is SealError


def test_a_wrong_enclosure_for_one_without_a_share() -> None:
    cheat = Cheat()
    bad = check_deal(cheat.terms, cheat.deal([*cheat.plaintexts()[:3], bytes(32)]))
    assert type(judge(bad, 3, complain(bad, 3, KEYS[3], SEED))) is EnclosureMismatchError


def test_another_recipients_share_convicts() -> None:
    cheat = Cheat()
    texts = cheat.plaintexts()
    bad = check_deal(cheat.terms, cheat.deal([texts[1], texts[0], *texts[2:]]))
    for place in (0, 1):
        fault = judge(bad, place, complain(bad, place, KEYS[place], SEED))
        assert type(fault) is ShareMismatchError


def test_nobody_complains_about_a_right_payload_by_mistake() -> None:
    with pytest.raises(FalseComplaintError, match="give it away"):
        complain(checked(), 0, KEYS[0], SEED)


def test_a_false_complaint_falls_back() -> None:
    deal = checked()
    exposure = expose(KEYS[0], deal.deal.sealed[0], SEED, deal.terms.payload_context(0))
    with pytest.raises(FalseComplaintError, match="is right"):
        judge(deal, 0, exposure)


def test_a_complaint_proves_what_it_is_about_and_nothing_else() -> None:
    cheat = Cheat()
    bad = check_deal(cheat.terms, cheat.deal(wrong_share(cheat)))
    exposure = complain(bad, 0, KEYS[0], SEED)
    again = Cheat(seed=SEED)
    also_bad = check_deal(again.terms, again.deal(wrong_share(again)))
    changed = exposure[:-1] + bytes([exposure[-1] ^ 1])
    for accused, place, shown in (
        (checked(), 0, exposure),
        (also_bad, 0, exposure),
        (bad, 1, exposure),
        (bad, 0, changed),
        (bad, 0, b""),
    ):
        with pytest.raises(FalseComplaintError, match="proves nothing"):
            judge(accused, place, shown)


def test_somebody_elses_key_is_not_the_dealers_fault() -> None:
    deal = checked()
    for place, key in ((0, KEYS[1]), (4, KEYS[0]), (-1, KEYS[3])):
        with pytest.raises(NotARecipientError):
            open_payload(deal, place, key)
        with pytest.raises(NotARecipientError):
            complain(deal, place, key, SEED)
    for place in (4, -1):
        with pytest.raises(NotARecipientError):
            judge(deal, place, bytes(EXPOSURE_BYTES))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_deal_changed_anywhere_is_refused(data: st.DataObject) -> None:
    deal = checked().deal
    parts = [*deal.commitments, deal.enclosure_digest, *deal.sealed, deal.proof]
    which = data.draw(st.integers(0, len(parts) - 1))
    at = data.draw(st.integers(0, len(parts[which]) - 1))
    changed = bytearray(parts[which])
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    parts[which] = bytes(changed)
    with pytest.raises(MalformedDealError):
        check_deal(terms(), Deal(tuple(parts[:2]), parts[2], tuple(parts[3:7]), parts[7]))
