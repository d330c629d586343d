"""Member cards: who an organization is, which keys act for it, where it is reached.

A card is signed by each of the signing keys that it names, under the member's name. That proves
possession: nobody can enter another's log key or witness key in a card of their own. The sealing
key can't sign; a Schnorr proof in the card, bound to name and identity key, shows its possession.
Possession of the certificate's key is proven in every TLS handshake; X.509 itself is not read here,
so whoever loads a card compares `transport_pin` with the certificate.
"""

from functools import cached_property
from typing import Annotated, ClassVar, Final, Self

from pydantic import AfterValidator, Field, model_validator

from mesh.document import document_text, read_document
from mesh.errors import MeshError
from mesh.model import Base64Bytes, Digest, Model
from mesh.names import check_control_group, check_host, check_name
from proofs.cosignature import COSIGNATURE_V1
from proofs.holder import HOLDER_PROOF_BYTES, HolderProofError, verify_holding
from proofs.note import Signer, UnsignedNoteError, VerifierKey, open_note, parse_note, sign_note
from proofs.ristretto import Element, InvalidElementError, decode_element

CARD_KIND: Final = "member-card"
"""Kind of the note that a member card is."""

MAX_CARD_NOTE: Final = 16_384
"""Longest card, signatures included, in bytes."""

MAX_CERTIFICATE: Final = 4_096
"""Longest certificate in bytes of DER."""

ED25519: Final = 0x01
"""Signature type of identity and log keys, and of the witness key where it signs its card (C2SP
signed-note)."""

_MESH_ID_PREFIX = 16
_SEALING_LABEL = b"signal-mesh/v1/sealing key\n"


class CardError(MeshError):
    """A member card does not hold."""


class CardFormatError(CardError):
    """A card's fields are not exactly those of a member card."""


class CardSignatureError(CardError):
    """A card lacks the signature of one of its own keys, or its sealing key's proof is false:
    possession of that key is not proven."""


class CardKeyError(CardError):
    """A card uses one key for two roles, or its sealing key is no key at all."""


def log_origin(name: str, mesh_id: str) -> str:
    """The origin of a member's log, which is also the name that its log key signs under."""
    return f"{name}/{mesh_id[:_MESH_ID_PREFIX]}"


def sealing_possession_context(name: str, identity_hex: str) -> bytes:
    """What a card's sealing proof is made for: `proofs.holder.prove_holding` of the sealing key.

    :param identity_hex: the card's identity key, hex.
    """
    return _SEALING_LABEL + name.encode() + b"\n" + bytes.fromhex(identity_hex)


class MemberCard(Model):
    """One member of a mesh. Keys and pin are hex; the certificate is DER, base64 in JSON."""

    format_error: ClassVar[type[MeshError]] = CardFormatError

    name: Annotated[str, AfterValidator(check_name)]
    """DNS-like name, `acme.example`."""
    control_group: Annotated[str, AfterValidator(check_control_group)]
    """Who owns the organization: members of one group count as one source."""
    host: Annotated[str, AfterValidator(check_host)]
    """Host name or IP address of the federation endpoint."""
    port: Annotated[int, Field(ge=1, le=65_535)]
    """TCP port of the federation endpoint."""
    identity: Digest
    """Ed25519 public key that signs entries."""
    log: Digest
    """Ed25519 public key that signs checkpoints of this member's log."""
    witness: Digest
    """Ed25519 public key that cosigns peers' checkpoints."""
    sealing: Digest
    """ristretto255 public key that key shares are sealed to."""
    sealing_proof: Annotated[
        Base64Bytes, Field(min_length=HOLDER_PROOF_BYTES, max_length=HOLDER_PROOF_BYTES)
    ]
    """Proof of possession of the sealing key, made for `sealing_possession_context`."""
    certificate: Annotated[Base64Bytes, Field(min_length=1, max_length=MAX_CERTIFICATE)]
    """X.509 certificate of the TLS endpoint, DER."""
    transport_pin: Digest
    """SHA-256 of the certificate's SubjectPublicKeyInfo."""

    @model_validator(mode="after")
    def _one_key_per_role(self) -> Self:
        if len({self.identity, self.log, self.witness}) != 3:
            raise CardKeyError("a card needs three different keys: identity, log and witness")
        _sealing_element(self)
        return self

    @cached_property
    def sealing_element(self) -> Element:
        """Seals key shares to the member."""
        return _sealing_element(self)

    @cached_property
    def identity_key(self) -> VerifierKey:
        """Verifies the member's entries."""
        return VerifierKey(self.name, ED25519, bytes.fromhex(self.identity))

    @cached_property
    def witness_key(self) -> VerifierKey:
        """Verifies the member's cosignatures of checkpoints (type 0x04, C2SP tlog-cosignature)."""
        return VerifierKey(self.name, COSIGNATURE_V1, bytes.fromhex(self.witness))

    def log_key(self, mesh_id: str) -> VerifierKey:
        """Verifies the member's checkpoints in this mesh; its name is the log's origin."""
        return VerifierKey(log_origin(self.name, mesh_id), ED25519, bytes.fromhex(self.log))

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port


def sign_card(card: MemberCard, *, identity: Signer, log: Signer, witness: Signer) -> bytes:
    """Sign a card with all three of its signing keys, each under the member's name. The proof for
    its sealing key stands in the card already.

    :param witness: of type 0x04, as it cosigns, or 0x01; the card's text is signed as a plain note,
        which no checkpoint's text can be taken for.
    :raises CardSignatureError: a signer's name or key is not the card's, or the sealing key's proof
        is false.
    """
    plain = Signer(witness.name, witness.seed)
    note = sign_note(document_text(CARD_KIND, card.to_json()), (identity, log, plain))
    _check_possession(card, note)
    return note


def open_card(note: bytes) -> MemberCard:
    """Read a card and verify that each of the signing keys that it names signed it, and the sealing
    key's proof.

    The keys stand in the text, so the text is parsed (strictly, within a small limit) before the
    signatures can be checked; nothing of it is returned before they are.

    :raises CardError: oversize, other fields, or a signature missing.
    :raises MeshError: a field's own error, or not strict JSON.
    :raises NoteError: not a signed note, or a signature of a named key is false.
    """
    if len(note) > MAX_CARD_NOTE:
        raise CardFormatError(f"a member card is at most {MAX_CARD_NOTE} bytes")
    text = parse_note(note).text
    value = read_document(text, CARD_KIND, max_bytes=MAX_CARD_NOTE, error=CardFormatError)
    card = MemberCard.parse(value)
    _check_possession(card, note)
    if text != document_text(CARD_KIND, card.to_json()):
        raise CardFormatError("a member card is written in its canonical encoding")
    return card


def _check_possession(card: MemberCard, note: bytes) -> None:
    keys = {
        role: VerifierKey(card.name, ED25519, bytes.fromhex(public))
        for role, public in (
            ("identity", card.identity),
            ("log", card.log),
            ("witness", card.witness),
        )
    }
    try:
        opened = open_note(note, tuple(keys.values()))
    except UnsignedNoteError:
        raise CardSignatureError(
            f"the card of {card.name} is signed with none of its own keys"
        ) from None
    for role, key in keys.items():
        if key not in opened.verified:
            raise CardSignatureError(
                f"the card of {card.name} is not signed with its own {role} key: "
                "possession is not proven; ask the member for a card that orgnode init made"
            )
    if opened.unverified:
        raise CardSignatureError(f"the card of {card.name} carries signatures of other keys")
    context = sealing_possession_context(card.name, card.identity)
    try:
        verify_holding([card.sealing_element], context, card.sealing_proof)
    except HolderProofError:
        raise CardSignatureError(
            f"the card of {card.name} does not prove that it holds its own sealing key; "
            "ask the member for a card that orgnode init made"
        ) from None


def _sealing_element(card: MemberCard) -> Element:
    try:
        return decode_element(bytes.fromhex(card.sealing))
    except InvalidElementError as error:
        raise CardKeyError(f"the sealing key of {card.name} is unusable: {error}") from None
