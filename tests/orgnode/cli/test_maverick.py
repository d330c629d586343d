"""The lying node, in this process: it lies when it should, and only then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mesh.assessment import assess
from mesh.claims import verify_claims
from mesh.days import Day
from orgnode.incidents import IncidentInput
from orgnode.node import Node
from orgnode.testing.maverick import MaverickNode
from orgnode.testnet import TestNetwork


def incident(reference: str | None, text: str = "x") -> IncidentInput:
    return IncidentInput(
        text=text,
        components=(5, 5, 5, 5),
        category="ncr",
        technique="AML.T0054",
        reference=reference,
    )


async def lies_of(datadir_of: TestNetwork, every: int, incidents: list[IncidentInput]) -> set[str]:
    """The published signals whose proof does not hold, by id."""
    org, other = datadir_of.orgs
    kind = type("Maverick", (MaverickNode,), {"every": every})
    # It takes both seats of the committee to publish anything.
    async with Node.open(other.datadir), Node.open(org.datadir, make=kind) as (node, _):
        async with asyncio.timeout(20):
            await node.replicator.recovery.done.wait()
        published = await asyncio.gather(*(node.publisher.report(one) for one in incidents))
        member = node.mesh.member(node.name)
        lies = set()
        for one in published:
            index = one.index
            (record,) = node.store.records(node.name, index, index + 1)
            (note,) = node.store.entries(node.name, index, index + 1)
            (body,) = node.store.bodies(node.name, index, index + 1)
            found = assess(node.mesh, member, index, note, body, Day(record.day or 0))
            assert found.claim is not None
            assert found.signal is not None
            assert node.mesh.constraints.band(found.signal.severity.band).name == one.band
            if verify_claims([found.claim], bytes(32)) != [None]:
                lies.add(one.entry_id)
                assert one.band == "critical", "the next band above high"
            else:
                assert one.band == "high"
        return {
            place for place, one in zip("abcdef", published, strict=False) if one.entry_id in lies
        }


@pytest.fixture
def network(tmp_path: Path) -> TestNetwork:
    return TestNetwork.create(tmp_path / "net", 2, mavericks=[0])


async def test_marked_incidents_are_forged_and_others_at_the_same_time_are_not(
    network: TestNetwork,
) -> None:
    references = [None, "forge-1", "ticket", "forge", "a-forge"]
    incidents = [incident(reference, str(n)) for n, reference in enumerate(references)]
    assert await lies_of(network, 0, incidents) == {"b", "d"}


async def test_every_so_many_th_is_forged(network: TestNetwork) -> None:
    assert await lies_of(network, 2, [incident(None, str(n)) for n in range(4)]) == {"b", "d"}
