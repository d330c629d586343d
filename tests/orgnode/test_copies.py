"""A second copy of a node does not start while the first one answers; nor does doctor let it."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path

import pytest

from orgnode.alerts import CONVICTED
from orgnode.api.calls import OtherNodeError
from orgnode.cli.checks import Verdict
from orgnode.cli.network_checks import check_copy, check_ports
from orgnode.client import NodeClient, NodeUnreachableError
from orgnode.config import load_config
from orgnode.copies import NEVER_TWO, PORT_TAKEN, CopyRunningError, copy_answers
from orgnode.datadir import DataDir
from orgnode.federation.errors import PortInUseError
from orgnode.keystore import KeyStore
from orgnode.node import Node
from orgnode.testnet import TestNetwork


@pytest.fixture
def network(tmp_path: Path) -> TestNetwork:
    return TestNetwork.create(tmp_path / "net", 2)


@pytest.fixture
def copy(network: TestNetwork, tmp_path: Path) -> DataDir:
    """A copy of the first node's directory."""
    return DataDir(Path(shutil.copytree(network.orgs[0].directory, tmp_path / "copy")))


def other_ports(datadir: DataDir) -> None:
    """Have a node listen on other ports than its card says: what a hurried person would do."""
    config = load_config(datadir)
    text = datadir.config.read_text()
    for port in (config.local_port, config.federation_port):
        text = text.replace(f"port = {port}", "port = 0")
    datadir.config.write_text(text)


async def test_a_copy_on_other_ports_does_not_start(network: TestNetwork, copy: DataDir) -> None:
    other_ports(copy)
    async with Node.open(network.orgs[0].datadir):
        with pytest.raises(CopyRunningError) as caught:
            async with Node.open(copy):
                pass
        assert caught.value.hint == NEVER_TWO
        assert not copy.in_use()
        assert not copy.database.exists() or copy.read_run() is None
    async with Node.open(copy):
        pass  # the first one has ended


async def test_a_node_behind_a_forwarder_does_not_take_itself_for_a_copy(
    network: TestNetwork,
) -> None:
    """The endpoint of its card leads to itself, and it does not listen yet."""
    datadir = network.orgs[0].datadir
    card = network.mesh.member(network.orgs[0].name)
    config = load_config(datadir)
    datadir.config.write_text(
        datadir.config.read_text().replace(f"port = {config.federation_port}", "port = 0")
    )

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()  # nobody listens behind it

    async with (
        await asyncio.start_server(forward, card.host, card.port),
        Node.open(datadir) as (_, info),
    ):
        assert info.federation_port != card.port


async def test_whoever_lacks_the_key_is_no_copy(network: TestNetwork) -> None:
    own, other = network.orgs
    mesh, keystore = network.mesh, KeyStore.open(own.datadir.keys)
    card, elsewhere = mesh.member(own.name), mesh.member(other.name)
    with socket.create_server((card.host, card.port)):
        assert not await copy_answers(card, keystore, seconds=0.2), "it says nothing"
    async with Node.open(other.datadir):
        # Another member answers where the card leads.
        moved = card.model_copy(update={"port": elsewhere.port})
        assert not await copy_answers(moved, keystore)
    async with Node.open(own.datadir):
        assert await copy_answers(card, keystore)


async def test_the_taken_port_of_a_member_is_no_invitation_to_another(
    network: TestNetwork,
) -> None:
    datadir = network.orgs[0].datadir
    card = network.mesh.member(network.orgs[0].name)
    with socket.create_server((card.host, card.port)):
        with pytest.raises(PortInUseError) as caught:
            async with Node.open(datadir):
                pass
        config = load_config(datadir)
        checks = {one.name: one for one in check_ports(datadir, config, None, joined=True)}
        founding = {one.name: one for one in check_ports(datadir, config, None, joined=False)}
    assert caught.value.hint == PORT_TAKEN
    assert PORT_TAKEN.startswith("perhaps a copy of this node runs already")
    assert "never start a second one" in PORT_TAKEN
    assert "member card" in PORT_TAKEN
    assert "forwards" in PORT_TAKEN
    taken = checks["federation port"]
    assert (taken.verdict, taken.hint) == (Verdict.BAD, PORT_TAKEN)
    assert "set another federation_port" in founding["federation port"].hint


async def test_doctor_finds_the_copy_that_runs(network: TestNetwork, copy: DataDir) -> None:
    config, mesh = load_config(copy), network.mesh
    keystore = KeyStore.open(copy.keys)
    assert (await asyncio.to_thread(check_copy, mesh, keystore, config)).verdict is Verdict.GOOD
    async with Node.open(network.orgs[0].datadir):
        found = await asyncio.to_thread(check_copy, mesh, keystore, config)
    assert (found.verdict, found.hint) == (Verdict.BAD, NEVER_TWO)


async def test_a_command_on_a_copy_does_not_speak_to_the_other_node(
    network: TestNetwork, copy: DataDir
) -> None:
    """It has the same port and the same token: the incident would go into another vault."""
    original = network.orgs[0].datadir
    async with Node.open(original) as (node, _):
        async with NodeClient.from_datadir(copy.path) as client:
            for ask in (client.status, client.ready, client.peers):
                with pytest.raises(OtherNodeError) as caught:
                    await ask()
            async with asyncio.timeout(20):
                with pytest.raises(OtherNodeError):
                    async for _item in client.feed():
                        pass
        assert "--data-dir" in caught.value.hint
        async with NodeClient.from_datadir(original.path) as client:
            assert (await client.ready()).instance == node.instance
        # Across a virtual machine the lock can't be seen, but the file that names the run can.
        copy.run_file.write_bytes(original.run_file.read_bytes())
        async with NodeClient.from_datadir(copy.path) as client:
            assert (await client.status()).name == node.name
    async with NodeClient.from_datadir(original.path) as client:
        with pytest.raises(NodeUnreachableError):
            await client.status()


def test_there_is_one_text_for_what_follows() -> None:
    assert "nothing lifts it" in CONVICTED
    assert "keep both data directories" in CONVICTED
    assert "founded anew" in CONVICTED
