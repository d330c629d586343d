"""Listing, showing and proving signals; refusals."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from random import Random

import pytest
from api_support import Served, incident

from mesh.days import format_day
from mesh.evidence import split_evidence
from mesh.receipt import compose_receipt
from mesh.signal import parse_signal
from mesh.testing import TODAY, Lie, OrgLog, falsify
from mesh.verification import verify_published
from orgnode.store import FeedFilter
from orgnode.testing.knowledge import COSIGNED


async def test_signals_are_listed_newest_first_in_pages(api: Served, peer_log: OrgLog) -> None:
    ids = peer_log.append_signals(5)
    await api.node.follow(peer_log)
    status, first = await api.get("/v1/signals?limit=2")
    assert status == 200
    assert [one["id"] for one in first["signals"]] == ids[:2:-1]
    _, second = await api.get(f"/v1/signals?limit=2&cursor={first['next']}")
    _, third = await api.get(f"/v1/signals?limit=2&cursor={second['next']}")
    assert [one["id"] for one in second["signals"] + third["signals"]] == ids[2::-1]
    assert third["next"] is None
    assert first["signals"][0]["issuer"] == peer_log.name
    assert first["signals"][0]["own"] is False


async def test_signals_can_be_filtered(api: Served, peer_log: OrgLog) -> None:
    peer_log.append_signals(8)
    await api.node.follow(peer_log)
    _, everything = await api.get("/v1/signals")
    category = everything["signals"][0]["category"]
    for query, keeps in (
        ("min_band=high", lambda one: one["band_level"] >= 3),
        (f"category={category}", lambda one: one["category"] == category),
        (f"issuer={api.node.name}", lambda _one: False),
        ("status=live", lambda _one: True),
        ("status=retracted", lambda _one: False),
    ):
        _, found = await api.get(f"/v1/signals?{query}")
        assert found["signals"] == [one for one in everything["signals"] if keeps(one)], query


async def test_one_signal_and_an_unknown_one(api: Served) -> None:
    _, published = await api.post("/v1/incidents", incident())
    status, shown = await api.get(f"/v1/signals/{published['signal']}")
    assert status == 200
    assert (shown["id"], shown["own"], shown["band"]) == (published["signal"], True, "high")
    status, refused = await api.get(f"/v1/signals/{'0' * 64}")
    assert (status, refused["error"]["code"]) == (404, "UnknownSignalError")
    assert refused["error"]["hint"]


async def test_the_proof_of_a_signal_verifies(api: Served, peer_log: OrgLog) -> None:
    ids = peer_log.append_signals(5)
    await api.node.follow(peer_log)
    status, proof = await api.get(f"/v1/signals/{ids[3]}/proof")
    assert status == 200
    assert (proof["issuer"], proof["index"]) == (peer_log.name, 3)
    steps = verify_published(
        api.node.mesh,
        proof["issuer"],
        b64decode(proof["note"]),
        b64decode(proof["salt"]),
        b64decode(proof["body"]),
        b64decode(proof["checkpoint"]),
        proof["index"],
        [bytes.fromhex(node) for node in proof["inclusion"]],
    )
    assert steps


async def test_a_retracted_signal_has_no_proof_any_more(api: Served) -> None:
    _, published = await api.post("/v1/incidents", incident())
    status, retracted = await api.post(
        f"/v1/signals/{published['signal']}/retract", {"reason": "mistake"}
    )
    assert status == 200
    assert retracted["signal"] == published["signal"]
    assert retracted["index"] == published["index"] + 1
    status, gone = await api.get(f"/v1/signals/{published['signal']}/proof")
    assert (status, gone["error"]["code"]) == (410, "ErasedError")
    _, shown = await api.get(f"/v1/signals/{published['signal']}")
    assert (shown["status"], shown["tokens"], shown["technique"]) == ("retracted", [], None)


async def test_refusals_name_the_check_and_show_no_content(api: Served, peer_log: OrgLog) -> None:
    made = peer_log.pool[0]
    lie = falsify(peer_log.mesh, made, Lie.ALTERED_PROOF, Random(1))
    bad = peer_log.append_signal(lie)
    good = peer_log.append_signal()
    await api.node.follow(peer_log)
    status, found = await api.get("/v1/refusals")
    assert status == 200
    (one,) = found["refusals"]
    assert (one["id"], one["issuer"], one["index"]) == (bad, peer_log.name, 0)
    assert one["error"].endswith("Error")
    assert one["reason"]
    assert not any(token in str(found) for token in parse_signal(made.body).tokens)
    _, listed = await api.get("/v1/signals")
    assert [signal["id"] for signal in listed["signals"]] == [good]
    _, none = await api.get(f"/v1/refusals?issuer={api.node.name}")
    assert none == {"refusals": []}


# --- certification


async def test_only_what_a_quorum_holds_is_listed_unless_asked_for(
    api: Served, peer_log: OrgLog
) -> None:
    first = peer_log.append_signals(2)
    await api.node.follow(peer_log)
    second = peer_log.append_signals(1)
    await api.node.follow(peer_log, certified=False)
    _, listed = await api.get("/v1/signals")
    assert [(one["id"], one["certified"]) for one in listed["signals"]] == [
        (first[1], True), (first[0], True),
    ]  # fmt: skip
    for flag in ("1", "true"):
        _, listed = await api.get(f"/v1/signals?provisional={flag}")
        assert [one["id"] for one in listed["signals"]] == second + first[::-1]
    assert [one["certified"] for one in listed["signals"]] == [False, True, True]
    _, listed = await api.get("/v1/signals?provisional=0")
    assert len(listed["signals"]) == 2
    status, refused = await api.get("/v1/signals?provisional=maybe")
    assert (status, refused["error"]["code"]) == (400, "InvalidQueryError")


async def test_a_signal_shows_who_cosigned_it(api: Served, peer_log: OrgLog) -> None:
    (signal,) = peer_log.append_signals(1)
    await api.node.follow(peer_log, certified=False)
    _, shown = await api.get(f"/v1/signals/{signal}")
    assert (shown["certified"], shown["certificate"]) == (False, None)
    peer_log.append_signals(1)
    await api.node.follow(peer_log)
    (later,) = peer_log.append_signals(1)
    await api.node.follow(peer_log, certified=False)
    _, shown = await api.get(f"/v1/signals/{later}")
    assert (shown["certified"], shown["certificate"]) == (False, None)
    _, shown = await api.get(f"/v1/signals/{signal}")
    owner = peer_log.name
    others = [card.name for card in api.node.mesh.peers_of(owner)][:2]
    since = shown["certificate"]["counts_since"]
    assert shown["certificate"] == {
        "size": 2,
        "time": COSIGNED + 1,
        "counts_since": since,
        "cosigners": sorted([owner, *others]),
        "quorum": 3,
    }
    (event,) = [
        one
        for one in api.node.store.events(0, FeedFilter(types=frozenset({"signal"})))
        if one.data["signal"]["id"] == signal
    ]
    assert since == event.at, "when it began to count here"
    # A newer certificate covers it too, and says nothing new of it.
    peer_log.append_signals(1)
    await api.node.follow(peer_log)
    _, shown = await api.get(f"/v1/signals/{signal}")
    assert (shown["certificate"]["size"], shown["certificate"]["counts_since"]) == (4, since)


@pytest.mark.parametrize("asked", ["limit=-1", "limit=0", "limit=501", "limit=many"])
async def test_a_number_out_of_range_is_told_its_range(api: Served, asked: str) -> None:
    status, refused = await api.get(f"/v1/signals?{asked}")
    assert (status, refused["error"]["code"]) == (400, "InvalidQueryError")
    assert "limit: give a whole number from 1 to 500" in refused["error"]["message"]
    status, refused = await api.get("/v1/feed?after=-1")
    assert (status, "from 0 to" in refused["error"]["message"]) == (400, True)


async def test_a_suspended_member_s_signals_are_shown_only_if_asked_for(
    api: Served, peer_log: OrgLog
) -> None:
    (signal,) = peer_log.append_signals(1)
    await api.node.follow(peer_log)
    state = api.node.store.state(peer_log.name)
    fork = peer_log.fork(0)
    fork.append_signals(1)
    proof = split_evidence(api.node.mesh, peer_log.name, peer_log.checkpoint(), fork.checkpoint())
    await api.node.store.save_state(peer_log.name, replace(state, evidence=proof))
    _, listed = await api.get("/v1/signals")
    assert listed["signals"] == []
    _, listed = await api.get("/v1/signals?suspended=1")
    assert [(one["id"], one["suspended"]) for one in listed["signals"]] == [(signal, True)]
    _, shown = await api.get(f"/v1/signals/{signal}")
    assert shown["suspended"] is True


async def test_the_proof_of_a_certified_signal_carries_the_cosignatures(
    api: Served, peer_log: OrgLog
) -> None:
    ids = peer_log.append_signals(2)
    await api.node.follow(peer_log)
    late = peer_log.append_signals(3)
    await api.node.follow(peer_log, certified=False)
    for signal, size, standing in ((ids[0], 2, "certified"), (late[0], 5, "provisional")):
        _, proof = await api.get(f"/v1/signals/{signal}/proof")
        assert proof["certified"] is (standing == "certified")
        steps = verify_published(
            api.node.mesh,
            proof["issuer"],
            b64decode(proof["note"]),
            b64decode(proof["salt"]),
            b64decode(proof["body"]),
            b64decode(proof["checkpoint"]),
            proof["index"],
            [bytes.fromhex(node) for node in proof["inclusion"]],
        )
        assert standing in {step.name for step in steps}
        assert f"signed its log at {size} entries" in " ".join(step.detail for step in steps)


async def test_a_retracted_signal_shows_who_told_of_having_erased_it(api: Served) -> None:
    node, mesh = api.node, api.node.mesh
    _, published = await api.post("/v1/incidents", incident())
    path = f"/v1/signals/{published['signal']}"
    _, shown = await api.get(path)
    assert (shown["receipts"], shown["unreceipted"]) == ([], [])
    _, retracted = await api.post(f"{path}/retract", {"reason": "mistake"})
    others = [card.name for card in mesh.peers_of(node.name)]
    _, shown = await api.get(path)
    assert (shown["receipts"], shown["unreceipted"]) == ([], others)
    for name, erased in ((others[1], True), (others[0], False)):
        note = compose_receipt(
            mesh,
            node.world.member(name).identity,
            log=node.name,
            retraction=retracted["retraction"],
            target=published["signal"],
            erased=erased,
            day=TODAY,
        )
        await node.store.put_receipt(retracted["retraction"], name, note)
    _, shown = await api.get(path)
    assert [(one["member"], one["erased"]) for one in shown["receipts"]] == [
        (others[0], False), (others[1], True),
    ]  # fmt: skip
    assert {one["day"] for one in shown["receipts"]} == {format_day(TODAY)}
    assert shown["unreceipted"] == others[2:]


async def test_of_others_retractions_there_are_no_receipts(api: Served, peer_log: OrgLog) -> None:
    (signal,) = peer_log.append_signals(1)
    await api.node.follow(peer_log)
    peer_log.append_retraction(signal)
    await api.node.follow(peer_log)
    _, shown = await api.get(f"/v1/signals/{signal}")
    assert shown["status"] == "retracted"
    assert (shown["receipts"], shown["unreceipted"]) == ([], [])
