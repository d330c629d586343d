"""Status, peers, constraints, health, metrics, and the OpenAPI document."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from api_support import ApiNode, Served, incident
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from mesh.genesis import open_genesis
from mesh.testing import OrgLog
from orgnode.api import PeerStatus
from orgnode.api.app import ApiOptions, build_app, routes_of
from orgnode.api.models import FeedItem, SignalsAnswer
from orgnode.api.node_models import AlertsAnswer, ConstraintsAnswer, PeersAnswer, StatusAnswer
from orgnode.api.services import recovery_reason
from orgnode.federation.errors import ForkedSelfError


async def test_status_says_what_the_node_is_and_holds(api: Served, peer_log: OrgLog) -> None:
    await api.post("/v1/incidents", incident())
    peer_log.append_signals(2)
    await api.node.follow(peer_log)
    status, answered = await api.get("/v1/status")
    assert status == 200
    shown = StatusAnswer.model_validate(answered)
    assert (shown.name, shown.mesh) == (api.node.name, api.node.mesh.mesh_id)
    assert (shown.members, shown.trial, shown.ready) == (4, False, True)
    assert (shown.log_size, shown.certified_size, shown.alerts) == (1, 1, 0)
    assert shown.entries[peer_log.name]["accepted"] == 2
    assert shown.last_event == 6
    assert shown.prover
    assert shown.verifier


async def test_peers_show_lag_and_errors(api: Served, peer_log: OrgLog) -> None:
    peer_log.append_signals(2)
    await api.node.follow(peer_log)
    others = [card.name for card in api.node.mesh.peers_of(api.node.name)]
    api.node.statuses = [
        PeerStatus(
            others[0],
            up=True,
            size=2,
            signed_size=7,
            last_contact=1.5,
            certified=1,
            their_size=4,
            behind=9,
            behind_since=2.5,
        ),
        PeerStatus(others[1], up=False, size=9, signed_size=3, error="PeerTimeoutError"),
        PeerStatus(others[2], up=True, size=0, signed_size=0, suspended=True),
    ]
    status, answered = await api.get("/v1/peers")
    assert status == 200
    peers = PeersAnswer.model_validate(answered).peers
    assert [one.name for one in peers] == others
    assert [one.lag for one in peers] == [5, 0, 0]
    assert [one.up for one in peers] == [True, False, True]
    assert [one.suspended for one in peers] == [False, False, True]
    assert peers[1].error == "PeerTimeoutError"
    both = [(one.certified, one.their_size, one.behind, one.behind_since) for one in peers]
    assert both == [(1, 4, 9, 2.5), (0, None, 0, None), (0, None, 0, None)]
    assert peers[0].entries["accepted"] == 2
    assert peers[0].control_group == api.node.mesh.member(others[0]).control_group


async def test_alerts_stand_until_they_are_over(api: Served) -> None:
    assert await api.get("/v1/alerts") == (200, {"alerts": []})
    api.node.alerts.raise_("peer_behind", "birch.example", "it lacks 5 entries")
    api.node.alerts.raise_("unheard_of", "dune.example")
    _, answered = await api.get("/v1/alerts")
    one, other = AlertsAnswer.model_validate(answered).alerts
    assert (one.kind, one.subject, one.detail) == (
        "peer_behind", "birch.example", "it lacks 5 entries",
    )  # fmt: skip
    assert one.since == 1_000.0
    assert "orgnode peers" in one.hint
    assert other.hint == ""
    _, status = await api.get("/v1/status")
    assert status["alerts"] == 2
    api.node.alerts.clear("peer_behind", "birch.example")
    _, answered = await api.get("/v1/alerts")
    assert [one["kind"] for one in answered["alerts"]] == ["unheard_of"]


def test_a_recovering_node_says_whom_it_waits_for() -> None:
    assert recovery_reason(2, 3, ["birch.example", "dune.example"]) == (
        "asking members about this node's past "
        "(2 of 3 answered; waiting for birch.example, dune.example)"
    )
    assert recovery_reason(3, 3, []) == ("asking members about this node's past (3 of 3 answered)")
    assert recovery_reason(2, 3, ["dune.example"], restored=True) == (
        "asking members about this node's past "
        "(2 of 3 answered; after a restore all of them must; waiting for dune.example)"
    )


async def test_constraints_come_with_what_proves_them(api: Served) -> None:
    status, answered = await api.get("/v1/constraints")
    assert status == 200
    shown = ConstraintsAnswer.model_validate(answered)
    mesh = open_genesis(b64decode(shown.genesis))
    assert mesh.mesh_id == shown.mesh == api.node.mesh.mesh_id
    assert shown.digest == mesh.constraints.digest()
    assert shown.constraints == mesh.constraints.to_json()


async def test_a_browser_is_told_what_this_is_and_nothing_of_the_node(api: Served) -> None:
    async with api.session.get(f"{api.url}/", headers={"Authorization": ""}) as response:
        said = await response.text()
        assert (response.status, response.content_type) == (200, "text/plain")
    assert "orgnode --help" in said
    assert "/v1/openapi.json" in said
    assert api.node.name not in said


async def test_health_and_readiness(api: Served) -> None:
    plain: dict[str, Any] = {"headers": {"Authorization": ""}}
    assert await api.get("/healthz", **plain) == (200, {"status": "ok"})
    signing = {
        "ready": True, "reasons": [], "recovering": "", "halted": None, "instance": "this run",
    }  # fmt: skip
    assert await api.get("/readyz", **plain) == (200, signing)
    waits = recovery_reason(1, 2, ["birch.example"])
    api.node.recovering = waits
    assert await api.get("/readyz", **plain) == (200, {**signing, "recovering": waits})
    _, status = await api.get("/v1/status")
    assert (status["ready"], status["recovering"]) == (True, waits)
    api.node.recovering = ""
    api.node.halted = ForkedSelfError("two histories", hint="keep both")
    halted = {"code": "ForkedSelfError", "message": "two histories", "hint": "keep both"}
    assert await api.get("/readyz", **plain) == (200, {**signing, "halted": halted})
    assert (await api.get("/v1/status"))[1]["halted"] == halted
    api.node.halted = None
    api.node.reasons = ("draining", "own log not loaded")
    assert await api.get("/healthz", **plain) == (200, {"status": "ok"})
    assert await api.get("/readyz", **plain) == (
        503,
        {**signing, "ready": False, "reasons": ["draining", "own log not loaded"]},
    )


@pytest.mark.parametrize(
    ("accept", "parse"),
    [
        ("text/plain", text_string_to_metric_families),
        ("application/openmetrics-text; version=1.0.0", parse_openmetrics),
    ],
)
async def test_metrics_are_what_prometheus_reads(api: Served, accept: str, parse: Any) -> None:
    await api.get("/v1/status")
    api.node.metrics.feed_dropped.labels("stalled").inc()
    api.node.metrics.verify_batch_seconds.observe(0.2)
    api.node.metrics.assessed.labels("birch.example", "accepted").inc(3)
    async with api.session.get(f"{api.url}/metrics", headers={"Accept": accept}) as response:
        assert response.status == 200
        assert response.content_type == accept.partition(";")[0]
        families = {one.name: one for one in parse(await response.text())}
    assert set(families) >= {
        "orgnode_assessed_entries",
        "orgnode_feed_deliveries",
        "orgnode_feed_dropped_subscribers",
        "orgnode_feed_subscribers",
        "orgnode_log_entries",
        "orgnode_log_size",
        "orgnode_peer_lag_entries",
        "orgnode_peer_up",
        "orgnode_publish_seconds",
        "orgnode_published_signals",
        "orgnode_verify_batch_seconds",
    }
    (sample,) = [
        one for one in families["orgnode_assessed_entries"].samples if one.name.endswith("_total")
    ]
    assert sample.labels == {"log": "birch.example", "outcome": "accepted"}
    assert sample.value == 3


async def test_scraping_asks_for_what_is_counted_elsewhere(node: ApiNode) -> None:
    node.metrics.on_scrape(lambda: node.metrics.log_size.labels("birch.example").set(7))
    text = node.metrics.render()[0].decode()
    assert 'orgnode_log_size{log="birch.example"} 7.0' in text


async def test_two_nodes_in_a_process_share_no_metrics(node: ApiNode, world: Any) -> None:
    other = ApiNode(world, node.store)
    node.metrics.feed_deliveries.inc(5)
    assert "orgnode_feed_deliveries_total 0.0" in other.metrics.render()[0].decode()


async def test_the_openapi_document_is_valid(api: Served) -> None:
    status, document = await api.get("/v1/openapi.json")
    assert status == 200
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


async def test_the_document_lists_every_route_and_nothing_else(api: Served) -> None:
    _, document = await api.get("/v1/openapi.json")
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    app = build_app(ApiNode(api.node.world, api.node.store), ApiOptions("t" * 32))
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }
    assert described == served
    table = routes_of(ApiNode(api.node.world, api.node.store), ApiOptions("t" * 32))
    assert len({route.name for route in table}) == len(table)


async def test_answers_hold_to_the_documents_schemas(api: Served, peer_log: OrgLog) -> None:
    from jsonschema import Draft202012Validator

    peer_log.append_signals(2)
    await api.node.follow(peer_log)
    _, published = await api.post("/v1/incidents", incident())
    await api.post(f"/v1/signals/{published['signal']}/retract", {"reason": "mistake"})
    api.node.alerts.raise_("peer_behind", "birch.example", "it lacks 5 entries")
    _, document = await api.get("/v1/openapi.json")

    def check(value: Any, operation: str, method: str, status: int) -> None:
        given = document["paths"][operation][method]["responses"][str(status)]
        schema = given["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(value)

    for path, operation in (
        ("/v1/signals", "/v1/signals"),
        (f"/v1/signals/{published['signal']}", "/v1/signals/{id}"),
        (f"/v1/signals/{published['signal']}/proof", "/v1/signals/{id}/proof"),
        ("/v1/refusals", "/v1/refusals"),
        ("/v1/status", "/v1/status"),
        ("/v1/peers", "/v1/peers"),
        ("/v1/alerts", "/v1/alerts"),
        ("/v1/constraints", "/v1/constraints"),
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
    ):
        status, answered = await api.get(path)
        check(answered, operation, "get", status)
    for body in (incident(), {}, incident(category="xyz")):
        status, answered = await api.post("/v1/incidents", body)
        check(answered, "/v1/incidents", "post", status)


async def test_the_feeds_items_are_described(api: Served, peer_log: OrgLog) -> None:
    _, document = await api.get("/v1/openapi.json")
    assert set(document["components"]["schemas"]["FeedItem"]["properties"]) == set(
        FeedItem.model_fields
    )
    parameters = {one["name"]: one for one in document["paths"]["/v1/feed"]["get"]["parameters"]}
    assert set(parameters) == {
        "Last-Event-ID", "min_band", "category", "type", "provisional", "after",
    }  # fmt: skip
    assert parameters["category"]["schema"]["type"] == "array"
    assert SignalsAnswer.model_validate({"signals": []}).next is None
