"""Publishing the own log: at once, in few exchanges, and without a peer holding up another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from repl_support import QUICK, Cluster, Node, until

from mesh.testing.members import TestMember
from mesh.wire import Announcement, WireLimits, decode_announcement, encode_announcement
from mesh.witness import AddCheckpoint
from orgnode.federation import announcing
from orgnode.federation.limits import ClientLimits, Rhythm
from orgnode.federation.pushline import PushLine
from orgnode.federation.reply import ReadBody, Reply, json_reply, note_reply, stale_size_reply
from proofs.checkpoint import parse_checkpoint_text
from proofs.cosignature import cosign
from proofs.note import parse_note

NOT_NOW = Reply(503, "application/json", b'{"error":{"code":"NotNowError"}}')


class Hang:
    """Said instead of a reply: the peer never answers."""


class Listener:
    """A peer that takes announcements and cosigns as a true one does, as far as sizes go."""

    def __init__(self, member: TestMember, held: int = 0, witnessed: int = 0) -> None:
        self.member = member
        self.held = held
        self.certified = 0
        self.witnessed = witnessed
        self.heard: list[Announcement] = []
        self.cosigned: list[int] = []
        self.asked: list[str] = []
        self.say: list[Reply | type[Hang]] = []
        self.refuse: list[Reply | type[Hang]] = []
        self.receipt: Reply | None = None
        self.forget = False
        self.go_on: asyncio.Event | None = None
        self.reached = asyncio.Event()

    async def answer(self, peer: str, method: str, path: str, read: ReadBody) -> Reply:
        what = path.removeprefix("/federation/v1/")
        self.asked.append(what)
        body = await read(10**8)
        self.reached.set()
        if self.go_on is not None:
            await self.go_on.wait()
        if what == "announce":
            return await self._announced(decode_announcement(body, WireLimits()))
        if what == "add-checkpoint":
            return await self._cosign(AddCheckpoint.parse(body))
        if what.startswith("receipts") and self.receipt is not None:
            return self.receipt
        return Reply(404, "application/json", b'{"error":{"code":"NotServedError"}}')

    async def _announced(self, announcement: Announcement) -> Reply:
        self.heard.append(announcement)
        if self.say:
            return await said(self.say.pop(0))
        upto = announcement.start + len(announcement.entries)
        if announcement.start <= self.held < upto:
            self.held = upto
        if announcement.certificate:
            size = size_of(announcement.certificate)
            self.certified = max(self.certified, size if size <= self.held else 0)
        return json_reply({"size": self.held, "certified": self.certified})

    async def _cosign(self, request: AddCheckpoint) -> Reply:
        if self.refuse:
            return await said(self.refuse.pop(0))
        if self.forget:
            self.held, self.forget = 0, False
        if self.held < size_of(request.checkpoint):
            return Reply(503, "application/json", b'{"error":{"code":"NotMirroredError"}}')
        if request.old != self.witnessed:
            return stale_size_reply(self.witnessed)
        self.witnessed = size_of(request.checkpoint)
        self.cosigned.append(self.witnessed)
        text = parse_note(request.checkpoint).text
        return note_reply(cosign(text, self.member.witness, 1_700_000_000))


async def said(reply: Reply | type[Hang]) -> Reply:
    if isinstance(reply, Reply):
        return reply
    await asyncio.sleep(1000)
    raise AssertionError


def size_of(note: bytes) -> int:
    return parse_checkpoint_text(parse_note(note).text).size


class Publishing:
    """Member 0 publishes to listeners, who stand in for the others of their places."""

    def __init__(self, cluster: Cluster, node: Node, peers: dict[int, Listener]) -> None:
        self.cluster = cluster
        self.node = node
        self.peers = peers
        self.pusher = node.replicator.pusher

    def line(self, place: int) -> PushLine:
        return self.pusher.lines[self.cluster.name(place)]

    @property
    def certified(self) -> int:
        return self.node.certified(self.node.name)

    async def grow(self, count: int) -> int:
        await self.node.publish(count)
        return self.node.size


@asynccontextmanager
async def publishing(
    directory: Path,
    *places: int,
    rhythm: Rhythm = QUICK,
    started: bool = True,
    deadline: float = 0.3,
    **listening: Any,
) -> AsyncIterator[Publishing]:
    limits = ClientLimits(short=deadline, long=deadline)
    cluster = Cluster(directory, 4, rhythm=rhythm, limits=limits)
    peers = {place: Listener(cluster.mesh.members[place], **listening) for place in places}
    for place, peer in peers.items():
        cluster.net.services[cluster.name(place)] = peer
    node = cluster.build(0)
    await node.replicator.own_log.start()
    node.replicator.witness.open()
    one = Publishing(cluster, node, peers)
    try:
        if started:
            one.pusher.start()
        yield one
    finally:
        await node.replicator.stop()
        node.store.close()


# --- handing over


async def test_a_new_entry_goes_out_in_one_exchange(tmp_path: Path) -> None:
    async with publishing(tmp_path, 1, 2, 3) as one:
        peer = one.peers[1]
        await one.grow(1)
        await until(lambda: peer.certified == 1)
        before = len(peer.heard)
        await one.grow(1)
        await until(lambda: peer.held == 2)
        announcement = peer.heard[before]
        store, name = one.node.store, one.node.name
        assert announcement == Announcement(
            store.checkpoint(name) or b"",
            1,
            tuple(store.entries(name, 1, 2)),
            tuple(store.bodies(name, 1, 2)),
        ), "the newest certificate is there already, so it does not go again"


async def test_hints_go_out_with_the_bodies_that_they_are_about(tmp_path: Path) -> None:
    async with publishing(tmp_path, 1, 2, 3, started=False) as one:
        log, peer = one.node.replicator.own_log, one.peers[1]
        placed = [
            await log.append(replace(one.node.sighting(), hint=hint)) for hint in (b"a", b"", b"c")
        ]
        store, name = one.node.store, one.node.name
        await store.erase_body(name, placed[2].index)
        peer.held = 0
        one.pusher.start()
        await until(lambda: peer.held == 3)
        assert [a.hints for a in peer.heard if a.entries] == [(b"a", b"", b"")]


async def test_hints_are_left_out_before_entries_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with publishing(tmp_path, 1, 2, 3, started=False) as one:
        log, peer = one.node.replicator.own_log, one.peers[1]
        await log.append(replace(one.node.sighting(), hint=bytes(600)))
        monkeypatch.setattr(announcing, "MAX_ANNOUNCEMENT_BYTES", 1_024 + 1_200)
        peer.held = 0
        one.pusher.start()
        await until(lambda: peer.held == 1)
        told = [a for a in peer.heard if a.entries]
        assert [(len(a.entries), a.hints) for a in told] == [(1, ())]
        assert 1_200 - 600 < len(encode_announcement(told[0])) <= 1_200


async def test_an_empty_log_is_not_announced(tmp_path: Path) -> None:
    async with publishing(tmp_path, 1) as one:
        one.pusher.notify(0)
        await asyncio.sleep(0.1)
        assert one.peers[1].asked == []


async def test_peers_are_told_at_the_start(tmp_path: Path) -> None:
    async with publishing(tmp_path, 1, 2, started=False) as one:
        await one.grow(4)
        peer, fresh = one.peers[1], one.peers[2]
        peer.held, fresh.held = 4, 1
        one.pusher.start()
        await until(lambda: fresh.held == 4)
        checkpoint = one.node.store.checkpoint(one.node.name) or b""
        assert peer.heard[0] == Announcement(checkpoint, 4, (), ())
        assert fresh.heard[0] == Announcement(checkpoint, 4, (), ())
        assert (fresh.heard[1].start, len(fresh.heard[1].entries)) == (1, 3)


async def test_what_comes_while_one_is_on_its_way_goes_together(tmp_path: Path) -> None:
    async with publishing(tmp_path, 1, 2, 3, deadline=5.0) as one:
        peer = one.peers[1]
        await one.grow(1)
        await until(lambda: peer.certified == 1)
        before = len(peer.heard)
        peer.go_on = asyncio.Event()
        peer.reached.clear()
        await one.grow(1)
        await peer.reached.wait()
        for _ in range(20):
            await one.grow(1)
        peer.go_on.set()
        peer.go_on = None
        await until(lambda: peer.held == 22)
        starts = [(a.start, len(a.entries)) for a in peer.heard[before:] if a.entries]
        assert starts == [(1, 1), (2, 20)]


async def test_peers_alike_share_the_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    encode = announcing.encode_announcement
    monkeypatch.setattr(
        announcing, "encode_announcement", lambda a: made.append(a.start) or encode(a)
    )
    async with publishing(tmp_path, 1, 2, 3) as one:
        await one.grow(1)
        await until(lambda: all(peer.certified == 1 for peer in one.peers.values()))
        made.clear()
        await one.grow(1)
        await until(lambda: all(peer.held == 2 for peer in one.peers.values()))
        assert made.count(1) == 1
        await until(lambda: all(peer.certified == 2 for peer in one.peers.values()))
        assert made.count(2) <= 2, "the certificate is encoded once more, for who needs it"
        making = one.pusher._announcements._making
        assert making == {}, "nothing is kept: a body may be erased"


async def test_who_is_far_behind_is_only_told_the_size(tmp_path: Path) -> None:
    async with publishing(tmp_path, 1, started=False) as one:
        peer = one.peers[1]
        await one.grow(257)
        one.pusher.start()
        await until(lambda: len(peer.heard) >= 3)
        assert {(a.start, a.entries) for a in peer.heard} == {(257, ())}
        peer.held = 1  # it has pulled the first
        await until(lambda: peer.held == 257)


async def test_more_bytes_than_an_announcement_may_have_are_left_to_the_pull(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing, "MAX_ANNOUNCEMENT_BYTES", 4_000)
    async with publishing(tmp_path, 1) as one:
        await one.grow(20)
        await until(lambda: len(one.peers[1].heard) >= 3)
        assert {len(a.entries) for a in one.peers[1].heard} == {0}


async def test_a_peer_that_goes_back_is_told_again(tmp_path: Path) -> None:
    """It was restored from a backup, say."""
    async with publishing(tmp_path, 1, 2, 3) as one:
        peer = one.peers[1]
        await one.grow(5)
        await until(lambda: peer.certified == 5)
        peer.held, peer.certified, peer.witnessed = 2, 0, 0
        await one.grow(1)
        await until(lambda: (peer.held, peer.certified) == (6, 6))


# --- asking for cosignatures


async def test_the_first_request_is_a_guess_that_the_witness_corrects(tmp_path: Path) -> None:
    patient = replace(QUICK, backoff=60.0, backoff_cap=60.0)  # so nothing is tried twice here
    async with publishing(tmp_path, 1, 2, started=False, rhythm=patient) as one:
        await one.grow(4)
        for peer in one.peers.values():
            peer.held, peer.witnessed = 4, 3
        one.pusher.start()
        await until(lambda: one.certified == 4)
        assert one.line(1).witnessed == 4
        asked = one.peers[1].asked.count("add-checkpoint")
        assert asked == 2
        await one.grow(1)
        await until(lambda: one.certified == 5)
        assert one.peers[1].asked.count("add-checkpoint") <= asked + 1, "now it is known"


async def test_a_witness_that_cosigned_this_already_cosigns_again(tmp_path: Path) -> None:
    async with publishing(tmp_path, 1, 2, started=False) as one:
        await one.grow(4)
        for peer in one.peers.values():
            peer.held, peer.witnessed = 4, 4
        one.pusher.start()
        await until(lambda: one.certified == 4)


async def test_a_witness_that_was_put_back_is_asked_from_where_it_stands(tmp_path: Path) -> None:
    async with publishing(tmp_path, 1, 2) as one:
        await one.grow(3)
        await until(lambda: one.certified == 3)
        one.peers[1].witnessed = 1
        one.peers[2].witnessed = 0
        await one.grow(2)
        await until(lambda: one.certified == 5)


async def test_a_witness_that_lost_what_it_held_is_handed_it_again(tmp_path: Path) -> None:
    """Between the push and the question it was put back to an old disk."""
    async with publishing(tmp_path, 1, 2) as one:
        peer = one.peers[1]
        peer.forget = True
        await one.grow(3)
        await until(lambda: one.certified == 3)
        assert peer.held == 3


async def test_a_bad_receipt_holds_up_no_push(tmp_path: Path) -> None:
    patient = replace(QUICK, backoff=60.0, backoff_cap=60.0)
    async with publishing(tmp_path, 1, 2, 3, rhythm=patient) as one:
        for place, reply in enumerate(
            (NOT_NOW, note_reply(b"nonsense"), note_reply("a\n\n\N{EM DASH} a b\n".encode())), 1
        ):
            one.peers[place].receipt = reply
        await one.node.retract(await one.node.signal())
        await until(lambda: all("receipts" in " ".join(p.asked) for p in one.peers.values()))
        for size in (3, 4):
            await one.grow(1)
            await until(lambda size=size: all(p.certified == size for p in one.peers.values()))


async def test_receipts_are_looked_for_once_after_the_log_has_grown(tmp_path: Path) -> None:
    async with publishing(tmp_path, 1, 2) as one:
        looked: list[str] = []
        collect = one.pusher._receipts.collect

        async def counting(client: Any) -> bool:
            looked.append(client.card.name)
            return await collect(client)

        one.pusher._receipts.collect = counting  # type: ignore[method-assign]
        await one.grow(1)
        await until(lambda: len(looked) == 2)
        for _ in range(5):
            one.pusher._wake()
            await asyncio.sleep(0.01)
        assert sorted(looked) == [one.cluster.name(1), one.cluster.name(2)]


async def test_a_witness_that_claims_more_than_there_is_stops_nothing(tmp_path: Path) -> None:
    """And it is asked to show that checkpoint, for this disk may be old."""
    async with publishing(tmp_path, 1, 2, 3) as one:
        one.node.replicator.recovery.finish()
        liar = one.peers[3]
        liar.witnessed = 99
        for size in range(1, 4):
            await one.grow(1)
            await until(lambda size=size: one.certified == size)
        await until(lambda: any("seen" in path for path in liar.asked))
        assert one.node.told.alerts == {}


async def test_a_witness_that_is_further_than_the_open_round_is_not_doubted(tmp_path: Path) -> None:
    """Its size is a checkpoint of this log; only the open round is over a smaller one."""
    async with publishing(tmp_path, 1, 2, rhythm=replace(QUICK, round_timeout=1.0)) as one:
        doubted: list[str] = []
        one.pusher._doubted = doubted.append
        ahead, late = one.peers[1], one.peers[2]
        late.refuse = [NOT_NOW] * 1000  # the round stays open
        ahead.refuse = [Hang]
        await one.grow(1)
        await until(lambda: ahead.asked.count("add-checkpoint") == 1)
        await one.grow(1)
        ahead.witnessed = 2
        await until(lambda: one.line(1).witnessed == 2)
        late.refuse = []
        await until(lambda: one.certified == 2)
        assert doubted == []


@pytest.mark.parametrize(
    "answer",
    [
        NOT_NOW,
        Reply(403, "application/json", b'{"error":{"code":"SuspendedPeerError"}}'),
        note_reply(b"nonsense"),
        note_reply(b""),
        stale_size_reply(2**62),
        Hang,
    ],
)
async def test_a_witness_that_refuses_is_still_told_what_comes(
    tmp_path: Path, answer: Reply | type[Hang]
) -> None:
    async with publishing(tmp_path, 1, 2, 3) as one:
        bad = one.peers[3]
        bad.refuse = [answer] * 10_000
        for size in range(1, 6):
            await one.grow(1)
            await until(lambda size=size: one.certified == size)
        await until(lambda: (bad.held, bad.certified) == (5, 5))
        assert bad.cosigned == []


async def test_without_a_quorum_the_others_are_told_what_came_since(tmp_path: Path) -> None:
    """A retraction, say: it counts at once, certified or not."""
    slow = replace(QUICK, round_timeout=60.0, push_pause=0.1)
    async with publishing(tmp_path, 1, rhythm=slow) as one:
        peer = one.peers[1]
        await one.grow(1)
        await until(lambda: peer.cosigned == [1])
        loop = asyncio.get_running_loop()
        cosigned = loop.time()
        await one.grow(1)
        await until(lambda: peer.held == 2)
        assert loop.time() - cosigned >= 0.08, "only after the others had time to certify"
        assert peer.cosigned == [1], "the round is still that of the first"
        assert one.certified == 0


async def test_a_round_is_certified_though_more_has_come_than_a_push_holds(tmp_path: Path) -> None:
    """What the open round covers goes first; the rest is too much for one announcement."""
    async with publishing(tmp_path, 1, 2, rhythm=replace(QUICK, round_timeout=60.0)) as one:
        one.cluster.net.split([one.node.name], one.cluster.names[1:])
        await one.grow(1)
        await until(lambda: one.line(1).backoff.failures > 0)
        await one.grow(300)
        one.cluster.net.heal()
        await until(lambda: one.certified == 1)
        assert all(peer.cosigned == [1] for peer in one.peers.values())


async def test_a_witness_that_refuses_is_asked_less_and_less(tmp_path: Path) -> None:
    rhythm = replace(QUICK, backoff=0.05, backoff_cap=100.0)
    async with publishing(tmp_path, 1, rhythm=rhythm) as one:
        bad = one.peers[1]
        bad.refuse = [NOT_NOW] * 10_000
        await one.grow(1)
        await asyncio.sleep(0.8)
        tries = bad.asked.count("add-checkpoint")
        assert 2 <= tries <= 6
        one.line(1).cosigning.failures = 20  # as after a long time: minutes of pause
        await until(lambda: one.line(1).cosigning.failures > 20)
        tries = bad.asked.count("add-checkpoint")
        await asyncio.sleep(0.2)
        assert bad.asked.count("add-checkpoint") == tries
        one.pusher.alive(one.cluster.name(1))
        await until(lambda: bad.asked.count("add-checkpoint") > tries)


# --- failures


@pytest.mark.parametrize(
    "failure",
    [
        NOT_NOW,
        Reply(403, "application/json", b'{"error":{"code":"SuspendedPeerError"}}'),
        Hang,
        Reply(200, "application/json", b"nonsense"),
        json_reply({"size": 99_999_999, "certified": 99_999_999}),
        json_reply({"size": 0, "certified": 0}),
        json_reply({"size": 1}),
    ],
)
async def test_failures_are_survived_and_hold_up_nobody_else(
    tmp_path: Path, failure: Reply | type[Hang]
) -> None:
    async with publishing(tmp_path, 1, 2, 3) as one:
        bad, good = one.peers[1], one.peers[2]
        bad.say = [failure] * 3
        for size in range(1, 6):
            await one.grow(1)
            await until(lambda size=size: good.certified == size)
        await one.grow(1)
        await until(lambda: (bad.held, bad.certified) == (6, 6))


async def test_a_failing_peer_is_asked_less_and_less(tmp_path: Path) -> None:
    rhythm = replace(QUICK, backoff=0.05, backoff_cap=100.0)
    async with publishing(tmp_path, 1, rhythm=rhythm) as one:
        bad, net = one.peers[1], one.cluster.net
        bad.say = [NOT_NOW] * 1000
        await one.grow(1)
        await asyncio.sleep(0.8)
        assert len(bad.heard) <= 6
        await until(lambda: len(bad.heard) >= 2)
        backoff = one.line(1).backoff
        net.split([one.node.name], [one.cluster.name(1)])
        backoff.failures = 20  # as after a long outage: a pause of at least 50 s comes next
        await until(lambda: backoff.failures == 21)
        bad.say.clear()
        net.heal()
        tries = len(bad.heard)
        for _ in range(5):  # growth does not shorten the pause, a sign of life does
            await one.grow(1)
        one.pusher.alive(one.cluster.name(2))
        await asyncio.sleep(0.1)
        assert len(bad.heard) == tries
        one.pusher.alive(one.cluster.name(1))
        await until(lambda: len(bad.heard) > tries)


async def test_what_a_peer_refuses_is_not_tried_again_for_a_sign_of_life(tmp_path: Path) -> None:
    rhythm = replace(QUICK, backoff=0.02, backoff_cap=100.0)
    async with publishing(tmp_path, 1, rhythm=rhythm) as one:
        bad, backoff = one.peers[1], one.line(1).backoff
        bad.say = [NOT_NOW] * 1000
        await one.grow(1)
        await until(lambda: bad.heard)
        backoff.failures = 20
        await until(lambda: backoff.failures == 21)
        tries = len(bad.heard)
        for _ in range(5):
            one.pusher.alive(one.cluster.name(1))
            await asyncio.sleep(0.05)
        assert len(bad.heard) == tries


async def test_signs_of_life_are_no_way_to_make_this_node_send_without_end(tmp_path: Path) -> None:
    rhythm = replace(QUICK, backoff=0.2, backoff_cap=100.0)
    async with publishing(tmp_path, 1, rhythm=rhythm) as one:
        bad = one.peers[1]
        bad.say = [json_reply({"size": 0, "certified": 0})] * 10_000
        await one.grow(1)
        for _ in range(60):
            one.pusher.alive(one.cluster.name(1))
            await asyncio.sleep(0.01)
        assert len(bad.heard) <= 6


async def test_a_peer_whose_word_goes_to_and_fro_does_not_keep_this_node_busy(
    tmp_path: Path,
) -> None:
    rhythm = replace(QUICK, backoff=0.2, backoff_cap=100.0)
    async with publishing(tmp_path, 1, rhythm=rhythm) as one:
        bad = one.peers[1]
        bad.say = [json_reply({"size": n % 3, "certified": 0}) for n in range(10_000)]
        await one.grow(4)
        await asyncio.sleep(0.6)
        assert len(bad.heard) <= 8


async def test_nobody_at_home_is_survived(tmp_path: Path) -> None:
    async with publishing(tmp_path) as one:
        await one.grow(1)
        await until(lambda: one.line(1).backoff.failures >= 2)
        await one.pusher.stop()
        assert one.line(1).task is None
        await one.pusher.stop()


async def test_a_vector_tells_where_a_peer_stands(tmp_path: Path) -> None:
    """It pulled, so it need not be pushed what it has; it never lowers what a push has told."""
    async with publishing(tmp_path, 1) as one:
        await one.grow(3)
        await until(lambda: one.line(1).held == 3)
        name = one.cluster.name(1)
        one.pusher.learned(name, 1, 0)
        assert one.line(1).held == 3
        one.pusher.learned(name, 10**9, 10**9)
        assert one.line(1).held == 3, "nobody holds more than there is"
        one.pusher.learned(one.cluster.name(2), 2, 0)
        assert one.line(2).held == 2


async def test_after_a_halt_nothing_goes_out(tmp_path: Path) -> None:
    async with publishing(tmp_path, 1) as one:
        one.pusher.halt()
        await one.grow(1)
        await asyncio.sleep(0.1)
        assert one.peers[1].asked == []


async def test_a_cosignature_counts_only_from_whom_it_was_asked(tmp_path: Path) -> None:
    """One member's witness can't stand in for another's."""
    async with publishing(tmp_path, 1, 2, started=False) as one:
        one.peers[2].member = one.cluster.mesh.members[1]
        one.pusher.start()
        await one.grow(1)
        await until(lambda: one.line(2).cosigning.failures >= 2)
        assert one.certified == 0
        one.peers[2].member = one.cluster.mesh.members[2]
        await until(lambda: one.certified == 1)
