"""Tokens of windows that were evaluated already, so that the same text is not asked for twice.

The windows of one's own traffic are worth hiding even from a dump of the memory, so entries are
found by a keyed hash under a secret of this process, which is never written anywhere.
"""

from __future__ import annotations

import hmac
import os
from collections import OrderedDict
from typing import Final

CAPACITY: Final = 65_536
"""Windows that are remembered unless the caller says otherwise: 14 MB."""


class WindowCache:
    """A bounded map from a window's input to its token; the one that was not used longest goes."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._secret = os.urandom(32)
        self._tokens: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tokens)

    def get(self, given: bytes) -> str | None:
        """The token (hex) of an input, None if it is not remembered."""
        key = self._key(given)
        token = self._tokens.get(key)
        if token is None:
            return None
        self._tokens.move_to_end(key)
        return token.hex()

    def put(self, given: bytes, token: str) -> None:
        """Remember the token (hex) of an input."""
        key = self._key(given)
        self._tokens[key] = bytes.fromhex(token)
        self._tokens.move_to_end(key)
        while len(self._tokens) > self._capacity:
            self._tokens.popitem(last=False)

    def _key(self, given: bytes) -> bytes:
        return hmac.digest(self._secret, given, "sha256")
