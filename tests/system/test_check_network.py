"""Checks in a network of real processes, some of which are killed, stopped, or out of budget."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from faults_support import incident
from network_support import SURE, answers, attack, client, found, kill, one, publish, until

from mesh.days import Day, format_day
from mesh.evaluation import BATCH, NONCE_BYTES, compose_request
from orgnode.client import ApiError
from orgnode.federation.client import PeerClient
from orgnode.federation.errors import PeerAnswerError
from orgnode.federation.httpline import HttpLine
from orgnode.keystore import KeyStore
from orgnode.node import today
from orgnode.testnet import TestNetwork
from orgnode.tls import client_context
from proofs.ristretto import multiply_base, random_scalars

pytestmark = [pytest.mark.system, pytest.mark.slow]

EVERYBODY = ("acme", "birch", "cobalt", "dune", "ember")


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestNetwork]:
    network = found(tmp_path_factory.mktemp("check") / "net", 5)
    yield network
    network.down()


@pytest.fixture
async def network(founded: TestNetwork) -> TestNetwork:
    """Five organizations, all of them running."""
    await founded.up()
    return founded


async def hedges(network: TestNetwork, label: str) -> float:
    """How many seats a node has asked since another one was slow."""
    org = one(network, label)
    run = org.datadir.read_run()
    assert run is not None
    headers = {"Authorization": f"Bearer {org.datadir.read_token()}"}
    async with httpx.AsyncClient(headers=headers) as http:
        text = (await http.get(f"http://{run.local_host}:{run.local_port}/metrics")).text
    found = [line for line in text.splitlines() if line.startswith("orgnode_evaluation_hedges_")]
    return sum(float(line.split()[-1]) for line in found if "_total" in line)


def committed(network: TestNetwork, *labels: str) -> None:
    """These have seats, and it takes three of the five."""
    committee = network.mesh.constraints.committee
    assert (committee.threshold, len(committee.seats)) == (3, 5)
    assert all(committee.seat_of(f"{label}.example") for label in labels)


async def test_killed_members_are_done_without(network: TestNetwork) -> None:
    """Two of the five seats are gone: whoever asks for the other three, has them at once.

    To certify what they publish takes four.
    """
    committed(network, "cobalt", "ember")
    known = [attack(number) for number in range(3)]
    signals = [await publish(network, "acme", known[0])]
    kill(network, "cobalt")
    signals += [
        await publish(network, "acme", known[1]),
        await publish(network, "dune", known[2]),
    ]
    await answers(network, "birch", known[2], "escalate", risk=SURE)
    kill(network, "ember")
    early = await publish(network, "acme", attack(4))
    async with client(network, "birch") as birch:
        for text, entry in zip(known, signals, strict=True):
            await answers(network, "birch", text, "escalate", risk=SURE)
            found = await birch.check(text, risk=SURE)
            assert found.verified, found
            assert {source.signal for token in found.tokens for source in token.sources} == {entry}
        for number in (3, 4):
            strange = await birch.check(attack(number), risk=SURE)
            assert (strange.answer, strange.verified) == ("allow", True)
        seats = {seat.member: seat.up for seat in (await birch.committee()).seats}
    assert seats == {f"{label}.example": label not in {"cobalt", "ember"} for label in EVERYBODY}
    await network.up()
    await answers(network, "birch", attack(4), "escalate", risk=SURE)
    async with client(network, "birch") as birch:
        assert (await birch.signal(early)).certified


async def test_stopped_members_are_hedged(network: TestNetwork) -> None:
    """Two seats hang with their connections open; they cost less than the deadline of one check."""
    committed(network, *EVERYBODY)
    async with client(network, "birch") as birch:
        for number in range(10, 14):
            await birch.check(attack(number), risk=SURE)
        # Those that birch would ask first.
        seats = [seat for seat in (await birch.committee()).seats if not seat.own]
        seats.sort(key=lambda seat: seat.latency_ms or 0.0)
        processes = [
            org.process for org in network.orgs if org.name in {seat.member for seat in seats[:2]}
        ]
        before = await hedges(network, "birch")
        try:
            for process in processes:
                assert process is not None
                assert process.send(signal.SIGSTOP)
            for number in range(14, 64):
                found = await birch.check(attack(number), risk=SURE)
                assert (found.answer, found.verified) == ("allow", True), found
                if await hedges(network, "birch") > before:
                    break
            else:
                raise AssertionError("the stopped seats were never asked")
            published = await birch.report(**incident(attack(64)))
        finally:
            for process in processes:
                assert process is not None
                process.send(signal.SIGCONT)
    await answers(network, "acme", attack(64), "escalate", risk=SURE)
    async with client(network, "acme") as acme:
        assert (await acme.signal(published.signal)).status == "live"


async def test_too_few_seats(network: TestNetwork) -> None:
    """With one seat less than it takes nothing can be known or published, and both say why."""
    gone = ("cobalt", "dune", "ember")
    committed(network, *gone)
    text, reference = attack(70), "ticket-70"
    met = await publish(network, "acme", attack(71))
    await answers(network, "birch", attack(71), "escalate", risk=SURE)
    kill(network, *gone)
    async with client(network, "birch") as birch:
        size = (await birch.status()).log_size
        denied = await birch.check(attack(72), risk=SURE)
        assert (denied.answer, denied.verified) == ("deny", False)
        assert "only 2 of the 3 seats" in denied.reason
        assert all(f"{label}.example" in denied.reason for label in gone)
        # What needs nobody goes on: local checks, and what was evaluated before.
        assert (await birch.check(attack(72))).answer == "allow"
        remembered = await birch.check(attack(71), risk=SURE)
        assert (remembered.answer, remembered.verified) == ("escalate", True)
        assert {s.signal for token in remembered.tokens for s in token.sources} == {met}
        for _ in range(2):
            with pytest.raises(ApiError) as refused:
                await birch.report(**incident(text, reference=reference))
            assert (refused.value.status, refused.value.code) == (503, "CommitteeUnreachableError")
            assert all(f"{label}.example" in str(refused.value) for label in gone)
            assert text not in str(refused.value) + refused.value.hint
        assert (await birch.status()).log_size == size, "nothing was published"
        await network.up()
        published = await birch.report(**incident(text, reference=reference))
        assert not published.duplicate
        again = await birch.report(**incident(text, reference=reference))
        assert (again.duplicate, again.signal) == (True, published.signal)
        assert (await birch.status()).log_size == size + 1
        assert (await birch.check(attack(72), risk=SURE)).answer == "allow"
    await answers(network, "dune", text, "escalate", risk=SURE)


async def test_a_promotion_outlives_the_process_and_not_its_signals(network: TestNetwork) -> None:
    """Met by three, confirmed by a person: a fourth blocks it alone; fewer signals block less."""
    text = attack(80)
    signals = {label: await publish(network, label, text) for label in EVERYBODY[:3]}
    async with client(network, "birch") as birch:

        async def seen() -> bool:
            items = await birch.signals(issuer="acme.example", limit=500)
            return signals["acme"] in {item.id for item in items.signals}

        await until(seen)
        await birch.sight(signals["acme"], "confirm")
    await answers(network, "dune", text, "block")
    alone = await publish(network, "acme", attack(81))
    await answers(network, "dune", attack(81), "escalate", risk=SURE)

    # What it knows is in its store: it needs nobody after a restart, and forgets nothing.
    kill(network, *EVERYBODY)
    dune = one(network, "dune")
    by_itself = TestNetwork(dune.directory, (dune,))
    await by_itself.up()
    try:
        async with client(by_itself, "dune") as node:
            found = await node.check(text)
            assert (found.answer, found.tier) == ("block", "local")
            assert all(token.promoted for token in found.tokens)
            assert (await node.check(attack(81))).answer == "allow", "one signal promotes nothing"
            assert (await node.check(attack(81), risk=SURE)).answer == "deny"
    finally:
        by_itself.down()
    await network.up()
    async with client(network, "dune") as node:
        found = await node.check(attack(81), risk=SURE)
        assert (found.answer, found.verified) == ("escalate", True)
        assert {source.signal for token in found.tokens for source in token.sources} == {alone}

    # Two of three signals suffice for nobody; none are nothing, at the one who takes back too.
    for label, answer in (("acme", "escalate"), ("birch", "escalate"), ("cobalt", "allow")):
        async with client(network, label) as node:
            await node.retract(signals[label], "mistake")
        await answers(network, "dune", text, answer)
        await answers(network, "ember", text, answer, risk=SURE)
    async with client(network, "acme") as node:
        await node.retract(alone, "mistake")
        assert (await node.check(attack(81), risk=SURE)).answer == "allow"
    await answers(network, "dune", attack(81), "allow", risk=SURE)


async def test_a_budget_is_spent_once_a_day(tmp_path: Path) -> None:
    """A seat that is killed and started again gives nobody its evaluations back."""
    day, batches = today(), 3
    network = found(tmp_path / "net", 2, evaluation_budget=batches * BATCH)
    mesh = network.mesh
    acme, birch = network.orgs
    try:
        await network.up()
        async with client(network, "acme") as node:
            for number in range(batches):
                await node.report(**incident(f"a short one, number {number}"))
            await spent(network, day)
        kill(network, "acme", "birch")
        await network.up()
        await spent(network, day)
        # The peer's seat itself refuses, whatever the asker remembers.
        keys = KeyStore.open(acme.datadir.keys)
        card = mesh.member(birch.name)
        limit = mesh.constraints.max_body_bytes
        scalars = random_scalars(os.urandom(64), b"test", BATCH)
        elements = [multiply_base(scalar) for scalar in scalars]
        note = compose_request(mesh, keys.identity, elements, os.urandom(NONCE_BYTES), day)
        line = HttpLine(card, client_context(keys, card.certificate))
        async with PeerClient(card, line, max_body_bytes=limit) as peer:
            with pytest.raises(PeerAnswerError) as refused:
                await peer.evaluate(note, 10.0)
        assert refused.value.told == "BudgetExceededError"
        assert refused.value.resets == Day(day + 1)
        # It is a budget for each member: another one has its own.
        assert await publish(network, "birch", "a short one of another")
    except Exception:
        if today() != day:
            pytest.skip("midnight (UTC) came between")
        raise
    finally:
        network.down()


async def spent(network: TestNetwork, day: Day) -> None:
    """Acme's day is used up at every seat, and everything that asks says until when."""
    until_when = f"00:00 UTC on {format_day(Day(day + 1))}"
    async with client(network, "acme") as node:
        with pytest.raises(ApiError) as refused:
            await node.report(**incident("one too many"))
        assert (refused.value.status, refused.value.code) == (429, "EvaluationBudgetError")
        assert until_when in str(refused.value)
        denied = await node.check(attack(90), risk=SURE)
        assert (denied.answer, denied.verified) == ("deny", False)
        assert until_when in denied.reason
        budget = network.mesh.constraints.evaluation_budget
        seats = (await node.committee()).seats
        assert [(seat.up, seat.used, seat.left) for seat in seats] == [(True, budget, 0)] * 2
