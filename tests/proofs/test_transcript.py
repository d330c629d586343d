"""The transcript: as documented, and sensitive to every bit, boundary and order."""

from hashlib import sha512

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proofs.group import ORDER
from proofs.transcript import Transcript, TranscriptLabelError

calls = st.lists(
    st.tuples(
        st.sampled_from(["absorb", "challenge"]), st.binary(max_size=4), st.binary(max_size=4)
    ),
    max_size=6,
)


def play(start: bytes, script: list[tuple[str, bytes, bytes]]) -> int:
    transcript = Transcript(start)
    for kind, label, data in script:
        if kind == "absorb":
            transcript.absorb(label, data)
        else:
            transcript.challenge(label)
    return transcript.challenge(b"end")


def normal(script: list[tuple[str, bytes, bytes]]) -> list[tuple[str, bytes, bytes]]:
    return [(kind, label, data if kind == "absorb" else b"") for kind, label, data in script]


def test_is_what_its_text_says() -> None:
    transcript = Transcript(b"L")
    transcript.absorb(b"ab", b"xyz")
    first = sha512(
        b"signal-mesh/transcript/v1\x00\x01L"
        b"\x01\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x03xyz"
        b"\x02\x00\x01c"
    ).digest()
    assert transcript.challenge(b"c") == int.from_bytes(first, "big") % ORDER
    second = sha512(first + b"\x02\x00\x01d").digest()
    assert transcript.challenge(b"d") == int.from_bytes(second, "big") % ORDER


def test_64_bytes_are_drawn_like_a_scalar() -> None:
    scalars, uniform = Transcript(b"L"), Transcript(b"L")
    for label in (b"c", b"d"):
        drawn = uniform.challenge_bytes(label)
        assert len(drawn) == 64
        assert scalars.challenge(label) == int.from_bytes(drawn, "big") % ORDER


@given(st.binary(max_size=4), calls, st.binary(max_size=4), calls)
def test_different_histories_give_different_challenges(start_a, a, start_b, b) -> None:
    assume((start_a, normal(a)) != (start_b, normal(b)))
    assert play(start_a, a) != play(start_b, b)


@given(st.binary(max_size=4), calls)
def test_the_same_history_gives_the_same_challenge(start, script) -> None:
    challenge = play(start, script)
    assert challenge == play(start, script)
    assert 1 <= challenge < ORDER


def test_moving_a_byte_from_label_to_data_changes_the_challenge() -> None:
    assert play(b"x", [("absorb", b"ab", b"c")]) != play(b"x", [("absorb", b"a", b"bc")])
    assert play(b"x", [("absorb", b"a", b"bc")]) != play(
        b"x", [("absorb", b"a", b"b"), ("absorb", b"a", b"c")]
    )


def test_a_zero_challenge_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With r replaced by a digest's value, the digest reduces to zero; the next hash is taken."""
    digest = sha512(b"signal-mesh/transcript/v1\x00\x01L\x02\x00\x01c").digest()
    order = int.from_bytes(digest, "big")
    monkeypatch.setattr("proofs.transcript.ORDER", order)
    expected = int.from_bytes(sha512(digest).digest(), "big") % order
    assert Transcript(b"L").challenge(b"c") == expected != 0


def test_a_fork_goes_its_own_way() -> None:
    trunk = Transcript(b"x")
    trunk.absorb(b"a", b"b")
    left, right, same = trunk.fork(), trunk.fork(), trunk.fork()
    left.absorb(b"c", b"1")
    right.absorb(b"c", b"2")
    assert len({left.challenge(b"d"), right.challenge(b"d"), trunk.challenge(b"d")}) == 3
    assert same.challenge(b"d") not in {left.challenge(b"d"), right.challenge(b"d")}


def test_overlong_labels_are_refused() -> None:
    with pytest.raises(TranscriptLabelError):
        Transcript(bytes(65536))
    transcript = Transcript(b"x")
    with pytest.raises(TranscriptLabelError):
        transcript.absorb(bytes(65536), b"")
    with pytest.raises(TranscriptLabelError):
        transcript.challenge(bytes(65536))
