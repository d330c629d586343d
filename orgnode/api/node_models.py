"""What the local API tells about the node itself, its peers and the mesh's rules."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from orgnode.alerts import Alert
from orgnode.api.models import Answer, Hash, Problem
from orgnode.api.services import PeerStatus

_RECOVERING = (
    "What the node waits for before it publishes and cosigns; empty once it does. Checks and reads "
    "are answered meanwhile"
)
_HALTED = (
    "Why the node will not publish and cosign any more, however long one waits; null while it "
    "does. Checks and reads are answered"
)


class PeerAnswer(Answer):
    """How this node stands with one peer."""

    name: str
    control_group: str
    up: bool = Field(description="Whether the last contact succeeded")
    suspended: bool = Field(description="Proven to show two histories; not followed any more")
    size: int = Field(description="Entries of the peer's log that are held here")
    signed_size: int = Field(description="Size of the newest checkpoint seen")
    certified: int = Field(
        default=0, description="Entries of the peer's log that a quorum has cosigned"
    )
    lag: int = Field(description="`signed_size` less `size`")
    their_size: int | None = Field(
        default=None,
        description="Entries of this node's log that the peer holds, as it says; null before it "
        "said anything",
    )
    behind: int = Field(
        default=0, description="Entries of all logs that are held here and that the peer lacks"
    )
    behind_since: float | None = Field(
        default=None, description="Since when it lacks any, Unix seconds; null while it lacks none"
    )
    last_contact: float | None = Field(default=None, description="Unix seconds")
    error: str = Field(default="", description="Name of the last failure, empty while up")
    entries: dict[str, int] = Field(description="Entries by outcome")

    @classmethod
    def of(cls, status: PeerStatus, control_group: str, entries: dict[str, int]) -> PeerAnswer:
        """Make the answer from a peer's status and the store's counts."""
        return cls(
            name=status.name,
            control_group=control_group,
            up=status.up,
            suspended=status.suspended,
            size=status.size,
            signed_size=status.signed_size,
            certified=status.certified,
            lag=status.lag,
            their_size=status.their_size,
            behind=status.behind,
            behind_since=status.behind_since,
            last_contact=status.last_contact,
            error=status.error,
            entries=entries,
        )


class PeersAnswer(Answer):
    """Every other member, in the constraints' order."""

    peers: list[PeerAnswer]


class StatusAnswer(Answer):
    """What this node is, holds and does."""

    name: str
    mesh: Hash
    mesh_name: str
    version: int = Field(description="Version of the constraints in force")
    members: int
    trial: bool = Field(description="Fewer than four members: for trying out, not for production")
    software: str
    ready: bool
    reasons: list[str]
    recovering: str = Field(default="", description=_RECOVERING)
    halted: Problem | None = Field(default=None, description=_HALTED)
    started: float = Field(description="Unix seconds")
    log_size: int = Field(description="Entries in the own log")
    certified_size: int = Field(
        default=0, description="Entries in the own log that a quorum has cosigned"
    )
    alerts: int = Field(default=0, description="How many alerts stand; GET /v1/alerts lists them")
    entries: dict[str, dict[str, int]] = Field(description="Entries by log and outcome")
    last_event: int = Field(description="Number of the newest feed event")
    subscribers: int
    prover: str = Field(description="Back end that makes severity proofs")
    verifier: str = Field(description="Back end that verifies them")


class ConstraintsAnswer(Answer):
    """The shared rules in force."""

    mesh: Hash
    digest: Hash
    constraints: dict[str, Any]
    genesis: str = Field(description="The note that all founders signed, base64")


class AlertAnswer(Answer):
    """A condition that a person should know of, and that has not gone away yet."""

    kind: str = Field(description="What it is, a stable word: `peer_behind`")
    subject: str = Field(description="Of whom or what: a member's name, mostly")
    detail: str
    since: float = Field(description="When it was noticed, Unix seconds")
    hint: str = Field(default="", description="What to do about it; may be empty")

    @classmethod
    def of(cls, alert: Alert) -> AlertAnswer:
        """Make the answer from an alert."""
        return cls(
            kind=alert.kind,
            subject=alert.subject,
            detail=alert.detail,
            since=alert.since,
            hint=alert.hint,
        )


class AlertsAnswer(Answer):
    """Everything that stands, the longest standing first."""

    alerts: list[AlertAnswer]


class HealthAnswer(Answer):
    """The process runs and answers."""

    status: Literal["ok"] = "ok"


class ReadyAnswer(Answer):
    """Whether the node can serve."""

    ready: bool
    reasons: list[str] = Field(
        description="Why it can't: it stops, or its disk takes nothing. Send it no requests then"
    )
    recovering: str = Field(default="", description=_RECOVERING)
    halted: Problem | None = Field(default=None, description=_HALTED)
    instance: str = Field(
        default="",
        description="A random name of this run of the node, as `run.json` in its data directory "
        "gives it",
    )
