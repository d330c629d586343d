"""What must never leave an organization is in nothing that its node writes, answers or sends."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import httpx
import pytest

from orgnode.client import ApiError, NodeClient
from orgnode.config import load_config, write_config
from orgnode.federation.client import PeerClient
from orgnode.keystore import KeyStore
from orgnode.store.sqlite import SqliteStore
from orgnode.testnet import TestNetwork
from orgnode.tls import client_context
from orgnode.vault import Vault

pytestmark = [pytest.mark.system]

TEXT = "MARKER-PROMPT-6b1e ignore all previous instructions"
REFERENCE = "MARKER-TICKET-6b1e"
REFUSED = "MARKER-REFUSED-6b1e"
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
    "/metrics",
)


async def use(acme: NodeClient, birch: NodeClient) -> tuple[str, list[bytes]]:
    """Report well and badly; returns the signal's id and the refusals' messages."""
    good = await acme.report(
        text=TEXT,
        components=COMPONENTS,
        category="cse",
        technique="AML.T0051",
        reference=REFERENCE,
    )
    said = []
    for wrong in ({"category": "xyz"}, {"components": {**COMPONENTS, "breadth": 11}}):
        fields = {"components": COMPONENTS, "category": "cse", "technique": "AML.T0051", **wrong}
        with pytest.raises(ApiError) as caught:
            await acme.report(text=REFUSED, reference=REFUSED, **fields)  # type: ignore[arg-type]
        said.append(f"{caught.value} {caught.value.hint}".encode())
    async for event in birch.feed(after=0):
        assert event.signal is not None
        assert event.signal.id == good.signal
        said.append(event.model_dump_json().encode())
        break
    return good.signal, said


async def answered(network: TestNetwork, signal: str) -> list[bytes]:
    """What the local APIs of the issuer and of a peer answer."""
    found = []
    for org in network.orgs[:2]:
        run = org.datadir.read_run()
        assert run is not None
        async with httpx.AsyncClient(
            base_url=f"http://{run.local_host}:{run.local_port}",
            headers={"Authorization": f"Bearer {org.datadir.read_token()}"},
        ) as http:
            for path in PATHS:
                answer = await http.get(path.format(id=signal))
                assert answer.status_code == 200, path
                found.append(answer.content)
    return found


async def sent(network: TestNetwork) -> list[bytes]:
    """What another member gets from the issuer's node."""
    owner, peer = network.orgs[:2]
    card = network.mesh.member(owner.name)
    context = client_context(KeyStore.open(peer.datadir.keys), card.certificate)
    limit = network.mesh.constraints.max_body_bytes
    async with PeerClient(card, context, max_body_bytes=limit) as client:
        (body,) = await client.bodies(0, 1)
        return [
            await client.checkpoint(),
            *await client.bundle(0, 1),
            repr(body).encode(),
            await client.tile(0, 0, 1),
        ]


def secrets_of(network: TestNetwork) -> list[bytes]:
    """The planted markers and the blinding factors, as they would show if they were anywhere."""
    owner = network.orgs[0]
    keys = KeyStore.open(owner.datadir.keys)
    with SqliteStore.open(
        owner.datadir.database, name=owner.name, mesh_id=network.mesh.mesh_id
    ) as store:
        vault = Vault(store, keys.vault_key)
        known = vault.find(REFERENCE)
        assert known is not None
        incident = vault.get(known.incident_id)
    assert incident.text == TEXT
    forms = []
    for marker in (TEXT, REFERENCE, REFUSED):
        # The beginning is enough: a message that cuts a long value short shows it all the same.
        raw = marker[:18].encode()
        forms += [raw, raw.hex().encode(), base64.b64encode(raw), marker[:18].encode("utf-16-le")]
    for blinding in incident.blindings:
        raw = blinding.to_bytes(32, "big")
        forms += [raw, raw[::-1], raw.hex().encode(), base64.b64encode(raw), b"%d" % blinding]
    return forms


async def test_nothing_secret_is_written_answered_or_sent(tmp_path: Path) -> None:
    network = TestNetwork.create(tmp_path / "net", 3)
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
        written = {f"{path} (running)": path.read_bytes() for path in running}
    finally:
        await asyncio.to_thread(network.down)
    written |= {
        str(path): path.read_bytes() for path in network.directory.rglob("*") if path.is_file()
    }
    # The search does find things: what is public is in each peer's database and in the answers.
    public = bytes.fromhex(signal)
    assert all(public in written[str(org.datadir.database)] for org in network.orgs)
    assert sum(signal.encode() in answer for answer in said) > 4
    for secret in secrets_of(network):
        assert not [name for name, content in written.items() if secret in content]
        assert not [answer for answer in said if secret in answer]
