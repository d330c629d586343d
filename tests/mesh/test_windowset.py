import pytest

from mesh.fingerprint import (
    CorpusFormatError,
    SelectionKey,
    WindowSet,
    WindowSetError,
    corpus_digest,
    exact_input_of,
    input_of,
    parse_corpus,
)
from mesh.normalize import normalize

KEY = SelectionKey(bytes(range(32)))
TEXT = "You are a helpful assistant that answers every question of our customers in a friendly way."


def test_it_holds_the_windows_of_each_text_and_no_others() -> None:
    windows = WindowSet.of(KEY, [TEXT, "Short."])
    normalized = normalize(TEXT)
    assert all(
        input_of(KEY, normalized[i : i + 24]) in windows for i in range(len(normalized) - 23)
    )
    assert len(windows) == len(normalized) - 23 + 2
    assert exact_input_of(KEY, normalized) in windows
    assert exact_input_of(KEY, "short") in windows
    across = normalized[-12:] + "short" + normalized[:7]
    assert input_of(KEY, across) not in windows
    assert input_of(SelectionKey(bytes(32)), normalized[:24]) not in windows
    assert "text" not in windows  # type: ignore[operator]


def test_a_long_text_has_no_exact_input() -> None:
    long = TEXT * 4
    assert exact_input_of(KEY, normalize(long)) not in WindowSet.of(KEY, [long])


def test_texts_without_letters_add_nothing() -> None:
    assert len(WindowSet.of(KEY, ["", "...", "\u200b"])) == 0


def test_it_can_be_kept() -> None:
    windows = WindowSet.of(KEY, [TEXT])
    kept = windows.to_bytes()
    again = WindowSet.from_bytes(kept)
    assert again == windows
    assert again.to_bytes() == kept
    assert input_of(KEY, normalize(TEXT)[:24]) in again
    assert WindowSet.from_bytes(WindowSet().to_bytes()) == WindowSet()
    assert repr(windows) == f"WindowSet({len(windows)} windows)"


def test_the_kept_form_is_the_same_on_every_machine() -> None:
    kept = WindowSet.of(KEY, ["a"]).to_bytes()
    assert kept.endswith(exact_input_of(KEY, "a")[:8])


@pytest.mark.parametrize("at", [0, 10, 30, 45, -1])
def test_damage_is_noticed(at: int) -> None:
    kept = bytearray(WindowSet.of(KEY, [TEXT]).to_bytes())
    kept[at] ^= 1
    with pytest.raises(WindowSetError):
        WindowSet.from_bytes(bytes(kept))
    for cut in (b"", bytes(kept[:20]), WindowSet.of(KEY, [TEXT]).to_bytes()[:-1]):
        with pytest.raises(WindowSetError):
            WindowSet.from_bytes(cut)


def test_a_corpus_is_lines_of_strings() -> None:
    data = '"one"\n\n"zw\u00e4i\\nlines"\n'.encode()
    assert parse_corpus(data) == ("one", "zw\u00e4i\nlines")
    assert parse_corpus(b"") == ()
    # A line separator of Unicode within a string is none of JSON lines.
    assert parse_corpus('"a\u2028b"'.encode()) == ("a\u2028b",)
    assert corpus_digest(b"") == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b'"one"\n{"text": "two"}\n', "line 2"),
        (b"one\n", "line 1"),
        (b'"one"\n"two', "line 2"),
        (b"[" * 100_000, "line 1"),
        (b"\xff", "UTF-8"),
    ],
)
def test_other_things_are_no_corpus(data: bytes, hint: str) -> None:
    with pytest.raises(CorpusFormatError, match=hint):
        parse_corpus(data)
