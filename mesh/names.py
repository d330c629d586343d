"""Names of members, and the hosts that they are reached at.

A name looks like a DNS name (`acme.example`): it appears in signed notes, in log origins and in
certificates, so it holds no space, no `+` and no slash, and there is one way to write it.
"""

import ipaddress
import re
from functools import lru_cache
from typing import Final

from mesh.errors import MeshError

MAX_NAME: Final = 100
"""Longest name in characters."""

MAX_HOST: Final = 253
"""Longest host name in characters (RFC 1035, section 3.1)."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_GROUP = _HOST


class NameFormatError(MeshError):
    """A name, control group or host is not written as the mesh writes them."""


@lru_cache(maxsize=4 * 1024)
def check_name(name: str) -> str:
    """Return the name if it is a member's name, as `acme.example`.

    At least two labels of lower-case ASCII letters, digits and inner hyphens (RFC 1123, section
    2.1), the last one not only digits (it would read as an IP address), 100 characters at most.

    :raises NameFormatError: it is anything else.
    """
    if len(name) > MAX_NAME or _NAME.fullmatch(name) is None or name.rpartition(".")[2].isdigit():
        raise NameFormatError(
            "a member's name looks like acme.example: lower-case letters, digits and hyphens, "
            f"at least one dot, at most {MAX_NAME} characters"
        )
    return name


def check_control_group(group: str) -> str:
    """Return the control group if it is written as one: like a name, but one label is enough.

    :raises NameFormatError: it is anything else.
    """
    if len(group) > MAX_NAME or _GROUP.fullmatch(group) is None:
        raise NameFormatError(
            "a control group is written in lower-case letters, digits, hyphens and dots, "
            f"at most {MAX_NAME} characters"
        )
    return group


def check_host(host: str) -> str:
    """Return the host if it is a lower-case host name or an IP address in its shortest form.

    One host has one spelling, so that two members can't claim one endpoint unnoticed. A name that
    ends in a number is refused unless it is an IPv4 address: resolvers disagree about `127.1`.

    :raises NameFormatError: it is anything else.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None:
        if str(address) != host or "%" in host:
            raise NameFormatError(f"write the IP address in its shortest form: {address}")
        return host
    last = host.rpartition(".")[2]
    numeric = last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None
    if len(host) > MAX_HOST or _HOST.fullmatch(host) is None or numeric:
        raise NameFormatError(
            "a host is a lower-case DNS name or an IP address, without port or brackets"
        )
    return host
