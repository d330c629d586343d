"""Ports, processes and state of the test network, without nodes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from cli_support import orgnode

from orgnode.api.node_models import ReadyAnswer
from orgnode.cli.checks import Check
from orgnode.cli.network_checks import check_peers
from orgnode.config import load_config
from orgnode.datadir import RunInfo
from orgnode.keystore import KeyStore
from orgnode.testnet import (
    NodeStartError,
    NodeStartTimeoutError,
    NoNetworkError,
    OtherNetworkError,
    TestnetError,
    TestNetwork,
    ports,
    processes,
)
from orgnode.testnet import network as network_module
from orgnode.testnet.processes import ProcessId
from orgnode.testnet.state import FILE, read_state, write_state
from orgnode.tls import server_context

SLEEPER = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]


def started(tmp_path: Path, command: list[str]) -> ProcessId:
    process = processes.start(command, tmp_path / "log", os.environ)
    assert process is not None
    return process


# --- ports


def test_ports_are_free_distinct_and_not_those_of_outgoing_connections() -> None:
    found = ports.free_ports(20)
    assert len(set(found)) == 20
    low, high = ports._ephemeral()
    for port in found:
        assert not low <= port <= high
        with socket.create_server((ports.LOOPBACK, port)):
            pass


def test_too_many_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "HIGHEST", ports.LOWEST + 3)
    with pytest.raises(ports.NoPortsError):
        ports.free_ports(10)


def test_a_taken_port_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (port, other) = ports.free_ports(2)
    low, high = sorted((port, other))
    with socket.create_server((ports.LOOPBACK, low)):
        monkeypatch.setattr(ports, "LOWEST", low)
        monkeypatch.setattr(ports, "HIGHEST", low + 1)
        with pytest.raises(ports.NoPortsError):
            ports.free_ports(1)
    assert high > low


# --- processes


def test_a_process_is_recognized_ended_and_gone(tmp_path: Path) -> None:
    process = started(tmp_path, SLEEPER)
    assert process.alive
    assert ProcessId.of(process.pid) == process
    assert not process.wait(0.05)
    assert process.send(signal.SIGTERM)
    assert process.wait(10)
    assert not process.alive
    assert not process.send(signal.SIGTERM)
    assert ProcessId.of(process.pid) is None


def test_a_later_process_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    process = started(tmp_path, SLEEPER)
    stale = replace(process, started="another boot:1")
    assert not stale.alive
    assert not stale.send(signal.SIGKILL)
    assert process.alive
    process.send(signal.SIGKILL)
    assert process.wait(10)


def test_remains_that_nobody_asked_for_count_as_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, its result not fetched
        assert ProcessId.of(child.pid) is None


def test_a_session_of_its_own(tmp_path: Path) -> None:
    process = started(tmp_path, SLEEPER)
    assert os.getsid(process.pid) != os.getsid(0)
    process.send(signal.SIGKILL)
    assert process.wait(10)


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert processes.tail(log) == "(no log)"
    log.touch()
    assert "empty" in processes.tail(log)
    log.write_bytes(b"x" * 200_000 + b"\n" + b"\n".join(b"%d" % n for n in range(100)) + b"\n\xff")
    assert processes.tail(log, 3) == "98\n99\n\ufffd"
    begun = processes.size(log)
    assert "empty" in processes.tail(log, 3, begun)
    with log.open("ab") as file:
        file.write(b"new\n")
    assert processes.tail(log, 3, begun) == "new"
    log.write_bytes(b"put in its place")
    assert processes.tail(log, 3, begun) == "put in its place"


# --- state


@pytest.fixture
def network(tmp_path: Path) -> TestNetwork:
    return TestNetwork.create(tmp_path / "net", 3, mavericks=[2])


def test_founding_makes_members_of_one_mesh(network: TestNetwork) -> None:
    ids = {org.datadir.genesis.read_bytes() for org in network.orgs}
    assert len(ids) == 1
    for org in network.orgs:
        config = load_config(org.datadir)
        card = network.mesh.member(org.name)
        assert config.federation_port == card.port
        assert config.federation_host == card.host == "127.0.0.1"
        assert org.directory.stat().st_mode & 0o777 == 0o700
    assert [org.module for org in network.orgs] == [
        "orgnode",
        "orgnode",
        "orgnode.testing.maverick",
    ]


def test_state_is_remembered(network: TestNetwork) -> None:
    assert TestNetwork.open(network.directory).orgs == network.orgs
    process = ProcessId(1, "then")
    changed = (network.orgs[0].with_process(process), *network.orgs[1:])
    write_state(network.directory, changed)
    assert read_state(network.directory)[0].process == process
    assert [one.state for one in TestNetwork.open(network.directory).status()] == [
        "crashed",
        "stopped",
        "stopped",
    ]


def test_a_directory_in_the_state_leads_nowhere_else(network: TestNetwork) -> None:
    file = network.directory / FILE
    document = json.loads(file.read_text())
    document["orgs"][0]["directory"] = "../../etc"
    file.write_text(json.dumps(document))
    assert read_state(network.directory)[0].directory == network.directory / "etc"


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": "other"}', '{"format": 1, "orgs": 2}']
)
def test_a_damaged_state(network: TestNetwork, content: str) -> None:
    (network.directory / FILE).write_text(content)
    with pytest.raises(OtherNetworkError):
        TestNetwork.open(network.directory)


def test_there_is_no_network(tmp_path: Path) -> None:
    with pytest.raises(NoNetworkError):
        TestNetwork.open(tmp_path)


def test_nothing_is_put_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(OtherNetworkError):
        TestNetwork.create(tmp_path, 2)
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


def test_an_existing_network_is_used_again(network: TestNetwork) -> None:
    assert TestNetwork.open_or_create(network.directory, None).orgs == network.orgs
    assert TestNetwork.open_or_create(network.directory, 3).orgs == network.orgs
    with pytest.raises(OtherNetworkError, match="3 organizations, not 4"):
        TestNetwork.open_or_create(network.directory, 4)


@pytest.mark.parametrize("orgs", [-1, 0, 1, 21])
def test_numbers_that_make_no_mesh(tmp_path: Path, orgs: int) -> None:
    with pytest.raises(TestnetError):
        TestNetwork.create(tmp_path / "net", orgs)
    assert not (tmp_path / "net").exists()


def test_removing_deletes_the_network_s_own_files_only(network: TestNetwork) -> None:
    mine = network.directory / "notes.txt"
    mine.write_text("precious")
    network.remove()
    assert list(network.directory.iterdir()) == [mine]


def test_going_down_touches_no_other_process(network: TestNetwork, tmp_path: Path) -> None:
    ours, stranger = started(tmp_path, SLEEPER), started(tmp_path, SLEEPER)
    stale = replace(stranger, started="long ago")
    network.orgs = (
        network.orgs[0].with_process(ours),
        network.orgs[1].with_process(stale),
        network.orgs[2],
    )
    assert network.down() == []
    assert not ours.alive
    assert stranger.alive
    assert all(org.process is None for org in TestNetwork.open(network.directory).orgs)
    stranger.send(signal.SIGKILL)
    assert stranger.wait(10)


def test_what_does_not_drain_is_killed_and_told(network: TestNetwork, tmp_path: Path) -> None:
    deaf = [
        sys.executable, "-c",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\n"
        "while True: signal.pause()",
    ]  # fmt: skip
    process = started(tmp_path, deaf)
    while "up" not in processes.tail(tmp_path / "log"):
        assert process.alive
    network.orgs = (network.orgs[0].with_process(process), *network.orgs[1:])
    assert network.down(timeout=0.2) == [network.orgs[0].name]
    assert not process.alive


async def test_a_node_that_ends_at_once_shows_its_log(network: TestNetwork) -> None:
    org = network.orgs[1]
    org.datadir.config.write_text("nmae = 'x'\n")
    org.log.write_text("".join(f"OldError: of an earlier start {n}\n" for n in range(20)))
    network.orgs = (org,)
    with pytest.raises(NodeStartError, match="ended: UnknownSettingError") as caught:
        await network.up()
    assert not isinstance(caught.value, NodeStartTimeoutError)
    assert org.name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert 0 < len(caught.value.lines) <= 5
    assert "OldError" not in "".join(caught.value.lines)


def test_up_tells_the_cause_first_and_each_line_on_its_own(tmp_path: Path) -> None:
    made = TestNetwork.create(tmp_path / "net", 2)
    for org in made.orgs:
        org.datadir.config.write_text("nmae = 'x'\n")
    ran = orgnode("testnet", "up", "--dir", made.directory)
    assert ran.code == 1
    first, *rest = ran.err.splitlines()
    assert first.startswith("NodeStartError: the node of ")
    assert "UnknownSettingError: " in first
    assert "\\n" not in ran.err
    assert rest[1] == "the last lines of its log:"
    assert any(line.startswith("  UnknownSettingError: ") for line in rest)
    ran = orgnode("--json", "testnet", "up", "--dir", made.directory)
    assert (ran.code, ran.error["code"]) == (1, "NodeStartError")


def test_a_node_that_drained_is_stopped_and_no_other_is(network: TestNetwork) -> None:
    ended, draining = ProcessId(2**30, "then"), '{"event": "node.draining"}\n'
    org = network.orgs[0].with_process(ended)
    network.orgs = (org,)
    org.log.write_text(draining)
    (one,) = network.status()
    assert one.state == "stopped"
    org.datadir.write_run(RunInfo(ended.pid, "127.0.0.1", 1, 1))
    (one,) = network.status()
    assert one.state == "crashed", "killed while it drained"
    org.datadir.remove_run()
    network.orgs = (replace(org, log_start=len(draining)),)
    write_state(network.directory, network.orgs)
    (one,) = TestNetwork.open(network.directory).status()
    assert one.state == "crashed", "it was an earlier process that drained"


async def test_a_node_that_is_never_ready_is_given_up(network: TestNetwork, tmp_path: Path) -> None:
    org = network.orgs[0]
    process = started(tmp_path, SLEEPER)
    network.orgs = (org.with_process(process),)
    with pytest.raises(NodeStartTimeoutError):
        await network.up(within=0.2)
    await asyncio.to_thread(network.down)


class Recovering:
    """A client of nodes that ask others about their pasts for so many more looks."""

    looks = 0

    @classmethod
    def from_datadir(cls, path: Path, timeout: float) -> Recovering:
        return cls()

    async def __aenter__(self) -> Recovering:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None

    async def ready(self) -> ReadyAnswer:
        Recovering.looks -= 1
        waits = "asking members" if Recovering.looks >= 0 else ""
        return ReadyAnswer(ready=True, reasons=[], recovering=waits)


@pytest.mark.parametrize(
    ("running", "signing", "waits"),
    [(3, None, True), (3, False, False), (2, None, False), (2, True, True)],
)
async def test_nodes_are_waited_for_until_they_sign_if_they_can(
    network: TestNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    running: int,
    signing: bool | None,
    waits: bool,
) -> None:
    """All three make the quorum of three; what two wait for does not come."""
    monkeypatch.setattr(network_module, "NodeClient", Recovering)
    process = started(tmp_path, SLEEPER)
    network.orgs = tuple(org.with_process(process) for org in network.orgs[:running])
    with ExitStack() as locks:
        for org in network.orgs:
            locks.enter_context(org.datadir.lock())
            org.datadir.write_run(RunInfo(process.pid, "127.0.0.1", 1, 1))
        monkeypatch.setattr(Recovering, "looks", 10)
        await network.up(signing=signing)
        assert (Recovering.looks < 0) == waits
        monkeypatch.setattr(Recovering, "looks", 1_000_000)
        if waits:
            with pytest.raises(NodeStartTimeoutError, match="asking members"):
                await network.up(within=0.1, signing=signing)
    await asyncio.to_thread(network.down)


# --- what the doctor asks of peers


@contextmanager
def answering(listener: socket.socket, answer: bytes) -> Iterator[None]:
    """Answer the next connection with these bytes, whatever is asked."""

    def serve() -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
        except OSError:
            return  # the other side went away, which it may

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def peer_checks(network: TestNetwork) -> dict[str, Check]:
    own = network.orgs[0]
    found = check_peers(network.mesh, KeyStore.open(own.datadir.keys), load_config(own.datadir))
    return {check.name: check for check in found}


def pretending(network: TestNetwork, keys: KeyStore) -> ssl.SSLSocket:
    """A listener at the first peer's endpoint, with these keys."""
    card = network.mesh.member(network.orgs[1].name)
    context = server_context(keys, [one.certificate for one in network.mesh.members])
    plain = socket.create_server((card.host, card.port))
    plain.settimeout(10)
    return context.wrap_socket(plain, server_side=True)


def test_a_peer_that_speaks_no_tls(network: TestNetwork) -> None:
    card = network.mesh.member(network.orgs[1].name)
    with socket.create_server((card.host, card.port)) as plain:
        plain.settimeout(10)
        with answering(plain, b"HTTP/1.1 400 no TLS here\r\n\r\n"):
            checks = peer_checks(network)
    assert checks[f"peer {card.name}"].verdict == "bad"
    assert "TLS" in checks[f"peer {card.name}"].detail
    assert checks["clock"].verdict == "skipped"


def test_a_peer_with_another_s_key(network: TestNetwork) -> None:
    name = network.orgs[1].name
    stranger = KeyStore.open(network.orgs[2].datadir.keys)
    with pretending(network, stranger) as listener, answering(listener, b"HTTP/1.1 200 OK\r\n\r\n"):
        checks = peer_checks(network)
    assert checks[f"peer {name}"].verdict == "bad"


@pytest.mark.parametrize(
    ("mesh", "status", "ahead", "peer", "clock"),
    [
        (None, "200", 0, "good", "good"),
        (None, "200", 3_600, "good", "warning"),
        (None, "200", -3_600, "good", "warning"),
        (None, "403", 0, "bad", "good"),
        ("ab" * 32, "200", 0, "bad", "good"),
    ],
)
def test_a_peer_s_mesh_and_clock(
    network: TestNetwork, mesh: str | None, status: str, ahead: int, peer: str, clock: str
) -> None:
    org = network.orgs[1]
    date = formatdate(time.time() + ahead, usegmt=True)
    answer = (
        f"HTTP/1.1 {status} x\r\nDate: {date}\r\n\r\n"
        f'{{"name":"{org.name}","mesh":"{mesh or network.mesh.mesh_id}","version":0}}'
    )
    keys = KeyStore.open(org.datadir.keys)
    with pretending(network, keys) as listener, answering(listener, answer.encode()):
        checks = peer_checks(network)
    assert checks[f"peer {org.name}"].verdict == peer
    assert checks["clock"].verdict == clock
    assert checks[f"peer {network.orgs[2].name}"].verdict == "warning", "nobody is there"
