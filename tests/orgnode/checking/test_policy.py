"""The operator's rules: reading, the nearest rule, rereading, and broken files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.fingerprint import SelectionKey, query_fingerprint
from orgnode.checking import (
    Policy,
    PolicyError,
    PolicyFile,
    PolicySettings,
    PolicySyntaxError,
    PolicyTextError,
    PolicyValueError,
    Rules,
    UnknownPolicyKeyError,
)
from orgnode.checking.policy import RouteRules, TenantRules, parse_policy, write_policy
from orgnode.checking.texts import Dropped, load_texts

KEY = SelectionKey(bytes(range(32)))
LONG = "Write the minutes of the meeting on the twelfth floor, with all the names in order. " * 5


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def inline(fn: Callable[..., Any], *args: object) -> Any:
    return fn(*args)


def write(path: Path, text: str) -> None:
    path.write_text(text)
    # Written within one tick of the file system's clock, a file could look unchanged.
    later = path.stat().st_mtime_ns + write.count * 1_000_000  # type: ignore[attr-defined]
    write.count += 1  # type: ignore[attr-defined]
    os.utime(path, ns=(later, later))


write.count = 1  # type: ignore[attr-defined]


# --- the rules


def test_the_defaults_watch_and_deny() -> None:
    settings = parse_policy(b"", "policy.toml")
    assert settings == PolicySettings()
    assert Policy(settings).rules("chat", None) == Rules("monitor", "deny")
    assert not settings.kill_switch


NEAREST = """
mode = "monitor"
fail = "deny"
[routes.chat]
mode = "enforce"
fail = "allow"
[routes.chat.tenants.acme]
mode = "monitor"
[tenants.acme]
mode = "enforce"
[tenants.zeta]
mode = "monitor"
"""


@pytest.mark.parametrize(
    ("route", "tenant", "rules"),
    [
        ("other", None, Rules("monitor", "deny")),
        ("other", "acme", Rules("enforce", "deny")),
        ("other", "nobody", Rules("monitor", "deny")),
        ("chat", None, Rules("enforce", "allow")),
        ("chat", "nobody", Rules("enforce", "allow")),
        ("chat", "acme", Rules("monitor", "allow")),
        ("chat", "zeta", Rules("monitor", "allow")),
    ],
)
def test_the_nearest_rule_wins(route: str, tenant: str | None, rules: Rules) -> None:
    policy = Policy(parse_policy(NEAREST.encode(), "policy.toml"))
    assert policy.rules(route, tenant) == rules


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ('moode = "enforce"', "mode"),
        ("killswitch = true", "kill_switch"),
        ('[routes.chat]\nfial = "deny"', "fail"),
        ('[routes.chat.tenants.acme]\nmod = "enforce"', "mode"),
        ('[tenants.acme]\nmode_ = "enforce"', "mode"),
    ],
)
def test_a_misspelt_rule_is_an_error_that_names_the_nearest(text: str, near: str) -> None:
    with pytest.raises(UnknownPolicyKeyError) as caught:
        parse_policy(text.encode(), "policy.toml")
    assert f"did you mean {near}" in caught.value.hint


def test_a_rule_that_is_like_no_other_lists_them() -> None:
    with pytest.raises(UnknownPolicyKeyError) as caught:
        parse_policy(b"zzz = 1", "policy.toml")
    assert "sample_rate" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        'mode = "block"',
        "mode = 1",
        'fail = "open"',
        'kill_switch = "yes"',
        "kill_switch = 1",
        "sample_rate = 1.5",
        "sample_rate = nan",
        'sample_rate = "0.5"',
        "max_characters = 10",
        "max_characters = 1e5",
        'trusted = "alder.example"',
        'trusted = ["Alder Example"]',
        'ignored = ["abc"]',
        "routes = 5",
        "[routes]\nchat = 5",
        "[tenants]\nacme = []",
        '[routes.""]\nmode = "enforce"',
    ],
)
def test_a_value_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(PolicyValueError):
        parse_policy(text.encode(), "policy.toml")


@pytest.mark.parametrize(
    "data", [b"mode = ", b"\xff", b'mode = "monitor"\nmode = "enforce"', b"#" * (1 << 21)]
)
def test_what_is_no_toml_is_refused(data: bytes) -> None:
    with pytest.raises(PolicySyntaxError) as caught:
        parse_policy(data, "policy.toml")
    assert caught.value.hint


_LABELS = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())
_MODES = st.sampled_from(["monitor", "enforce"])


@given(
    mode=_MODES,
    fail=st.sampled_from(["deny", "allow", "escalate"]),
    kill=st.booleans(),
    rate=st.floats(0, 1),
    routes=st.dictionaries(
        _LABELS,
        st.builds(
            RouteRules,
            mode=st.none() | _MODES,
            fail=st.none() | st.just("allow"),
            tenants=st.dictionaries(_LABELS, st.builds(TenantRules, mode=_MODES), max_size=2),
        ),
        max_size=3,
    ),
    tenants=st.dictionaries(_LABELS, st.builds(TenantRules, mode=_MODES), max_size=3),
)
def test_what_is_written_is_read_back(
    mode: Any, fail: Any, kill: bool, rate: float, routes: Any, tenants: Any
) -> None:
    settings = PolicySettings(
        mode=mode,
        fail=fail,
        kill_switch=kill,
        sample_rate=rate,
        trusted=["alder.example"],
        ignored=["ab" * 32],
        routes=routes,
        tenants=tenants,
    )
    assert parse_policy(write_policy(settings), "policy.toml") == settings


# --- the files


def test_without_a_file_the_defaults_are_in_force(tmp_path: Path) -> None:
    policy = PolicyFile(tmp_path, KEY)
    assert policy.current.settings == PolicySettings()
    assert policy.problem == ""


def test_a_node_does_not_start_on_rules_that_nobody_meant(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text('mode = "enforc"')
    with pytest.raises(PolicyError):
        PolicyFile(tmp_path, KEY)


async def test_a_change_applies_with_the_next_look(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "policy.toml"
    write(path, 'mode = "monitor"')
    policy = PolicyFile(tmp_path, KEY, clock=clock)
    write(path, "kill_switch = true")
    clock.now = 0.1
    assert not (await policy.refresh(inline)).settings.kill_switch  # looked at a moment ago
    clock.now = 0.21
    assert (await policy.refresh(inline)).settings.kill_switch
    path.unlink()
    clock.now = 0.5
    assert (await policy.refresh(inline)).settings == PolicySettings()


async def test_a_file_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "policy.toml"
    write(path, 'fail = "allow"')
    policy = PolicyFile(tmp_path, KEY, clock=clock)
    write(path, 'fail = "deny" ')
    clock.now = 1
    assert (await policy.refresh(inline)).settings.fail == "deny"


async def test_a_broken_file_keeps_the_rules_and_says_so(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "policy.toml"
    write(path, 'mode = "enforce"')
    policy = PolicyFile(tmp_path, KEY, clock=clock)
    write(path, 'mode = "enforce"\nkilswitch = true')
    clock.now = 1
    assert (await policy.refresh(inline)).settings.mode == "enforce"
    assert "kilswitch" in policy.problem
    assert "stay in force" in policy.problem
    write(path, 'mode = "monitor"')
    clock.now = 2
    assert (await policy.refresh(inline)).settings.mode == "monitor"
    assert policy.problem == ""


async def test_templates_and_allowed_texts_are_dropped(tmp_path: Path) -> None:
    clock = Clock()
    asked = query_fingerprint(KEY, LONG)
    policy = PolicyFile(tmp_path, KEY, clock=clock)
    assert not any(one in policy.current.dropped for one in asked.inputs)
    (tmp_path / "templates").mkdir()
    write(tmp_path / "templates" / "minutes.txt", LONG)
    (tmp_path / "templates" / "notes.md").write_text("is no template")
    clock.now = 1
    current = await policy.refresh(inline)
    assert (current.templates, current.allowed) == (1, 0)
    assert all(one in current.dropped for one in asked.inputs)
    (tmp_path / "templates" / "minutes.txt").unlink()
    (tmp_path / "allowed").mkdir()
    write(tmp_path / "allowed" / "hello.txt", "Hello.")
    clock.now = 2
    current = await policy.refresh(inline)
    assert (current.templates, current.allowed) == (0, 1)
    assert not any(one in current.dropped for one in asked.inputs)
    short = query_fingerprint(KEY, "hello")
    assert short.exact
    assert all(one in current.dropped for one in short.inputs)


async def test_a_text_that_cannot_be_read_keeps_the_texts_and_says_so(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "allowed").mkdir()
    write(tmp_path / "allowed" / "good.txt", LONG)
    policy = PolicyFile(tmp_path, KEY, clock=clock)
    (tmp_path / "allowed" / "bad.txt").write_bytes(b"\xff\xfe")
    clock.now = 1
    current = await policy.refresh(inline)
    assert current.allowed == 1
    assert "bad.txt" in policy.problem
    (tmp_path / "allowed" / "bad.txt").unlink()
    clock.now = 2
    await policy.refresh(inline)
    assert policy.problem == ""


async def test_rules_apply_at_once_while_long_texts_are_computed(tmp_path: Path) -> None:
    clock = Clock()
    policy = PolicyFile(tmp_path, KEY, clock=clock)
    (tmp_path / "templates").mkdir()
    write(tmp_path / "templates" / "long.txt", LONG)
    write(tmp_path / "policy.toml", "kill_switch = true")
    go = asyncio.Event()

    async def slowly(fn: Callable[..., Any], *args: object) -> Any:
        await go.wait()
        return fn(*args)

    clock.now = 1
    current = await policy.refresh(slowly)
    assert current.settings.kill_switch
    assert current.templates == 0
    go.set()
    await policy.close()
    assert policy.current.templates == 1
    assert policy.current.settings.kill_switch


def test_too_long_or_too_many_texts_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "allowed").mkdir()
    monkeypatch.setattr("orgnode.checking.texts.MAX_TEXT_BYTES", 10)
    (tmp_path / "allowed" / "long.txt").write_text("x" * 11)
    with pytest.raises(PolicyTextError):
        load_texts(tmp_path, KEY)
    monkeypatch.setattr("orgnode.checking.texts.MAX_TEXT_BYTES", 100)
    monkeypatch.setattr("orgnode.checking.texts.MAX_TEXTS", 1)
    assert load_texts(tmp_path, KEY).allowed == 1
    (tmp_path / "allowed" / "more.txt").write_text("x")
    with pytest.raises(PolicyTextError):
        load_texts(tmp_path, KEY)


def test_several_sets_are_one() -> None:
    both = Dropped(frozenset({b"a"}), frozenset({b"b"}))
    assert b"a" in both
    assert b"b" in both
    assert b"c" not in both
    assert b"a" not in Dropped()
