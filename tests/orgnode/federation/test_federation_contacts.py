"""When a peer counts as up: its own request says more than an earlier failure to reach it."""

from __future__ import annotations

from orgnode.federation.contacts import Contacts
from orgnode.federation.errors import PeerAnswerError, PeerTimeoutError, PeerUnreachableError

PEER = "birch.example"


def contacts() -> tuple[Contacts, list[str]]:
    alive: list[str] = []
    return Contacts([PEER], lambda: 5.0, alive.append), alive


def test_a_peer_that_asks_is_up() -> None:
    made, alive = contacts()
    made.failed(PEER, "push", PeerUnreachableError("refused"))
    made.failed(PEER, "gossip", PeerTimeoutError("silent"))
    assert made.error(PEER) == "PeerUnreachableError"
    made.heard(PEER)
    assert (made.error(PEER), made.last(PEER), alive) == ("", 5.0, [PEER])


def test_what_a_peer_answered_wrongly_is_not_forgotten_because_it_asks() -> None:
    made, _ = contacts()
    made.failed(PEER, "push", PeerAnswerError("nonsense"))
    made.heard(PEER)
    assert made.error(PEER) == "PeerAnswerError"


def test_one_exchange_that_works_excuses_no_other() -> None:
    made, alive = contacts()
    made.failed(PEER, "push", PeerTimeoutError("silent"))
    made.worked(PEER, "gossip")
    assert (made.error(PEER), alive) == ("PeerTimeoutError", [PEER])
    made.worked(PEER, "push")
    assert made.error(PEER) == ""
