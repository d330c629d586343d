"""The breaker around the checks: which texts were blocked, what people said of them, what follows.

    blocked text → keyed digests and tokens, kept before the answer goes out
    judgement    → the rule of `mesh.breaker` → tokens in shadow, kept before the answer goes out
    many blocks  → an alert, and nothing else

What is kept of a text are digests under a key of this node, of its tokens too: who finds the
database alone can't even test a guess, and no token of a signal that is retracted is left in it.
The *name* of a token is such a digest; it is what a shadow is listed and lifted by. The operator's
allow-list and kill switch come before all of this:
what they let through is not looked up, so that there is nothing to judge.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

import structlog

from mesh import strictjson
from mesh.breaker import BlockedText, Breaker, Judge, Judged, Opinion, Shadow
from mesh.crowding import most_crowded
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
"""How many blocked texts can be judged; see `mesh.crowding` for which give way to a new one."""

VOLUME_ALERT: Final = "breaker_volume"
SHADOW_ALERT: Final = "breaker_shadow"
"""Kinds of alerts; their subject is always `checks`."""

_SUBJECT: Final = "checks"
_KEY_LABEL: Final = b"signal-mesh/v1/breaker"
_CHECK_BYTES: Final = 16
_PART_BYTES: Final = 8
_NAME_BYTES: Final = 32
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

    `shadowed` are the names of tokens that it put in shadow, `in_shadow` of all those of the text
    that are there now. `upheld` are those that a person stood by: what was judged benign before
    that does not count for them; `malicious` are the texts with any of them that a person judged
    malicious.
    """

    check: str
    opinion: Opinion
    by: Judge
    shadowed: tuple[str, ...]
    in_shadow: tuple[str, ...]
    upheld: tuple[str, ...] = ()
    malicious: tuple[str, ...] = ()


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


class HeldTokens(Container[str]):
    """The tokens in shadow, of which only the names are known."""

    def __init__(self, names: Iterable[str], name_of: Callable[[str], str]) -> None:
        self.names = frozenset(names)
        self._name_of = name_of

    def __contains__(self, token: object) -> bool:
        return bool(self.names) and isinstance(token, str) and self._name_of(token) in self.names

    def __len__(self) -> int:
        return len(self.names)


@dataclass(eq=False)
class _Kept:
    """A blocked text in memory: when it came among others, and which row of the store is its."""

    number: int
    slot: int
    text: BlockedText
    durable: bool = field(default=False)


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
        self._waiting: dict[str, _Kept] = {}
        self._number = 0
        self._restore_waiting()
        self._held = HeldTokens(self._breaker.shadow, self.name_of)
        self._tell_shadow()

    @classmethod
    def volatile(cls) -> CheckBreaker:
        """One that forgets everything with the process."""
        return cls(Memory(), os.urandom(32))

    @property
    def held(self) -> HeldTokens:
        """The tokens that escalate and never block."""
        return self._held

    def name_of(self, token: str) -> str:
        """What a token is called here: a digest of it under the key of this node, in hex."""
        return self._mac(b"token:" + token.encode(), _NAME_BYTES)

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
        kept = self._waiting.get(check)
        if check in self._breaker.judged or (kept is not None and kept.durable):
            return check
        others = [
            self._mac(given, _PART_BYTES)
            for given in inputs
            if given not in known or known[given].token not in tokens
        ]
        names = map(self.name_of, tokens)
        return await self._keep(kept, BlockedText.of(check, at, names, others))

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
            found = judged or self._waiting.get(check)
            if found is None:
                raise UnknownCheckError(
                    f"no blocked check {check[:40]} is kept here",
                    hint=f"{WAITING} are, and `orgnode breaker` lists them; check the text again, "
                    "and judge it by the id that it gets",
                )
            text = found.text
            changed = self._breaker.copy()
            shadowed = changed.judge(int(self._now()), text, opinion, by)
            await self._change(changed)
        if shadowed:
            log.warning("check.breaker_shadow", count=len(shadowed), kind=str(by))
        in_shadow = tuple(name for name in text.tokens if name in self._held.names)
        upheld, malicious = self._breaker.stood_by(text)
        return JudgedCheck(check, opinion, by, shadowed, in_shadow, upheld, malicious)

    async def lift(self, token: str) -> None:
        """A person has a token block again; returns when that is durable.

        :param token: its name, or the token itself.
        :raises TokenNotInShadowError: it is not in shadow.
        :raises StoreError: nothing was changed; try again.
        """
        async with self._lock:
            name = token if token in self._breaker.shadow else self.name_of(token)
            if name not in self._breaker.shadow:
                raise TokenNotInShadowError(
                    f"the token {token[:64]} is not in shadow",
                    hint="`orgnode breaker` lists those that are",
                )
            changed = self._breaker.copy()
            changed.lift(name)
            await self._change(changed)
        log.warning("check.breaker_lifted", name=name)

    def status(self) -> BreakerStatus:
        """What it holds now."""
        self.look()
        judged = self._breaker.judged
        waiting = [kept.text for kept in self._in_order() if kept.text.check not in judged]
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
        self._held = HeldTokens(changed.shadow, self.name_of)
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

    async def _keep(self, kept: _Kept | None, text: BlockedText) -> str | None:
        """Keep a text, by `kept` if that is being written already; None if the disk failed."""
        gone: _Kept | None = None
        if kept is None:
            gone, kept = self._placed(text)
        try:
            await self._store.set_meta(_slot_key(kept.slot), _encode(kept.number, kept.text))
        except OrgnodeError as error:
            log.error("check.breaker_failed", error=error.code)
            if self._waiting.get(text.check) is kept and not kept.durable:
                del self._waiting[text.check]
                if gone is not None and gone.durable:
                    self._waiting[gone.text.check] = gone
            return None
        kept.durable = True
        return text.check

    def _placed(self, text: BlockedText) -> tuple[_Kept | None, _Kept]:
        """Give a text a place in memory; also which one it took that from."""
        gone: _Kept | None = None
        taken = {kept.slot for kept in self._waiting.values()}
        slot = next((slot for slot in range(WAITING) if slot not in taken), None)
        if slot is None:
            gone = most_crowded((kept, kept.text.tokens) for kept in self._in_order())
            slot = self._waiting.pop(gone.text.check).slot
        kept = self._waiting[text.check] = _Kept(self._number, slot, text)
        self._number += 1
        return gone, kept

    def _in_order(self) -> list[_Kept]:
        return sorted(self._waiting.values(), key=lambda kept: kept.number)

    def _restored(self) -> Breaker:
        data = self._store.meta(STATE_KEY)
        try:
            return Breaker() if data is None else Breaker.decode(data)
        except MeshError as error:
            raise _damaged() from error

    def _restore_waiting(self) -> None:
        for slot in range(WAITING):
            data = self._store.meta(_slot_key(slot))
            if data is None:
                continue
            try:
                number, text = _decode(data)
            except MeshError as error:
                raise _damaged() from error
            other = self._waiting.get(text.check)  # after a failure a text may lie in two slots
            if other is None or other.number < number:
                self._waiting[text.check] = _Kept(number, slot, text, durable=True)
            self._number = max(self._number, number + 1)


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
