"""What goes into publishing and what comes out of it: the two ends of `Publisher.report`.

An `IncidentInput` is the most secret object in the process. Its `repr` shows neither the text nor
the scores, so that a traceback, a log line or a failing assertion can't show them either.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class IncidentInput:
    """An incident as its organization reports it. Nothing here leaves the organization as it is.

    `components` are the assessed severity scores, in the order of the mesh's rubric; `category` is
    an AILuminate hazard code, `technique` a MITRE ATLAS id; `confidence` is a percentage; `band` is
    the claimed band's name, or None for the highest that the scores reach; `barrier` names the
    safeguard that failed, if the operator chooses to publish it; `reference` is the caller's own id
    of the incident, which makes reporting it twice harmless; `derived_from` is the id of the signal
    that it is reported because of, if the organization has not met the attack itself: then
    `confidence` is lowered to what that signal allows.
    """

    text: str = field(repr=False)
    components: tuple[int, ...] = field(repr=False)
    category: str
    technique: str
    confidence: int = 80
    band: str | None = None
    barrier: str | None = field(default=None, repr=False)
    reference: str | None = field(default=None, repr=False)
    derived_from: str | None = None


@dataclass(frozen=True)
class Published:
    """Where an incident's signal stands, durable in the organization's own log.

    `incident_id` finds the incident in the vault; `entry_id` is the signal's id in the mesh (its
    Merkle leaf hash, hex), `index` its place in the log, `band` the published band's name,
    `checkpoint_size` the size of the signed tree that covers it. `duplicate` says that this
    incident had been published before and nothing new was. `confidence` is what was published, in
    percent; None if that is erased by now, or nothing with a confidence was.
    """

    incident_id: str
    entry_id: str
    index: int
    band: str
    checkpoint_size: int
    duplicate: bool = False
    confidence: int | None = None

    def as_duplicate(self) -> Published:
        """Return the same answer, marked as that of an earlier report."""
        return replace(self, duplicate=True)
