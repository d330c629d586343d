"""Changing the policy on disk: rules and texts, each replaced atomically.

The running node sees the change with its next check; no node needs to run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from mesh.normalize import normalize
from orgnode.checking.errors import PolicyError, PolicyTextError
from orgnode.checking.policy import (
    FailName,
    ModeName,
    PolicySettings,
    RouteRules,
    TenantRules,
    parse_policy,
    write_policy,
)
from orgnode.checking.policyfile import POLICY_FILE, read_settings
from orgnode.checking.texts import check_text
from orgnode.files import write_file

TextKind = Literal["templates", "allowed"]

_PRIVATE_DIR = 0o700
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


class TextExistsError(PolicyError):
    """There is another text of this name; replacing it unasked could let something through."""


class UnknownTextError(PolicyError):
    """There is no text of this name."""


def load(directory: Path) -> PolicySettings:
    """The rules on disk; the defaults if there are none. Raises PolicyError."""
    return read_settings(directory / POLICY_FILE)


def save(directory: Path, settings: PolicySettings) -> None:
    """Replace the rules.

    :raises PolicyError: they could not be read back; nothing was written.
    :raises DataDirNotWritableError: the directory can't be written to.
    """
    path = directory / POLICY_FILE
    data = write_policy(settings)
    parse_policy(data, str(path))
    write_file(path, data, private=False)


def set_aside(directory: Path) -> Path:
    """Copy rules that can't be read to a name that nothing else has; returns where they are.

    :raises PolicyError: they are not there, or no file.
    :raises DataDirNotWritableError: the directory can't be written to.
    """
    path = directory / POLICY_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PolicyError(f"cannot read {path}: {error.strerror}") from None
    kept = path.with_name(f"{POLICY_FILE}.broken")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{POLICY_FILE}.broken-{number}")
    write_file(kept, data, private=False)
    return kept


def with_mode(
    settings: PolicySettings, mode: ModeName, route: str | None, tenant: str | None
) -> PolicySettings:
    """The rules with another mode: everywhere, for a route, a tenant, or a tenant on a route."""
    if route is None and tenant is None:
        return settings.model_copy(update={"mode": mode})
    if route is None:
        assert tenant is not None
        tenants = {**settings.tenants, tenant: TenantRules(mode=mode)}
        return settings.model_copy(update={"tenants": tenants})
    rules = settings.routes.get(route, RouteRules())
    if tenant is None:
        rules = rules.model_copy(update={"mode": mode})
    else:
        inner = {**rules.tenants, tenant: TenantRules(mode=mode)}
        rules = rules.model_copy(update={"tenants": inner})
    return settings.model_copy(update={"routes": {**settings.routes, route: rules}})


def with_fail(settings: PolicySettings, fail: FailName, route: str | None) -> PolicySettings:
    """The rules with another fail mode, everywhere or for a route."""
    if route is None:
        return settings.model_copy(update={"fail": fail})
    rules = settings.routes.get(route, RouteRules()).model_copy(update={"fail": fail})
    return settings.model_copy(update={"routes": {**settings.routes, route: rules}})


def texts(directory: Path, kind: TextKind) -> list[str]:
    """The names of the texts of a kind."""
    return sorted(path.stem for path in (directory / kind).glob("*.txt"))


def add_text(directory: Path, kind: TextKind, name: str, data: bytes) -> bool:
    """Keep a text, 0600: prompts of one's own are nobody else's business. False if it was there.

    :raises PolicyTextError: it has no letters or digits, is too long or no UTF-8, or a bad name.
    :raises TextExistsError: another text has this name.
    :raises DataDirNotWritableError: the directory can't be written to.
    """
    if not normalize(check_text(data, name)):
        raise PolicyTextError(f"{name} has no letters or digits", hint="give another file")
    path = _path(directory, kind, name)
    if path.exists():
        if path.read_bytes() == data:
            return False
        raise TextExistsError(
            f"there is another text {name!r} in {path.parent}",
            hint="remove it first, or give this one another --name",
        )
    path.parent.mkdir(mode=_PRIVATE_DIR, exist_ok=True)
    write_file(path, data, private=True)
    return True


def remove_text(directory: Path, kind: TextKind, name: str) -> None:
    """Forget a text.

    :raises UnknownTextError, PolicyTextError: there is none of this name.
    """
    path = _path(directory, kind, name)
    try:
        path.unlink()
    except FileNotFoundError:
        raise UnknownTextError(
            f"there is no text {name!r} in {path.parent}",
            hint=f"there are: {', '.join(texts(directory, kind)) or 'none'}",
        ) from None


def _path(directory: Path, kind: TextKind, name: str) -> Path:
    # The name is part of a path: it must not lead elsewhere.
    if not _NAME.fullmatch(name):
        raise PolicyTextError(
            "a text's name is letters, digits, dots, dashes and underscores",
            hint="give one with --name",
        )
    return directory / kind / f"{name}.txt"
