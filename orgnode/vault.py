"""The vault: incidents at rest, each encrypted under a key of its own (AES-256-GCM).

The data key of an incident is wrapped by the vault's master key, which lies in the key store, not
in the database. Erasing an incident destroys its wrapped key and its ciphertext; a copy of the
ciphertext that survives somewhere (a backup, a disk's spare blocks) has no key any more. Both
encryptions bind the incident's id and signal, so rows can't be exchanged for one another.

A caller's `reference` is kept as an HMAC only, under a key derived from the master key: it makes
reporting twice harmless without storing a ticket number that names a customer.
"""

from __future__ import annotations

import hmac
import json
import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mesh.days import Day
from orgnode.errors import SealedIncidentError, UnknownIncidentError
from orgnode.store.interface import VaultStore
from orgnode.store.records import KnownReference, SealedIncident

ID_BYTES: Final = 16
KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


@dataclass(frozen=True)
class Incident:
    """An incident as the vault keeps it; what `disclose` needs later. Its repr shows ids only.

    `salt` is that of the signal's body, `blindings` open its commitments to `components`.
    `windows` are the signal's tokens, each with the window hash behind it, both hex; none when the
    text was too short to be promoted.
    """

    id: str
    text: str = field(repr=False)
    components: tuple[int, ...] = field(repr=False)
    blindings: tuple[int, ...] = field(repr=False)
    salt: bytes = field(repr=False)
    category: str = field(repr=False)
    technique: str = field(repr=False)
    confidence: int = field(repr=False)
    barrier: str | None = field(repr=False)
    entry_id: str | None
    day: Day
    windows: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class Vault:
    """Seals incidents, opens them again, and erases them when their time is up.

    `master_key` is 32 bytes from the key store; `retention_days` how long incidents are kept.
    """

    def __init__(self, store: VaultStore, master_key: bytes, retention_days: int = 90) -> None:
        self._store = store
        self._retention_days = retention_days
        # Separate keys for separate uses, so that none of them is an oracle for another.
        self._wrapping = AESGCM(_derive(master_key, b"signal-mesh/v1/vault wrap"))
        self._reference_key = _derive(master_key, b"signal-mesh/v1/vault reference")

    @staticmethod
    def new_id() -> str:
        """A fresh random id for an incident: 16 bytes, hex."""
        return os.urandom(ID_BYTES).hex()

    def seal(self, incident: Incident, reference: str | None = None) -> SealedIncident:
        """Encrypt an incident for `Store.commit_segment` or `put`. Works without the store."""
        data_key = os.urandom(KEY_BYTES)
        bound = _bound(incident.id, incident.entry_id, incident.day)
        return SealedIncident(
            id=incident.id,
            entry_id=incident.entry_id,
            day=incident.day,
            expires=Day(incident.day + self._retention_days),
            wrapped_key=_encrypt(self._wrapping, data_key, b"key" + bound),
            sealed=_encrypt(AESGCM(data_key), _encode(incident), b"incident" + bound),
            reference_mac=None if reference is None else self._mac(reference),
        )

    async def put(self, incident: Incident, reference: str | None = None) -> None:
        """Seal and store an incident apart from any signal; durable when this returns.

        :raises StoreConflictError: the id, or the reference, is known already.
        """
        await self._store.vault_put(self.seal(incident, reference))

    def get(self, incident_id: str) -> Incident:
        """Open an incident.

        :raises UnknownIncidentError: there is none, or it was erased.
        :raises SealedIncidentError: it does not open under this master key.
        """
        row = self._store.vault_get(incident_id)
        if row is None:
            raise UnknownIncidentError(
                f"the vault holds no incident {incident_id[:40]!r}",
                hint="it may have been erased at the end of its retention",
            )
        return self._open(row)

    def of_signal(self, entry_id: str) -> Incident | None:
        """Open the incident behind an own signal; None if there is none, or it was erased.

        :raises SealedIncidentError: as for `get`.
        """
        row = self._store.vault_of(entry_id)
        return None if row is None else self._open(row)

    def _open(self, row: SealedIncident) -> Incident:
        bound = _bound(row.id, row.entry_id, row.day)
        try:
            data_key = _decrypt(self._wrapping, row.wrapped_key, b"key" + bound)
            data = _decrypt(AESGCM(data_key), row.sealed, b"incident" + bound)
        except (InvalidTag, ValueError) as error:
            raise SealedIncidentError(
                f"the incident {row.id} does not open under this node's master key",
                hint="restore keys/ and node.db from the same backup",
            ) from error
        return _decode(row, data)

    def find(self, reference: str) -> KnownReference | None:
        """Which incident, and which signal, a reference was used for; also after its erasure."""
        return self._store.vault_find(self._mac(reference))

    async def erase(self, incident_id: str) -> bool:
        """Destroy an incident's key and ciphertext; False if there was none."""
        return await self._store.vault_erase(incident_id)

    async def erase_expired(self, today: Day) -> int:
        """Destroy all incidents whose retention has ended; returns how many."""
        return await self._store.vault_expire(today)

    def _mac(self, reference: str) -> bytes:
        return hmac.new(
            self._reference_key, reference.encode("utf-8", "surrogatepass"), sha256
        ).digest()


def _derive(master_key: bytes, use: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=use).derive(master_key)


def _bound(incident_id: str, entry_id: str | None, day: int) -> bytes:
    return json.dumps([incident_id, entry_id, day]).encode()


def _encrypt(cipher: AESGCM, data: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, data, bound)


def _decrypt(cipher: AESGCM, data: bytes, bound: bytes) -> bytes:
    return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound)


def _encode(incident: Incident) -> bytes:
    return json.dumps(
        {
            "text": incident.text,
            "components": incident.components,
            "blindings": [format(blinding, "x") for blinding in incident.blindings],
            "salt": incident.salt.hex(),
            "category": incident.category,
            "technique": incident.technique,
            "confidence": incident.confidence,
            "barrier": incident.barrier,
            "windows": incident.windows,
        }
    ).encode()


def _decode(row: SealedIncident, data: bytes) -> Incident:
    fields: dict[str, Any] = json.loads(data)  # authenticated: this node wrote it
    return Incident(
        id=row.id,
        text=fields["text"],
        components=tuple(fields["components"]),
        blindings=tuple(int(blinding, 16) for blinding in fields["blindings"]),
        salt=bytes.fromhex(fields["salt"]),
        category=fields["category"],
        technique=fields["technique"],
        confidence=fields["confidence"],
        barrier=fields["barrier"],
        entry_id=row.entry_id,
        day=row.day,
        # Sealed before there were windows: none.
        windows=tuple((token, given) for token, given in fields.get("windows", ())),
    )
