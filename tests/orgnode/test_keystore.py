"""Private keys: where they lie, who can open them, and that they show nowhere else."""

import base64
import json
import stat
from pathlib import Path

import pytest

from mesh.member import log_origin, open_card
from orgnode.certificate import check_certificate
from orgnode.config import NodeConfig
from orgnode.datadir import DataDir
from orgnode.errors import (
    KeyFileError,
    KeyStoreExistsError,
    MissingFileError,
    PassphraseNeededError,
    PermissionsTooOpenError,
    WrongPassphraseError,
)
from orgnode.founding import create_node
from orgnode.keystore import FILE, KeyStore
from proofs.ristretto import ORDER, multiply_base, scalar

NAME = "acme.example"
MESH = "ab" * 32


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, KeyStore]:
    """Keys under a passphrase; made once, since deriving its key takes a while by design."""
    directory = tmp_path_factory.mktemp("protected")
    return directory, KeyStore.create(directory, NAME, "correct horse")


def secrets_of(store: KeyStore) -> list[bytes]:
    return [
        store._identity,
        store._log,
        store._witness,
        store.vault_key,
        store.sealing,
        store._transport.private_numbers().private_value.to_bytes(32, "big"),
    ]


def same(a: KeyStore, b: KeyStore) -> bool:
    return (secrets_of(a), a.name, a.certificate) == (secrets_of(b), b.name, b.certificate)


def edit(directory: Path, **changes: object) -> None:
    document = json.loads((directory / FILE).read_text())
    (directory / FILE).write_text(json.dumps(document | changes))


def test_created_keys_open_again(tmp_path: Path) -> None:
    made = KeyStore.create(tmp_path, NAME)
    assert same(KeyStore.open(tmp_path), made)
    assert not made.protected
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    # A passphrase in the environment of a node without one does no harm.
    assert same(KeyStore.open(tmp_path, "not needed"), made)


def test_all_keys_differ(tmp_path: Path) -> None:
    keys = secrets_of(KeyStore.create(tmp_path, NAME))
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}


def test_never_overwrites(tmp_path: Path) -> None:
    made = KeyStore.create(tmp_path, NAME)
    with pytest.raises(KeyStoreExistsError):
        KeyStore.create(tmp_path, NAME)
    assert same(KeyStore.open(tmp_path), made)


def test_passphrase_opens(protected: tuple[Path, KeyStore]) -> None:
    directory, made = protected
    opened = KeyStore.open(directory, "correct horse")
    assert same(opened, made)
    assert opened.protected


def test_no_private_key_is_on_disk_unencrypted(protected: tuple[Path, KeyStore]) -> None:
    directory, made = protected
    content = b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())
    for secret in secrets_of(made):
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)[:40]):
            assert form not in content
    sealed = base64.b64decode(json.loads((directory / FILE).read_text())["keys"])
    assert b"identity" not in sealed
    assert b"correct horse" not in content


def test_without_a_passphrase_it_says_what_to_set(protected: tuple[Path, KeyStore]) -> None:
    with pytest.raises(PassphraseNeededError) as caught:
        KeyStore.open(protected[0])
    assert "ORGNODE_PASSPHRASE" in caught.value.hint


@pytest.mark.parametrize("wrong", ["", "Correct horse", "correct horse "])
def test_wrong_passphrase(protected: tuple[Path, KeyStore], wrong: str) -> None:
    with pytest.raises(WrongPassphraseError) as caught:
        KeyStore.open(protected[0], wrong)
    assert not wrong or wrong not in str(caught.value)
    assert "found the mesh anew" in caught.value.hint, "as the operator's guide says"


def test_change_passphrase(tmp_path: Path) -> None:
    made = KeyStore.create(tmp_path, NAME)
    KeyStore.change_passphrase(tmp_path, None, "one")
    with pytest.raises(WrongPassphraseError):
        KeyStore.open(tmp_path, "two")
    KeyStore.change_passphrase(tmp_path, "one", "two")
    assert same(KeyStore.open(tmp_path, "two"), made)
    with pytest.raises(WrongPassphraseError):
        KeyStore.change_passphrase(tmp_path, "one", None)
    KeyStore.change_passphrase(tmp_path, "two", None)
    assert same(KeyStore.open(tmp_path), made)


def test_missing_and_open_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError) as caught:
        KeyStore.open(tmp_path)
    assert "backup" in caught.value.hint
    KeyStore.create(tmp_path, NAME)
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(PermissionsTooOpenError):
        KeyStore.open(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"format": "x"}'],
)
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        KeyStore.open(tmp_path)
    assert "backup" in caught.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "signal-mesh/v9/keystore"},
        {"format": ["signal-mesh/v2/keystore"]},
        {"sealing": 1},
        {"sealing": "?"},
        {"name": 1},
        {"keys": "?"},
        {"keys": base64.b64encode(b"not json").decode()},
        {"keys": base64.b64encode(b"{}").decode()},
        {"keys": base64.b64encode(b'{"identity": "00"}').decode()},
        {"certificate": "?"},
        {"extra": 1},
        {"kdf": {}},
        {"kdf": {"name": "argon2id", "salt": "00" * 16, "ops": 4, "memory": 2**31}},
        {"kdf": {"name": "argon2id", "salt": "00" * 16, "ops": 10**9, "memory": 2**20}},
        {"kdf": {"name": "argon2id", "salt": "00", "ops": 4, "memory": 2**20}},
        {"kdf": {"name": "md5", "salt": "00" * 16, "ops": 4, "memory": 2**20}},
    ],
)
def test_changed_file(tmp_path: Path, changes: dict[str, object]) -> None:
    KeyStore.create(tmp_path, NAME)
    edit(tmp_path, **changes)
    with pytest.raises(KeyFileError):
        KeyStore.open(tmp_path, "passphrase")


def test_another_nodes_certificate_is_noticed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        KeyStore.create(tmp_path / name, NAME)
    other = json.loads((tmp_path / "b" / FILE).read_text())
    edit(tmp_path / "a", certificate=other["certificate"])
    with pytest.raises(KeyFileError, match="certificate"):
        KeyStore.open(tmp_path / "a")


def test_another_nodes_sealing_key_is_noticed(tmp_path: Path) -> None:
    KeyStore.create(tmp_path, NAME)
    edit(tmp_path, sealing=multiply_base(scalar(7)).hex())
    with pytest.raises(KeyFileError, match="sealing"):
        KeyStore.open(tmp_path)


@pytest.mark.parametrize("value", [0, ORDER])
def test_a_sealing_key_that_is_no_scalar_is_refused(tmp_path: Path, value: int) -> None:
    KeyStore.create(tmp_path, NAME)
    keys = json.loads(base64.b64decode(json.loads((tmp_path / FILE).read_text())["keys"]))
    keys["sealing"] = value.to_bytes(32, "little").hex()
    edit(tmp_path, keys=base64.b64encode(json.dumps(keys).encode()).decode())
    with pytest.raises(KeyFileError, match="damaged"):
        KeyStore.open(tmp_path)


def test_keys_of_an_earlier_version_say_what_they_lack(tmp_path: Path) -> None:
    KeyStore.create(tmp_path, NAME)
    document = json.loads((tmp_path / FILE).read_text())
    del document["sealing"]
    (tmp_path / FILE).write_text(json.dumps(document | {"format": "signal-mesh/v1/keystore"}))
    with pytest.raises(KeyFileError, match="no sealing key") as caught:
        KeyStore.open(tmp_path)
    assert "orgnode init" in caught.value.hint


def test_keys_of_another_length_are_refused(tmp_path: Path) -> None:
    KeyStore.create(tmp_path, NAME)
    keys = json.loads(base64.b64decode(json.loads((tmp_path / FILE).read_text())["keys"]))
    keys["vault"] = keys["vault"][:-2]
    edit(tmp_path, keys=base64.b64encode(json.dumps(keys).encode()).decode())
    with pytest.raises(KeyFileError):
        KeyStore.open(tmp_path)


def test_signers_have_the_names_that_verifiers_expect(tmp_path: Path) -> None:
    store = KeyStore.create(tmp_path, NAME)
    assert store.identity.name == store.witness.name == store.card_log.name == NAME
    assert store.log(MESH).name == log_origin(NAME, MESH)
    assert store.log(MESH).verifier_key.public == store.card_log.verifier_key.public


def test_makes_a_card_that_proves_possession(tmp_path: Path) -> None:
    datadir = DataDir(tmp_path)
    config = NodeConfig(name=NAME, control_group="acme")
    card = create_node(datadir, config, host="127.0.0.1", port=1234)
    store = KeyStore.open(datadir.keys)
    assert open_card(datadir.card.read_bytes()) == card
    assert card.sealing_element == store.sealing_public == multiply_base(store.sealing)
    assert card.identity_key == store.identity.verifier_key
    check_certificate(card.certificate, card.name, card.transport_pin)


def test_repr_shows_no_key(tmp_path: Path) -> None:
    store = KeyStore.create(tmp_path, NAME)
    shown = repr(store) + repr(store.identity) + repr(store.log(MESH)) + str(store)
    for secret in secrets_of(store):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    assert NAME in shown
