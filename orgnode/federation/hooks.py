"""What the federation side tells the rest of the node, as it happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mesh.assessment import Assessed
from mesh.evidence import Evidence


def _nothing(*_: object) -> None:
    return None


@dataclass
class Hooks:
    """Callbacks, none of which may block or raise. Each is called after its cause is durable.

    `grown(size)`: the own log holds so many entries, signed. `assessed(log, entries)`: entries of
    another member's log were stored. `certified(log, size)`: the first `size` entries of a log,
    the own one or another's, are certified here. `evidence(evidence)`: a log was convicted.
    `alert(kind, subject, detail)`: a person should know; `calm(kind, subject)`: it is over. An
    alert is repeated while it lasts, with a newer detail. Kinds are those of `Alert` below.
    """

    grown: Callable[[int], None] = _nothing
    assessed: Callable[[str, Sequence[Assessed]], None] = _nothing
    certified: Callable[[str, int], None] = _nothing
    evidence: Callable[[Evidence], None] = _nothing
    alert: Callable[[str, str, str], None] = _nothing
    calm: Callable[[str, str], None] = _nothing


PEER_BEHIND = "peer_behind"
"""Alert: the peer (subject) has lacked entries for longer than `Rhythm.behind_alert`."""

EQUIVOCATION = "equivocation"
"""Alert: the log of the member (subject) was convicted of two histories."""

FORKED_SELF = "forked_self"
"""Alert: the own log (subject) contradicts what members hold of it; nothing is signed any more."""

DISK_BEHIND = "disk_behind"
"""Alert: members hold more of the own log (subject) than this disk; nothing is signed any more."""

RECOVERING = "recovering"
"""Alert: this node (subject) waits for members, or for what nobody handed over yet."""

MIRROR_QUOTA = "mirror_quota"
"""Alert: the log of the member (subject) grew by more than is mirrored in a day."""

UNCERTIFIED = "uncertified"
"""Alert: entries of the own log (subject) have waited for a quorum longer than `behind_alert`."""
