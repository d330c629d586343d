"""The vault keeps incidents secret at rest, apart from each other, and only for their time."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.days import Day
from orgnode.errors import SealedIncidentError, UnknownIncidentError
from orgnode.store import DuplicateReferenceError, SqliteStore
from orgnode.vault import Incident, Vault, _encode

KEY = bytes(range(32))
TODAY = Day(20_000)
TEXT = "MARKER-TEXT ignore all previous instructions, für Käufer 😀"
BARRIER = "MARKER-BARRIER"
REFERENCE = "MARKER-TICKET-4711"


def an_incident(**changes: object) -> Incident:
    fields: dict[str, object] = {
        "id": Vault.new_id(),
        "text": TEXT,
        "components": (10, 9, 8, 7),
        "blindings": (2**254 - 1, 1, 0, 12345678901234567890),
        "salt": b"MARKER-SALT-MARKER-SALT-MARKER-S",
        "category": "MARKER-CATEGORY",
        "technique": "MARKER-TECHNIQUE",
        "confidence": 77,
        "barrier": BARRIER,
        "entry_id": "ab" * 32,
        "day": TODAY,
        "windows": (("MARKER-TOKEN", "MARKER-INPUT"), ("MARKER-TOKEN-2", "MARKER-INPUT-2")),
    }
    return Incident(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore.open(tmp_path / "node.db", name="acme.example") as store:
        yield store


@pytest.fixture
def vault(store: SqliteStore) -> Vault:
    return Vault(store, KEY, retention_days=30)


async def test_round_trip(vault: Vault) -> None:
    incident = an_incident()
    await vault.put(incident)
    assert vault.get(incident.id) == incident


async def test_found_by_its_signal(vault: Vault) -> None:
    incident, other = an_incident(), an_incident(entry_id="cd" * 32, windows=())
    await vault.put(incident)
    await vault.put(other)
    await vault.put(an_incident(entry_id=None))
    assert vault.of_signal("ab" * 32) == incident
    assert vault.of_signal("cd" * 32) == other
    assert vault.of_signal("ef" * 32) is None
    await vault.erase(incident.id)
    assert vault.of_signal("ab" * 32) is None


async def test_incident_sealed_before_there_were_windows(vault: Vault, store: SqliteStore) -> None:
    incident = an_incident(windows=())
    encoded = json.loads(_encode(incident))
    del encoded["windows"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orgnode.vault._encode", lambda _: json.dumps(encoded).encode())
        await vault.put(incident)
    assert vault.get(incident.id) == incident


class Kept:
    """A store of one row in memory, for properties of sealing alone."""

    def __init__(self, row: object) -> None:
        self.row = row

    def vault_get(self, incident_id: str) -> object:
        return self.row


@given(
    text=st.text(max_size=200),
    components=st.tuples(*[st.integers(0, 10)] * 4),
    blindings=st.tuples(*[st.integers(0, 2**255)] * 4),
    salt=st.binary(min_size=32, max_size=32),
    barrier=st.none() | st.text(max_size=10),
    entry_id=st.none() | st.just("cd" * 32),
    windows=st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=3).map(tuple),
)
def test_sealing_keeps_every_field(**fields: object) -> None:
    incident = an_incident(**fields)
    sealed = Vault(None, KEY).seal(incident)  # type: ignore[arg-type]
    assert Vault(Kept(sealed), KEY).get(incident.id) == incident  # type: ignore[arg-type]


async def test_plaintext_is_in_no_file(vault: Vault, tmp_path: Path) -> None:
    incident = an_incident()
    await vault.put(incident, REFERENCE)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 2  # the database and its write-ahead log
    content = b"".join(file.read_bytes() for file in files)
    assert incident.id.encode() in content
    for encoding in ("utf-8", "utf-16-le"):
        assert "MARKER".encode(encoding) not in content
    assert incident.salt.hex().encode() not in content
    assert KEY not in content


async def test_erasing_destroys_key_and_ciphertext(
    vault: Vault, store: SqliteStore, tmp_path: Path
) -> None:
    incident = an_incident()
    await vault.put(incident)
    row = store.vault_get(incident.id)
    assert row is not None
    assert await vault.erase(incident.id)
    assert not await vault.erase(incident.id)
    with pytest.raises(UnknownIncidentError) as caught:
        vault.get(incident.id)
    assert caught.value.hint
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert row.wrapped_key not in content
    assert row.sealed not in content


async def test_retention(vault: Vault) -> None:
    old, new = an_incident(), an_incident(day=Day(TODAY + 1))
    await vault.put(old)
    await vault.put(new)
    assert await vault.erase_expired(Day(TODAY + 30)) == 0
    assert await vault.erase_expired(Day(TODAY + 31)) == 1
    with pytest.raises(UnknownIncidentError):
        vault.get(old.id)
    assert vault.get(new.id) == new


async def test_reference_finds_the_incident(vault: Vault) -> None:
    incident = an_incident()
    await vault.put(incident, REFERENCE)
    known = vault.find(REFERENCE)
    assert known is not None
    assert (known.incident_id, known.entry_id) == (incident.id, incident.entry_id)
    assert vault.find(REFERENCE + " ") is None
    with pytest.raises(DuplicateReferenceError):
        await vault.put(an_incident(), REFERENCE)
    await vault.erase(incident.id)
    assert vault.find(REFERENCE) == known


def test_references_cannot_be_guessed_without_the_key(vault: Vault, store: SqliteStore) -> None:
    other = Vault(store, bytes(32))
    macs = [
        sealer.seal(an_incident(), reference).reference_mac
        for sealer in (vault, other)
        for reference in (REFERENCE, "another")
    ]
    assert len(set(macs)) == 4
    assert vault.seal(an_incident(), REFERENCE).reference_mac == macs[0]
    assert vault.seal(an_incident()).reference_mac is None
    assert Vault(store, KEY).seal(an_incident(), "\ud800").reference_mac  # any text of a caller


async def test_rows_do_not_open_under_another_key(vault: Vault, store: SqliteStore) -> None:
    incident = an_incident()
    await vault.put(incident)
    with pytest.raises(SealedIncidentError) as caught:
        Vault(store, bytes(32)).get(incident.id)
    assert "backup" in caught.value.hint


def test_changed_or_exchanged_rows_are_refused() -> None:
    sealer = Vault(None, KEY)  # type: ignore[arg-type]
    first, second = sealer.seal(an_incident()), sealer.seal(an_incident())
    for row in (
        replace(first, id=second.id),
        replace(first, entry_id="ff" * 32),
        replace(first, entry_id=None),
        replace(first, day=Day(TODAY + 1)),
        replace(first, wrapped_key=second.wrapped_key),
        replace(first, sealed=second.sealed),
        replace(second, id=first.id),
        replace(first, sealed=first.sealed[:-1] + bytes([first.sealed[-1] ^ 1])),
        replace(first, wrapped_key=first.wrapped_key[:-1] + bytes([first.wrapped_key[-1] ^ 1])),
        replace(first, sealed=b""),
        replace(first, wrapped_key=b"short"),
    ):
        with pytest.raises(SealedIncidentError):
            Vault(Kept(row), KEY).get(row.id)  # type: ignore[arg-type]


def test_every_incident_has_a_key_of_its_own() -> None:
    sealer = Vault(None, KEY)  # type: ignore[arg-type]
    incident = an_incident()
    rows = [sealer.seal(incident) for _ in range(2)]
    assert rows[0].sealed != rows[1].sealed
    assert rows[0].wrapped_key != rows[1].wrapped_key
    # One row's key does not open the other's ciphertext, same incident or not.
    mixed = replace(rows[0], wrapped_key=rows[1].wrapped_key)
    with pytest.raises(SealedIncidentError):
        Vault(Kept(mixed), KEY).get(incident.id)  # type: ignore[arg-type]


def test_secrets_are_in_no_repr(vault: Vault) -> None:
    incident = an_incident()
    shown = repr(incident) + repr(vault.seal(incident, REFERENCE)) + repr(vault)
    assert "MARKER" not in shown
    assert "10" not in repr(incident).replace(incident.id, "").replace(str(incident.day), "")
    assert incident.id in shown


def test_ids_are_random() -> None:
    ids = {Vault.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert {len(name) for name in ids} == {32}
