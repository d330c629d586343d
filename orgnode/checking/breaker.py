"""The breaker around the checks: which texts were blocked, what people said of them, what follows.

    blocked text → keyed digests and tokens, kept before the answer goes out
    judgement    → the rule of `mesh.breaker` → tokens in shadow, kept before the answer goes out
    many blocks  → an alert, and nothing else

What is kept of a text are digests under a key of this node and its tokens: who finds the database
alone can't even test a guess. The operator's allow-list and kill switch come before all of this:
what they let through is not looked up, so that there is nothing to judge.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

import structlog

from mesh import strictjson
from mesh.breaker import BlockedText, Breaker, Judge, Judged, Opinion, Shadow
from mesh.errors import MeshError
from mesh.matching import Judgement, Matched
from mesh.volume import WINDOW_SECONDS, BlockVolume
from orgnode.checking.errors import (
    BreakerDamagedError,
    TokenNotInShadowError,
    UnknownCheckError,
)
from orgnode.errors import OrgnodeError

log = structlog.get_logger(__name__)

STATE_KEY: Final = "breaker"
"""Where the judgements and shadows are kept."""

WAITING: Final = 1_024
"""How many of the newest blocked texts can be judged."""

VOLUME_ALERT: Final = "breaker_volume"
SHADOW_ALERT: Final = "breaker_shadow"
"""Kinds of alerts; their subject is always `checks`."""

_SUBJECT: Final = "checks"
_KEY_LABEL: Final = b"signal-mesh/v1/breaker"
_CHECK_BYTES: Final = 16
_PART_BYTES: Final = 8
_TEXT_BYTES: Final = 1 << 16


class MetaStore(Protocol):
    """What the breaker needs of the store."""

    async def set_meta(self, key: str, value: bytes) -> None:
        """Keep a small value under a name; durable when this returns."""
        ...

    def meta(self, key: str) -> bytes | None:
        """The value kept under a name."""
        ...


class Memory:
    """A `MetaStore` that forgets everything with the process."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    async def set_meta(self, key: str, value: bytes) -> None:
        """See `MetaStore`."""
        self._values[key] = value

    def meta(self, key: str) -> bytes | None:
        """See `MetaStore`."""
        return self._values.get(key)


@dataclass(frozen=True)
class JudgedCheck:
    """What became of a judgement.

    `shadowed` are the tokens that it put in shadow, `in_shadow` all those of the text that are
    there now.
    """

    check: str
    opinion: Opinion
    by: Judge
    shadowed: tuple[str, ...]
    in_shadow: tuple[str, ...]


@dataclass(frozen=True)
class BreakerStatus:
    """What the breaker holds. `waiting` are the blocked texts that nobody has judged, the newest
    first; `blocked` is how many checks found a block within the last `seconds`."""

    shadow: tuple[Shadow, ...]
    judged: tuple[Judged, ...]
    waiting: tuple[BlockedText, ...]
    blocked: int
    seconds: int
    alarm: bool


class CheckBreaker:
    """Keeps what the checks block, and takes judgements of it.

    `secret` is a secret of this node, from which the key of the digests is made; `now` tells the
    time in Unix seconds; `alert(kind, subject, detail)` and `calm(kind, subject)` tell a person.
    """

    def __init__(
        self,
        store: MetaStore,
        secret: bytes,
        *,
        now: Callable[[], float] = time.time,
        alert: Callable[[str, str, str], None] = lambda kind, subject, detail: None,
        calm: Callable[[str, str], None] = lambda kind, subject: None,
    ) -> None:
        self._store = store
        self._key = hmac.digest(secret, _KEY_LABEL, "sha256")
        self._now = now
        self._alert = alert
        self._calm = calm
        self._lock = asyncio.Lock()
        self._volume = BlockVolume()
        self._breaker = self._restored()
        self._waiting: dict[str, BlockedText] = {}
        self._slots: dict[int, str] = {}
        self._number = 0
        self._restore_waiting()
        self._held = frozenset(self._breaker.shadow)
        self._tell_shadow()

    @classmethod
    def volatile(cls) -> CheckBreaker:
        """One that forgets everything with the process."""
        return cls(Memory(), os.urandom(32))

    @property
    def held(self) -> frozenset[str]:
        """The tokens that escalate and never block."""
        return self._held

    async def blocked(
        self, inputs: Sequence[bytes], known: Mapping[bytes, Matched], judgement: Judgement
    ) -> str | None:
        """A check found a block. Returns its id once it is durable that it can be judged.

        None if the disk failed: the block stands, but nobody can judge it.

        :param inputs: all windows of the text that were looked up.
        :param known: what is known of them.
        """
        at = int(self._now())
        count = self._volume.blocked(at)
        if self._volume.raised:
            self._alert(
                VOLUME_ALERT,
                _SUBJECT,
                f"{count} checks found a block within {WINDOW_SECONDS // 60} minutes; if these are "
                "no attacks, judge some of them: `orgnode breaker`",
            )
        tokens = {one.token for one in judgement.tokens if one.sufficient}
        check = self._mac(sha256(b"".join(sorted(set(inputs)))).digest(), _CHECK_BYTES)
        if check in self._waiting or check in self._breaker.judged:
            return check
        others = [
            self._mac(given, _PART_BYTES)
            for given in inputs
            if given not in known or known[given].token not in tokens
        ]
        text = BlockedText.of(check, at, tokens, others)
        number, self._number = self._number, self._number + 1
        try:
            await self._store.set_meta(_slot_key(number % WAITING), _encode(number, text))
        except OrgnodeError as error:
            log.error("check.breaker_failed", error=error.code)
            return None
        self._keep(number, text)
        return check

    def look(self) -> None:
        """See whether it has become quiet; to be called now and then."""
        before = self._volume.raised
        self._volume.look(int(self._now()))
        if before and not self._volume.raised:
            self._calm(VOLUME_ALERT, _SUBJECT)

    async def judge(self, check: str, opinion: Opinion, by: Judge) -> JudgedCheck:
        """Take a judgement of a blocked text; returns when what follows is durable.

        :raises UnknownCheckError: no such check is kept.
        :raises PersonDecidedError, ShadowFullError: see `mesh.breaker`.
        :raises StoreError: nothing was changed; judge it again.
        """
        async with self._lock:
            judged = self._breaker.judged.get(check)
            text = self._waiting.get(check) if judged is None else judged.text
            if text is None:
                raise UnknownCheckError(
                    f"no blocked check {check[:40]} is kept here",
                    hint=f"the newest {WAITING} are; `orgnode breaker` lists them",
                )
            changed = self._breaker.copy()
            shadowed = changed.judge(int(self._now()), text, opinion, by)
            await self._change(changed)
        if shadowed:
            log.warning("check.breaker_shadow", count=len(shadowed), kind=str(by))
        in_shadow = tuple(token for token in text.tokens if token in self._held)
        return JudgedCheck(check, opinion, by, shadowed, in_shadow)

    async def lift(self, token: str) -> None:
        """A person has a token block again; returns when that is durable.

        :raises TokenNotInShadowError: it is not in shadow.
        :raises StoreError: nothing was changed; try again.
        """
        async with self._lock:
            if token not in self._breaker.shadow:
                raise TokenNotInShadowError(
                    f"the token {token[:64]} is not in shadow",
                    hint="`orgnode breaker` lists those that are",
                )
            changed = self._breaker.copy()
            changed.lift(token)
            await self._change(changed)
        log.warning("check.breaker_lifted", name=token)

    def status(self) -> BreakerStatus:
        """What it holds now."""
        self.look()
        judged = self._breaker.judged
        waiting = [text for check, text in self._waiting.items() if check not in judged]
        return BreakerStatus(
            shadow=tuple(self._breaker.shadow.values()),
            judged=tuple(judged.values()),
            waiting=tuple(reversed(waiting)),
            blocked=self._volume.look(int(self._now())),
            seconds=WINDOW_SECONDS,
            alarm=self._volume.raised,
        )

    async def _change(self, changed: Breaker) -> None:
        # What is in force is what is on the disk: a shadow that a crash could take back would
        # have been promised to a person.
        await self._store.set_meta(STATE_KEY, changed.encode())
        self._breaker = changed
        self._held = frozenset(changed.shadow)
        self._tell_shadow()

    def _tell_shadow(self) -> None:
        count = len(self._held)
        if not count:
            self._calm(SHADOW_ALERT, _SUBJECT)
            return
        self._alert(
            SHADOW_ALERT,
            _SUBJECT,
            f"{count} token{'s' * (count != 1)} can't block here, since blocked texts that hold "
            "them were judged benign; see `orgnode breaker`, and lift what should block again",
        )

    def _mac(self, data: bytes, size: int) -> str:
        return hmac.digest(self._key, data, "sha256")[:size].hex()

    def _keep(self, number: int, text: BlockedText) -> None:
        before = self._slots.get(number % WAITING)
        if before is not None:
            self._waiting.pop(before, None)
        self._slots[number % WAITING] = text.check
        self._waiting[text.check] = text

    def _restored(self) -> Breaker:
        data = self._store.meta(STATE_KEY)
        try:
            return Breaker() if data is None else Breaker.decode(data)
        except MeshError as error:
            raise _damaged() from error

    def _restore_waiting(self) -> None:
        found: list[tuple[int, BlockedText]] = []
        for slot in range(WAITING):
            data = self._store.meta(_slot_key(slot))
            if data is None:  # slots are filled in order; one whose write failed is filled later
                continue
            try:
                found.append(_decode(data))
            except MeshError as error:
                raise _damaged() from error
        for number, text in sorted(found, key=lambda one: one[0]):
            self._keep(number, text)
            self._number = number + 1


def _slot_key(slot: int) -> str:
    return f"{STATE_KEY}/text/{slot}"


def _encode(number: int, text: BlockedText) -> bytes:
    return strictjson.dumps({"number": number, "text": text.to_json()})


def _decode(data: bytes) -> tuple[int, BlockedText]:
    value = strictjson.loads(data, max_bytes=_TEXT_BYTES)
    return int(value["number"]), BlockedText.parse(value["text"])


def _damaged() -> BreakerDamagedError:
    return BreakerDamagedError(
        "what was kept of blocked checks can't be read",
        hint="restore node.db from a backup: `orgnode restore`",
    )
