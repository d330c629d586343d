"""What the demonstration says when it is over: refusals, shared attacks, the table, the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from orgnode.cli.incident_files import Row
from orgnode.cli.render import clean, short_id, table
from orgnode.demo.measure import Measured
from orgnode.demo.view import View
from orgnode.demo.warning import Warned

MAX_SHOWN: Final = 20

WHAT_IT_SHOWS: Final = (
    "Verified means: the scores that the issuer committed to follow the rubric and reach the band. "
    "It does not mean that the incident happened, or that whoever scored it was honest."
)


def show_refusals(view: View, measured: Measured) -> None:
    """Show who refused the forged signal, and why."""
    for forged in (one for one in measured.published if one.forged):
        view.say("")
        view.say(
            f"The forged signal {short_id(forged.signal)} of {forged.org} claims a band above its "
            "committed scores; it is signed and logged in good order.",
            "bold",
        )
        for org, refused in measured.refusals.items():
            item = refused.get(forged.signal)
            if item is not None:
                view.show(
                    Text.assemble(
                        "   ",
                        (f"{org} refused it: ", "bold red"),
                        clean(f"{item.error}: {item.reason}"),
                    )
                )


def show_shared(view: View, measured: Measured) -> None:
    """Show how many attacks more than one organization met."""
    shared = [orgs for orgs in measured.tokens.values() if len(orgs) > 1]
    if shared:
        view.say("")
        view.say(
            f"{len(shared)} attack{'s were' if len(shared) > 1 else ' was'} met by more than one "
            f"organization, by {max(map(len, shared))} at most: equal tokens show it, and no "
            "prompt was exchanged.",
            "bold",
        )


def results(measured: Measured, maverick: str) -> Table:
    """The table of the end."""
    rows = []
    for org in measured.orgs:
        own = [one for one in measured.published if one.org == org]
        forged = sum(one.forged for one in own)
        delay = measured.delay(org)
        rows.append(
            (
                f"{org} (maverick)" if org == maverick else org,
                f"{len(own) - forged} + {forged} forged" if forged else str(len(own)),
                len(measured.arrivals[org]),
                len(measured.refusals[org]),
                "–" if delay is None else f"{1_000 * delay:.0f} ms",
            )
        )
    return table(
        ("org", "published", "verified", "refused", "median publish-to-feed"),
        rows,
        right="published,verified,refused,median publish-to-feed",
    )


def problems(measured: Measured, rows: Sequence[Row]) -> Iterator[str]:
    """Everything that should have been otherwise, in words."""
    if not any(one.forged for one in measured.published):
        yield "the forged signal was not published"
    for row in rows:
        if row.error is not None:
            yield f"not published: {row.error}"
    for one in measured.failures:
        yield f"not published: line {one.line}, {one.org}: {one.code}: {one.message}"
    yield from measured.missing()
    yield from measured.surplus()


def show_verdict(view: View, measured: Measured, rows: Sequence[Row]) -> bool:
    """Say whether all went as it should; returns that."""
    wrong = list(problems(measured, rows))
    for line in wrong[:MAX_SHOWN]:
        view.say(f"✗ {clean(line)}", "bold red")
    if len(wrong) > MAX_SHOWN:
        view.say(f"✗ and {len(wrong) - MAX_SHOWN} more", "bold red")
    if not wrong:
        view.say(
            "✓ Every signal was verified by every other organization, and the forged one by none.",
            "bold green",
        )
        view.say(WHAT_IT_SHOWS, "dim")
    return not wrong


def show_warned(view: View, warned: Warned) -> bool:
    """Say whether the second act went as it should; returns that."""
    wrong = list(warned.wrong())
    for line in wrong:
        view.say(f"✗ {clean(line)}", "bold red")
    if not wrong:
        view.say(
            f"✓ {warned.checker} blocked an attack that it never saw, in every disguise, and let "
            "the harmless text pass. No prompt was exchanged.",
            "bold green",
        )
    return not wrong
