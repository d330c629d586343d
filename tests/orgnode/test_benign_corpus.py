from importlib.resources import files

from mesh.fingerprint import WINDOW, SelectionKey, WindowSet, input_of, parse_corpus
from mesh.normalize import normalize

DATA = files("orgnode.data").joinpath("benign.jsonl").read_bytes()


def test_the_default_corpus_is_read_and_says_things_once() -> None:
    texts = parse_corpus(DATA)
    assert len(texts) > 400
    assert len(set(texts)) == len(texts)
    assert all(text.strip() for text in texts)


def test_it_covers_what_everybody_writes() -> None:
    key = SelectionKey(bytes(32))
    windows = WindowSet.of(key, parse_corpus(DATA))
    assert len(windows) > 10_000
    everyday = normalize("You are a helpful, harmless and honest assistant.")
    for at in range(len(everyday) - WINDOW + 1):
        assert input_of(key, everyday[at : at + WINDOW]) in windows
