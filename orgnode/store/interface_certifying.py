"""What a store offers to certification, to the witness, to gossip, and to retractions' receipts.

An entry counts from when a certificate covers it: a checkpoint of its log with the cosignatures of
a quorum. Until then it is *provisional*: stored and served, and nothing follows from it. Two kinds
of entries don't wait, since they only take away: a retraction and evidence take effect when they
are accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mesh.days import Day
from mesh.history import LogHistory
from mesh.vector import LogPosition
from mesh.witness import Witnessed
from orgnode.store.records import ReceiptRecord


class CertifyingStore(Protocol):
    """How far the logs are certified, and what this node has cosigned of them."""

    async def certify(self, log: str, certificate: bytes, size: int, root: bytes) -> int:
        """Store a log's certificate, which the caller has verified, and let it take effect.

        Everything accepted from the certified size before up to `size` counts from now on, in the
        log's order and as one change: live signals get their tokens, the time from which they count
        and their `signal` event; sightings and promotions count. What was retracted or erased
        before stays without effect; a body that comes later takes effect when it comes. A
        certificate no larger than the one that is stored changes nothing. Returns the sequence
        number of the last feed event.

        :raises StoreConflictError: the log is shorter than `size`.
        :raises CertifiedRootError: the log's tree of this size has another root.
        """
        ...

    def certificate(self, log: str) -> bytes | None:
        """The newest certificate: a signed checkpoint with a quorum of cosignatures."""
        ...

    def certified_size(self, log: str) -> int:
        """How many of a log's entries are certified; 0 for a log never heard of."""
        ...

    async def put_witnessed(
        self, log: str, old_size: int, size: int, root: bytes, note: bytes
    ) -> None:
        """Note what this node is about to cosign, if `old_size` is what it cosigned last.

        `note` is the checkpoint of that size and root, as its log signed it. The comparison and the
        change are one (C2SP tlog-witness). Once this returns the cosignature may leave the node.
        The same size and root once more is no change.

        :raises WitnessConflictError: another size was cosigned last; `size` says which.
        :raises WitnessedRootError: the size is smaller than that, or has another root there.
        """
        ...

    def witnessed(self, log: str) -> Witnessed:
        """What this node has cosigned last of a log; of a log never cosigned the empty tree."""
        ...

    def witnessed_note(self, log: str) -> bytes | None:
        """The checkpoint that this node has cosigned last of a log, as the log signed it."""
        ...

    def root_at(self, log: str, size: int) -> bytes:
        """The root of the tree of a log's first `size` entries (RFC 6962, section 2.1).

        :raises StoreRangeError: the log is shorter.
        """
        ...

    def first_missing(self, log: str) -> int | None:
        """The first entry whose body is still awaited; None if every body is here or settled."""
        ...

    def seen(self, log: str) -> bytes | None:
        """The newest signed checkpoint known of a log, whether its entries are here or not."""
        ...

    def vector(self) -> list[LogPosition]:
        """For each log with a checkpoint whose entries are all here, how far it is, by name."""
        ...

    def history(self, log: str) -> LogHistory:
        """What is stored of one log, as judging its next entries needs it. It is always current."""
        ...


class ReceiptStore(Protocol):
    """What became of retractions at the members, and the rest that follows a retraction."""

    async def put_receipt(self, retraction: str, member: str, note: bytes) -> None:
        """Keep a member's signed receipt of an own retraction; its newer one replaces it."""
        ...

    def receipts(self, entry_id: str) -> list[ReceiptRecord]:
        """Receipts of an own retraction, by its id or by that of the withdrawn signal."""
        ...

    def unreceipted(self, member: str, limit: int = 64) -> list[str]:
        """Ids of own retractions, oldest first, that a member has not given a receipt of.

        Those whose content has expired or is erased are not waited for any more. Of two
        retractions of one signal only the first counts.
        """
        ...

    def retraction_done(self, log: str, retraction: str) -> tuple[str, bool] | None:
        """What an accepted retraction of a log withdraws, and whether no copy of its body is here.

        That is so whether the body was erased or never came; `scrub_due` tells whether what was
        erased is out of every file. None if the log has no such retraction, or if it repeats an
        earlier one.
        """
        ...

    def scrub_due(self) -> bool:
        """Whether content that was erased may still be in the database's write-ahead log.

        It stays there while somebody else reads the database, for a backup say. To be asked after
        what tells that something is erased.
        """
        ...

    def cooling(self, tokens: Sequence[str]) -> dict[str, Day]:
        """Those of the tokens that this node withdrew a while ago, with the last day of the pause.

        A new own signal is no source of the token before that has passed; one that is dated within
        the pause never is.
        """
        ...
