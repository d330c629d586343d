"""Against medallion 3.0.0, the TAXII 2.1 reference server: 1,000 objects published, then read back by a peer.

TAXII objects are ready-made JSON. They are posted one a request, 16 requests in flight over kept connections,
and read back in pages of 100, as its clients do. Ours are measured twice: ready-made signals, 16 in flight,
which is the same job (each is still signed, appended, committed to disk, pushed over mutual TLS, and has its
note, tree and proof verified by the peer before it is stored); and from incidents, so that making 1,000
proofs is in the time as well.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.network import found, held, incident, running, running_alone
from benchmarks.report import Row, child
from mesh.entry import Kind
from mesh.signal import SignalDraft, compose_signal, parse_signal
from orgnode.client import NodeClient
from orgnode.node import Node, today
from orgnode.ownlog import Draft
from proofs.ristretto import scalar

OBJECTS = 1_000
IN_FLIGHT = 16
VENV = Path(__file__).parent.parent / ".benchmarks" / "medallion"
LOCK = Path(__file__).parent / "medallion.lock"
COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
MEDIA = "application/taxii+json;version=2.1"


def _install() -> Path:
    server = VENV / "bin" / "medallion"
    if not server.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run(
            [VENV / "bin" / "pip", "install", "-q", "--require-hashes", "-r", str(LOCK)], check=True
        )
    return server


def _medallion(root: Path, size: int) -> tuple[float, float]:
    """Seconds to publish and to read back."""
    config = {
        "backend": {
            "module": "medallion.backends.memory_backend",
            "module_class": "MemoryBackend",
            "filename": str(root / "data.json"),
        },
        "users": {"user": "pass"},
        "taxii": {"max_page_size": 100},
    }
    collection = {
        "id": COLLECTION, "title": "signals", "can_read": True, "can_write": True,
        "media_types": ["application/stix+json;version=2.1"], "objects": [], "manifest": [],
    }  # fmt: skip
    data = {
        "/discovery": {"title": "bench", "default": "/api1/", "api_roots": ["/api1/"]},
        "api1": {
            "information": {
                "title": "bench",
                "versions": [MEDIA],
                "max_content_length": 10_485_760,
            },
            "status": [],
            "collections": [collection],
        },
    }
    (root / "config.json").write_text(json.dumps(config))
    (root / "data.json").write_text(json.dumps(data))
    port = 5998
    command = [str(_install()), "--port", str(port), str(root / "config.json")]
    with (root / "medallion.log").open("w") as log, child(command, stdout=log, stderr=log):
        connection = _connect(port)  # when this is there, so is the server
        headers = {
            "Authorization": "Basic " + base64.b64encode(b"user:pass").decode(),
            "Accept": MEDIA,
            "Content-Type": MEDIA,
        }
        path = f"/api1/collections/{COLLECTION}/objects/"
        objects = [_indicator(number, size) for number in range(OBJECTS)]
        start = time.perf_counter()
        shares = [objects[place::IN_FLIGHT] for place in range(IN_FLIGHT)]
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for done in [pool.submit(_post, port, path, headers, share) for share in shares]:
                done.result()
        published = time.perf_counter() - start
        start, got, more = time.perf_counter(), 0, ""
        while True:
            connection.request("GET", f"{path}?limit=100{more}", headers=headers)
            page = json.loads(connection.getresponse().read())
            got += len(page.get("objects", []))
            if not page.get("more"):
                break
            more = f"&next={page['next']}"
        if got != OBJECTS:
            raise AssertionError(f"medallion gave back {got}")
        return published, time.perf_counter() - start


def _post(port: int, path: str, headers: dict[str, str], objects: list[dict[str, object]]) -> None:
    connection = _connect(port)
    for one in objects:
        connection.request("POST", path, json.dumps({"objects": [one]}), headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 202:
            raise AssertionError(f"medallion answered {answer.status}")
    connection.close()


def _connect(port: int) -> http.client.HTTPConnection:
    end = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.connect()
            return connection
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _indicator(number: int, size: int) -> dict[str, object]:
    moment = f"2026-01-01T00:00:00.{number:03d}Z"
    one: dict[str, object] = {
        "type": "indicator", "spec_version": "2.1", "id": f"indicator--{uuid.uuid4()}",
        "created": moment, "modified": moment, "valid_from": moment,
        "pattern_type": "stix", "pattern": "",
    }  # fmt: skip
    one["pattern"] = "x" * (size - len(json.dumps(one)))
    return one


def _ready_made(node: Node) -> list[Draft]:
    made = []
    for number in range(OBJECTS):
        salt = os.urandom(32)
        draft = SignalDraft("cse", "AML.T0051", (scalar(number + 1),), (5, 6, 5, 4))
        body = compose_signal(node.mesh, node.name, draft, salt, os.urandom(64)).body
        made.append(
            Draft(Kind.SIGNAL, today() + 90, body=body, salt=salt, signal=parse_signal(body))  # type: ignore[arg-type]
        )
    return made


async def _until_held(reader: NodeClient, peer: str) -> None:
    while await held(reader, peer) < OBJECTS:
        await asyncio.sleep(0.01)
    counts = (await reader.status()).entries[peer]
    if counts["accepted"] != OBJECTS:
        raise AssertionError(f"not all were accepted: {counts}")


async def _append(node: Node, drafts: list[Draft]) -> None:
    for draft in drafts:  # each acknowledged before the next
        await node.own_log.append(draft)


async def _ours_ready_made(root: Path) -> tuple[float, int]:
    network = found(root, 2, workers=2)
    async with running_alone(network, 1) as peer, Node.open(network.orgs[0].datadir) as (node, _):
        drafts = _ready_made(node)
        await node.replicator.recovery.done.wait()
        start = time.perf_counter()
        await asyncio.gather(
            *(_append(node, drafts[place::IN_FLIGHT]) for place in range(IN_FLIGHT))
        )
        await _until_held(peer, node.name)
        took = time.perf_counter() - start
        size = (
            len(node.store.entries(node.name, 0, 1)[0]) + len(drafts[0].body) + len(drafts[0].salt)
        )
        return took, size


async def _ours_from_incidents(root: Path) -> float:
    network = found(root, 2, workers=2)
    async with running(network) as (writer, reader):
        start = time.perf_counter()
        results = await writer.report_many(incident(number) for number in range(OBJECTS))
        if not all(result.ok for result in results):
            raise AssertionError("an incident was not published")
        await _until_held(reader, network.orgs[0].name)
        return time.perf_counter() - start


def run() -> list[Row]:
    """Measure both in one run, one after the other."""
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as root:
        paths = [Path(root, name) for name in ("a", "b", "c")]
        for path in paths:
            path.mkdir()
        made, size = asyncio.run(_ours_ready_made(paths[0]))
        proven = asyncio.run(_ours_from_incidents(paths[1]))
        published, read = _medallion(paths[2], size)
    theirs = OBJECTS / (published + read)
    return [
        Row("medallion: 1,000 objects published and read back", theirs, "objects/s", how=f"{size} B each; {published:.1f} s + {read:.1f} s"),
        Row("ours: ready-made signals, verified by the peer", OBJECTS / made, "signals/s", how=f"{size} B each; {made:.2f} s"),
        Row("ours / medallion", OBJECTS / made / theirs, "×", 10, at_most=False, how="objects that are ready-made on both sides"),
        Row("ours: from incidents, proofs made and verified", OBJECTS / proven, "signals/s", how=f"{proven:.2f} s"),
        Row("ours from incidents / medallion", OBJECTS / proven / theirs, "×", how="1,000 proofs made in the time, too"),
    ]  # fmt: skip
