"""Founders and meshes with real keys, real signatures and a seed: equal seeds make equal meshes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256

from mesh.committee import Committee
from mesh.constraints import Constraints
from mesh.genesis import Mesh, draft_genesis, merge_genesis, open_genesis, sign_genesis
from mesh.keygen import propose, run_ceremony
from mesh.member import MemberCard, log_origin, sealing_possession_context, sign_card
from mesh.testing.seeds import seeded
from proofs.cosignature import COSIGNATURE_V1
from proofs.ed25519 import public_key
from proofs.holder import prove_holding
from proofs.note import Signer
from proofs.ristretto import Scalar, multiply_base, random_scalars

_NAMES = ("acme", "birch", "cobalt", "dune", "ember", "fjord", "grove", "heron")
_FIRST_PORT = 20_000
_CEREMONY_SEED = bytes(range(64))


@dataclass(frozen=True)
class TestMember:
    """An organization with its private keys. For tests only: the keys follow from the seed."""

    __test__ = False  # not a class of tests, whatever pytest thinks of the name

    card: MemberCard
    identity: Signer = field(repr=False)
    """Signs entries."""
    witness: Signer = field(repr=False)
    """Cosigns checkpoints (type 0x04)."""
    log_seed: bytes = field(repr=False)
    """Seed of the key that signs checkpoints."""
    sealing: Scalar = field(repr=False)
    """Opens what is sealed to the member, such as its key share."""

    @property
    def name(self) -> str:
        """The member's name."""
        return self.card.name

    @property
    def card_witness(self) -> Signer:
        """The witness key as it signs a plain note, which no note but the member's card is."""
        return Signer(self.name, self.witness.seed)

    @cached_property
    def card_note(self) -> bytes:
        """The card, signed with all three of its signing keys."""
        log = Signer(self.name, self.log_seed)
        return sign_card(self.card, identity=self.identity, log=log, witness=self.witness)

    def log_signer(self, mesh_id: str) -> Signer:
        """Signs checkpoints of this member's log in a mesh."""
        return Signer(log_origin(self.name, mesh_id), self.log_seed)


@dataclass(frozen=True)
class TestMesh:
    """A mesh together with the private keys of all its members."""

    __test__ = False

    mesh: Mesh
    members: tuple[TestMember, ...]
    """By name, as in the constraints."""
    selection_key: bytes = field(repr=False)
    """The key whose digest the constraints hold."""
    shares: dict[str, Scalar] = field(repr=False, hash=False)
    """Shares of the evaluation key, by the names of the committee's members."""
    proposal: str = field(repr=False)
    """Text of the key generation that was run."""
    transcript: bytes = field(repr=False)
    """Transcript of the key generation that was run."""

    @property
    def committee(self) -> Committee:
        """Who holds the shares."""
        return self.mesh.constraints.committee

    def member(self, which: str | int) -> TestMember:
        """A member by name, or by its place in the order of names.

        :raises LookupError: there is none.
        """
        if isinstance(which, int):
            return self.members[which]
        for member in self.members:
            if member.name == which:
                return member
        raise LookupError(which)


def founder(
    place: int,
    seed: int = 0,
    *,
    name: str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    certificate: tuple[bytes, str] | None = None,
) -> TestMember:
    """One founder. What is not given follows from its place (from 0) and the seed.

    :param certificate: DER and public key's SHA-256 in hex. The default is unusable for TLS: `mesh`
        never reads a certificate. Hand in a real one to run nodes with it.
    """
    rng = seeded("founder", seed, place)
    name = name or f"{_NAMES[place] if place < len(_NAMES) else f'org{place}'}.example"
    identity, log, witness = (rng.randbytes(32) for _ in range(3))
    der = b"\x30\x22\x04\x20" + rng.randbytes(32)  # an ASN.1 sequence with one octet string
    certificate = certificate or (der, sha256(der).hexdigest())
    sealing = random_scalars(rng.randbytes(32), b"sealing", 1)[0]
    context = sealing_possession_context(name, public_key(identity).hex())
    card = MemberCard(
        name=name,
        control_group=name.partition(".")[0],
        host=host,
        port=_FIRST_PORT + place if port is None else port,
        identity=public_key(identity).hex(),
        log=public_key(log).hex(),
        witness=public_key(witness).hex(),
        sealing=multiply_base(sealing).hex(),
        sealing_proof=prove_holding([sealing], context, rng.randbytes(32)),
        certificate=certificate[0],
        transport_pin=certificate[1],
    )
    return TestMember(
        card, Signer(name, identity), Signer(name, witness, COSIGNATURE_V1), log, sealing
    )


def founders(n: int, seed: int = 0) -> list[TestMember]:
    """`n` founders. The first k of them are the same for every n ≥ k."""
    return [founder(place, seed) for place in range(n)]


def found(
    members: list[TestMember],
    *,
    name: str = "test mesh",
    seats: Sequence[str] | None = None,
    adjust: Callable[[Constraints], Constraints] = lambda constraints: constraints,
) -> TestMesh:
    """A mesh of these founders: its keys made by all of them, its genesis signed by each.

    :param seats: who gets a share of the evaluation key; by default the first nine by name.
    :param adjust: may return other constraints than the default ones.
    :raises MeshError: no mesh can be founded so.
    """
    proposal = propose(name, [member.card_note for member in members], seats=seats)
    signers = {member.name: (member.identity, member.sealing) for member in members}
    outcome, shares, selection_key = run_ceremony(proposal, signers, _CEREMONY_SEED)
    constraints = adjust(
        Constraints(
            name=name,
            members=tuple(member.card for member in members),
            committee=outcome.committee,
            selection_key_digest=outcome.selection_key_digest,
        )
    )
    text = draft_genesis(constraints, [member.card_note for member in members])
    note = merge_genesis([sign_genesis(text, member.identity) for member in members])
    ordered = tuple(sorted(members, key=lambda member: member.name))
    return TestMesh(
        open_genesis(note), ordered, selection_key, shares, proposal, outcome.transcript
    )


@lru_cache(maxsize=32)
def make_mesh(n: int = 4, seed: int = 0) -> TestMesh:
    """A mesh of `n` founders with default constraints. Made once for each n and seed."""
    return found(founders(n, seed), name=f"test mesh {seed}")
