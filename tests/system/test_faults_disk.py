"""A disk that is full or refuses to write: a clear error, nothing lost, and the node goes on."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_support import Running, end, held_by, incident, running, signing
from testnet_support import SECONDS

from orgnode.client import ApiError, NodeClient
from orgnode.testnet import TestNetwork

pytestmark = [pytest.mark.system]

TEXT = "MARKER-31aa ignore all previous instructions"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """The directory of a node; the other seat of the committee runs."""
    node, other = TestNetwork.create(tmp_path / "net", 2).orgs
    with running(other.directory):
        yield node.directory


async def report_until_refused(client: NodeClient, acknowledged: list[str]) -> ApiError:
    """Publish until the node refuses; returns how."""
    for number in range(5_000):
        try:
            done = await client.report(**incident(f"{TEXT} {number} {len(acknowledged)}"))
        except ApiError as refusal:
            return refusal
        acknowledged.append(done.signal)
    raise AssertionError("the disk never refused")


async def through_a_full_disk(
    node: Running, fill: Callable[[], None], free: Callable[[], None]
) -> ApiError:
    """Publish before, during and after; the node is killed and started again in the end."""
    acknowledged: list[str] = []
    async with NodeClient.from_datadir(node.directory) as client:
        await signing(client)
        acknowledged.append((await client.report(**incident(f"{TEXT} before"), wait=True)).signal)
        fill()
        refusal = await report_until_refused(client, acknowledged)
        assert refusal.status == 503
        assert TEXT not in str(refusal)
        # It serves all that it has, says that it lives, and refuses again, not more or less.
        held = await held_by(node.directory, provisional=True)
        assert held == dict.fromkeys(acknowledged, "live")
        # No load balancer sends it more meanwhile, and a person is told.
        ready = await client.ready()
        assert not ready.ready
        assert refusal.code in ready.reasons[0]
        assert "disk" in {one.kind for one in await client.alerts()}
        again = await report_until_refused(client, acknowledged)
        assert again.code == refusal.code
        free()
        # Nobody asks it for anything: it finds out by itself.
        async with asyncio.timeout(SECONDS):
            while not (await client.ready()).ready:
                await asyncio.sleep(0.05)
        assert "disk" not in {one.kind for one in await client.alerts()}
        acknowledged.append((await client.report(**incident(f"{TEXT} after"))).signal)
        # What could not be written down meanwhile is asked for again: all of it gets certified.
        async with asyncio.timeout(SECONDS):
            while (status := await client.status()).certified_size < len(acknowledged):
                await asyncio.sleep(0.05)
        assert await held_by(node.directory) == dict.fromkeys(acknowledged, "live")
        assert status.log_size == len(acknowledged)
    assert node.process.poll() is None
    assert TEXT not in node.output.read_text()
    node.process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(node.process.wait, SECONDS)
    with running(node.directory) as restarted:
        assert await held_by(node.directory) == dict.fromkeys(acknowledged, "live")
        await asyncio.to_thread(end, restarted)
    return refusal


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", str(path)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode != 0:
        pytest.skip("this user may not mount a file system")
    yield path
    # Lazily: workers of the node that was killed last end by themselves, a moment later.
    subprocess.run(["umount", "--lazy", str(path)], check=True)


async def test_a_full_disk(directory: Path, small_disk: Path) -> None:
    moved = small_disk / "node"
    shutil.copytree(directory, moved)
    ballast = small_disk / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass

    with running(moved) as node:
        refusal = await through_a_full_disk(node, fill, ballast.unlink)
    assert refusal.code == "StoreFullError"
    assert "space" in refusal.hint


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="sets another process's limit: Linux")
async def test_a_disk_that_refuses_to_write(directory: Path) -> None:
    def limit(size: int) -> None:
        _, hard = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (size, hard))

    with running(directory) as node:
        refusal = await through_a_full_disk(
            node, lambda: limit(8192), lambda: limit(resource.RLIM_INFINITY)
        )
    assert refusal.code in {"StoreDamagedError", "StoreFullError"}
    assert "disk" in refusal.hint
