"""A network whose nodes enforce what they find, and what people and attackers do to it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from faults_support import incident
from testnet_support import SECONDS

from orgnode.client import NodeClient
from orgnode.testnet import TestNetwork
from orgnode.testnet.state import Org

SURE = 0.9
"""A risk score with which the committee is asked."""

# Patient with a busy machine; samples would ask the committee when a test does not expect it.
POLICY = 'mode = "enforce"\nregional_ms = 8000\nglobal_ms = 8000\nsample_rate = 0.0\n'

_WORDS = (
    "amber bracket candle dominion eleven fathom granite harvest island juniper kettle lantern",
    "marble narrow orchard pebble quiver ribbon saddle timber umbrella velvet window yonder zephyr",
    "anchor basket cinder dagger ember ferry goblet hammer ivory jester kindle ladder mirror",
    "needle obey protocol quartz regulation silence terminal upward verdict whisper",
)


def attack(number: int) -> str:
    """A long text that shares nothing with those of other numbers."""
    rng, words = Random(number), " ".join(_WORDS).split()
    return " ".join(rng.choice(words) for _ in range(90))


def found(directory: Path, orgs: int, **options: Any) -> TestNetwork:
    """Found a network whose nodes enforce."""
    network = TestNetwork.create(directory, orgs, **options)
    for org in network.orgs:
        (org.directory / "policy.toml").write_text(POLICY)
    return network


def one(network: TestNetwork, label: str) -> Org:
    """An organization by the first part of its name."""
    return next(org for org in network.orgs if org.name == f"{label}.example")


def client(network: TestNetwork, label: str) -> NodeClient:
    """A client of its node."""
    return network.client(one(network, label))


def kill(network: TestNetwork, *labels: str) -> None:
    """`kill -9` nodes, and wait until they are gone."""
    for process in [one(network, label).process for label in labels]:
        assert process is not None
        assert process.send(signal.SIGKILL)
    for process in [one(network, label).process for label in labels]:
        assert process is not None
        assert process.wait(SECONDS)


async def publish(network: TestNetwork, label: str, text: str) -> str:
    """Report a text; returns the signal's id."""
    async with client(network, label) as node:
        return (await node.report(**incident(text))).signal


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    """Look until there is something to see, and return it."""
    async with asyncio.timeout(SECONDS):
        while not (seen := await look()):
            await asyncio.sleep(0.05)
        return seen


async def answers(network: TestNetwork, label: str, text: str, answer: str, **asked: Any) -> None:
    """Wait until a node answers so about a text."""
    async with client(network, label) as node:

        async def look() -> bool:
            return (await node.check(text, **asked)).answer == answer

        await until(look)
