"""How a mesh's founding is shown: the rules in a genesis, and where a key generation stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from mesh.constraints import Constraints
from mesh.keygen import KeygenOutcome
from orgnode.ceremony import Standing
from orgnode.cli.render import Cell, Output, fields, fitted


def summary(constraints: Constraints, outcome: KeygenOutcome | None = None) -> dict[str, Any]:
    """The rules as JSON values; with who was left out of the committee, where that is known."""
    left_out: dict[str, Any] = {}
    if outcome is not None:
        left_out = {
            "excluded": dict(outcome.excluded),
            "unseated": dict(outcome.unseated),
            "disputed": {name: list(dealers) for name, dealers in outcome.disputed.items()},
        }
    committee, matching = constraints.committee, constraints.matching
    return {
        "name": constraints.name,
        "trial": constraints.trial,
        "quorum": constraints.quorum,
        "max_faulty": constraints.max_faulty,
        "members": [
            {
                "name": card.name,
                "control_group": card.control_group,
                "endpoint": f"{card.host}:{card.port}",
                "identity": card.identity,
            }
            for card in constraints.members
        ],
        "committee": {
            "threshold": committee.threshold,
            "seats": {str(seat.index): seat.member for seat in committee.seats},
            "public_key": committee.public_key,
            "transcript": committee.transcript,
            **left_out,
        },
        "rubric": {
            "components": dict(constraints.rubric.components),
            "component_max": constraints.rubric.component_max,
        },
        "bands": {band.name: band.threshold for band in constraints.bands},
        "matching": matching.to_json(),
        "evaluation_budget": constraints.evaluation_budget,
        "daily_quota": constraints.daily_quota,
        "cooldown_days": constraints.cooldown_days,
        "benign_digest": constraints.benign_digest,
    }


def show_rules(
    output: Output, constraints: Constraints, mesh_id: str, outcome: KeygenOutcome
) -> None:
    """Show the rules of a mesh to whoever is about to sign them."""
    trial = "  TRIAL: under 4 members, none may be faulty" if constraints.trial else ""
    output.show(Text.assemble((constraints.name, "bold"), (trial, "yellow")))
    output.show(
        fitted(
            ("member", "control group", "endpoint", "identity key"),
            [
                (card.name, card.control_group, f"{card.host}:{card.port}", card.identity)
                for card in constraints.members
            ],
            width=output.out.width,
        )
    )
    rubric, committee = constraints.rubric, constraints.committee
    rows: list[tuple[str, Cell]] = [
        ("mesh id", mesh_id),
        (
            "quorum",
            f"{constraints.quorum} of {len(constraints.members)} members, "
            f"{constraints.max_faulty} may be faulty",
        ),
        (
            "committee",
            f"{', '.join(seat.member for seat in committee.seats)}; any {committee.threshold} of "
            f"these {len(committee.seats)} together can test a guess",
        ),
    ]
    rows += [("deal left out", f"{name}: {why}") for name, why in outcome.excluded.items()]
    rows += [("no seat", f"{name}: {why}") for name, why in outcome.unseated.items()]
    rows += [
        (
            "rubric",
            " + ".join(f"{weight}×{name}" for name, weight in rubric.components)
            + f", each 0..{rubric.component_max}",
        ),
        ("bands", ", ".join(f"{band.name} ≥ {band.threshold}" for band in constraints.bands)),
        (
            "expiry",
            f"{constraints.default_expiry_days} days, at most {constraints.max_expiry_days}",
        ),
        *_matching(constraints),
    ]
    output.show(fields(rows))
    show_disputed(output, outcome.disputed)


def show_disputed(output: Output, disputed: Mapping[str, Sequence[str]]) -> None:
    """Warn of deals that somebody judged and that are not there."""
    for name, dealers in disputed.items():
        output.notice(
            f"! {name} judged a deal of {', '.join(dealers)} that is not the one here: either of "
            "them shows different founders different things. Ask both for it before you sign",
            "bold yellow",
        )


def _matching(constraints: Constraints) -> list[tuple[str, Cell]]:
    matching = constraints.matching
    return [
        ("escalate", f"{matching.escalate_tokens} windows known from anyone"),
        (
            "block",
            f"{matching.block_tokens} windows, each from {constraints.block_sources} independent "
            f"sources that are {seconds(matching.shadow_seconds)} old",
        ),
        (
            "evaluations",
            f"{constraints.evaluation_budget:,} windows a day for each member, at each seat",
        ),
        (
            "quota",
            f"{constraints.daily_quota:,} entries a day for each member; the windows of a "
            f"retracted signal rest {constraints.cooldown_days} day(s)",
        ),
        ("benign corpus", constraints.benign_digest or "none"),
    ]


def seconds(count: int) -> str:
    """A duration in the largest unit that it is a whole number of."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if count and count % size == 0:
            number = count // size
            return f"{number} {unit if number > 1 else unit[:-1]}"
    return f"{count} seconds"


def standing_json(standing: Standing) -> dict[str, Any]:
    """Where a key generation stands, as JSON values."""
    return {
        "mesh_name": standing.proposal.name,
        "ceremony": standing.proposal.ceremony,
        "name": standing.name,
        "wrote": [str(path) for path in standing.wrote],
        "missing_deals": list(standing.missing_deals),
        "missing_verdicts": list(standing.missing_verdicts),
        "faults": dict(standing.faults),
        "disputed": {name: list(dealers) for name, dealers in standing.disputed.items()},
        "unusable": dict(standing.unusable),
        "strays": list(standing.strays),
    }
