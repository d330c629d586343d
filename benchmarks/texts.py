"""Texts of a given length, each unlike every other: pronounceable words from a seed."""

from __future__ import annotations

from random import Random

_ONSETS = ("b", "br", "c", "d", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "tr", "v", "w")  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
_CODAS = ("", "", "n", "r", "s", "t", "ll", "nd")


def text(seed: int, characters: int = 2_000) -> str:
    """The seed's text, of exactly so many characters."""
    rng = Random(seed)
    words: list[str] = []
    length = 0
    while length <= characters:
        word = "".join(
            rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
            for _ in range(rng.randint(1, 3))
        )
        words.append(word)
        length += len(word) + 1
    return " ".join(words)[:characters]
