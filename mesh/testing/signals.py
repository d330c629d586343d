"""Signals with real proofs, made once and used often; and the lies of a dishonest issuer.

Making a severity proof costs several milliseconds. A signal's proofs bind mesh, issuer, tokens and
salt but neither day nor place in the log, so one body serves many entries with different days: a
`SignalPool` makes a few bodies, and an `OrgLog` writes any number of distinct, valid entries with
them.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from random import Random
from typing import Any

from mesh import strictjson
from mesh.genesis import Mesh
from mesh.severity import HOLDER_LABEL, context_of
from mesh.signal import SeverityClaim, SignalBody, SignalDraft, compose_signal
from mesh.taxonomy import CATEGORIES, TECHNIQUES
from mesh.testing.seeds import seeded
from mesh.wire import SALT_BYTES, Present
from proofs.holder import HOLDER_PROOF_BYTES, prove_holding, token_of
from proofs.pedersen import blinding_from_bytes
from proofs.ristretto import Scalar, multiply_base, random_scalars
from proofs.severity import COMMITMENT_BYTES, PROOF_BYTES, commit_components


@dataclass(frozen=True)
class MadeSignal:
    """A composed signal and what it was made from."""

    salt: bytes
    body: bytes
    draft: SignalDraft = field(repr=False)
    blindings: tuple[int, ...] = field(repr=False)
    issuer: str
    """Whose signal it was made as."""

    @property
    def answer(self) -> Present:
        """The body as a peer hands it over."""
        return Present(self.salt, self.body)


def random_draft(mesh: Mesh, rng: Random) -> SignalDraft:
    """A draft whose total reaches at least the lowest band."""
    rule = mesh.constraints.rubric
    lowest = mesh.constraints.bands[0].threshold
    while True:
        components = tuple(rng.randint(0, rule.component_max) for _ in rule.components)
        if sum(w * s for w, s in zip(rule.weights, components, strict=True)) >= lowest:
            break
    return SignalDraft(
        category=rng.choice(sorted(CATEGORIES)),
        technique=rng.choice(sorted(TECHNIQUES)),
        token_scalars=random_token_scalars(rng, rng.randint(1, 4)),
        components=components,
        confidence=rng.randint(0, 100),
    )


def random_token_scalars(rng: Random, count: int = 1) -> tuple[Scalar, ...]:
    """Scalars of tokens that no text has."""
    return tuple(random_scalars(rng.randbytes(32), b"tokens", count))


def make_signal(
    mesh: Mesh, issuer: str, rng: Random, draft: SignalDraft | None = None
) -> MadeSignal:
    """Compose a signal with randomness from `rng`.

    :raises MeshError: the draft is no signal, see `compose_signal`.
    """
    draft = draft or random_draft(mesh, rng)
    salt = rng.randbytes(SALT_BYTES)
    composed = compose_signal(mesh, issuer, draft, salt, rng.randbytes(64))
    return MadeSignal(salt, composed.body, draft, composed.blindings, issuer)


def make_unproven(
    mesh: Mesh, issuer: str, rng: Random, draft: SignalDraft | None = None
) -> MadeSignal:
    """A signal as `make_signal` makes it, but for its proofs: those are random bytes.

    It costs next to nothing. Whoever parses it finds nothing wrong; whoever verifies it does.
    """
    draft = draft or random_draft(mesh, rng)
    body = SignalBody(
        category=draft.category,
        technique=draft.technique,
        tokens=tuple(sorted({token_of(scalar).hex() for scalar in draft.token_scalars})),
        holder=_random_base64(rng, HOLDER_PROOF_BYTES),
        severity=SeverityClaim(
            band=1,
            commitments=tuple(
                _random_base64(rng, COMMITMENT_BYTES) for _ in mesh.constraints.rubric.components
            ),
            proof=_random_base64(rng, PROOF_BYTES),
        ),
        confidence=draft.confidence,
        derived_from=None,
        barrier=None,
    )
    return MadeSignal(rng.randbytes(SALT_BYTES), body.encode(), draft, (), issuer)


def _random_base64(rng: Random, length: int) -> Any:
    return b64encode(rng.randbytes(length)).decode()


class SignalPool:
    """`size` signals of one issuer, each made when it is first asked for.

    Pools of the same mesh, issuer and seed share what was made, in the whole process.
    """

    def __init__(self, mesh: Mesh, issuer: str, size: int = 8, seed: int = 0) -> None:
        if size < 1:
            raise ValueError("a pool holds at least one signal")
        self.size = size
        self._make = _maker(mesh.mesh_id, issuer, seed)
        self._mesh = mesh

    def __getitem__(self, place: int) -> MadeSignal:
        return self._make(self._mesh, place % self.size)


@cache
def _maker(mesh_id: str, issuer: str, seed: int) -> Callable[[Mesh, int], MadeSignal]:
    made: dict[int, MadeSignal] = {}

    def make(mesh: Mesh, place: int) -> MadeSignal:
        if place not in made:
            rng = seeded("pool", mesh_id, issuer, seed, place)
            made[place] = make_signal(mesh, issuer, rng)
        return made[place]

    return make


class Lie(Enum):
    """What a dishonest issuer claims with a well-formed body, of which one proof can't verify.

    The other proof is made for what the body says, so that only the one stands between them.
    """

    OTHER_BAND = "the proof of one band under the claim of the next higher, or of the lowest"
    OUT_OF_RANGE = "commitments to a component above the rubric's range, with another's proof"
    OTHER_TOKENS = "a severity proof made for other tokens"
    OTHER_SALT = "a body whose severity proof was made with another salt, as when it is copied"
    ALTERED_PROOF = "one bit of the severity proof's last scalar is flipped"
    SWAPPED_COMMITMENTS = "the commitments to two components are exchanged"
    POINT_OFF_CURVE = "a commitment that is no point of the curve"
    NO_HOLDER = "tokens whose scalars the issuer does not know, with a made-up holder proof"
    COPIED_HOLDER = "another issuer's tokens, with the holder proof that was made for its signal"


def forge_signal(mesh: Mesh, issuer: str, lie: Lie, rng: Random) -> MadeSignal:
    """A signal that parses, whose digest can be signed, and of which one proof is false."""
    draft = SignalDraft(
        category=rng.choice(sorted(CATEGORIES)),
        technique=rng.choice(sorted(TECHNIQUES)),
        token_scalars=random_token_scalars(rng),
        components=(3, 4, 2, 1),
    )
    return falsify(mesh, make_signal(mesh, issuer, rng, draft), lie, rng)


def falsify(mesh: Mesh, made: MadeSignal, lie: Lie, rng: Random) -> MadeSignal:
    """Turn an honest signal into a false one. Costs no severity proof."""
    value = strictjson.loads(made.body)
    severity: dict[str, Any] = value["severity"]
    salt = made.salt
    scalars = {token_of(x).hex(): x for x in made.draft.token_scalars}
    holder = made.issuer
    match lie:
        case Lie.OTHER_BAND:
            top = len(mesh.constraints.bands)
            severity["band"] = severity["band"] + 1 if severity["band"] < top else 1
        case Lie.OUT_OF_RANGE:
            above = mesh.constraints.rubric.component_max + 1
            blindings = [blinding_from_bytes(rng.randbytes(64)) for _ in range(4)]
            severity["commitments"] = [
                b64encode(point).decode() for point in commit_components([above] * 4, blindings)
            ]
        case Lie.OTHER_TOKENS:
            (other,) = random_token_scalars(rng)
            scalars[token_of(other).hex()] = other
            value["tokens"] = sorted([token_of(other).hex(), *value["tokens"][1:]])
        case Lie.OTHER_SALT:
            salt = rng.randbytes(SALT_BYTES)
        case Lie.ALTERED_PROOF:
            altered = bytearray(b64decode(severity["proof"]))
            altered[-1] ^= 1
            severity["proof"] = b64encode(altered).decode()
        case Lie.SWAPPED_COMMITMENTS:
            first, second, *rest = severity["commitments"]
            severity["commitments"] = [second, first, *rest]
        case Lie.POINT_OFF_CURVE:
            severity["commitments"][0] = b64encode(b"\x80" + bytes(46) + b"\x01").decode()
        case Lie.COPIED_HOLDER:
            holder = mesh.peers_of(made.issuer)[0].name
    proof = _holder_proof(mesh, holder, value, salt, scalars, rng)
    if lie is Lie.NO_HOLDER:
        k, z = random_scalars(rng.randbytes(32), b"made up", 2)
        proof = multiply_base(k) + z
    value["holder"] = b64encode(proof).decode()
    return MadeSignal(salt, strictjson.dumps(value), made.draft, made.blindings, made.issuer)


def _holder_proof(
    mesh: Mesh,
    holder: str,
    value: dict[str, Any],
    salt: bytes,
    scalars: dict[str, Scalar],
    rng: Random,
) -> bytes:
    """The holder proof that somebody makes for a body's tokens and claim."""
    tokens = value["tokens"]
    threshold = mesh.constraints.band(value["severity"]["band"]).threshold
    context = context_of(mesh, holder, tokens, threshold, salt, HOLDER_LABEL)
    return prove_holding([scalars[token] for token in tokens], context, rng.randbytes(32))
