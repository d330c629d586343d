"""Whole replicators against one another, in memory: publishing, faults, evidence, receipts."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from repl_support import QUICK, SLOW_GOSSIP, Asked, Cluster, Node, running, until

from mesh import entry
from mesh.accusation import compose_accusation
from mesh.assessment import Assessed
from mesh.certificate import open_certificate
from mesh.days import Day
from mesh.entry import Kind
from mesh.evidence import Evidence, split_evidence, verify_evidence
from mesh.receipt import open_receipt
from mesh.testing.orglog import TODAY, OrgLog
from mesh.wire import MISSING, WireLimits, decode_announcement, encode_announcement
from mesh.witness import AddCheckpoint
from orgnode.federation import accusing
from orgnode.federation.errors import ForkedSelfError
from orgnode.federation.limits import Rhythm
from orgnode.federation.reply import Reply, body_reader, note_reply
from orgnode.ownlog import Draft, LogClosedError
from orgnode.store import SignalFilter, SignalStatus

CALM = Rhythm()
"""As in production: what is quick with it needs no retry."""


def everywhere(nodes: Sequence[Node], log: str, size: int) -> bool:
    return all(node.certified(log) >= size for node in nodes)


async def announce(node: Node, log: OrgLog, start: int = 0, **changes: Any) -> int:
    """What the owner of a log would send to a node; returns the status that it gets."""
    announcement = replace(log.announcement(start, certified=False), **changes)
    reply = await node.replicator.service.answer(
        log.name,
        "POST",
        "/federation/v1/announce",
        body_reader(encode_announcement(announcement)),
    )
    return reply.status


@pytest.mark.parametrize("members", [2, 3, 4, 5])
async def test_what_one_publishes_is_certified_everywhere(tmp_path: Path, members: int) -> None:
    async with running(tmp_path, members) as cluster:
        nodes = await cluster.start_all()
        for round_ in range(3):
            await asyncio.gather(*(node.publish(round_ + 1) for node in nodes))
        await until(lambda: all(everywhere(nodes, one.name, 6) for one in nodes))
        for node in nodes:
            for other in nodes:
                note = node.store.certificate(other.name)
                assert note is not None
                certificate = open_certificate(cluster.mesh.mesh, other.name, note)
                assert len(certificate.cosigners) >= cluster.mesh.mesh.constraints.quorum
                wanted = (other.name, 6)
                await until(lambda node=node, wanted=wanted: wanted in node.told.certified)
            await until(lambda node=node: not any(one.error for one in node.replicator.peers()))
            assert node.told.grown[-1] == 6
            assert len(set(node.told.assessed)) == len(node.told.assessed) == 6 * (members - 1)


async def test_a_quiet_log_takes_three_exchanges_with_each_peer(tmp_path: Path) -> None:
    """Entries, cosignature, certificate; and nothing waits for a pause to end."""
    async with running(tmp_path, rhythm=replace(CALM, gossip=SLOW_GOSSIP)) as cluster:
        nodes = await cluster.start_all()
        await nodes[0].publish()
        await until(lambda: everywhere(nodes, nodes[0].name, 1))
        await asyncio.sleep(0.1)
        start = len(cluster.net.asked)
        async with asyncio.timeout(2):
            await nodes[0].publish()
            await until(lambda: everywhere(nodes, nodes[0].name, 2))
        asked = Counter(cluster.net.paths(start))
        peers = [name.partition(".")[0] for name in cluster.names[1:]]
        assert {asked[f"acme>{peer} announce"] for peer in peers} == {2}
        cosigning = [asked[f"acme>{peer} add-checkpoint"] for peer in peers]
        assert sum(cosigning) in (2, 3), "the last one may not be needed any more"
        assert sum(asked.values()) == 6 + sum(cosigning)


async def test_what_gathers_while_a_round_is_open_goes_together(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=replace(QUICK, round_timeout=60.0)) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        go_on = asyncio.Event()

        async def hold(asked: Asked) -> Reply | None:
            if asked.asker == one.name and asked.path.endswith("add-checkpoint"):
                await go_on.wait()
            return None

        cluster.net.meddlers.append(hold)
        await one.publish()
        await until(lambda: sum("acme>" in p and "add-c" in p for p in cluster.net.paths()) >= 3)
        for _ in range(20):
            await one.publish()
        await until(lambda: all(node.holds(one.name) == 21 for node in nodes))
        assert not everywhere(nodes[1:], one.name, 1), "provisional, but there"
        start = len(cluster.net.asked)
        go_on.set()
        await until(lambda: everywhere(nodes, one.name, 21))
        sizes = {
            AddCheckpoint.parse(asked.body).checkpoint.split(b"\n")[1]
            for asked in cluster.net.asked[start:]
            if asked.asker == one.name and asked.path.endswith("add-checkpoint")
        }
        assert sizes == {b"21"}, "one round for all twenty"


async def test_all_members_are_asked_for_the_same_checkpoint(tmp_path: Path) -> None:
    """However the log grows meanwhile: else no size would ever gather a quorum."""
    async with running(tmp_path, 5, rhythm=replace(QUICK, round_timeout=60.0)) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        delays = {name: 0.01 * place for place, name in enumerate(cluster.names)}

        async def slow(asked: Asked) -> Reply | None:
            await asyncio.sleep(delays[asked.peer])
            return None

        cluster.net.meddlers.append(slow)
        growing = [asyncio.create_task(one.publish()) for _ in range(10)]
        for _ in range(20):
            await one.publish()
            await asyncio.sleep(0.005)
        await asyncio.gather(*growing)
        await until(lambda: everywhere(nodes, one.name, 30))
        asked = [
            (asked.peer, AddCheckpoint.parse(asked.body).checkpoint)
            for asked in cluster.net.asked
            if asked.asker == one.name and asked.path.endswith("add-checkpoint")
        ]
        by_peer = {peer: [note for to, note in asked if to == peer] for peer in cluster.names[1:]}
        order = list(dict.fromkeys(note for _, note in asked))
        for notes in by_peer.values():
            places = [order.index(note) for note in notes]
            assert places == sorted(places), "nobody is asked for an older round again"
        certified = [size for log, size in one.told.certified if log == one.name]
        assert certified == sorted(set(certified))


# --- who is away


async def test_one_member_that_is_away_holds_up_nothing_and_catches_up(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        await cluster.stop(3)
        for _ in range(3):
            await asyncio.gather(*(node.publish(2) for node in nodes[:3]))
        await until(lambda: all(everywhere(nodes[:3], one.name, 6) for one in nodes[:3]))
        assert {node.told.kinds() - {"peer_behind"} == set() for node in nodes[:3]} == {True}
        back = await cluster.start(3)
        await until(lambda: all(everywhere([back], one.name, 6) for one in nodes[:3]))
        await back.publish()
        await until(lambda: everywhere([*nodes[:3], back], back.name, 1))


async def test_without_a_quorum_entries_are_provisional_until_it_is_back(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        cluster.net.split(cluster.names[:2], cluster.names[2:])
        one, other = nodes[0], nodes[1]
        signal = await one.signal()
        await until(lambda: other.holds(one.name) == 1)
        await until(lambda: ("uncertified", one.name) in one.told.alerts)
        assert one.told.alerts["uncertified", one.name] == (
            "1 own entries wait to be certified: 2 of the 3 cosignatures that it takes are here, "
            f"none of {', '.join(cluster.names[2:])}"
        )
        await one.retract(signal)
        await until(lambda: other.holds(one.name) == 2)
        assert other.store.bodies(one.name, 0, 1) == one.store.bodies(one.name, 0, 1)
        assert not everywhere([one], one.name, 1)
        await nodes[2].publish()
        cluster.net.heal()
        await until(lambda: everywhere(nodes, one.name, 2))
        await until(lambda: everywhere(nodes, nodes[2].name, 1))
        await until(lambda: "uncertified" not in one.told.kinds())
        for node in nodes:
            assert node.store.signals(SignalFilter(status=SignalStatus.LIVE)) == []


async def test_a_round_that_stays_open_gives_way_to_what_came_since(tmp_path: Path) -> None:
    """Two of three witnesses sign nothing for a while; their owner's log grows on."""
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        refuse = True

        def refusing(asked: Asked) -> Reply | None:
            if refuse and asked.path.endswith("add-checkpoint") and asked.asker == one.name:
                return Reply(503, "application/json", b'{"error":{"code":"NotMirroredError"}}')
            return None

        cluster.net.meddlers.append(refusing)
        await one.publish()
        await until(lambda: all(node.holds(one.name) == 1 for node in nodes))
        await one.publish()
        await until(lambda: all(node.holds(one.name) == 2 for node in nodes))

        def sizes() -> set[bytes]:
            return {
                AddCheckpoint.parse(asked.body).checkpoint.split(b"\n")[1]
                for asked in cluster.net.asked
                if asked.asker == one.name and asked.path.endswith("add-checkpoint")
            }

        await until(lambda: sizes() == {b"1", b"2"})
        refuse = False
        await until(lambda: everywhere(nodes, one.name, 2))


async def test_a_restart_in_the_middle_of_a_round_ends_it(tmp_path: Path) -> None:
    """Some members have cosigned already: the same size and root once more is no conflict."""
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        await one.publish(2)
        await until(lambda: everywhere(nodes, one.name, 2))

        def late(asked: Asked) -> Reply | None:
            if asked.peer in cluster.names[2:] and asked.path.endswith("add-checkpoint"):
                return Reply(503, "application/json", b"{}")
            return None

        cluster.net.meddlers.append(late)
        await one.publish(3)
        await until(lambda: nodes[1].store.witnessed(one.name).size == 5)
        await cluster.stop(0)
        cluster.net.meddlers.clear()
        again = await cluster.start(0)
        await until(lambda: everywhere([again, *nodes[1:]], one.name, 5))
        await again.publish()
        await until(lambda: everywhere([again, *nodes[1:]], one.name, 6))


async def test_after_a_restart_each_witness_is_asked_once(tmp_path: Path) -> None:
    """What was certified before is where they stand, most likely."""
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        await nodes[0].publish(2)
        await until(lambda: everywhere(nodes, nodes[0].name, 2))
        # The quorum's last cosignature may have left one of them out.
        cosigned = [n.name for n in nodes[1:] if n.store.witnessed(nodes[0].name).size == 2]
        assert len(cosigned) >= 2
        await cluster.stop(0)
        start = len(cluster.net.asked)
        again = await cluster.start(0)
        await asyncio.sleep(0.1)
        await again.publish()
        await until(lambda: everywhere([again, *nodes[1:]], again.name, 3))
        asked = Counter(p for p in cluster.net.paths(start) if "acme>" in p and "add-ch" in p)
        assert sum(asked.values()) >= 2
        for name in cosigned:
            to_it = [count for path, count in asked.items() if name.partition(".")[0] in path]
            assert sum(to_it) <= 1


async def test_a_certificate_stored_before_a_restart_is_told_after_it(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=replace(QUICK, gossip=SLOW_GOSSIP)) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]

        def bare_only(asked: Asked) -> Reply | None:
            if asked.path.endswith("announce"):
                told = decode_announcement(asked.body, WireLimits())
                if told.certificate:
                    return Reply(503, "application/json", b"{}")
            return None

        cluster.net.meddlers.append(bare_only)
        await one.publish()
        await until(lambda: everywhere([one], one.name, 1))
        await cluster.stop(0)
        cluster.net.meddlers.clear()
        assert not any(node.certified(one.name) for node in nodes[1:])
        again = await cluster.start(0)
        await until(lambda: everywhere([again, *nodes[1:]], one.name, 1))


async def test_draining_takes_no_more_and_keeps_what_was_taken(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        await nodes[0].publish(3)
        await nodes[0].replicator.drain()
        with pytest.raises(LogClosedError):
            await nodes[0].publish()
        await until(lambda: everywhere(nodes, nodes[0].name, 3))


# --- mirrors


async def test_what_its_owner_told_one_member_all_get(tmp_path: Path) -> None:
    """The owner dies in the middle; its peer hands on what it has, and who lacks it asks."""
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        cluster.net.split([one.name], cluster.names[2:])
        await one.publish(3)
        await until(lambda: nodes[1].holds(one.name) == 3)
        await cluster.stop(0)
        cluster.net.heal()
        await until(lambda: all(node.holds(one.name) == 3 for node in nodes[1:]))
        await cluster.start(0)
        await until(lambda: everywhere(nodes[1:], one.name, 3))


async def test_a_certificate_comes_by_gossip_too(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one, last = nodes[0], nodes[3]

        def never(asked: Asked) -> Reply | None:
            if (asked.asker, asked.peer) == (one.name, last.name) and "announce" in asked.path:
                told = decode_announcement(asked.body, WireLimits())
                return Reply(503, "application/json", b"{}") if told.certificate else None
            return None

        cluster.net.meddlers.append(never)
        await one.publish()
        await until(lambda: everywhere([last], one.name, 1))


async def test_more_than_an_announcement_holds_is_pulled(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        first = await cluster.start_all(0, 1, 2)
        await first[0].publish(300)
        await until(lambda: everywhere(first, first[0].name, 300))
        late = await cluster.start(3)
        await until(lambda: everywhere([late], first[0].name, 300))
        assert (
            late.store.state(first[0].name).frontier == first[0].store.state(first[0].name).frontier
        )


async def test_a_mirror_that_stalls_does_not_keep_a_log_from_being_had(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one, last = nodes[0], nodes[3]
        await cluster.stop(3)
        await one.publish(300)
        await until(lambda: everywhere(nodes[:3], one.name, 300))

        async def stalling(asked: Asked) -> Reply | None:
            if asked.peer == cluster.name(1) and "/logs/" in asked.path:
                await asyncio.sleep(1000)
            return None

        cluster.net.meddlers.append(stalling)
        cluster.net.split([one.name], [last.name])
        again = await cluster.start(3, ready=False)
        await until(lambda: everywhere([again], one.name, 300))


# --- one peer's poison


async def test_a_peer_that_lies_in_every_way_stops_nobody_elses_log(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all(0, 1, 2)
        bad = cluster.name(3)
        turn = 0

        def lying(asked: Asked) -> Reply | None:
            nonlocal turn
            if asked.peer != bad:
                return None
            turn += 1
            replies = [
                Reply(500, "text/plain", b"?"),
                Reply(200, "text/plain", b"\x00garbage"),
                Reply(200, "application/json", b'{"size":99999999,"certified":99999999}'),
                Reply(200, "application/json", b'{"size":0,"certified":0}'),
                Reply(409, "text/x.tlog.size", b"99999999\n"),
                note_reply(b"no cosignature\n"),
            ]
            return replies[turn % len(replies)]

        cluster.net.meddlers.append(lying)
        for _ in range(5):
            await asyncio.gather(*(node.publish(2) for node in nodes))
        await until(lambda: all(everywhere(nodes, one.name, 10) for one in nodes))
        await until(lambda: turn > 20)

        def errors() -> dict[str, bool]:
            return {one.name: one.error != "" for one in nodes[0].replicator.peers()}

        await until(lambda: errors() == {cluster.name(1): False, cluster.name(2): False, bad: True})


async def test_a_defect_of_a_hook_on_one_log_does_not_end_the_following(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all(0, 1, 2)
        late = cluster.build(3)
        faults: list[str] = []

        def faulty(member: str, entries: Sequence[Assessed]) -> None:
            if len(faults) < 2:
                faults.append(member)
                raise RuntimeError("a defect")

        late.replicator.hooks.assessed = faulty
        cluster.nodes[late.name] = late
        await nodes[0].publish(2)
        await late.replicator.start()
        cluster.net.services[late.name] = late.replicator.service
        for _ in range(3):
            await nodes[0].publish()
        await until(lambda: everywhere([late], nodes[0].name, 5))
        assert len(faults) == 2


# --- evidence


def forked(cluster: Cluster, place: int) -> tuple[OrgLog, OrgLog]:
    """Two histories of one member's log."""
    log = cluster.log(place, 3)
    twin = log.fork(2)
    twin.append_sighting("77" * 32)
    return log, twin


def accusations(node: Node) -> list[int]:
    """Where evidence stands in a node's own log."""
    return [
        record.index
        for record in node.store.records(node.name, 0, node.size)
        if record.kind == "evidence"
    ]


async def test_two_histories_shown_to_two_members_convict_everywhere(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all(0, 1, 2)
        log, twin = forked(cluster, 3)
        assert await announce(nodes[0], log) == 200
        assert await announce(nodes[1], twin) == 200
        await until(lambda: all(accusations(node) for node in nodes))
        await until(lambda: all(everywhere(nodes, node.name, node.size) for node in nodes))
        for node in nodes:
            assert len(accusations(node)) == 1
            evidence = node.store.state(log.name).evidence
            assert evidence is not None
            verify_evidence(cluster.mesh.mesh, evidence)
            assert [one.log for one in node.told.evidence] == [log.name]
            assert ("equivocation", log.name) in node.told.alerts
            assert await announce(node, log) == 403
        await nodes[0].publish()
        await until(lambda: everywhere(nodes, nodes[0].name, nodes[0].size))


async def test_what_was_found_before_a_crash_is_published_after_it_once(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        log, twin = forked(cluster, 3)
        found = cluster.build(0)
        for one in (log, twin):
            await announce(found, one)
        assert found.store.state(log.name).evidence is not None
        await found.replicator.stop()
        found.store.close()
        nodes = await cluster.start_all(0, 1, 2)
        await until(lambda: all(len(accusations(node)) == 1 for node in nodes))
        assert ("equivocation", log.name) in nodes[0].told.alerts
        await cluster.stop(0)
        again = await cluster.start(0)
        await again.publish()
        await until(lambda: everywhere(nodes[1:], again.name, 2))
        assert len(accusations(again)) == 1


async def test_what_is_accused_is_accused_again_before_the_evidence_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever joins later has to hear of it too."""
    monkeypatch.setattr(accusing, "_LOOKED_AGAIN", 0.02)
    day = [TODAY]
    async with running(tmp_path) as cluster:
        nodes = [await cluster.start(n, ready=False, today=lambda: day[0]) for n in range(3)]
        for node in nodes:
            await cluster.ready(node)
        log, twin = forked(cluster, 3)
        for one in (log, twin):
            await announce(nodes[0], one)
        life = cluster.mesh.mesh.constraints.max_expiry_days
        for times, later in ((1, 0), (1, life // 2 - 1), (2, life // 2)):
            day[0] = Day(TODAY + later)
            await until(lambda n=times: all(len(accusations(node)) == n for node in nodes))
            for node in nodes:
                await node.publish()
            await until(lambda: all(everywhere(nodes, node.name, node.size) for node in nodes))
            assert all(len(accusations(node)) == times for node in nodes)
        for node in nodes:
            records = nodes[0].store.records(node.name, 0, node.size)
            said = [one for one in records if one.kind == "evidence"]
            assert [one.error for one in said] == ["", ""]
            assert [one.expires - one.day for one in said if one.expires and one.day] == [life] * 2


async def test_an_accusation_suspends_at_who_has_seen_one_history_only(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=replace(QUICK, gossip=SLOW_GOSSIP)) as cluster:
        nodes = await cluster.start_all(0, 1, 2)
        log, twin = forked(cluster, 3)
        for node in nodes[1:]:
            await announce(node, log)
        for one in (log, twin):
            await announce(nodes[0], one)
        await until(lambda: all(node.replicator.syncs[log.name].suspended for node in nodes))
        log.append_sighting("88" * 32)
        for node in nodes:
            assert await announce(node, log, 3) == 403
            assert node.holds(log.name) <= 3


async def test_who_is_accused_rightly_stops_signing(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        victim, accuser = nodes[0], nodes[1]
        cluster.net.split([victim.name], cluster.names[3:])
        await victim.publish(2)
        twin = cluster.log(0, 2)
        signed = victim.store.checkpoint(victim.name)
        assert signed is not None
        evidence = split_evidence(cluster.mesh.mesh, victim.name, signed, twin.checkpoint())
        await accuser.replicator.own_log.append(accusation(evidence))
        await until(lambda: ("forked_self", victim.name) in victim.told.alerts)
        with pytest.raises(ForkedSelfError) as caught:
            await victim.publish()
        assert caught.value.hint
        start = len(cluster.net.asked)
        cluster.net.heal()
        await asyncio.sleep(0.3)
        assert not any(path.startswith("acme>dune ann") for path in cluster.net.paths(start))
        assert victim.told.evidence == []
        assert accusations(victim) == [], "nobody accuses itself"
        await cluster.stop(0)
        again = await cluster.start(0, ready=False)
        await until(lambda: ("forked_self", victim.name) in again.told.alerts)
        with pytest.raises(ForkedSelfError):
            await again.publish()
        assert again.replicator.recovery.error is not None
        assert not again.replicator.recovery.done.is_set()


async def test_a_false_accusation_stops_nobody(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        victim, accuser = nodes[0], nodes[1]
        await victim.publish(2)
        log = cluster.log(3, 2)
        one = split_evidence(cluster.mesh.mesh, log.name, log.checkpoint(), _other(log))
        false = replace(one, log=victim.name)
        await accuser.replicator.own_log.append(accusation(false))
        await until(lambda: everywhere(nodes[:1] + nodes[2:], accuser.name, 1))
        await victim.publish()
        await until(lambda: everywhere(nodes, victim.name, 3))
        assert victim.told.alerts == {}


def _other(log: OrgLog) -> bytes:
    twin = log.fork(1)
    twin.append_sighting("99" * 32)
    return twin.checkpoint()


def accusation(evidence: Evidence) -> Draft:
    return Draft(Kind.EVIDENCE, Day(TODAY + 30), compose_accusation(evidence), evidence=evidence)


# --- upgrades


async def test_what_an_upgrade_can_read_is_read_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as cluster:
        with monkeypatch.context() as before:
            known = {line: kind for line, kind in entry._KINDS.items() if kind != "sighting"}
            before.setattr(entry, "_KINDS", known)
            nodes = await cluster.start_all()
            log = nodes[3].name
            await nodes[3].publish(2)
            await until(lambda: everywhere(nodes, log, 2))
            await until(lambda: all(node.certified(log) == 2 for node in nodes))
            assert nodes[0].store.bodies(log, 0, 2) == [MISSING] * 2
            assert nodes[0].store.first_missing(log) is None
            await cluster.stop(0)
        again = await cluster.start(0)
        await until(lambda: again.store.bodies(log, 0, 2) == nodes[3].store.bodies(log, 0, 2))
        assert [one.outcome for one in again.store.records(log, 0, 2)] == ["accepted"] * 2


# --- receipts


async def test_receipts_of_a_retraction_come_back(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        signal = await one.signal()
        await until(lambda: everywhere(nodes, one.name, 1))
        retraction = await one.retract(signal)
        await until(lambda: len(one.store.receipts(retraction)) == 3)
        for record in one.store.receipts(signal):
            receipt = open_receipt(cluster.mesh.mesh, record.note)
            assert (receipt.member, receipt.log) == (record.member, one.name)
            assert (receipt.retraction, receipt.target) == (retraction, signal)
            assert receipt.erased
            assert receipt.day == TODAY
        await asyncio.sleep(0.1)
        start = len(cluster.net.asked)
        await one.publish()
        await until(lambda: everywhere(nodes, one.name, 3))
        assert not any("receipts" in path for path in cluster.net.paths(start))


async def test_a_receipt_that_is_not_there_yet_is_asked_for_again(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        turns = 0

        def not_yet(asked: Asked) -> Reply | None:
            nonlocal turns
            if "receipts" not in asked.path or turns >= 6:
                return None
            turns += 1
            return Reply(404, "application/json", b'{"error":{"code":"NotServedError"}}')

        cluster.net.meddlers.append(not_yet)
        retraction = await nodes[0].retract(await nodes[0].signal())
        await until(lambda: len(nodes[0].store.receipts(retraction)) == 3)
        assert turns == 6


async def test_no_receipt_is_given_while_erased_content_is_in_a_file(tmp_path: Path) -> None:
    """While a backup reads the database, its log holds what was erased."""
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one, held = nodes[0], nodes[1]
        signal = await one.signal()
        await until(lambda: everywhere(nodes, one.name, 1))
        reader = sqlite3.connect(cluster.path(1), isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM body").fetchall()
        retraction = await one.retract(signal)
        await until(lambda: len(one.store.receipts(retraction)) == 2)
        await until(lambda: everywhere(nodes, one.name, 2))
        path, service = f"/federation/v1/receipts/{retraction}", held.replicator.service
        assert held.store.retraction_done(one.name, retraction) == (signal, True)
        assert (await service.answer(one.name, "GET", path, body_reader(None))).status == 404
        assert held.name in {card.name for card in cluster.mesh.mesh.members} - {
            record.member for record in one.store.receipts(retraction)
        }
        reader.close()
        await until(lambda: len(one.store.receipts(retraction)) == 3)
        assert not held.store.scrub_due()
        assert (await service.answer(one.name, "GET", path, body_reader(None))).status == 200


async def test_only_the_issuer_is_given_a_receipt(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        retraction = await one.retract(await one.signal())
        await until(lambda: everywhere(nodes, one.name, 2))
        path = f"/federation/v1/receipts/{retraction}"
        service = nodes[1].replicator.service
        assert (await service.answer(one.name, "GET", path, body_reader(None))).status == 200
        assert (await service.answer(nodes[2].name, "GET", path, body_reader(None))).status == 404


async def test_a_receipt_for_something_else_is_not_kept_and_holds_up_nothing(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        first = await one.retract(await one.signal(0))
        await until(lambda: len(one.store.receipts(first)) == 3)
        (old,) = [r.note for r in one.store.receipts(first) if r.member == nodes[1].name]
        others = {r.member: r.note for r in one.store.receipts(first)}
        replies = [
            note_reply(old),
            note_reply(others[nodes[2].name]),
            note_reply(b"nonsense"),
            Reply(500, "text/plain", b""),
        ]
        turn = 0

        def false(asked: Asked) -> Reply | None:
            nonlocal turn
            if asked.peer == nodes[1].name and "receipts" in asked.path:
                turn += 1
                return replies[turn % len(replies)]
            return None

        cluster.net.meddlers.append(false)
        second = await one.retract(await one.signal(1))
        await until(lambda: turn >= 5)
        assert {r.member for r in one.store.receipts(second)} == set(cluster.names[2:])
        await one.publish()
        await until(lambda: everywhere(nodes, one.name, 5))
        cluster.net.meddlers.clear()
        await until(lambda: len(one.store.receipts(second)) == 3)


# --- how it goes


async def test_a_peer_that_lacks_entries_for_long_is_an_alert(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        await one.publish(2)
        await until(lambda: everywhere(nodes, one.name, 2))
        away = cluster.name(3)
        cluster.net.split(cluster.names[:3], [away])
        await asyncio.gather(*(node.publish(3) for node in nodes[:3]))
        await until(lambda: ("peer_behind", away) in one.told.alerts)
        assert "9 entries" in one.told.alerts["peer_behind", away]
        status = {each.name: each for each in one.replicator.peers()}
        assert (status[away].their_size, status[away].behind) == (2, 9)
        assert status[away].behind_since is not None
        assert status[away].error
        near = status[cluster.name(1)]
        assert (near.their_size, near.size, near.certified) == (5, 3, 3)
        assert near.last_contact is not None
        cluster.net.heal()
        await until(lambda: not any(node.told.alerts for node in nodes))
        await until(lambda: all(everywhere(nodes, n.name, n.size) for n in nodes))
        await until(lambda: one.replicator.peers()[-1].behind == 0)
        assert one.replicator.peers()[-1].behind_since is None
        assert one.replicator.peers()[-1].their_size == 5


async def test_a_busy_mesh_alerts_nobody(tmp_path: Path) -> None:
    """Peers always lack what came in the last moment; what counts is lacking the same for long."""
    now = [1_000_000.0]
    async with running(tmp_path, clock=lambda: now[0]) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        for node in nodes[1:]:
            await one.replicator.gossip.exchange(node.name)
        for _ in range(20):
            await one.publish()
            for node in nodes[1:]:
                await one.replicator.gossip.exchange(node.name)
            assert "peer_behind" not in one.told.kinds()
            await until(lambda: everywhere(nodes, one.name, one.size))
            await asyncio.gather(*(one.publish() for _ in range(2)))
            now[0] += 0.1


async def test_an_announcement_of_a_log_that_floods_is_an_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orgnode.federation.mirrorquota.MIRROR_FACTOR", 2 / 4096)
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all(0, 1, 2)
        log = cluster.log(3, 2)
        assert await announce(nodes[0], log) == 200
        log.append_sighting("99" * 32)
        assert await announce(nodes[0], log, 2) == 429
        assert ("mirror_quota", log.name) in nodes[0].told.alerts
        await nodes[1].publish()
        await until(lambda: everywhere(nodes, nodes[1].name, 1))


async def test_salts_come_from_the_entropy_that_is_handed_in(tmp_path: Path) -> None:
    """So that a run of the simulator can be repeated byte for byte."""
    checkpoints = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        async with running(tmp_path / run) as cluster:
            node = cluster.build(0, entropy=random.Random(1).randbytes)
            await node.replicator.own_log.start()
            await node.publish(3)
            checkpoints.append(node.store.checkpoint(node.name))
            await node.replicator.stop()
            node.store.close()
    assert checkpoints[0] == checkpoints[1]


async def test_announcements_without_a_body_are_filled_from_another_mirror(tmp_path: Path) -> None:
    """The owner shows a body to one member only; nobody else cosigns before it has it too."""
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all(0, 1, 2)
        log = cluster.log(3, 2)
        assert await announce(nodes[0], log) == 200
        body = log.withhold_body(1)
        for node in nodes[1:]:
            assert await announce(node, log) == 200
        await until(lambda: all(n.store.first_missing(log.name) is None for n in nodes))
        for node in nodes:
            assert node.store.bodies(log.name, 1, 2) == [body]
