"""Listing, showing and proving signals; refusals."""

from __future__ import annotations

from base64 import b64decode
from random import Random

from api_support import Served, incident

from mesh.signal import parse_signal
from mesh.testing import Lie, OrgLog, falsify
from mesh.verification import verify_published


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
