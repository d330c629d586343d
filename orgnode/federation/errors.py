"""What can go wrong between two organizations' nodes, named for the condition.

No message holds content of an entry or a body: sizes, statuses and names only.
"""

from __future__ import annotations

from mesh.days import Day
from orgnode.errors import OrgnodeError


class FederationError(OrgnodeError):
    """The root of everything that the federation side raises."""


class ListenError(FederationError):
    """The federation server cannot listen on the configured host."""


class PortInUseError(ListenError):
    """Another process, perhaps this organization's own node, listens on the federation port."""


class PeerError(FederationError):
    """A peer did not do what was asked of it. Nothing that it sent was used; ask again later."""


class PeerUnreachableError(PeerError):
    """No connection to the peer could be made, or it broke before the answer was whole."""


class WrongPeerError(PeerError):
    """Whoever answers at the peer's endpoint does not hold the key that the member card pins."""


class PeerTimeoutError(PeerError):
    """The peer did not give a whole answer before the deadline (silence, or a trickle of bytes)."""


class PeerAnswerError(PeerError):
    """The peer's answer is not what the protocol allows: status, size, encoding or form.

    `status` is the HTTP status, `told` the name of the error that the peer reported, if any,
    `resets` the day on which it says that it will serve again, if it refused for a day's budget,
    and `size` the size of the log that a witness told with a 409 (C2SP tlog-witness).
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int = 200,
        told: str | None = None,
        resets: Day | None = None,
        size: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.told = told
        self.resets = resets
        self.size = size


class AnswerTooLargeError(PeerAnswerError):
    """The peer sends more bytes than the largest true answer could have."""


class EncodedAnswerError(PeerAnswerError):
    """The peer compressed its answer, which this node never asks for (decompression bomb)."""


class StaleOldSizeAnswer(PeerAnswerError):  # noqa: N818 - the protocol's way to tell the size
    """The witness knows this log at another size than the request's old one: ask again from there.

    `size` is the size that it cosigned last, as it says (C2SP tlog-witness, status 409).
    """

    size: int

    def __init__(self, size: int, peer: str = "the witness") -> None:
        super().__init__(f"{peer} cosigned this log at size {size} last", status=409, size=size)


UNREACHED = (PeerUnreachableError, PeerTimeoutError, TimeoutError)
"""Failures that may be over as soon as the peer is heard of."""


class NotYourLogError(FederationError):
    """A member announced a log that is not its own; only the owner speaks for a log."""


class AnnouncementError(FederationError):
    """An announcement does not fit together: its checkpoint, start and entries disagree."""


class NotYourRequestError(FederationError):
    """A request for evaluation is signed by another member than the one that sent it: replayed."""


class SuspendedPeerError(FederationError):
    """The owner of this log provably showed two histories; its entries are not followed."""


class RecoveringError(FederationError):
    """This node has not asked enough members about its own past yet, so it signs nothing.

    Its disk may be an old backup: a signature on top of it could contradict one that others hold.
    """


class ForkedSelfError(FederationError):
    """Members hold a checkpoint of this node's own log that its disk contradicts: sign nothing."""


class DiskBehindError(ForkedSelfError):
    """Members hold more of this node's own log than its disk: an old disk was put back.

    It need not have signed anything else instead; the next start asks all members.
    """


class NotMirroredError(FederationError):
    """A witness is asked about a checkpoint whose entries and bodies it does not all hold yet."""


class MirrorQuotaError(FederationError):
    """A log grew by more in one day than this node mirrors; it is followed again tomorrow."""


class OwnQuotaError(FederationError):
    """This organization used up its entries of the day; peers would refuse any more."""
