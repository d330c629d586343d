"""Which day an entry is dated, when the own clock has been wrong, or is.

Days never fall within a log. So after a clock ran ahead for one publication, the log's last day
lies ahead, and peers refuse what is dated so; and while a clock is behind, what it dates lies
before the log's last day, and peers refuse that. Which of the two it is, the other members know:
each certificate bears the time at which a quorum saw the log.
"""

from __future__ import annotations

import structlog

from mesh.certificate import open_certificate
from mesh.days import Day, day_of, format_day
from mesh.errors import MeshError
from mesh.genesis import Mesh
from orgnode.store import Store
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)


def certified_day(mesh: Mesh, store: Store) -> Day | None:
    """The latest day on which a quorum cosigned anything that is known here; None if nothing is.

    Today is no earlier. A certificate's time is a median: fewer liars than it takes to certify
    can't move it.
    """
    latest: Day | None = None
    for card in mesh.members:
        note = store.certificate(card.name)
        if note is None:
            continue
        try:
            day = day_of(open_certificate(mesh, card.name, note).time)
        except (MeshError, ProofsError) as error:
            log.error("dating.certificate", log=card.name, error=type(error).__name__)
            continue
        latest = day if latest is None else max(latest, day)
    return latest


def entry_day(mesh: Mesh, store: Store, today: Day, last: Day | None) -> Day:
    """The day to date the own log's next entry, so that peers refuse it neither as dated ahead nor
    as dated back, as far as that can be.

    :param today: the day by the own clock.
    :param last: the last day of the own log; None if it has none.
    """
    if last is None or last <= today:
        return today
    skew = mesh.constraints.clock_skew_days
    if last <= today + skew:
        return last
    known = certified_day(mesh, store)
    true = today if known is None else max(today, known)
    log.warning(
        "dating.clock_wrong",
        today=format_day(today),
        last=format_day(last),
        certified=None if known is None else format_day(known),
    )
    return Day(max(true, min(last, true + skew)))
