"""What can go wrong with a test network."""

from __future__ import annotations

from collections.abc import Sequence

from orgnode.errors import OrgnodeError


class TestnetError(OrgnodeError):
    """The root of what the test network raises."""

    __test__ = False  # not a class of tests, whatever pytest thinks of the name


class NoNetworkError(TestnetError):
    """There is no test network in this directory."""


class OtherNetworkError(TestnetError):
    """The directory holds something else than the test network that was asked for."""


class NoPortsError(TestnetError):
    """There are not enough free TCP ports."""


class NodeStartError(TestnetError):
    """A node process ended before it was ready; `lines` are the last that it wrote."""

    def __init__(self, message: str, *, hint: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.lines = tuple(lines)
        if lines:
            self.add_note("\n".join(lines))


class NodeStartTimeoutError(NodeStartError):
    """A node process was not ready in time; `lines` are the last that it wrote."""
