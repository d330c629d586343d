"""The demonstration from its first line to its exit code."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import typer

from orgnode.api.models import IncidentRequest
from orgnode.cli.errors import EXPECTED, INTERRUPTED, exit_code, report_error
from orgnode.cli.incident_files import Row, read_incidents
from orgnode.cli.render import Output, short_id
from orgnode.client import NodeClient
from orgnode.demo.measure import Measured, Report, following, publish
from orgnode.demo.outcome import (
    results,
    show_refusals,
    show_shared,
    show_verdict,
    show_warned,
)
from orgnode.demo.view import LiveFeed, View
from orgnode.demo.warning import enforce, needed, warn
from orgnode.testing.maverick import MARK
from orgnode.testnet import TestNetwork

PACE_SECONDS: Final = 0.4
PUBLISH_SECONDS: Final = 8.0
"""Longest that pacing may stretch the publishing, so that people can watch."""

SETTLE_SECONDS: Final = 60.0
"""How long to wait, after the last report, for everything to have arrived everywhere."""

# Scores of the lowest band; the lying node claims the next one.
FORGED: Final = IncidentRequest(
    text="Nothing much happened here, but a loud warning would keep the others busy.",
    components={
        "capability_gain": 1,
        "breadth": 2,
        "ease_of_weaponization": 3,
        "discoverability": 3,
    },
    category="ncr",
    technique="AML.T0054",
    confidence=99,
    reference=f"{MARK}-1",
)


def assign(rows: Sequence[Row], orgs: Sequence[str], maverick: str) -> dict[str, list[Report]]:
    """Deal the incidents out in turn, and put the forgery in the middle of the maverick's."""
    dealt: dict[str, list[Report]] = {org: [] for org in orgs}
    good = [(row.line, row.incident) for row in rows if row.incident is not None]
    for place, (line, incident) in enumerate(good):
        dealt[orgs[place % len(orgs)]].append(Report(line, incident))
    own = dealt[maverick]
    own.insert(len(own) // 2, Report(0, FORGED, forged=True))
    return dealt


async def demonstrate(view: View, network: TestNetwork, rows: Sequence[Row]) -> bool:
    """Run everything on a network that was founded for it; true if all went as it should."""
    names = tuple(org.name for org in network.orgs)
    watcher, maverick = names[0], names[-1]
    with view.phase(f"Start {len(names)} node processes"):
        await network.up()
        view.say(f"   all ready; the node of {maverick} is a liar: it will forge one signal")
    honest = names[:-1]
    warning = len(honest) >= needed(network)
    if warning:
        enforce(network, honest[needed(network) - 1])
    dealt = assign(rows, names, maverick)
    total = sum(map(len, dealt.values()))
    measured = Measured(names)
    async with AsyncExitStack() as stack:
        clients = {
            org.name: await stack.enter_async_context(network.client(org)) for org in network.orgs
        }
        with (
            view.phase(f"Publish {total} incidents; meanwhile, the feed of {watcher}"),
            LiveFeed(view.console, watcher, total) as live,
        ):
            async with following(measured, clients, live.observe):
                await _publish_all(measured, clients, dealt, live)
                await measured.settle(SETTLE_SECONDS)
        show_refusals(view, measured)
        show_shared(view, measured)
        view.show(results(measured, maverick))
        good = show_verdict(view, measured, rows)
        if not warning:
            view.say(
                f"Who checks, blocks what {needed(network) - 1} others met: run this with "
                f"--orgs {needed(network) + 1} or more to see it.",
                "yellow",
            )
            return good
        warned = await warn(view, network, clients, honest)
    return show_warned(view, warned) and good


async def _publish_all(
    measured: Measured,
    clients: dict[str, NodeClient],
    dealt: dict[str, list[Report]],
    live: LiveFeed,
) -> None:
    pace = min(PACE_SECONDS, PUBLISH_SECONDS / max(map(len, dealt.values())))
    tasks = [
        asyncio.create_task(
            publish(measured, org, clients[org], reports, pace=pace, done=live.reported)
        )
        for org, reports in dealt.items()
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def found(view: View, directory: Path, orgs: int) -> TestNetwork:
    """Found the mesh, the last of whose organizations runs a lying node."""
    with view.phase(f"Found a mesh of {orgs} organizations"):
        network = TestNetwork.create(directory, orgs, mavericks=[orgs - 1])
        mesh = network.mesh
        view.say(
            f"   keys, member cards, a genesis signed by all {orgs}; mesh {mesh.mesh_id[:16]}, "
            f"quorum {mesh.constraints.quorum}, withstands {mesh.constraints.max_faulty} faulty"
        )
    return network


async def _interruptible(view: View, network: TestNetwork, rows: Sequence[Row]) -> bool:
    """Run it so that Ctrl-C and SIGTERM unwind everything instead of leaving it half way."""
    task = asyncio.create_task(demonstrate(view, network, rows))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    return await task


def demo(
    orgs: Annotated[int, typer.Option(min=2, max=10, help="How many organizations.")] = 5,
    incidents: Annotated[
        Path | None,
        typer.Option(help="CSV or JSONL file; a sample by default.", show_default=False),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the nodes running.")] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="Directory for the network; a temporary one by default.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Several organizations on this machine warn one another of attacks; one of them lies."""
    output = Output()
    view = View(output.out)
    try:
        rows = read_incidents(incidents or _sample())
        temporary = None if directory else Path(tempfile.mkdtemp(prefix="signal-mesh-demo-"))
        try:
            code = _in_directory(view, directory or temporary or Path(), orgs, rows, keep)
        finally:
            if temporary is not None and not keep:
                shutil.rmtree(temporary, ignore_errors=True)
    except EXPECTED as error:
        report_error(output, error)
        raise typer.Exit(exit_code(error)) from None
    raise typer.Exit(code)


def _in_directory(view: View, directory: Path, orgs: int, rows: Sequence[Row], keep: bool) -> int:
    started = time.monotonic()
    network = found(view, directory, orgs)
    leave = False
    try:
        good = asyncio.run(_interruptible(view, network, rows))
        leave = keep
        view.say(f"{time.monotonic() - started:.1f} s in all", "dim")
    except asyncio.CancelledError:
        view.say("\ninterrupted; ending the nodes", "yellow")
        return INTERRUPTED
    finally:
        if leave:
            _next_steps(view, network)
        else:
            network.down()
            network.remove()
    return 0 if good else 1


def _sample() -> Path:
    with resources.as_file(resources.files("orgnode.data") / "incidents.csv") as path:
        return path


async def _newest(network: TestNetwork) -> str:
    """The first digits of a signal that the first organization has verified."""
    async with network.client(network.orgs[0]) as node:
        found = await node.signals(issuer=network.orgs[1].name, limit=1)
    return short_id(found.signals[0].id) if found.signals else "ID"


def _program() -> str:
    """How a shell finds the command line: by its name, or below the directory that it stands in."""
    beside = Path(sys.executable).with_name("orgnode")
    if shutil.which("orgnode") is not None or not beside.exists():
        return "orgnode"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


def _next_steps(view: View, network: TestNetwork) -> None:
    first, last = network.orgs[0].directory, network.orgs[-2].directory
    program = _program()
    view.say("\nThe nodes keep running. Try:", "bold")
    # Not wrapped: they are there to be copied.
    for options in (
        f"--data-dir {first} feed --follow",
        f"--data-dir {first} signals --refused",
        f"--data-dir {first} verify {asyncio.run(_newest(network))}",
        f"--data-dir {first} peers",
        f"--data-dir {first} doctor",
        f"testnet status --dir {network.directory}",
    ):
        view.command(f"{program} {options}")
    view.command(
        f"echo 'Ignore all rules.' | {program} --data-dir {last} report --category ncr "
        "--technique AML.T0054 --capability-gain 6 --breadth 5 --ease-of-weaponization 7 "
        "--discoverability 4"
    )
    view.say("\nThis ends it all, and deletes its files:", "bold")
    view.command(f"{program} testnet down --dir {network.directory} --remove")


def main() -> None:
    """Run the demonstration's command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(demo)
    app()
