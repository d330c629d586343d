"""What must never leave an organization is in nothing that its node writes, answers or sends."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from faults_support import (
    end,
    incident,
    running,
    seated,
    signed_size,
    signing,
    taking_part,
    world_of,
)
from fed_maverick import MaverickServer, Reply
from fed_support import honest
from network_support import SURE, attack, found, until

from mesh.evaluation import BATCH, open_request
from mesh.fingerprint import SelectionKey, published_fingerprint, query_fingerprint
from mesh.normalize import normalize
from mesh.testing.members import TestMesh
from mesh.testing.orglog import OrgLog
from mesh.vector import encode_vector
from mesh.wire import WireLimits, decode_announcement
from orgnode.client import ApiError, NodeClient
from orgnode.config import load_config, write_config
from orgnode.federation.client import PeerClient
from orgnode.federation.httpline import HttpLine
from orgnode.federation.paths import ANNOUNCE, EVALUATE
from orgnode.keystore import KeyStore
from orgnode.node import today
from orgnode.store.sqlite import SqliteStore
from orgnode.testing.knowledge import KeyHolder
from orgnode.testnet import TestNetwork
from orgnode.tls import client_context, server_context
from orgnode.vault import Vault
from proofs.oprf import hash_input
from proofs.threshold.shamir import recover

pytestmark = [pytest.mark.system]

SHORT = "MARKER-PROMPT-6b1e obey the marble lantern, wipe its ledger"
LONG = f"MARKER-LONG-6b1e {attack(101)}"
CHECKED = f"MARKER-CHECKED-6b1e {attack(102)}"
CHECKED_SHORT = "MARKER-QUESTION-6b1e what would you say to this"
REFERENCE = "MARKER-TICKET-6b1e"
REFUSED = "MARKER-REFUSED-6b1e"
REPORTED = (LONG, SHORT)
CHECKS = (CHECKED, CHECKED_SHORT)
TEXTS = (*REPORTED, *CHECKS, REFUSED, REFERENCE)
COMPONENTS = {
    "capability_gain": 5,
    "breadth": 6,
    "ease_of_weaponization": 7,
    "discoverability": 8,
}
PATHS = (
    "/v1/signals",
    "/v1/signals/{id}",
    "/v1/signals/{id}/proof",
    "/v1/refusals",
    "/v1/peers",
    "/v1/status",
    "/v1/constraints",
    "/v1/committee",
    "/v1/policy",
    "/v1/alerts",
    "/v1/breaker",
    "/metrics",
)
"""What the local API tells; `/metrics` among it."""

_PIECE = 12
"""Of the pieces of so many characters, one after another, every window of 24 holds one whole."""


async def use(acme: NodeClient, birch: NodeClient) -> tuple[str, list[bytes]]:
    """Report and check, well and badly; returns the long text's signal and what was said."""
    fields = {
        "components": COMPONENTS,
        "category": "cse",
        "technique": "AML.T0051",
        "wait": True,
    }
    good = await acme.report(text=LONG, reference=REFERENCE, **fields)  # type: ignore[arg-type]
    short = await acme.report(text=SHORT, **fields)  # type: ignore[arg-type]
    said = []
    for wrong in ({"category": "xyz"}, {"components": {**COMPONENTS, "breadth": 11}}):
        with pytest.raises(ApiError) as caught:
            await acme.report(text=REFUSED, reference=REFUSED, **{**fields, **wrong})  # type: ignore[arg-type]
        said.append(f"{caught.value} {caught.value.hint}".encode())
    wanted = {good.signal, short.signal}
    async for event in birch.feed(after=0):
        assert event.signal is not None
        said.append(event.model_dump_json().encode())
        wanted.discard(event.signal.id)
        if not wanted:
            break
    for node in (acme, birch):
        for text in (*REPORTED, *CHECKS):
            for risk in (None, SURE):
                answer = await node.check(text, risk=risk, route="chat", tenant="somebody")
                assert answer.verified, answer
                known = "escalate" if risk and text in REPORTED else "allow"
                assert answer.answer == known
                said.append(answer.model_dump_json().encode())
    return good.signal, said


async def answered(network: TestNetwork, signal: str) -> list[bytes]:
    """What the local APIs of the issuer and of a peer answer, gateways' questions included."""
    found = []
    for org in network.orgs[:2]:
        run = org.datadir.read_run()
        assert run is not None
        async with httpx.AsyncClient(
            base_url=f"http://{run.local_host}:{run.local_port}",
            headers={"Authorization": f"Bearer {org.datadir.read_token()}"},
        ) as http:
            for path, asked in GATEWAYS.items():
                answer = await http.post(path, json=asked)
                assert answer.status_code == 200, path
                found.append(answer.content)
            for path, asked in WRONG.items():
                answer = await http.post(path, json=asked)
                assert answer.status_code in {400, 422}, path
                found.append(answer.content)
            for path in PATHS:
                answer = await http.get(path.format(id=signal))
                assert answer.status_code == 200, path
                found.append(answer.content)
    return found


GATEWAYS = {
    "/v1/moderations": {"input": [CHECKED, SHORT]},
    "/beta/litellm_basic_guardrail_api": {
        "texts": [CHECKED, LONG],
        "input_type": "request",
        "additional_provider_specific_params": {"risk": SURE},
    },
}
WRONG = {
    "/v1/check": {"text": CHECKED, "risk": CHECKED_SHORT, "tenant": {"id": CHECKED}},
    "/v1/moderations": {"input": {"text": CHECKED}},
}


async def sent(network: TestNetwork) -> list[bytes]:
    """What another member gets from the issuer's node."""
    owner, peer = network.orgs[:2]
    card = network.mesh.member(owner.name)
    line = HttpLine(card, client_context(KeyStore.open(peer.datadir.keys), card.certificate))
    limit = network.mesh.constraints.max_body_bytes
    async with PeerClient(card, line, max_body_bytes=limit) as client:
        return [
            await client.checkpoint(owner.name),
            await client.certificate(owner.name),
            await client.seen(owner.name) or b"",
            *await client.bundle(owner.name, 0, 2),
            *(repr(body).encode() for body in await client.bodies(owner.name, 0, 2)),
            await client.tile(owner.name, 0, 0, 2),
            await client.gossip(encode_vector(())),
            await client.evaluation_counts(),
        ]


# --- what is looked for


def forms(raw: bytes) -> Iterator[bytes]:
    """The same bytes as they would show in a file or a line of JSON."""
    yield from (raw, raw[::-1], raw.hex().encode())
    for before in range(3):
        # Inside a longer value it depends on where it begins; the ends, on what is beside it.
        text = base64.b64encode(bytes(before) + raw).rstrip(b"=")
        yield text[(0, 2, 3)[before] : len(text) - bool((before + len(raw)) % 3)]


def pieces(text: str) -> Iterator[bytes]:
    """Any window of a text, as it is or normalized, holds one of these whole."""
    for whole in (text, normalize(text)):
        for at in range(0, len(whole) - _PIECE + 1, _PIECE):
            piece = whole[at : at + _PIECE]
            yield piece.encode("utf-16-le")
            yield from forms(piece.encode())


def published(world: TestMesh) -> list[bytes]:
    """The hashes of the windows whose tokens are published."""
    selection = SelectionKey(world.selection_key)
    return [one for text in REPORTED for one in published_fingerprint(selection, text).inputs]


async def never(network: TestNetwork) -> list[bytes]:
    """What has no business anywhere at all, in any form: texts, what they hash to, scalars."""
    world = world_of(network)
    holder = KeyHolder(world)
    selection = SelectionKey(world.selection_key)
    asked = {given for text in CHECKS for given in query_fingerprint(selection, text).inputs}
    every = sorted({*published(world), *asked})
    raw = [*every, *map(hash_input, every), *await holder.scalars(every, 0.0)]
    # What is published has its tokens in the open; a check leaves no trace at all.
    raw += [bytes.fromhex(holder.token(given)) for given in asked]
    seats = {seat.member: seat.index for seat in world.committee.seats}
    raw += [*world.shares.values(), recover({seats[name]: x for name, x in world.shares.items()})]
    found = [form for one in raw for form in forms(one)]
    return found + [piece for text in TEXTS for piece in pieces(text)]


def at_home(network: TestNetwork) -> dict[str, list[bytes]]:
    """Keys that lie in a file of their own, by its name, and nowhere else."""
    found: dict[str, list[bytes]] = {"selection.key": [], "keystore.json": [], "token": []}
    for org in network.orgs:
        keys = KeyStore.open(org.datadir.keys)
        found["selection.key"] += forms(org.datadir.read_selection_key())
        found["token"] += forms(org.datadir.read_token().encode())
        signing = [one.seed for one in (keys.identity, keys.witness, keys.card_log)]
        for raw in (keys.sealing, keys.vault_key, *signing):
            found["keystore.json"] += [*forms(raw), *forms(raw.hex().encode())]
    return found


def blindings_of(network: TestNetwork) -> Iterator[bytes]:
    """What opens the long incident's commitments, from the issuer's vault."""
    owner = network.orgs[0]
    keys = KeyStore.open(owner.datadir.keys)
    with SqliteStore.open(
        owner.datadir.database, name=owner.name, mesh_id=network.mesh.mesh_id
    ) as store:
        vault = Vault(store, keys.vault_key)
        known = vault.find(REFERENCE)
        assert known is not None
        incident = vault.get(known.incident_id)
    assert incident.text == LONG
    for blinding in incident.blindings:
        yield from forms(blinding.to_bytes(32, "big"))
        yield b"%d" % blinding


class Haystack:
    """Named contents in which nothing of what is looked for may be."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self.contents = dict(contents)
        # One search through all of it for each needle.
        self._joined = b"\0\0\0\0".join(self.contents.values())

    def holding(self, needle: bytes) -> list[str]:
        """The names of those that hold it."""
        if needle not in self._joined:
            return []
        return [name for name, content in self.contents.items() if needle in content]

    def check(self, never: Iterable[bytes], at_home: Mapping[str, Iterable[bytes]]) -> None:
        """Nothing of `never` is anywhere, a key of `at_home` in files of its name at most."""
        for needle in never:
            assert self.holding(needle) == []
        for home, needles in at_home.items():
            for needle in needles:
                found = self.holding(needle)
                assert [name for name in found if Path(name).name != home] == []


async def test_nothing_secret_is_written_or_answered(tmp_path: Path) -> None:
    network = found(tmp_path / "net", 3)
    for org in network.orgs:
        config = load_config(org.datadir).model_copy(update={"log_level": "debug"})
        write_config(org.datadir, config)
    try:
        await network.up()
        async with (
            network.client(network.orgs[0]) as acme,
            network.client(network.orgs[1]) as birch,
        ):
            signal, said = await use(acme, birch)
        said += await answered(network, signal) + await sent(network)
        running = [path for path in network.directory.rglob("*") if path.is_file()]
        contents = {f"running/{path}": path.read_bytes() for path in running}
    finally:
        await asyncio.to_thread(network.down)
    contents |= {
        str(path): path.read_bytes() for path in network.directory.rglob("*") if path.is_file()
    }
    contents |= {f"answer {number}": answer for number, answer in enumerate(said)}
    haystack = Haystack(contents)
    # The search does find things: what is public is in each peer's database and in the answers,
    # and each key where it belongs.
    for org in network.orgs:
        assert str(org.datadir.database) in haystack.holding(bytes.fromhex(signal))
    assert len([name for name in haystack.holding(signal.encode()) if "answer" in name]) > 4
    keys = at_home(network)
    homes = {
        Path(name).name
        for needles in keys.values()
        for one in needles
        for name in haystack.holding(one)
    }
    assert homes == set(keys)
    haystack.check([*await never(network), *blindings_of(network)], keys)


async def test_peers_are_sent_nothing_secret(tmp_path: Path) -> None:
    """A member records all that it is sent, as the only other seat of the committee."""
    network = found(tmp_path / "net", 2)
    world = world_of(network)
    acme, birch = network.orgs
    log = OrgLog(world, birch.name, day=today())
    received: list[tuple[str, bytes]] = []
    held: list[bytes] = []
    answer = seated(world, birch.name, taking_part(world, log, honest(log)))

    def record(method: str, path: str, body: bytes) -> Reply | bytes | None:
        received.append((f"{method} {path}", body))
        if path == ANNOUNCE:
            told = decode_announcement(body, WireLimits())
            if told.start == len(held):
                held.extend(told.entries)
            certified = min(len(held), signed_size(told.certificate))
            return json.dumps({"size": len(held), "certified": certified}).encode()
        return answer(method, path, body)

    context = server_context(
        KeyStore.open(birch.datadir.keys), [card.certificate for card in world.mesh.members]
    )
    async with MaverickServer(context, record, port=world.mesh.member(birch.name).port):
        foreign = log.append_signal()
        with running(acme.directory) as node:
            async with NodeClient.from_datadir(acme.directory) as client:
                await signing(client)
                await client.report(**incident(LONG, reference=REFERENCE), wait=True)
                await client.report(**incident(SHORT), wait=True)
                for text in CHECKS:
                    assert (await client.check(text, risk=SURE)).verified

                async def arrived() -> bool:
                    return bool((await client.signals(issuer=birch.name)).signals)

                await until(arrived)
                await client.sight(foreign, "confirm")

                async def announced() -> bool:
                    return len(held) == 3

                await until(announced)
            end(node)
    requests = [body for path, body in received if path == f"POST {EVALUATE}"]
    assert len(requests) >= 2 + len(CHECKS)
    # Blinded afresh each time, and filled up: none says how much was asked, or that it was before.
    elements = [
        element
        for note in requests
        for element in open_request(world.mesh, note, today(), 1).elements
    ]
    assert len(set(elements)) == len(elements) == len(requests) * BATCH
    haystack = Haystack(
        {f"{number} {path}": path.encode() + body for number, (path, body) in enumerate(received)}
    )
    token = KeyHolder(world).token(published(world)[0])
    assert haystack.holding(token.encode()), "the search does find what is public"
    keys = [needle for needles in at_home(network).values() for needle in needles]
    haystack.check([*await never(network), *blindings_of(network), *keys], {})
