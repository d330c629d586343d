"""What is computed once for all nodes of a simulation, though each of them would do it by itself.

    with computed_once():
        ...                               # a signature that five nodes verify is verified once
                                          # and in the end all is forgotten

All of these are pure functions of their arguments, which are frozen values, so nobody can tell: not
whether an answer was computed, nor by which node. Nodes in production have nothing of this: there
each verifies for itself. What raises is computed each time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, Final

import mesh.certificate
import mesh.claims
import mesh.entry
import mesh.retraction
import mesh.sighting
import mesh.signal
import mesh.signed
import mesh.vector
import mesh.wire
import proofs.checkpoint
import proofs.ed25519
import proofs.note

_KEPT: Final = 8_192
"""Answers kept of each function."""

_BY_VALUE: Final[tuple[Callable[..., Any], ...]] = (
    proofs.ed25519._keypair,
    proofs.ed25519.sign,
    proofs.ed25519.verify,
    proofs.note.parse_note,
    proofs.checkpoint.parse_checkpoint_text,
    proofs.checkpoint.open_checkpoint,
    mesh.retraction.parse_retraction,
    mesh.sighting.parse_sighting,
    mesh.signal.parse_signal,
    mesh.signed.open_signed,
    mesh.vector.decode_vector,
    mesh.wire.decode_announcement,
)

_BY_IDENTITY: Final[tuple[Callable[..., Any], ...]] = (
    mesh.certificate.open_certificate,
    mesh.certificate.open_plain_checkpoint,
    mesh.claims.claim_of,
    mesh.entry.open_entry,
)
"""Of a mesh, a member or a signal, which take long to compare: the same one, not an equal one."""


class _Memory:
    """A function that remembers; of what it compares by identity it keeps hold."""

    def __init__(self, pure: Callable[..., Any]) -> None:
        self._pure = pure
        self._answers: dict[tuple[object, ...], tuple[Any, tuple[object, ...]]] = {}

    def __call__(self, *args: Any) -> Any:
        key = tuple(
            [arg if isinstance(arg, bytes | str) else id(arg) for arg in args]  # a list is quicker
        )
        known = self._answers.get(key)
        if known is None:
            if len(self._answers) >= _KEPT:
                self.cache_clear()
            known = self._answers[key] = self._pure(*args), args
        return known[0]

    def cache_clear(self) -> None:
        """Forget everything."""
        self._answers.clear()


_ONCE: Final[dict[Callable[..., Any], Callable[..., Any]]] = {
    **{pure: lru_cache(maxsize=_KEPT)(pure) for pure in _BY_VALUE},
    **{pure: _Memory(pure) for pure in _BY_IDENTITY},
}


@contextmanager
def computed_once() -> Iterator[None]:
    """Have every module use the remembering twin of each of these functions.

    Whatever stands in the place of one (a planted bug does) stays there.
    """
    swapped = [(module, name, pure) for module, name, pure in _uses() if vars(module)[name] is pure]
    for module, name, pure in swapped:
        setattr(module, name, _ONCE[pure])
    try:
        yield
    finally:
        for module, name, pure in swapped:
            setattr(module, name, pure)
        for remembering in _ONCE.values():
            remembering.cache_clear()  # type: ignore[attr-defined] # both kinds have it


@cache
def _uses() -> list[tuple[ModuleType, str, Callable[..., Any]]]:
    """Where a module has one of these functions, and under which name."""
    return [
        (module, name, pure)
        for module in list(sys.modules.values())
        for pure in _ONCE
        for name, value in list(vars(module).items())
        if value is pure
    ]
