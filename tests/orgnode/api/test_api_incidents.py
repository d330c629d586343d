"""Publishing through the API, and what it refuses."""

from __future__ import annotations

import asyncio
import io
import json
import time
from typing import Any

import pytest
from api_support import COMPONENTS, Served, incident

from mesh.dampening import DampenedAwayError
from orgnode.api import incidents
from orgnode.api.models import IncidentRequest
from orgnode.errors import OrgnodeError
from orgnode.federation.errors import ForkedSelfError, OwnQuotaError, RecoveringError
from orgnode.publisher import CooldownError

JSON = {"Content-Type": "application/json"}


async def send(api: Served, path: str, data: bytes, **headers: str) -> tuple[int, Any]:
    given = io.BytesIO(data)
    async with api.session.post(
        api.url + path, data=given, headers={**JSON, **headers}
    ) as response:
        return response.status, await response.json()


async def test_a_long_text_holds_up_nobody_else(api: Served) -> None:
    # The attacker writes the text: one of these characters stands for eighteen letters.
    text = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 150_000
    publishing = asyncio.create_task(api.post("/v1/incidents", incident(text=text)))
    slowest = 0.0
    while not publishing.done():
        before = time.monotonic()
        await asyncio.sleep(0.001)
        slowest = max(slowest, time.monotonic() - before)
    assert (await publishing)[0] == 201
    assert slowest < 1.0


async def test_an_incident_becomes_a_signal(api: Served) -> None:
    status, published = await api.post("/v1/incidents", incident())
    assert status == 201
    assert published["band"] == "high"
    assert (published["index"], published["size"], published["duplicate"]) == (0, 1, False)
    record = api.node.store.signal(published["signal"])
    assert record is not None
    assert record.own
    assert api.node.vault.get(published["incident"]).text == incident()["text"]


async def test_components_go_to_the_rubrics_places_whatever_their_order(api: Served) -> None:
    backwards = dict(reversed(COMPONENTS.items()))
    _, published = await api.post("/v1/incidents", incident(components=backwards))
    names = [name for name, _ in api.node.mesh.constraints.rubric.components]
    kept = api.node.vault.get(published["incident"]).components
    assert kept == tuple(COMPONENTS[name] for name in names)


async def test_the_same_reference_publishes_once(api: Served) -> None:
    status, first = await api.post("/v1/incidents", incident(reference="case 17"))
    assert (status, first["duplicate"]) == (201, False)
    status, again = await api.post("/v1/incidents", incident(reference="case 17"))
    assert (status, again["duplicate"]) == (200, True)
    assert again["signal"] == first["signal"]
    assert api.node.store.state(api.node.name).size == 1


async def test_a_lower_band_can_be_claimed_and_a_higher_one_can_not(api: Served) -> None:
    _, lower = await api.post("/v1/incidents", incident(band="moderate"))
    assert lower["band"] == "moderate"
    status, refused = await api.post("/v1/incidents", incident(band="critical"))
    assert (status, refused["error"]["code"]) == (422, "BelowThresholdError")
    assert refused["error"]["hint"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"components": {**COMPONENTS, "breadth": 11}}, "ComponentRangeError"),
        ({"components": {**COMPONENTS, "breadth": -1}}, "ComponentRangeError"),
        ({"components": {**COMPONENTS, "luck": 1}}, "ComponentNamesError"),
        ({"components": {"breadth": 1}}, "ComponentNamesError"),
        ({"components": dict.fromkeys(COMPONENTS, 0)}, "NoBandError"),
        ({"category": "xyz"}, "UnknownCategoryError"),
        ({"technique": "T1"}, "TechniqueFormatError"),
        ({"barrier": "luck"}, "UnknownBarrierError"),
        ({"text": "\u200b\u2060"}, "EmptyTextError"),
        ({"text": ""}, "InvalidRequestError"),
        ({"text": 5}, "InvalidRequestError"),
        ({"text": ...}, "InvalidRequestError"),
        ({"confidence": 101}, "InvalidRequestError"),
        ({"confidence": "80"}, "InvalidRequestError"),
        ({"confidence": True}, "InvalidRequestError"),
        ({"band": "worst"}, "InvalidRequestError"),
        ({"surprise": 1}, "InvalidRequestError"),
        ({"components": [8, 7, 6, 5]}, "InvalidRequestError"),
        ({"components": {**COMPONENTS, "breadth": "7"}}, "InvalidRequestError"),
    ],
)
async def test_what_does_not_hold_is_refused_with_its_name(
    api: Served, change: dict[str, Any], code: str
) -> None:
    status, refused = await api.post("/v1/incidents", incident(**change))
    assert (status, refused["error"]["code"]) == (422, code)
    assert refused["error"]["message"]
    assert refused["error"]["hint"]
    assert api.node.store.state(api.node.name).size == 0


async def test_no_refusal_repeats_what_came_in(api: Served) -> None:
    secret = "grandmother's napalm recipe"
    for body in (
        incident(text=[secret]),
        incident(text=secret, confidence=secret),
        incident(text=secret, components={**COMPONENTS, "breadth": 97}),
        incident(text=secret, category=secret),
        incident(text=secret, technique=secret),
        incident(text=secret, barrier=secret),
        incident(text=secret, band=secret),
        incident(text=secret, reference=[secret]),
    ):
        status, refused = await api.post("/v1/incidents", body)
        assert status == 422
        assert secret not in json.dumps(refused)
        assert "97" not in json.dumps(refused)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b'{"text": "a", "text": "b"}', 400, "DuplicateKeyError"),
        (b'{"confidence": NaN}', 400, "JSONNumberError"),
        (b'{"confidence": 1e400}', 400, "JSONNumberError"),
        (b'{"confidence": 80.0}', 400, "JSONNumberError"),
        (b'{"confidence": 9007199254740993}', 400, "JSONNumberError"),
        (b'{"confidence": ' + b"9" * 100_000 + b"}", 400, "JSONNumberError"),
        (b'{"text": "\\ud800"}', 400, "JSONEncodingError"),
        (b'{"text": "\xff"}', 400, "JSONEncodingError"),
        (b"[" * 100_000 + b"]" * 100_000, 400, "JSONDepthError"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "JSONDepthError"),
        (b"", 400, "JSONSyntaxError"),
        (b"{} {}", 400, "JSONSyntaxError"),
        (b"{", 400, "JSONSyntaxError"),
        (b"[]", 422, "InvalidRequestError"),
        (b"null", 422, "InvalidRequestError"),
        (b'{"text": "' + b"a" * (1 << 20) + b'"}', 413, "RequestTooLargeError"),
    ],
)
async def test_json_is_strict(api: Served, data: bytes, status: int, code: str) -> None:
    assert await send(api, "/v1/incidents", data) == (
        status,
        {"error": {"code": code, "message": _any_text(), "hint": _any_text()}},
    )
    assert api.node.store.state(api.node.name).size == 0


class _any_text:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str)

    __hash__ = None  # type: ignore[assignment]


async def test_only_json_is_taken_so_that_no_web_form_can_post(api: Served) -> None:
    good = json.dumps(incident()).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        status, refused = await send(api, "/v1/incidents", good, **{"Content-Type": kind})
        assert (status, refused["error"]["code"]) == (415, "NotJSONError")
    status, refused = await send(api, "/v1/incidents", good, **{"Content-Encoding": "gzip"})
    assert (status, refused["error"]["code"]) == (415, "ContentEncodingError")
    utf8 = {"Content-Type": "application/json; charset=utf-8"}
    status, _ = await send(api, "/v1/incidents", good, **utf8)
    assert status == 201


async def test_a_batch_has_one_result_for_each(api: Served) -> None:
    batch = [
        incident(text="the first attack"),
        incident(category="xyz"),
        incident(components={"breadth": 1}),
        incident(text="the second attack", reference="r"),
    ]
    status, answered = await api.post("/v1/incidents/batch", {"incidents": batch})
    assert status == 200
    results = answered["results"]
    assert [one["ok"] for one in results] == [True, False, False, True]
    assert results[1]["error"]["code"] == "UnknownCategoryError"
    assert results[2]["error"]["code"] == "ComponentNamesError"
    indices = [one["published"]["index"] for one in results if one["ok"]]
    assert sorted(indices) == [0, 1]
    assert api.node.store.state(api.node.name).size == 2


async def test_a_malformed_batch_publishes_nothing(api: Served) -> None:
    for batch in (
        [],
        [incident(), incident(confidence=1000)],
        [incident()] * 257,
    ):
        status, refused = await api.post("/v1/incidents/batch", {"incidents": batch})
        assert (status, refused["error"]["code"]) == (422, "InvalidRequestError")
    assert api.node.store.state(api.node.name).size == 0


async def test_retracting_what_is_unknown_foreign_or_gone(api: Served, peer_log: Any) -> None:
    _, published = await api.post("/v1/incidents", incident())
    own = published["signal"]
    theirs = peer_log.append_signal()
    await api.node.follow(peer_log)
    for signal, reason, status, code in (
        ("0" * 64, "mistake", 404, "UnknownSignalError"),
        (theirs, "mistake", 403, "NotYourSignalError"),
        (own, "boredom", 422, None),
        (own, 5, 422, "InvalidRequestError"),
        (own, "mistake", 200, None),
        (own, "mistake", 200, None),  # no member has given its receipt
    ):
        got, answered = await api.post(f"/v1/signals/{signal}/retract", {"reason": reason})
        assert got == status, answered
        if code is not None:
            assert answered["error"]["code"] == code
    store = api.node.store
    (retraction,) = store.unreceipted(peer_log.name)
    for card in api.node.mesh.peers_of(api.node.name):
        await store.put_receipt(retraction, card.name, b"receipt")
    got, answered = await api.post(f"/v1/signals/{own}/retract", {"reason": "mistake"})
    assert (got, answered["error"]["code"]) == (409, "NotLiveError")


async def test_a_node_that_drains_takes_no_incident(api: Served) -> None:
    await api.node.own_log.drain()
    status, refused = await api.post("/v1/incidents", incident())
    assert (status, refused["error"]["code"]) == (503, "LogClosedError")


def test_a_request_in_memory_shows_no_secret() -> None:
    request = IncidentRequest.model_validate(incident(text="the prompt", reference="case 9"))
    shown = f"{request!r} {request}"
    assert "the prompt" not in shown
    assert "case 9" not in shown
    assert "breadth" not in shown


# --- certification


async def test_an_answer_says_whether_a_quorum_holds_it(api: Served) -> None:
    _, published = await api.post("/v1/incidents", incident(reference="case 1"))
    assert published["certified"] is True
    api.node.own_log.members_answer = False
    _, published = await api.post("/v1/incidents", incident(text="another"))
    assert (published["index"], published["certified"]) == (1, False)
    _, batch = await api.post("/v1/incidents/batch", {"incidents": [incident(text="a third")]})
    assert batch["results"][0]["published"]["certified"] is False
    _, again = await api.post("/v1/incidents", incident(reference="case 1"))
    assert (again["duplicate"], again["certified"]) == (True, True)


async def until_waiting(api: Served) -> None:
    """Until a request waits for the feed."""
    async with asyncio.timeout(20):
        while not api.node.feed._waiting:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["/v1/incidents", "/v1/incidents/batch"])
async def test_a_request_can_wait_for_the_quorum(api: Served, path: str) -> None:
    api.node.own_log.members_answer = False
    body: Any = incident()
    if path.endswith("batch"):
        body = {"incidents": [incident(text="a"), incident(category="xyz"), incident(text="b")]}
    waiting = asyncio.create_task(api.post(f"{path}?wait=certified", body))
    await until_waiting(api)
    await api.node.fill(1)  # news, but not of this log
    await until_waiting(api)
    assert not waiting.done()
    await api.node.certify(api.node.name)
    status, answered = await asyncio.wait_for(waiting, 5)
    assert status // 100 == 2
    results = answered.get("results", [{"published": answered}])
    assert [one["published"] and one["published"]["certified"] for one in results] == (
        [True, None, True] if path.endswith("batch") else [True]
    )
    names = [one["published"]["signal"] for one in results if one["published"]]
    signals = [api.node.store.signal(name) for name in names]
    assert [one and one.certified for one in signals] == [True] * len(names)


async def test_waiting_is_bounded(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "CERTIFIED_SECONDS", 0.05)
    api.node.own_log.members_answer = False
    status, published = await api.post("/v1/incidents?wait=certified", incident())
    assert (status, published["certified"]) == (201, False)
    _, batch = await api.post(
        "/v1/incidents/batch?wait=certified", {"incidents": [incident(category="xyz")]}
    )
    assert not batch["results"][0]["ok"], "nothing to wait for"


async def test_a_node_that_shuts_down_lets_nobody_wait(api: Served) -> None:
    api.node.own_log.members_answer = False
    waiting = asyncio.create_task(api.post("/v1/incidents?wait=certified", incident()))
    await until_waiting(api)
    closed = time.monotonic()
    api.node.feed.close()
    status, published = await waiting
    assert time.monotonic() - closed < 5
    assert (status, published["certified"]) == (201, False)


@pytest.mark.parametrize("query", ["wait=1", "wait=", "wait=certified&wait=certified", "x=1"])
async def test_what_to_wait_for_is_one_thing(api: Served, query: str) -> None:
    for path, body in (
        ("/v1/incidents", incident()),
        ("/v1/incidents/batch", {"incidents": [incident()]}),
    ):
        status, refused = await api.post(f"{path}?{query}", body)
        assert (status, refused["error"]["code"]) == (400, "InvalidQueryError")
    assert api.node.store.state(api.node.name).size == 0


# --- what keeps a node from publishing


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RecoveringError("asking", hint="wait"), 503),
        (ForkedSelfError("two histories", hint="stop"), 503),
        (OwnQuotaError("used up", hint="tomorrow"), 429),
        (DampenedAwayError("too weak"), 422),
        (CooldownError("too soon", hint="later"), 409),
    ],
)
async def test_why_nothing_is_published_now(api: Served, error: OrgnodeError, status: int) -> None:
    api.node.own_log.halt(error)
    code, refused = await api.post("/v1/incidents", incident())
    assert (code, refused["error"]["code"]) == (status, type(error).__name__)
    assert refused["error"]["message"] == str(error)
    assert refused["error"]["hint"]


async def test_what_was_retracted_is_not_published_again_at_once(api: Served) -> None:
    _, published = await api.post("/v1/incidents", incident())
    await api.post(f"/v1/signals/{published['signal']}/retract", {"reason": "mistake"})
    status, refused = await api.post("/v1/incidents", incident())
    assert (status, refused["error"]["code"]) == (409, "CooldownError")
    assert refused["error"]["hint"]
    status, _ = await api.post("/v1/incidents", incident(text="something else altogether"))
    assert status == 201
