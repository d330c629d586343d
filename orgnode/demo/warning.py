"""The demonstration's second act: an attack that three organizations met is blocked at a fourth.

Each of the three reports it in its own words; a person confirms one of the signals; one of them
promotes the windows; and the fourth, which never saw the text, is asked about disguised forms of
it. Times are those that the checking node measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from orgnode.api.check_models import CheckAnswer
from orgnode.checking import editing
from orgnode.cli.render import fitted
from orgnode.client import NodeClient
from orgnode.demo.disguise import ATTACK, BENIGN, DISGUISES, RARE_ATTACK, mixed_case, typos
from orgnode.demo.view import View
from orgnode.testnet import TestNetwork

ROUTE: Final = "demo"
SUSPICIOUS: Final = 0.5
"""A risk score with which the committee is asked."""

PATIENCE_MS: Final = 10_000
"""How long a regional check may wait for the committee; the table shows how long each did."""

WAIT_SECONDS: Final = 30.0
"""How long the promotion may take to arrive."""

_POLL_SECONDS: Final = 0.1
_SCORES: Final = {
    "capability_gain": 7,
    "breadth": 6,
    "ease_of_weaponization": 8,
    "discoverability": 7,
}


@dataclass(frozen=True)
class Asked:
    """One check: what was asked about, what had to be answered, and what was."""

    text: str
    reported_by: str
    expected: tuple[str, str]
    """Answer and tier."""
    answer: CheckAnswer = field(repr=False)

    @property
    def right(self) -> bool:
        """Whether it was answered as it should be."""
        return (self.answer.answer, self.answer.tier) == self.expected


@dataclass
class Warned:
    """What the second act saw."""

    checker: str
    asked: list[Asked] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def wrong(self) -> Iterator[str]:
        """Everything that should have been otherwise, in words."""
        yield from self.problems
        for one in self.asked:
            if not one.right:
                wanted, tier = one.expected
                yield (
                    f"{self.checker} answered {one.answer.answer} ({one.answer.tier}) about "
                    f"{one.text}, not {wanted} ({tier}): {one.answer.reason}"
                )


def needed(network: TestNetwork) -> int:
    """How many honest organizations the act takes: those that report, and the one that checks."""
    return network.mesh.constraints.block_sources + 1


def enforce(network: TestNetwork, org: str) -> None:
    """Let an organization's findings about the demonstration's route become answers."""
    directory = next(one.directory for one in network.orgs if one.name == org)
    settings = editing.with_mode(editing.load(directory), "enforce", ROUTE, None)
    # Five nodes share this machine: a slow answer is not what is shown here.
    editing.save(directory, settings.model_copy(update={"regional_ms": PATIENCE_MS}))


async def warn(
    view: View, network: TestNetwork, clients: Mapping[str, NodeClient], honest: Sequence[str]
) -> Warned:
    """Play the act. `honest` names enough organizations; see `needed`."""
    reporters = honest[: needed(network) - 1]
    checker = honest[len(reporters)]
    warned = Warned(checker)
    with view.phase(f"An attack meets {len(reporters)} organizations, and not {checker}"):
        signals = await _report(view, clients, reporters)
        await clients[reporters[1]].sight(signals[0], "confirm")
        view.say(
            f"   a person at {reporters[1]} confirms the signal of {reporters[0]}; another attack "
            f"is reported by {reporters[0]} alone"
        )
        view.say(
            f"   one of them publishes the windows' hashes with the committee's proofs; {checker} "
            "checks them, and needs nobody from then on"
        )
        await _promoted(clients[checker], warned)
    with view.phase(f"{checker} is asked about texts that it never saw"):
        await _ask(clients[checker], warned)
        view.show(_table(warned.asked, view.console.width))
        blocked = [one for one in warned.asked if one.answer.answer == "block"]
        if blocked:
            view.say(f"   why the last of them was blocked: {blocked[-1].answer.reason}", "dim")
    return warned


async def _report(
    view: View, clients: Mapping[str, NodeClient], reporters: Sequence[str]
) -> list[str]:
    rng = Random(1)  # noqa: S311 - the same disguise in every run
    wordings = (ATTACK, mixed_case(ATTACK, rng), typos(ATTACK, rng, 0.005))
    signals = []
    for place, org in enumerate(reporters):
        wording = wordings[place % len(wordings)]
        signals.append(await _publish(clients[org], wording, f"act-two-{place}"))
    await _publish(clients[reporters[0]], RARE_ATTACK, "act-two-rare")
    view.say(f"   {', '.join(reporters)} report it, each as they met it")
    return signals


async def _publish(node: NodeClient, text: str, reference: str) -> str:
    published = await node.report(
        text=text,
        components=_SCORES,
        category="ncr",
        technique="AML.T0054",
        confidence=90,
        reference=reference,
    )
    return published.signal


async def _promoted(node: NodeClient, warned: Warned) -> None:
    """Wait until the attack's own text is blocked without asking anybody."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        found = await node.check(ATTACK, route=ROUTE)
        if found.finding == "block":
            return
        if time.monotonic() > end:
            warned.problems.append(f"no promotion came to {warned.checker}: {found.reason}")
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _ask(node: NodeClient, warned: Warned) -> None:
    rng = Random(2)  # noqa: S311 - the same disguises in every run
    reporters = "three"
    block, escalate = ("block", "local"), ("escalate", "regional")
    questions: list[tuple[str, str, str, float | None, tuple[str, str]]] = [
        ("the attack as it was", reporters, ATTACK, None, block)
    ]
    questions += [
        (name, reporters, disguise(ATTACK, rng), None, block) for name, disguise in DISGUISES
    ]
    questions += [
        ("another attack, 2 % typos", "one", typos(RARE_ATTACK, rng), SUSPICIOUS, escalate),
        ("a dinner for eight", "nobody", BENIGN, SUSPICIOUS, ("allow", "regional")),
        ("a dinner for eight", "nobody", BENIGN, None, ("allow", "local")),
    ]
    for name, by, text, risk, expected in questions:
        answer = await node.check(text, route=ROUTE, risk=risk)
        warned.asked.append(Asked(name, by, expected, answer))


def _table(asked: Sequence[Asked], width: int) -> RenderableType:
    styles = {"block": "bold red", "deny": "bold red", "escalate": "yellow", "allow": "green"}
    rows = []
    for one in asked:
        groups = [len(token.control_groups) for token in one.answer.tokens]
        rows.append(
            (
                one.text,
                one.reported_by,
                Text(one.answer.answer, styles[one.answer.answer]),
                one.answer.tier,
                f"{len(groups)} of {one.answer.windows}",
                max(groups, default=0),
                f"{one.answer.took_ms:.1f} ms",
            )
        )
    columns = ("text", "met by", "answer", "tier", "tokens", "orgs", "time")
    spare = "met by,orgs,time"  # narrow terminals do without
    return fitted(columns, rows, width=width, right="tokens,orgs,time", spare=spare)
