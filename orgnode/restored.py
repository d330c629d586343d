"""The mark that a restored backup leaves in the store, and what it asks for.

A database that carries it may be older than what this node signed last: before it signs anything,
*every* other member must tell what it knows of its past, but those that the restoring left out.
"""

from __future__ import annotations

from typing import Final

RESTORED: Final = "restored"
"""Name of the mark (`Store.meta`)."""

COMPLETE: Final = b"-"
"""The mark's value once the recovery after a restore is complete; before, the members that need
not be asked, by name, separated by commas."""

GONE_FOR_EVER: Final = (
    "if one of them is gone for ever: stop the node, and `orgnode restore FILE --without NAME` "
    "into a new, empty --data-dir"
)
"""What to do when a restored node waits for a member that never comes back."""


def left_out(mark: bytes | None) -> frozenset[str] | None:
    """Who need not be asked, by the mark; None if it asks for nothing, or for nothing any more."""
    if mark is None or mark == COMPLETE:
        return None
    return frozenset(filter(None, mark.decode("utf-8", "replace").split(",")))
