"""The checks of `orgnode doctor` that reach out: ports, the running node, the peers, the clock."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Final

from mesh.genesis import Mesh
from mesh.member import MemberCard
from orgnode.alerts import HINTS
from orgnode.api.node_models import AlertAnswer
from orgnode.cli.checks import (
    Check,
    bad,
    check_backends,
    check_benign,
    check_card,
    check_committee,
    check_config,
    check_database,
    check_directory,
    check_disk,
    check_environment,
    check_genesis,
    check_keys,
    check_policy,
    check_python,
    check_restored,
    check_selection_key,
    check_token,
    good,
    problem,
    skipped,
    warning,
)
from orgnode.cli.render import moment
from orgnode.client import NodeClient
from orgnode.config import NodeConfig
from orgnode.copies import NEVER_TWO, PORT_TAKEN, copy_answers
from orgnode.datadir import DataDir, RunInfo
from orgnode.errors import OrgnodeError
from orgnode.federation.paths import PING
from orgnode.keystore import KeyStore
from orgnode.restored import GONE_FOR_EVER
from orgnode.tls import client_context

PEER_SECONDS: Final = 5.0
"""How long a peer may take to answer."""

CLOCK_SECONDS: Final = 300
"""How far clocks may be apart before a warning: only days are compared in the mesh."""


def run_checks(datadir: DataDir, passphrase: str | None) -> Iterator[Check]:
    """Run every check, in order; each is yielded as it ends."""
    yield check_python()
    yield check_backends()
    yield check_environment()
    yield check_directory(datadir)
    if not _holds_a_node(datadir):
        return
    config, found = check_config(datadir)
    yield found
    keystore, found = check_keys(datadir, passphrase)
    yield found
    yield check_card(datadir, config, keystore)
    mesh, found = check_genesis(datadir, keystore)
    yield found
    yield check_selection_key(datadir, mesh)
    yield check_committee(datadir, mesh, keystore)
    yield check_benign(datadir, mesh)
    yield check_policy(datadir)
    yield check_token(datadir)
    yield check_disk(datadir)
    yield check_database(datadir)
    restored = check_restored(datadir, mesh, keystore)
    if restored is not None:
        yield restored
    run = datadir.read_run()
    if not datadir.in_use() and mesh is not None and keystore is not None and config is not None:
        yield check_copy(mesh, keystore, config)
    yield from check_ports(datadir, config, run, joined=mesh is not None)
    yield check_node(datadir, run)
    if run is not None:
        yield from check_alerts(datadir)
    if mesh is None or keystore is None or config is None:
        yield skipped("peers", "needs config, keys and genesis")
    else:
        yield from check_peers(mesh, keystore, config)


def _holds_a_node(datadir: DataDir) -> bool:
    try:
        datadir.check_exists()
    except OrgnodeError:
        return False
    return True


# --- the running node


def check_copy(mesh: Mesh, keystore: KeyStore, config: NodeConfig) -> Check:
    """While this node does not run, nobody answers with its key where its card leads."""
    card, source = mesh.member(config.name), config.federation_source or None
    if asyncio.run(copy_answers(card, keystore, source=source)):
        return bad(
            "copies",
            f"a node with the key of {card.name} answers at {card.host}:{card.port}, and it is not "
            "of this directory",
            NEVER_TWO,
        )
    return good("copies", f"no other node with this key answers at {card.host}:{card.port}")


def check_ports(
    datadir: DataDir, config: NodeConfig | None, run: RunInfo | None, *, joined: bool
) -> Iterator[Check]:
    """The ports are the node's if it runs, and free if it does not."""
    if config is None:
        yield skipped("ports", "needs a config")
        return
    if run is not None:
        for name, host, port in (
            ("local port", run.local_host, run.local_port),
            ("federation port", config.federation_host, run.federation_port),
        ):
            yield _listening(name, host, port)
        return
    for name, host, port in (
        ("local port", config.local_host, config.local_port),
        ("federation port", config.federation_host, config.federation_port),
    ):
        hint = f"stop what uses it, or set another {name.replace(' ', '_')} in config.toml"
        if joined and name == "federation port":
            hint = PORT_TAKEN
        yield _free(name, host, port, hint)


def _listening(name: str, host: str, port: int) -> Check:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - the other way
    try:
        socket.create_connection((target, port), timeout=3.0).close()
    except OSError as error:
        return bad(
            name,
            f"nothing answers on {target}:{port} ({error.strerror or type(error).__name__})",
            "look at the node's log, and restart it",
        )
    return good(name, f"listening on {host}:{port}")


def _free(name: str, host: str, port: int, hint: str) -> Check:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return bad(
            name,
            f"{host}:{port} can't be listened on ({error.strerror or type(error).__name__})",
            hint,
        )
    return good(name, f"{host}:{port} is free")


def check_node(datadir: DataDir, run: RunInfo | None) -> Check:
    """The node runs and is ready."""
    if run is None:
        if datadir.in_use():
            return warning("node", "a process holds the directory but is not ready", "wait for it")
        return skipped("node", "not running; start it with `orgnode run`")
    try:
        return asyncio.run(_ask_node(datadir, run))
    except OrgnodeError as error:
        return problem("node", error)


async def _ask_node(datadir: DataDir, run: RunInfo) -> Check:
    async with NodeClient.from_datadir(datadir.path, timeout=5.0) as node:
        ready = await node.ready()
        if ready.reasons == ["draining"]:
            return warning("node", "it is about to stop", "wait for it")
        if not ready.ready:
            return bad("node", f"not ready: {'; '.join(ready.reasons)}", HINTS["disk"])
        if ready.halted is not None:
            halted = ready.halted
            return bad(
                "node",
                f"it publishes nothing any more: {halted.code}: {halted.message}",
                halted.hint,
            )
        if ready.recovering:
            return warning(
                "node",
                f"it publishes nothing yet: {ready.recovering}",
                "wait until these members run and answer; checks and reads work meanwhile. If it "
                f"was restored: {GONE_FOR_EVER}",
            )
        status = await node.status()
        return good(
            "node",
            f"ready (process {run.pid}), {status.log_size} own entries "
            f"({status.certified_size} certified), {status.last_event} events, "
            f"{status.subscribers} subscribers",
        )


def check_alerts(datadir: DataDir) -> Iterator[Check]:
    """What the running node wants a person to know. If it does not answer, `check_node` says so."""
    try:
        found = asyncio.run(_ask_alerts(datadir))
    except OrgnodeError as error:
        yield skipped("alerts", f"the node did not tell ({type(error).__name__})")
        return
    for one in found:
        yield warning(
            f"alert {one.kind}",
            f"{one.subject}, since {moment(one.since)}: {one.detail}",
            one.hint,
        )
    if not found:
        yield good("alerts", "none stands")


async def _ask_alerts(datadir: DataDir) -> list[AlertAnswer]:
    async with NodeClient.from_datadir(datadir.path, timeout=5.0) as node:
        return await node.alerts()


# --- the peers


def check_peers(mesh: Mesh, keystore: KeyStore, config: NodeConfig) -> Iterator[Check]:
    """Each peer answers at its endpoint, with its key, in this mesh; and the clocks agree."""
    peers = mesh.peers_of(config.name)
    answers = asyncio.run(_ping_all(peers, keystore, mesh))
    yield from (check for check, _ in answers)
    offsets = sorted(offset for _, offset in answers if offset is not None)
    if not offsets:
        yield skipped("clock", "no peer to compare with")
        return
    middle = offsets[len(offsets) // 2]
    if abs(middle) > CLOCK_SECONDS:
        yield warning(
            "clock",
            f"{abs(middle):.0f} s {'behind' if middle > 0 else 'ahead of'} the peers",
            "synchronize the clock (NTP): a day's difference makes true entries be refused",
        )
    else:
        yield good("clock", f"within {max(1.0, abs(middle)):.0f} s of {len(offsets)} peers")


async def _ping_all(
    peers: tuple[MemberCard, ...], keystore: KeyStore, mesh: Mesh
) -> list[tuple[Check, float | None]]:
    return list(await asyncio.gather(*(_ping(card, keystore, mesh) for card in peers)))


async def _ping(card: MemberCard, keystore: KeyStore, mesh: Mesh) -> tuple[Check, float | None]:
    """Ask a peer's ping endpoint; its answer and how many seconds its clock is ahead."""
    name = f"peer {card.name}"
    try:
        async with asyncio.timeout(PEER_SECONDS):
            answer = await _request(card, keystore)
    except TimeoutError:
        return warning(name, f"no answer within {PEER_SECONDS:.0f} s", f"is {card.name} up?"), None
    except ssl.SSLError:
        return (
            bad(
                name,
                f"the TLS handshake with {card.host}:{card.port} fails",
                f"compare the mesh id with {card.name}: one of you has another genesis",
            ),
            None,
        )
    except OSError as error:
        return (
            warning(
                name,
                f"{card.host}:{card.port}: {error.strerror or type(error).__name__}",
                f"check the network, and whether {card.name}'s node runs",
            ),
            None,
        )
    head, body = answer
    date = next((line[5:].strip() for line in head if line.lower().startswith("date:")), "")
    told = email.utils.parsedate_to_datetime(date).timestamp() if date else None
    offset = None if told is None else told - time.time()
    if head[0].split(" ")[1:2] != ["200"] or mesh.mesh_id.encode() not in body:
        return bad(
            name, "answers, but not for this mesh", f"compare the mesh id with {card.name}"
        ), offset
    return good(name, f"answers at {card.host}:{card.port}"), offset


async def _request(card: MemberCard, keystore: KeyStore) -> tuple[list[str], bytes]:
    """One GET of the peer's ping: the lines of the answer's head, and its body.

    Not the node's own client, which has no use for the answer's `Date`.
    """
    # The peer's own certificate is the only one trusted, so that whoever answers holds its key.
    context = client_context(keystore, card.certificate)
    reader, writer = await asyncio.open_connection(
        card.host, card.port, ssl=context, server_hostname=card.name
    )
    try:
        host = f"[{card.host}]" if ":" in card.host else card.host
        writer.write(
            f"GET {PING} HTTP/1.1\r\nHost: {host}:{card.port}\r\nConnection: close\r\n\r\n".encode()
        )
        data = await reader.read(8_192)
        while chunk := await reader.read(8_192):
            data += chunk
            if len(data) > 65_536:
                break
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode("ascii", "replace").split("\r\n"), body
