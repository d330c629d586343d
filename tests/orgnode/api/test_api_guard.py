"""What stands before every route: host, token, one form of errors; and listening."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import socket
from contextlib import suppress
from typing import Any

import pytest
import structlog
from api_support import TOKEN, ApiNode, Served, incident, serving

from orgnode.api import ApiOptions, LocalServer, build_app
from orgnode.api.app import routes_of
from orgnode.api.guard import host_names
from orgnode.api.server import LocalListenError
from orgnode.config import NodeConfig


async def raw(port: int, request: str) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are; return status, headers, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    writer.close()
    await writer.wait_closed()
    return int(first.split()[1]), headers, body


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        f"Authorization: Bearer {TOKEN}x\r\n",
        f"Authorization: Bearer {TOKEN[:-1]}\r\n",
        f"Authorization: Basic {TOKEN}\r\n",
        f"Authorization: {TOKEN}\r\n",
        f"Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer wrong\r\n",
        f"Authorization: Bearer wrong\r\nAuthorization: Bearer {TOKEN}\r\n",
        "Authorization: Bearer \xff\xfe\r\n",
    ],
)
async def test_nothing_is_served_without_the_token(api: Served, authorization: str) -> None:
    for path in ("/v1/status", "/v1/feed", "/metrics", "/v1/openapi.json", "/nothing"):
        status, headers, body = await raw(
            api.server.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n"
        )
        assert status == 401
        assert headers["www-authenticate"] == 'Bearer realm="orgnode"'
        problem = json.loads(body)["error"]
        assert problem["code"] == "UnauthorizedError"
        assert "token" in problem["hint"]
        assert TOKEN not in body.decode()


async def test_every_route_but_health_asks_for_the_token(api: Served) -> None:
    for route in routes_of(api.node, ApiOptions(TOKEN)):
        headers = {"Authorization": "Bearer wrong"}
        async with api.session.request(
            route.method, api.url + route.path, headers=headers
        ) as response:
            assert (response.status == 401) is not route.open, route.path
    assert {r.path for r in routes_of(api.node, ApiOptions(TOKEN)) if r.open} == {
        "/",
        "/healthz",
        "/readyz",
    }


async def test_metrics_can_be_opened(node: ApiNode) -> None:
    async with serving(node, ApiOptions(TOKEN, metrics_open=True)) as api:
        status, _, body = await raw(
            api.server.port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        assert status == 200
        assert b"orgnode_feed_subscribers" in body
        status, _, _ = await raw(
            api.server.port, "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        assert status == 401


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("LocalHost:8460", True),
        ("127.0.0.1:1", True),
        ("[::1]:8460", True),
        ("[::1]", True),
        ("attacker.example", False),
        ("attacker.example:8460", False),
        ("127.0.0.1.attacker.example", False),
        ("localhost.attacker.example", False),
        ("127.0.0.1:8460@attacker.example", False),
        ("192.0.2.7", False),
        ("", False),
    ],
)
async def test_a_rebound_host_name_is_turned_away(api: Served, host: str, allowed: bool) -> None:
    # Before the token and for open paths too: the page's own script has no token, but learns.
    for path in ("/v1/status", "/healthz"):
        status, _, body = await raw(
            api.server.port,
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
        )
        assert status == (200 if allowed else 421)
        if not allowed:
            assert json.loads(body)["error"]["code"] == "HostNotAllowedError"


async def test_two_host_names_are_none(api: Served) -> None:
    for hosts in (("127.0.0.1", "attacker.example"), ("attacker.example", "127.0.0.1")):
        status, _, _ = await raw(
            api.server.port,
            f"GET /healthz HTTP/1.1\r\nHost: {hosts[0]}\r\nHost: {hosts[1]}\r\n\r\n",
        )
        assert status in (400, 421)


def test_host_names_follow_the_listening_address() -> None:
    assert "node.internal" in host_names("Node.internal")
    assert "192.0.2.7" in host_names("192.0.2.7")
    assert "[2001:db8::1]" in host_names("2001:db8::1")
    assert host_names("0.0.0.0") == host_names("::") == host_names("127.0.0.1")


async def test_no_answer_allows_another_origin(api: Served) -> None:
    for method in ("GET", "OPTIONS"):
        async with api.session.request(
            method,
            f"{api.url}/v1/status",
            headers={
                "Origin": "https://attacker.example",
                "Access-Control-Request-Method": "GET",
            },
        ) as response:
            assert not [name for name in response.headers if name.startswith("Access-Control")]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store"


async def test_unknown_paths_and_methods_have_the_common_form(api: Served) -> None:
    for path in ("/v1", "/v1/signal", "/v1/signals/", "/v1/signals/a/b", "/V1/STATUS"):
        status, refused = await api.get(path)
        assert (status, refused["error"]["code"]) == (404, "UnknownRouteError")
        assert "openapi" in refused["error"]["hint"]
    async with api.session.delete(f"{api.url}/v1/status") as response:
        refused = await response.json()
        assert (response.status, refused["error"]["code"]) == (405, "MethodNotAllowedError")
        assert response.headers["Allow"] == "GET"
    async with api.session.head(f"{api.url}/healthz") as response:
        assert response.status == 405


async def test_an_unexpected_failure_shows_its_caller_nothing(
    node: ApiNode,
) -> None:
    secret = "what the prompt said"

    def broken() -> Any:
        raise LookupError(secret)

    node.peers = broken  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as lines:
        async with serving(node) as api:
            status, refused = await api.get("/v1/peers")
    assert status == 500
    assert refused["error"]["code"] == "InternalError"
    assert secret not in json.dumps(refused)
    (line,) = [line for line in lines if line["event"] == "api.failed"]
    assert (line["route"], line["method"]) == ("/v1/peers", "GET")
    assert isinstance(line["exc_info"], LookupError)


async def test_requests_are_counted_by_route_not_by_path(api: Served) -> None:
    await api.get(f"/v1/signals/{'0' * 64}")
    await api.get("/made/up/path")
    text = api.node.metrics.render()[0].decode()
    assert 'orgnode_api_requests_total{route="/v1/signals/{id}",status="404"} 1.0' in text
    assert 'orgnode_api_requests_total{route="unknown",status="404"} 1.0' in text
    assert "made" not in text


async def test_a_body_that_trickles_in_is_cut(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orgnode.api.routing.BODY_SECONDS", 0.1)
    status, _, body = await raw(
        api.server.port,
        "POST /v1/incidents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {TOKEN}\r\n\r\n{{",
    )
    assert (status, json.loads(body)["error"]["code"]) == (408, "RequestTooSlowError")


async def test_a_compressed_bomb_is_refused_unread(api: Served) -> None:
    bomb = io.BytesIO(gzip.compress(json.dumps(incident(text="a" * 50_000_000)).encode()))
    async with api.session.post(
        f"{api.url}/v1/incidents",
        data=bomb,
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ) as response:
        assert response.status == 415


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: loc"])
async def test_headers_that_never_end_are_cut_off(
    node: ApiNode, before: bytes, sent: bytes
) -> None:
    # Without a token, any program of the machine could hold all file descriptors with them.
    if before and not sent:
        return  # an idle connection, which is kept for a while
    server = LocalServer(build_app(node, ApiOptions(TOKEN)), "127.0.0.1", 0, header_seconds=0.2)
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        if before:
            writer.write(before)
            assert b"200" in await reader.readline()
            await reader.readuntil(b"}")
        async with asyncio.timeout(5):
            with suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(sent)
                    await asyncio.sleep(0.02)
                    sent = sent and b"a"
                    if reader.exception() is not None:
                        break
        writer.close()
    finally:
        await server.stop()


async def test_a_request_may_take_longer_than_its_headers(node: ApiNode) -> None:
    server = LocalServer(build_app(node, ApiOptions(TOKEN)), "127.0.0.1", 0, header_seconds=0.1)
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = (
            f"POST /v1/incidents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        )
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n".encode())
        await asyncio.sleep(0.4)  # the body is slow
        writer.write(b"{}")
        assert b"422" in await reader.readline()
        writer.close()
    finally:
        await server.stop()


async def test_there_are_only_so_many_connections(node: ApiNode) -> None:
    server = LocalServer(build_app(node, ApiOptions(TOKEN)), "127.0.0.1", 0, connections=3)
    await server.start()
    try:
        opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(6)]
        answered = []
        for reader, writer in opened:
            with suppress(ConnectionError):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if await reader.readline():
                    answered.append(writer)
        assert len(answered) == 3
        for _, writer in opened:
            writer.close()
        async with asyncio.timeout(5):
            while True:  # the closed ones are counted out again
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                with suppress(ConnectionError):
                    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    if b"200" in await reader.readline():
                        break
                writer.close()
        writer.close()
    finally:
        await server.stop()


async def test_a_port_in_use_is_named_with_what_to_do(api: Served, node: ApiNode) -> None:
    other = LocalServer(build_app(node, ApiOptions(TOKEN)), "127.0.0.1", api.server.port)
    with pytest.raises(LocalListenError, match=str(api.server.port)) as caught:
        await other.start()
    assert "local_port" in caught.value.hint
    nowhere = LocalServer(build_app(node, ApiOptions(TOKEN)), "192.0.2.1", 0)
    with pytest.raises(LocalListenError) as caught:
        await nowhere.start()
    assert "local_host" in caught.value.hint


async def test_stopping_twice_is_harmless(node: ApiNode) -> None:
    server = LocalServer(build_app(node, ApiOptions(TOKEN)), "127.0.0.1", 0)
    await server.start()
    await server.stop()
    await server.stop()
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", server.port))


def test_options_follow_the_settings_and_hide_the_token() -> None:
    config = NodeConfig(
        name="acme.example",
        control_group="acme",
        local_host="192.0.2.7",
        heartbeat_seconds=3.0,
        subscriber_buffer=77,
        metrics_open=True,
    )
    options = ApiOptions.of(config, TOKEN)
    assert options.feed.heartbeat_seconds == 3.0
    assert options.feed.buffer_events == 77
    assert options.metrics_open
    assert "192.0.2.7" in options.hosts
    assert TOKEN not in repr(options)


@pytest.mark.parametrize("token", [TOKEN, "wrong"])
async def test_an_expectation_does_not_go_past_the_guard(api: Served, token: str) -> None:
    status, _, body = await raw(
        api.server.port,
        "POST /v1/incidents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        f"Content-Type: application/json\r\nExpect: a-pony\r\nAuthorization: Bearer {token}"
        "\r\n\r\n{}",
    )
    assert status == (422 if token == TOKEN else 401)
    assert json.loads(body)["error"]["code"]


async def test_a_client_that_waits_for_100_continue_gets_it(api: Served) -> None:
    body = json.dumps(incident()).encode()
    async with api.session.post(
        f"{api.url}/v1/incidents",
        data=body,
        headers={"Content-Type": "application/json"},
        expect100=True,
    ) as response:
        assert response.status == 201
