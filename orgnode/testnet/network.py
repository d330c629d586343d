"""The test network itself: founding it, starting, looking, stopping."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from mesh.constraints import (
    DEFAULT_DAILY_QUOTA,
    DEFAULT_EVALUATION_BUDGET,
    MIN_MEMBERS,
    MatchingRule,
)
from mesh.genesis import Mesh, open_genesis, sign_genesis
from mesh.keygen import propose, read_proposal, run_ceremony
from orgnode.client import ClientError, NodeClient
from orgnode.config import ENV_PREFIX, NodeConfig, load_config
from orgnode.datadir import read_file
from orgnode.founding import (
    FoundingFiles,
    Rules,
    create_node,
    draft,
    install,
    packaged_benign,
)
from orgnode.keystore import KeyStore
from orgnode.testnet import processes
from orgnode.testnet.errors import (
    NodeStartError,
    NodeStartTimeoutError,
    NoNetworkError,
    OtherNetworkError,
    TestnetError,
)
from orgnode.testnet.ports import LOOPBACK, free_ports
from orgnode.testnet.relay import Endpoint, source_address
from orgnode.testnet.state import FILE, HONEST, MAVERICK, Org, read_state, write_state

MAX_ORGS: Final = 20
READY_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 20.0
LOG_LINES: Final = 5
"""How many lines of a node's log an error shows."""

_ERROR: Final = re.compile(r"[A-Z]\w*Error: ")

_NAMES = ("acme", "birch", "cobalt", "dune", "ember", "fjord", "grove", "heron", "iris", "juniper")


@dataclass(frozen=True)
class OrgStatus:
    """One organization's node at this moment."""

    name: str
    state: str
    """`running`, `starting`, `stopped` or `crashed`."""
    directory: Path
    pid: int | None = None
    local_url: str | None = None
    federation_port: int | None = None
    maverick: bool = False


class TestNetwork:
    """Several organizations' nodes in one directory. See the package for how it is used."""

    __test__ = False

    def __init__(self, directory: Path, orgs: tuple[Org, ...]) -> None:
        self.directory = directory
        self.orgs = orgs

    # --- founding

    @classmethod
    def create(
        cls,
        directory: Path,
        orgs: int,
        *,
        mavericks: Collection[int] = (),
        evaluation_budget: int = DEFAULT_EVALUATION_BUDGET,
        daily_quota: int = DEFAULT_DAILY_QUOTA,
        relayed: bool = False,
        module: str = HONEST,
    ) -> Self:
        """Make keys, cards, a genesis and settings for so many organizations.

        :param mavericks: places (from 0) of organizations whose node forges signals on demand.
        :param evaluation_budget: what each seat evaluates for one member a day (the constraint).
        :param daily_quota: entries that each member may publish a day (the constraint).
        :param relayed: peers reach each node through a port that nobody listens on yet: that of an
            `orgnode.testnet.relay`, which is told where by `relay_endpoints`.
        :param module: the program of the honest organizations' nodes.
        :raises OtherNetworkError: there is something in the directory already.
        :raises TestnetError: the number of organizations can't be.
        """
        if not MIN_MEMBERS <= orgs <= MAX_ORGS:
            raise TestnetError(
                f"a test network has {MIN_MEMBERS} to {MAX_ORGS} organizations",
                hint="choose --orgs accordingly",
            )
        directory = directory.absolute()
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise OtherNetworkError(
                f"{directory} is not empty", hint="choose another --dir for the test network"
            )
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        each = 3 if relayed else 2
        ports = free_ports(each * orgs)
        made = []
        for place in range(orgs):
            label = _NAMES[place] if place < len(_NAMES) else f"org{place + 1}"
            org = Org(
                name=f"{label}.example",
                directory=directory / label,
                module=MAVERICK if place in mavericks else module,
            )
            local_port, port, *relay = ports[each * place : each * (place + 1)]
            config = NodeConfig(
                name=org.name,
                control_group=label,
                local_port=local_port,
                federation_host=LOOPBACK,
                federation_port=port,
                federation_source=source_address(place) if relayed else "",
                prove_workers=1,  # several nodes share this machine
                log_format="json",
            )
            create_node(org.datadir, config, host=LOOPBACK, port=relay[0] if relayed else port)
            made.append(org)
        _found(directory.name, made, evaluation_budget, daily_quota)
        write_state(directory, tuple(made))
        return cls(directory, tuple(made))

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the test network of a directory.

        :raises NoNetworkError, OtherNetworkError: there is none, or another thing.
        """
        directory = directory.absolute()
        return cls(directory, read_state(directory))

    @classmethod
    def open_or_create(
        cls, directory: Path, orgs: int | None, *, mavericks: Collection[int] = ()
    ) -> Self:
        """Open a test network, or make one where there is none.

        :raises OtherNetworkError: it has another number of organizations than asked for.
        """
        try:
            network = cls.open(directory)
        except NoNetworkError:
            return cls.create(directory, 5 if orgs is None else orgs, mavericks=mavericks)
        if orgs is not None and len(network.orgs) != orgs:
            raise OtherNetworkError(
                f"the network in {directory} has {len(network.orgs)} organizations, not {orgs}",
                hint="choose another --dir, or `orgnode testnet down --remove` it first",
            )
        return network

    def relay_endpoints(self) -> dict[int, Endpoint]:
        """For a relayed network: where its relay listens for each node's peers, and passes on to.

        By the place of the organization, for `orgnode.testnet.relay.Relay`.
        """
        mesh = self.mesh
        return {
            place: Endpoint(mesh.member(org.name).port, load_config(org.datadir).federation_port)
            for place, org in enumerate(self.orgs)
        }

    @property
    def mesh(self) -> Mesh:
        """The mesh that all of them founded."""
        return open_genesis(read_file(self.orgs[0].datadir.genesis))

    def client(self, org: Org) -> NodeClient:
        """A client for the local API of one organization's node."""
        return NodeClient.from_datadir(org.directory)

    # --- running

    def start(self) -> None:
        """Start the nodes that do not run, without waiting for any of them.

        :raises NodeStartError: a node's process could not be started.
        """
        for org in self.orgs:
            if not org.alive:
                begun = replace(org, log_start=processes.size(org.log))
                self._remember(begun.with_process(self._start(begun)))

    async def up(
        self,
        *,
        within: float = READY_SECONDS,
        signing: bool | None = None,
        ready: Callable[[Org], None] = lambda _: None,
    ) -> None:
        """Start the nodes that do not run, and wait until all are ready; `ready` is told of each.

        `within` is how many seconds they may take. With `signing` it also waits until they have
        asked others about their past and publish; by default it does so if those that run are a
        quorum of the mesh, for fewer never publish after a start.

        If one fails, those that were started stay up: `down` ends them.

        :raises NodeStartError: a node ended, or was not ready in time; with the last lines of its
            log.
        """
        self.start()
        if signing is None:
            running = [org for org in self.orgs if org.alive]
            signing = len(running) >= self.mesh.constraints.quorum
        end = time.monotonic() + within
        waiting = [asyncio.ensure_future(_until_ready(org, end, signing)) for org in self.orgs]
        try:
            for done in asyncio.as_completed(waiting):
                ready(await done)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _start(self, org: Org) -> processes.ProcessId:
        # Settings of this environment are not meant for five nodes at once.
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(ENV_PREFIX)
        }
        command = [sys.executable, "-m", org.module, "--data-dir", str(org.directory), "run"]
        process = processes.start(command, org.log, environment)
        if process is None:
            raise _ended(org)
        return process

    def _remember(self, changed: Org) -> None:
        self.orgs = tuple(changed if org.name == changed.name else org for org in self.orgs)
        write_state(self.directory, self.orgs)

    def status(self) -> list[OrgStatus]:
        """Every organization's node at this moment."""
        found = []
        for org in self.orgs:
            run = org.datadir.read_run()
            state = "stopped" if org.process is None or org.drained else "crashed"
            if org.alive:
                state = "running" if run is not None else "starting"
            found.append(
                OrgStatus(
                    name=org.name,
                    state=state,
                    directory=org.directory,
                    pid=org.process.pid if org.alive and org.process else None,
                    local_url=f"http://{run.local_host}:{run.local_port}" if run else None,
                    federation_port=run.federation_port if run else None,
                    maverick=org.module == MAVERICK,
                )
            )
        return found

    def down(self, timeout: float = DRAIN_SECONDS) -> list[str]:
        """Let every node drain and end; returns the names of those that had to be killed.

        Only processes that this network started are touched.
        """
        ending = [
            org for org in self.orgs if org.process is not None and org.process.send(signal.SIGTERM)
        ]
        killed = []
        end = time.monotonic() + timeout
        for org in ending:
            assert org.process is not None
            if not org.process.wait(max(0.0, end - time.monotonic())):
                org.process.send(signal.SIGKILL)
                org.process.wait(5.0)
                killed.append(org.name)
        self.orgs = tuple(org.with_process(None) for org in self.orgs)
        write_state(self.directory, self.orgs)
        return killed

    def remove(self) -> None:
        """Delete the network's own files; the directory too if nothing else is in it."""
        for org in self.orgs:
            shutil.rmtree(org.directory, ignore_errors=True)
        (self.directory / FILE).unlink(missing_ok=True)
        if not any(self.directory.iterdir()):
            self.directory.rmdir()


def _found(name: str, orgs: list[Org], evaluation_budget: int, daily_quota: int) -> None:
    """Take the founders' steps for all of them, the key generation in one go."""
    keys = {org.name: KeyStore.open(org.datadir.keys) for org in orgs}
    proposal = propose(name or "test network", [read_file(org.datadir.card) for org in orgs])
    outcome, _, _ = run_ceremony(
        proposal,
        {one: (keystore.identity, keystore.sealing) for one, keystore in keys.items()},
        os.urandom(64),
    )
    files = FoundingFiles(proposal.encode(), outcome.transcript, packaged_benign())
    # Without a shadow period, for here it is watched how signals begin to count.
    rules = Rules(MatchingRule(shadow_seconds=0), evaluation_budget, files.benign, daily_quota)
    text = draft(read_proposal(proposal), outcome, rules)
    copies = [sign_genesis(text, keystore.identity) for keystore in keys.values()]
    for org in orgs:
        install(org.datadir, copies, files, keys[org.name])


async def _until_ready(org: Org, end: float, signing: bool) -> Org:
    """Wait until the node says of itself that it serves: no fixed pause is right everywhere."""
    waits = ""
    while True:
        if not org.alive:
            raise _ended(org)
        run = org.datadir.read_run()
        if run is not None and org.process is not None and run.pid == org.process.pid:
            try:
                async with NodeClient.from_datadir(org.directory, timeout=5.0) as node:
                    said = await node.ready()
                    waits = f" ({said.recovering})" if signing and said.recovering else ""
                    if said.ready and not waits:
                        return org
            except ClientError:
                pass  # not listening yet, or ending: looked at again
        if time.monotonic() > end:
            raise NodeStartTimeoutError(
                f"{org.name} was not ready in time{waits}",
                hint=f"the machine may be busy: try again, or look at {org.log}",
                lines=org.tail(LOG_LINES).splitlines(),
            )
        await asyncio.sleep(processes.POLL_SECONDS)


def _ended(org: Org) -> NodeStartError:
    lines = org.tail(LOG_LINES).splitlines()
    # What ends a node is the last error that it tells; a hint may stand below it.
    cause = next((line for line in reversed(lines) if _ERROR.match(line)), lines[-1])
    return NodeStartError(
        f"the node of {org.name} ended: {cause}", hint=f"see {org.log}", lines=lines
    )
