"""Where a text may name a person or hold a secret: addresses, numbers, keys.

What is found here is never published, so a doubt counts as a find. An asker does not look: its text
goes nowhere, and who sprinkles mail addresses over an attack must not escape a match by it.

Attackers write these texts, so every pattern takes time linear in the text's length: parts that
repeat without bound are possessive and start where no such part could have started before.
Names of people and streets can't be told from other words; docs/privacy.md says so.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

_MAIL: Final = re.compile(
    r"(?<![\w!#$%&'*+/=?^`{|}~.-])[\w!#$%&'*+/=?^`{|}~.-]++@[\w-]++(?:\.[\w-]++)++"
)
_URL: Final = re.compile(r"://[^\s<>\"]++")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}\Z")
_LONG_PART: Final = re.compile(r"(?<![A-Za-z0-9_~%-])[A-Za-z0-9_~%-]{16,}+")
_NUMBER: Final = re.compile(r"\+?\d(?:[ .()/\u2010-\u2015-]{0,3}\d)*+")
_NUMBER_DIGITS: Final = 7
_ADDRESS: Final = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"  # IPv4
    r"|(?<![\w:])(?:[0-9A-Fa-f]{1,4}[:-]){5,7}[0-9A-Fa-f]{1,4}(?![\w:])"  # MAC, IPv6
    r"|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){1,7}(?::[0-9A-Fa-f]{1,4}){1,7}(?![\w:])"  # short IPv6
    r"|(?<!\w)[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?!\w)"  # UUID
)
_IBAN: Final = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?"
    r"(?![A-Za-z0-9])"
)
_IBAN_DIGITS: Final = 10
_SECRET: Final = re.compile(
    r"(?i:pass(?:word|wd|phrase|code)|pwd|secret|token|api[ _-]?key|authorization|bearer)"
    r"[\"']?\s{0,2}[:=]\s{0,2}[\"']?[^\s\"']{4,128}"
)
_PREFIXED: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|gh[opsru]|github_pat|glpat|xox[abeoprs]|hf|npm|pypi|dop_v1)[-_]"
    r"|AKIA|ASIA|AIza|ya29\.|eyJ)[A-Za-z0-9_.\-]{12,}+"
)
_RUN: Final = re.compile(r"(?<![A-Za-z0-9_+/=~.-])[A-Za-z0-9_+/=~.-]{16,}+")
_ATOM: Final = re.compile(r"[A-Za-z0-9]+")
_KEY_LETTERS: Final = 16
"""Letters and digits from which a stretch that looks random counts as a key."""
_NEUTRAL: Final = 4
"""A part of a key between two separators is too short to be judged alone under this length."""


def identifier_spans(text: str) -> list[tuple[int, int]]:
    """The parts [start, end) of a text that may identify somebody or give access, ascending.

    Mail addresses; URLs with user information or a long part that has a digit or looks random;
    numbers of seven or more digits (telephones, cards, dates), IBANs; IP and hardware addresses,
    UUIDs; values after "password:" and the like; keys by their known prefix or because they look
    random. Width, accents and invisible characters make no difference. Parts do not overlap.
    """
    plain, origin = _plain(text)
    merged: list[tuple[int, int]] = []
    for start, end in sorted(_find(plain)):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    if origin is None:
        return merged
    # Two parts may begin and end inside one character that stands for several.
    spans: list[tuple[int, int]] = []
    for start, end in merged:
        first, last = origin[start], origin[end - 1] + 1
        if spans and first < spans[-1][1]:
            first, last = spans[-1][0], max(last, spans[-1][1])
            spans.pop()
        spans.append((first, last))
    return spans


def _find(plain: str) -> Iterator[tuple[int, int]]:
    for pattern in (_MAIL, _ADDRESS, _SECRET, _PREFIXED):
        for match in pattern.finditer(plain):
            yield match.span()
    for match in _URL.finditer(plain):
        if _tells(match[0]):
            scheme = _SCHEME.search(plain, max(0, match.start() - 16), match.start())
            yield (scheme.start() if scheme else match.start()), match.end()
    for pattern, least in ((_NUMBER, _NUMBER_DIGITS), (_IBAN, _IBAN_DIGITS)):
        for match in pattern.finditer(plain):
            if sum(map(str.isdecimal, match[0])) >= least:
                yield match.span()
    for match in _RUN.finditer(plain):
        for start, end in _keys(match[0]):
            yield match.start() + start, match.start() + end


def _tells(url: str) -> bool:
    """Whether a URL, from its "://" on, may say who or what somebody is."""
    authority = re.split(r"[/?#]", url[3:], maxsplit=1)[0]
    return "@" in authority or any(
        any(map(str.isdecimal, part[0])) or _random(part[0]) for part in _LONG_PART.finditer(url)
    )


def _keys(run: str) -> Iterator[tuple[int, int]]:
    """The stretches of a run without spaces that look like keys.

    A key may have separators in it, so neighbouring parts that look random, and the short ones
    between them, are counted together.
    """
    start = end = letters = 0
    random = False
    for atom in _ATOM.finditer(run):
        looks = _random(atom[0])
        if not looks and len(atom[0]) >= _NEUTRAL:
            if random and letters >= _KEY_LETTERS:
                yield start, end
            letters, random = 0, False
            continue
        if not letters:
            start = atom.start()
        end, letters, random = atom.end(), letters + len(atom[0]), random or looks
    if random and letters >= _KEY_LETTERS:
        yield start, end


def _random(atom: str) -> bool:
    """Whether letters and digits, or capitals, alternate more often than in words and names."""
    kinds = [1 if c.isdecimal() else 2 if c.isupper() else 3 for c in atom]
    changes = sum(a != b for a, b in pairwise(kinds))
    if 1 in kinds:
        return changes >= max(2, len(atom) / 5)
    return len(atom) >= 2 * _NEUTRAL and changes >= len(atom) * 2 / 5


def _plain(text: str) -> tuple[str, list[int] | None]:
    """The text in NFKC by characters, without marks and invisible ones; where each came from."""
    if text.isascii():
        return text, None
    folded: list[str] = []
    origin: list[int] = []
    known: dict[str, str] = {}
    for at, char in enumerate(text):
        plain = char if char.isascii() else known.get(char)
        if plain is None:
            plain = known[char] = "".join(
                c
                for c in unicodedata.normalize("NFKD", char)
                if not unicodedata.combining(c)
                and unicodedata.category(c) not in {"Cf", "Mn", "Me"}
            )
        folded.append(plain)
        origin.extend([at] * len(plain))
    return "".join(folded), origin
