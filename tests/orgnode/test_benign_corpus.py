from importlib.resources import files

from mesh.fingerprint import SelectionKey, WindowSet, parse_corpus

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
    everyday = WindowSet.of(key, ["You are a helpful, harmless and honest assistant."])
    assert windows.union(everyday) == windows
