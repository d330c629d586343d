"""What a check reads, without the work of making it: signals, sightings, promotions in a store.

The tokens are the real ones of the windows under the mesh's evaluation key, which a `KeyHolder`
puts together from the shares of a mesh that is only for testing. Entries are not signed and nothing
is proven: what verifies them is tested elsewhere. Everything is certified at once.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

from mesh.assessment import Outcome
from mesh.days import Day
from mesh.fingerprint import SelectionKey, query_fingerprint
from mesh.following import FollowerState
from mesh.promotion import parse_promotion
from mesh.sighting import compose_sighting, parse_sighting
from mesh.signal import parse_signal
from mesh.testing import TODAY, TestMesh
from mesh.token import token_hex, token_scalar
from mesh.wire import Present
from orgnode.store import LogRow
from orgnode.store.sqlite import SqliteStore
from proofs.checkpoint import Checkpoint, sign_checkpoint
from proofs.cosignature import cosign, join
from proofs.merkle import leaf_hash
from proofs.oprf import evaluate, finalize, hash_input
from proofs.ristretto import Scalar
from proofs.severity import COMMITMENT_BYTES, PROOF_BYTES
from proofs.threshold.shamir import recover

COSIGNED = 1_800_000_000
"""When the first of the cosigners cosigned, in POSIX seconds."""

_MOST = 32  # tokens of a signal, windows of a promotion


class KeyHolder:
    """Evaluates windows with the whole key, as all of the committee together would.

    `asked` counts the elements that it was asked for; `failure` is raised instead of an answer.
    """

    def __init__(self, world: TestMesh) -> None:
        seats = {seat.member: seat.index for seat in world.committee.seats}
        self._key: Scalar = recover(
            {seats[member]: share for member, share in world.shares.items()}
        )
        self.asked = 0
        self.failure: Exception | None = None

    async def tokens(self, inputs: Sequence[bytes], deadline: float) -> dict[bytes, str]:
        """The token of each input; `deadline` is kept without trying."""
        self.asked += len(inputs)
        if self.failure is not None:
            raise self.failure
        return {given: self.token(given) for given in inputs}

    async def scalars(self, inputs: Sequence[bytes], deadline: float) -> list[Scalar]:
        """The secret scalar of each input; `deadline` is kept without trying."""
        self.asked += len(inputs)
        if self.failure is not None:
            raise self.failure
        return [self._scalar(given) for given in inputs]

    def token(self, given: bytes) -> str:
        """The token of one input."""
        return token_hex(self._scalar(given))

    def _scalar(self, given: bytes) -> Scalar:
        (value,) = evaluate(self._key, [hash_input(given)])
        return token_scalar(finalize(given, value))


class Knowledge:
    """Fills the store of one node with what the members of its mesh published."""

    def __init__(self, world: TestMesh, store: SqliteStore) -> None:
        self.world = world
        self.store = store
        self.key = SelectionKey(world.selection_key)
        self.holder = KeyHolder(world)

    def windows(self, text: str) -> tuple[bytes, ...]:
        """The inputs of a text's first chunk, as they would be published."""
        return query_fingerprint(self.key, text).chunks[0]

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text's first chunk."""
        return [self.holder.token(given) for given in self.windows(text)]

    async def signal(
        self,
        place: int,
        tokens: Iterable[str],
        *,
        direct: bool = True,
        band: int = 3,
        category: str = "ncr",
        technique: str = "AML.T0054",
        confidence: int = 80,
        parent: str | None = None,
    ) -> str:
        """A signal of the member at this place; returns its id.

        :param direct: False derives it from a signal that nobody has, `parent` from that one.
        """
        derived_from = parent if direct else os.urandom(32).hex()
        body = {
            "category": category,
            "technique": technique,
            "tokens": sorted(tokens)[:_MOST],
            "holder": _filler(64),
            "severity": {
                "band": band,
                "commitments": [_filler(COMMITMENT_BYTES) for _ in range(4)],
                "proof": _filler(PROOF_BYTES),
            },
            "confidence": confidence,
            "derived_from": derived_from,
            "barrier": None,
        }
        data = json.dumps(body).encode()
        (entry_id,) = await self._append(place, [(data, {"signal": parse_signal(data)}, "signal")])
        return entry_id

    async def met(self, text: str, places: Sequence[int], **changes: Any) -> list[str]:
        """Members at these places each publish a signal of a text; returns the ids."""
        tokens = self.tokens(text)
        return [await self.signal(place, tokens, **changes) for place in places]

    async def sight(self, place: int, target: str, verdict: str = "confirm") -> None:
        """A person at the member at this place confirms or denies a signal."""
        body = compose_sighting(target, verdict)
        await self._append(place, [(body, {"sighting": parse_sighting(body)}, "sighting")])

    async def retract(self, place: int, target: str) -> None:
        """The member at this place retracts a signal of its own."""
        fields = {"retracts": target, "retraction_reason": "mistake"}
        await self._append(place, [(b"{}", fields, "retraction")])

    async def promote(
        self,
        place: int,
        inputs: Sequence[bytes],
        sources: Sequence[str],
        tokens: Sequence[str] = (),
    ) -> None:
        """The member at this place promotes windows, with these signals as evidence."""
        tokens = tokens or [self.holder.token(given) for given in inputs]
        windows = sorted(zip((given.hex() for given in inputs), tokens, strict=True))
        seats = self.world.committee.seats[: self.world.committee.threshold]
        made = []
        for start in range(0, len(windows), _MOST):
            part = windows[start : start + _MOST]
            body = {
                "windows": [
                    {"input": given, "token": token, "sources": sorted(sources)}
                    for given, token in part
                ],
                "evaluations": [
                    {
                        "seat": seat.index,
                        "elements": [_filler(32) for _ in part],
                        "proof": _filler(64),
                    }
                    for seat in seats
                ],
            }
            data = json.dumps(body).encode()
            made.append((data, {"promotion": parse_promotion(data)}, "promotion"))
        await self._append(place, made)

    async def _append(
        self, place: int, made: Sequence[tuple[bytes, dict[str, Any], str]]
    ) -> list[str]:
        name = self.world.member(place).name
        state = self.store.state(name)
        rows, leaves = [], []
        for index, (body, fields, kind) in enumerate(made, state.size):
            note = f"{name} {index}".encode()
            leaves.append(leaf_hash(note))
            rows.append(
                LogRow(
                    index=index,
                    entry_id=leaves[-1].hex(),
                    leaf=leaves[-1],
                    note=note,
                    answer=Present(bytes(32), body),
                    kind=kind,
                    day=TODAY,
                    expires=Day(TODAY + 90),
                    outcome=Outcome.ACCEPTED,
                    **fields,
                )
            )
        grown = FollowerState(state.size + len(rows), state.frontier.extend(leaves))
        await self.store.commit_segment(name, state.size, rows, grown)
        root = grown.frontier.root()
        note = certificate_of(self.world, name, grown.size, root)
        await self.store.certify(name, note, grown.size, root)
        return [leaf.hex() for leaf in leaves]


def certificate_of(
    world: TestMesh, name: str, size: int, root: bytes, by: Sequence[str] | None = None
) -> bytes:
    """A checkpoint of a member's log with cosignatures, whatever the log holds.

    By default a quorum cosigns, the owner first, each a second after the one before.
    """
    signer = world.member(name).log_signer(world.mesh.mesh_id)
    checkpoint = Checkpoint(signer.name, size, root)
    if by is None:
        names = [name, *(card.name for card in world.mesh.peers_of(name))]
        by = names[: world.mesh.constraints.quorum]
    lines = [
        cosign(checkpoint.to_text(), world.member(one).witness, COSIGNED + place)
        for place, one in enumerate(by)
    ]
    return join(sign_checkpoint(checkpoint, signer), lines)


def _filler(length: int) -> str:
    return b64encode(os.urandom(length)).decode()
