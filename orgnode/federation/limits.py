"""Deadlines, caps and quotas of the federation side, in one place and all adjustable.

aiohttp by itself leaves partial headers, partial bodies and idle connections open for more than
half an hour, so each phase of an exchange has a deadline of its own here. All times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * 1024

# A single entry (65,535 bytes) with its body always fits into one announcement of this size; what
# does not fit any more is left for the peer to pull.
MAX_ANNOUNCEMENT_BYTES = 4 * MIB


@dataclass(frozen=True)
class ServerLimits:
    """What one peer may ask of the federation server.

    `handshake`: until TLS stands. `header`: from the first byte of a request to the end of its
    headers. `exchange`: from there until the answer has been handed over, so it covers slow bodies
    and slow readers. `idle`: between two requests of a connection. `in_flight`: requests of one
    member at a time, `announcements` of them announcements, each of which may hold megabytes.
    `evaluations`: requests for evaluation of one member at a time. They are counted apart, so that
    many checks don't hold up the logs, nor the logs the checks. It is twice what a client asks for
    at a time: an asker that gave up waiting may come back while its first request is at work.
    `max_evaluation`: bytes of such a request.
    `connections`: open connections of one member; `handshakes`: connections of nobody yet.

    `rate`: requests of one member a second, `burst` at once; evaluations have as many again. What
    costs this node's event loop more than a read has a rate of its own, with so many at once:
    `announce_rate`, `cosign_rate` and `gossip_rate`. An owner whose entries come 50 a second, and
    who gets each certified alone, announces 100 times and asks for 50 cosignatures a second; what
    is refused goes along with what comes after it.
    `reads`: big reads (tiles, bundles, bodies) of one member at a time, `held`: bytes in memory for
    one member, of requests and of answers that it has not taken yet. What is over these two waits.
    """

    handshake: float = 10.0
    header: float = 10.0
    exchange: float = 60.0
    idle: float = 120.0
    linger: float = 1.0
    max_body: int = MAX_ANNOUNCEMENT_BYTES
    max_header: int = 8 * KIB
    max_headers: int = 64
    in_flight: int = 16
    announcements: int = 2
    evaluations: int = 16
    max_evaluation: int = 8 * KIB
    connections: int = 32
    handshakes: int = 128
    rate: float = 500.0
    burst: int = 1_000
    announce_rate: float = 200.0
    announce_burst: int = 400
    cosign_rate: float = 100.0
    cosign_burst: int = 200
    gossip_rate: float = 5.0
    gossip_burst: int = 20
    reads: int = 4
    held: int = 32 * MIB


@dataclass(frozen=True)
class ClientLimits:
    """What this node grants a peer that it asks.

    `short` is the total deadline of small answers (ping, notes, gossip), `long` the one of bundles,
    bodies, tiles and announcements. `idle` is how long an unused connection is kept; it is shorter
    than the server's, so that the asker closes first and no request meets a connection that is
    just closing. `connections` are for the logs, `evaluations` as many again for evaluations, so
    that neither waits for the other.
    """

    short: float = 10.0
    long: float = 60.0
    idle: float = 75.0
    connections: int = 6
    evaluations: int = 8


@dataclass(frozen=True)
class Rhythm:
    """How often peers are asked, and how long a failing one is left alone.

    A random peer is asked what it holds every `gossip[0]`..`gossip[1]` seconds. After failures the
    pause grows from `backoff` by doubling to `backoff_cap`, with full jitter in its upper half.
    `patience` is how long an announcement waits for a pull of the same log that is under way.
    A peer whose copy is pulled keeps its turn for `turn`, then another has one, if there is any.
    Missing bodies are asked for again after `body_pause`; that pause doubles `body_attempts` times
    and then stays.

    A round of cosignatures that others have outgrown is given up after `round_timeout`, which
    doubles up to `round_timeout_cap` while nothing gets certified. A peer that has cosigned waits
    `push_pause` for the others before it is handed what came since. A peer that lacks entries for
    longer than `behind_alert` is an alert, as own entries are that nobody certifies.
    """

    gossip: tuple[float, float] = (1.0, 5.0)
    backoff: float = 0.25
    backoff_cap: float = 60.0
    patience: float = 2.0
    turn: float = 15.0
    body_attempts: int = 8
    body_pause: float = 5.0
    round_timeout: float = 2.0
    round_timeout_cap: float = 30.0
    push_pause: float = 0.05
    behind_alert: float = 30.0
