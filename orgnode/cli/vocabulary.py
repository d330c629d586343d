"""Words that options take, checked before a node is asked: a filter that can't match is an error.

Bands, statuses and event types are listed by the option itself; codes and names are checked here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from mesh.constraints import UnknownMemberError
from mesh.taxonomy import CATEGORIES
from orgnode.cli.errors import UsageProblemError
from orgnode.store import EVENT_TYPES

CATEGORY_LIST: Final = ", ".join(f"{code} ({title})" for code, title in CATEGORIES.items())
"""The hazard codes and what they mean, for a command's help."""


def check_member(name: str, members: Collection[str]) -> None:
    """Refuse the name of nobody: a slip of the finger must not look like a quiet member.

    :raises UnknownMemberError: the mesh has no such member.
    """
    if name not in members:
        raise UnknownMemberError(
            f"{name[:100]!r} is not a member of this mesh: its members are {', '.join(members)}"
        )


def known_category(value: str | None) -> str | None:
    """Let a hazard code pass; none given passes too.

    :raises UsageProblemError: there is no such code.
    """
    if value and value not in CATEGORIES:
        raise UsageProblemError(
            f"there is no hazard code {value!r}",
            hint=f"there are: {CATEGORY_LIST}",
        )
    return value


def known_types(value: Collection[str] | None) -> Collection[str] | None:
    """Let types of feed events pass.

    :raises UsageProblemError: there is no such type.
    """
    for one in value or ():
        if one not in EVENT_TYPES:
            raise UsageProblemError(
                f"there is no type of event {one!r}", hint=f"there are: {', '.join(EVENT_TYPES)}"
            )
    return value


def known_categories(value: Collection[str] | None) -> Collection[str] | None:
    """Let hazard codes pass.

    :raises UsageProblemError: there is no such code.
    """
    for one in value or ():
        known_category(one)
    return value
