"""How one signal looks: what it says, who holds it, what others make of it."""

from __future__ import annotations

from typing import Final

from mesh.steps import Step
from mesh.taxonomy import CATEGORIES, technique_title
from orgnode.api.models import SignalAnswer, SignalDetailAnswer
from orgnode.cli.render import Cell, band_text, moment

_OVER: Final = {
    "retracted": "its issuer withdrew it, and its content is erased; counts nowhere",
    "expired": "its time is over, and its content is erased; counts nowhere",
}

WHAT_A_PROOF_SHOWS = (
    "that committed scores follow the rubric and reach the band; not that the incident happened, "
    "nor that whoever scored it was honest"
)


def standing(signal: SignalAnswer) -> str:
    """Where a signal stands, in a word: only what is `live` counts."""
    if signal.suspended:
        return "suspended" if signal.status == "live" else f"{signal.status}, suspended"
    return "provisional" if signal.status == "live" and not signal.certified else signal.status


def uncounted(status: str, *, suspended: bool) -> list[Step]:
    """Why a signal that was published counts nowhere now; nothing if it may count."""
    found = []
    if suspended:
        found.append(Step("suspended", "its issuer showed two histories; counts nowhere"))
    if status in _OVER:
        found.append(Step(status, _OVER[status]))
    return found


def details(signal: SignalAnswer) -> list[tuple[str, Cell]]:
    """What the signal itself says."""
    gone = not signal.tokens
    met = "met by the issuer itself" if signal.direct else f"derived from {signal.derived_from}"
    technique = f"{signal.technique}: {technique_title(signal.technique or '')}"
    return [
        ("signal", signal.id),
        ("issuer", f"{signal.issuer}{' (this organization)' if signal.own else ''}"),
        ("place in its log", signal.index),
        ("status", standing(signal)),
        ("band", band_text(signal.band)),
        ("category", f"{signal.category}: {CATEGORIES.get(signal.category, 'unknown')}"),
        ("technique", technique if signal.technique else "erased"),
        ("confidence", _confidence(signal)),
        ("source", met if signal.direct is not None else "erased"),
        ("barrier that failed", signal.barrier or ("erased" if gone else "not said")),
        ("tokens", ", ".join(signal.tokens) or "erased"),
        ("day", signal.day),
        ("expires", signal.expires),
        ("received here", moment(signal.received)),
        ("what its proof shows", "erased" if gone else WHAT_A_PROOF_SHOWS),
    ]


def _confidence(signal: SignalAnswer) -> str:
    if signal.confidence is None:
        return "erased"
    if signal.claimed_confidence is None:
        return f"{signal.confidence} %"
    return (
        f"{signal.confidence} %, as its parent allows; "
        f"its issuer claims {signal.claimed_confidence} %"
    )


def certification(signal: SignalDetailAnswer) -> list[tuple[str, Cell]]:
    """Who cosigned it, and who told of having erased it."""
    made = signal.certificate
    rows: list[tuple[str, Cell]] = []
    if made is None:
        rows.append(("certified", "no: it counts when a quorum of members holds it"))
    else:
        if made.counts_since is not None:
            rows.append(("counts here since", f"{moment(made.counts_since)} UTC"))
        by = f"by {', '.join(made.cosigners)} ({made.quorum} had to)"
        over = f"over {made.size} entries"
        rows.append(("newest cosignatures", f"{moment(made.time)} UTC, {over}, {by}"))
    if not signal.receipts and not signal.unreceipted:
        return rows
    for name, erased in (("erased at", True), ("kept, unread, at", False)):
        those = [f"{one.member} ({one.day})" for one in signal.receipts if one.erased is erased]
        if those or erased:
            rows.append((name, ", ".join(those) or "nobody yet"))
    return [*rows, ("not heard from", ", ".join(signal.unreceipted) or "nobody")]


def opinions(signal: SignalDetailAnswer) -> list[tuple[str, Cell]]:
    """What others make of it; of a signal that does not count, nothing is known."""
    if standing(signal) != "live":
        return []
    others = len({one.issuer for one in signal.sharing} - {signal.issuer})
    word = "organization" if others == 1 else "organizations"
    return [
        ("tokens shared with", f"{others} other {word}" if others else "no other organization"),
        ("promoted", f"{signal.promoted} of {len(signal.tokens)} tokens"),
        ("confirmed by", ", ".join(signal.confirmed_by) or "nobody"),
        ("denied by", ", ".join(signal.denied_by) or "nobody"),
    ]
