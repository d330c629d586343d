"""Certification among five real processes, some of which are killed, stopped, cut off or put back.

It takes four of the five to certify anything, and three to evaluate a text.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from faults_support import incident
from network_support import SURE, attack, client, found, kill, one, publish, until
from testnet_support import orgnode

from orgnode.client import ApiError, NodeClient
from orgnode.testing.soak import soak
from orgnode.testnet import TestNetwork
from orgnode.testnet.relay import Relay

pytestmark = [pytest.mark.system, pytest.mark.slow]

EVERYBODY = ("acme", "birch", "cobalt", "dune", "ember")
NUMBER = iter(range(1_000_000))


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestNetwork]:
    network = found(tmp_path_factory.mktemp("certified") / "net", 5)
    yield network
    network.down()


@pytest.fixture
async def network(founded: TestNetwork) -> AsyncIterator[TestNetwork]:
    """Five organizations, all of them running; in the end nobody stands accused."""
    await founded.up()
    yield founded
    await founded.up()
    await agreed(founded)
    await innocent(founded)


async def several(network: TestNetwork, label: str, count: int) -> list[str]:
    """Report so many texts, without waiting for anybody; returns the signals' ids."""
    return [await publish(network, label, attack(next(NUMBER))) for _ in range(count)]


async def certified(network: TestNetwork, label: str, text: str | None = None) -> str:
    """Report a text and wait until a quorum holds it; returns the signal's id."""
    async with client(network, label) as node:
        made = await node.report(**incident(text or attack(next(NUMBER))), wait=True)
    assert made.certified
    return made.signal


async def holds(node: NodeClient, signals: Sequence[str]) -> bool:
    """Whether all of these signals are live and certified at a node."""
    live = {one.id async for one in node.iter_signals(status="live")}
    return set(signals) <= live


async def arrive(
    network: TestNetwork, signals: Sequence[str], labels: Sequence[str] = EVERYBODY
) -> None:
    """Wait until these signals are certified at these nodes."""
    for label in labels:
        async with client(network, label) as node:

            async def look(node: NodeClient = node) -> bool:
                return await holds(node, signals)

            await until(look)


async def positions(network: TestNetwork, label: str) -> Mapping[str, tuple[int, int]]:
    """For each log how much of it a node holds, and how much of that is certified."""
    async with client(network, label) as node:
        status = await node.status()
        found = {peer.name: (peer.size, peer.certified) for peer in await node.peers()}
        return found | {status.name: (status.log_size, status.certified_size)}


async def agreed(network: TestNetwork) -> None:
    """Wait until all hold all logs, and everything in them is certified."""

    async def look() -> bool:
        held = [await positions(network, label) for label in EVERYBODY]
        whole = all(size == certified for size, certified in held[0].values())
        return whole and all(one == held[0] for one in held)

    await until(look)


async def innocent(network: TestNetwork) -> None:
    """Nobody holds evidence against anybody."""
    for label in EVERYBODY:
        async with client(network, label) as node:
            assert not [peer.name for peer in await node.peers() if peer.suspended]
            kinds = {alert.kind for alert in await node.alerts()}
            assert not kinds & {"equivocation", "forked_self"}
            assert (await node.status()).recovering == ""


@contextmanager
def stopped(network: TestNetwork, *labels: str) -> Iterator[None]:
    """Nodes that hang, with their connections open."""
    processes = [one(network, label).process for label in labels]
    try:
        for process in processes:
            assert process is not None
            assert process.send(signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            assert process is not None
            process.send(signal.SIGCONT)


@asynccontextmanager
async def only(network: TestNetwork, *labels: str) -> AsyncIterator[None]:
    """Start some nodes of a network, leave the others as they are; these end again."""
    orgs = [one(network, label) for label in labels]
    # What runs where is kept in a file: here in one that is not the network's own.
    some = TestNetwork(orgs[0].directory, tuple(orgs))
    await some.up(signing=False)
    try:
        yield
    finally:
        some.down()


# --- while all are there


async def test_a_report_that_waits_is_certified_when_it_is_answered(network: TestNetwork) -> None:
    entry = await certified(network, "acme")
    async with client(network, "acme") as acme:
        assert await holds(acme, [entry])
    await arrive(network, [entry])
    # At once or a little later it is in everybody's feed, after having been provisional.
    for label in EVERYBODY:
        async with client(network, label) as node:
            told = []
            async for item in node.feed(after=0, provisional=True):
                if item.signal is not None and item.signal.id == entry:
                    told.append(item.type)
                    if item.type == "signal":
                        break
            assert told == ["provisional", "signal"]


# --- while some are not


async def test_an_owner_that_is_killed_having_acknowledged(network: TestNetwork) -> None:
    """What it told nobody but three of five, who could not certify it, is certified in the end."""
    with stopped(network, "dune", "ember"):
        signals = await several(network, "acme", 3)
        kill(network, "acme")
    await network.up()
    await arrive(network, signals)
    async with client(network, "acme") as acme:
        # It goes on where it was.
        size = (await acme.status()).log_size
        assert (await acme.report(**incident(attack(next(NUMBER))), wait=True)).index == size


async def test_one_that_hangs_or_is_gone_holds_up_nobody(network: TestNetwork) -> None:
    with stopped(network, "ember"):
        signals = [await certified(network, label) for label in ("acme", "birch")]
        await arrive(network, signals, EVERYBODY[:4])
    kill(network, "ember")
    signals += [await certified(network, label) for label in ("cobalt", "dune")]
    await arrive(network, signals, EVERYBODY[:4])
    await network.up()
    await arrive(network, signals, ["ember"])


async def test_without_a_quorum_nothing_counts_until_it_is_back(network: TestNetwork) -> None:
    text = attack(next(NUMBER))
    kill(network, "dune", "ember")
    async with client(network, "acme") as acme, client(network, "birch") as birch:
        start = (await birch.status()).last_event
        before = (await acme.status()).certified_size
        entry = await publish(network, "acme", text)

        async def mirrored() -> bool:
            found = await birch.signals(issuer="acme.example", limit=500, provisional=True)
            return entry in {item.id for item in found.signals}

        await until(mirrored)
        status = await acme.status()
        assert (status.certified_size, status.log_size) == (before, before + 1)
        for node in (acme, birch):
            shown = await node.signals(issuer="acme.example", limit=500)
            assert entry not in {item.id for item in shown.signals}
            assert not (await node.signal(entry)).certified
            assert (await node.check(text, risk=SURE)).answer == "allow"
        async for item in birch.feed(after=start, provisional=True):
            assert item.type == "provisional"
            assert item.signal is not None
            assert item.signal.id == entry
            break
        # A feed that shows what counts goes past it.
        await network.up()
        async for item in birch.feed(after=start):
            assert item.type != "provisional"
            if item.type == "signal" and item.signal is not None and item.signal.id == entry:
                break
        await arrive(network, [entry])
        for node in (acme, birch):
            assert (await node.check(text, risk=SURE)).answer == "escalate"


async def test_a_log_is_had_from_mirrors_while_its_owner_is_gone(network: TestNetwork) -> None:
    kill(network, "ember")
    text = attack(next(NUMBER))
    signals = [await certified(network, "acme", text), *await several(network, "acme", 2)]
    await arrive(network, signals, EVERYBODY[:4])
    kill(network, "acme")
    async with only(network, "ember"):
        await arrive(network, signals, ["ember"])
        async with client(network, "ember") as ember:
            acme = next(peer for peer in await ember.peers() if peer.name == "acme.example")
            assert not acme.up
            assert (await ember.check(text, risk=SURE)).answer == "escalate"
            # What it has from others it can prove to anybody.
            assert (await ember.proof(signals[0])).index >= 0
        ran = orgnode("--data-dir", one(network, "ember").directory, "verify", signals[0])
        assert ran.code == 0, ran
        assert "✓ certified" in ran.out


# --- disks that were put back


async def test_a_node_is_restored_from_its_backup(network: TestNetwork, tmp_path: Path) -> None:
    acme = one(network, "acme")
    before = [await certified(network, "acme")]
    file = tmp_path / "acme.backup"
    assert orgnode("--data-dir", acme.directory, "backup", file).code == 0
    later = [await certified(network, "acme"), *await several(network, "acme", 2)]
    kill(network, "acme")
    shutil.rmtree(acme.directory)
    ran = orgnode("restore", file, "--data-dir", acme.directory)
    assert ran.code == 0, ran
    await goes_on(network, [*before, *later[:1]])


async def test_a_restored_node_waits_for_all_others(network: TestNetwork, tmp_path: Path) -> None:
    """One member alone has seen what it signed last: had it not asked, it would convict itself."""
    acme = one(network, "acme")
    entry = await certified(network, "acme")
    await arrive(network, [entry])
    file = tmp_path / "acme.backup"
    assert orgnode("--data-dir", acme.directory, "backup", file).code == 0
    kill(network, "birch", "cobalt", "dune")
    async with client(network, "acme") as node:
        await node.retract(entry, "mistake")
    await retracted(network, "ember", entry)
    kill(network, "acme", "ember")
    shutil.rmtree(acme.directory)
    assert orgnode("restore", file, "--data-dir", acme.directory).code == 0
    async with only(network, *EVERYBODY[:4]), client(network, "acme") as node:

        async def asked() -> bool:
            said = (await node.ready()).recovering
            return "3 of 4 answered" in said and "waiting for ember.example" in said

        await until(asked)
        with pytest.raises(ApiError) as refused:
            await node.report(**incident(attack(next(NUMBER))))
        assert (refused.value.status, refused.value.code) == (503, "RecoveringError")
        assert (await node.signal(entry)).status == "live"
    await goes_on(network, [])
    await retracted(network, "acme", entry)


async def test_a_disk_that_was_put_back_without_a_word(
    network: TestNetwork, tmp_path: Path
) -> None:
    """A copy of the directory; nobody told the node that it is old."""
    acme = one(network, "acme")
    before = [await certified(network, "acme")]
    kill(network, "acme")
    old = tmp_path / "old"
    shutil.copytree(acme.directory, old)
    await network.up()
    later = [await certified(network, "acme"), await certified(network, "acme")]
    kill(network, "acme")
    shutil.rmtree(acme.directory)
    shutil.move(old, acme.directory)
    await goes_on(network, [*before, *later])


async def retracted(network: TestNetwork, label: str, entry: str) -> None:
    """Wait until a node knows that a signal was retracted."""
    async with client(network, label) as node:

        async def look() -> bool:
            return (await node.signal(entry)).status == "retracted"

        await until(look)


async def goes_on(network: TestNetwork, signals: Sequence[str]) -> None:
    """Acme's node starts with an old disk: it has these signals of its own again, and adds to them.

    That nobody holds evidence then is seen at the end of every test.
    """
    await network.up()
    await arrive(network, signals)
    async with client(network, "acme") as node:
        size = (await node.status()).log_size
        made = await node.report(**incident(attack(next(NUMBER))), wait=True)
        assert (made.certified, made.index) == (True, size)
    await arrive(network, [made.signal])


# --- networks of their own


async def test_a_partition_heals(tmp_path: Path) -> None:
    """Two are cut off from three: both sides go on, neither certifies; then everything is."""
    network = found(tmp_path / "net", 5, relayed=True)
    async with Relay(network.relay_endpoints()) as relay:
        try:
            await network.up()
            signals = [await certified(network, label) for label in EVERYBODY]
            await arrive(network, signals)
            relay.partition([(0, 1), (2, 3, 4)])
            # Three can evaluate a text; two can still withdraw and confirm.
            made = await publish(network, "cobalt", attack(next(NUMBER)))
            async with client(network, "acme") as acme, client(network, "birch") as birch:
                await birch.sight(signals[0], "confirm")
                await acme.retract(signals[0], "mistake")
            await retracted(network, "birch", signals[0])  # at once, certified or not
            async with client(network, "dune") as dune:

                async def mirrored() -> bool:
                    shown = await dune.signals(issuer="cobalt.example", provisional=True)
                    return made in {item.id for item in shown.signals}

                await until(mirrored)
                assert not (await dune.signal(made)).certified
                assert (await dune.signal(signals[0])).status == "live"
            for label in ("acme", "birch", "cobalt"):
                async with client(network, label) as node:
                    status = await node.status()
                    assert status.certified_size < status.log_size
            relay.heal()
            await arrive(network, [made, *signals[1:]])
            await agreed(network)
            for label in EVERYBODY:
                await retracted(network, label, signals[0])
            await innocent(network)
        finally:
            network.down()


async def test_half_a_minute_of_kills_under_load(tmp_path: Path) -> None:
    network = TestNetwork.create(tmp_path / "soak", 5, daily_quota=100_000)
    result = await soak(network, seconds=30.0, kill_every=3.0, seed=2026)
    assert result.faults == []
    assert result.kills >= 8
    published = sum(bool(signals) for signals in result.signals.values())
    assert published >= 3, "most published something, whoever was down when"
