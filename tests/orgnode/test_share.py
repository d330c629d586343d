"""A committee member's share: stored sealed, and opened only where it belongs."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from mesh.genesis import Mesh, open_genesis
from mesh.keygen import propose, read_proposal, run_ceremony
from orgnode.config import NodeConfig
from orgnode.datadir import DataDir
from orgnode.errors import (
    ForeignSelectionKeyError,
    ForeignShareError,
    KeyFileError,
    MissingFileError,
    PermissionsTooOpenError,
)
from orgnode.founding import FoundingFiles, Rules, create_node, draft, install, sign
from orgnode.keystore import KeyStore
from orgnode.share import read_selection_key, read_share, write_share
from proofs.ristretto import Scalar, multiply_base, scalar

NAMES = ("acme.example", "birch.example", "cobalt.example")


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    """A mesh of three founders that joined; the last one has no seat on the committee."""
    return found(tmp_path)


def found(home: Path, passphrase: str | None = None) -> Mesh:
    for place, name in enumerate(NAMES):
        config = NodeConfig(name=name, control_group=name.partition(".")[0])
        create_node(
            datadir(home, place), config, host="127.0.0.1", port=2_000 + place,
            passphrase=passphrase,
        )  # fmt: skip
    nodes = [datadir(home, place) for place in range(3)]
    stores = [KeyStore.open(node.keys, passphrase) for node in nodes]
    proposal = propose("m", [node.card.read_bytes() for node in nodes], seats=NAMES[:2])
    signers = {one.name: (one.identity, one.sealing) for one in stores}
    outcome, _, _ = run_ceremony(proposal, signers, bytes(64))
    files = FoundingFiles(proposal.encode(), outcome.transcript)
    text = draft(read_proposal(proposal), outcome, Rules())
    copies = [sign(node, text, files, one) for node, one in zip(nodes, stores, strict=True)]
    for node, one in zip(nodes, stores, strict=True):
        install(node, copies, files, one)
    return open_genesis(nodes[0].genesis.read_bytes())


def datadir(home: Path, place: int) -> DataDir:
    return DataDir(home / NAMES[place])


def keystore(home: Path, place: int, passphrase: str | None = None) -> KeyStore:
    return KeyStore.open(datadir(home, place).keys, passphrase)


def share_of(home: Path, mesh: Mesh, place: int) -> Scalar:
    share = read_share(datadir(home, place), mesh, keystore(home, place))
    assert share is not None
    return share


def test_each_seat_has_its_own_share(tmp_path: Path, mesh: Mesh) -> None:
    for place in (0, 1):
        seat = mesh.constraints.committee.seat_of(NAMES[place])
        assert seat is not None
        assert multiply_base(share_of(tmp_path, mesh, place)) == seat.element
        assert stat.S_IMODE(datadir(tmp_path, place).share.stat().st_mode) == 0o600
    assert share_of(tmp_path, mesh, 0) != share_of(tmp_path, mesh, 1)


def test_without_a_seat_there_is_no_share(tmp_path: Path, mesh: Mesh) -> None:
    assert read_share(datadir(tmp_path, 2), mesh, keystore(tmp_path, 2)) is None
    assert not datadir(tmp_path, 2).share.exists()
    with pytest.raises(ForeignShareError):
        write_share(datadir(tmp_path, 2), mesh, keystore(tmp_path, 2), scalar(7))
    # All members have the same selection key.
    assert len({datadir(tmp_path, place).read_selection_key() for place in range(3)}) == 1


def test_the_selection_key_is_the_one_in_the_genesis(tmp_path: Path, mesh: Mesh) -> None:
    key = read_selection_key(datadir(tmp_path, 0), mesh)
    assert key.digest == mesh.constraints.selection_key_digest
    datadir(tmp_path, 0).write_selection_key(bytes(32))
    with pytest.raises(ForeignSelectionKeyError) as caught:
        read_selection_key(datadir(tmp_path, 0), mesh)
    assert "genesis join" in caught.value.hint


def test_the_share_is_not_on_disk_in_clear(tmp_path: Path) -> None:
    mesh = found(tmp_path, "correct horse")
    opened = keystore(tmp_path, 0, "correct horse")
    share = read_share(datadir(tmp_path, 0), mesh, opened)
    assert share is not None
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for form in (share, share.hex().encode(), base64.b64encode(share)[:40]):
        assert form not in content


def test_another_passphrase_leaves_the_share_where_it_is(tmp_path: Path, mesh: Mesh) -> None:
    share = share_of(tmp_path, mesh, 0)
    KeyStore.change_passphrase(datadir(tmp_path, 0).keys, None, "correct horse")
    opened = keystore(tmp_path, 0, "correct horse")
    assert read_share(datadir(tmp_path, 0), mesh, opened) == share


@pytest.mark.parametrize("wrong", [0, 7])
def test_a_share_that_does_not_fit_is_not_stored(tmp_path: Path, mesh: Mesh, wrong: int) -> None:
    before = datadir(tmp_path, 0).share.read_bytes()
    with pytest.raises(ForeignShareError, match="seat 1"):
        write_share(datadir(tmp_path, 0), mesh, keystore(tmp_path, 0), scalar(wrong))
    assert datadir(tmp_path, 0).share.read_bytes() == before


def test_another_seat_s_share(tmp_path: Path, mesh: Mesh) -> None:
    datadir(tmp_path, 0).share.write_bytes(datadir(tmp_path, 1).share.read_bytes())
    with pytest.raises(ForeignShareError) as caught:
        share_of(tmp_path, mesh, 0)
    assert "genesis join" in caught.value.hint


def test_another_seat_s_share_under_this_seat_s_name(tmp_path: Path, mesh: Mesh) -> None:
    document = json.loads(datadir(tmp_path, 1).share.read_text())
    datadir(tmp_path, 0).share.write_text(json.dumps(document | {"seat": 1}))
    with pytest.raises(KeyFileError, match="does not open"):
        share_of(tmp_path, mesh, 0)


def test_a_share_of_another_mesh(tmp_path: Path, mesh: Mesh) -> None:
    other = found(tmp_path / "other")
    for changes in ({}, {"mesh": mesh.mesh_id}):
        document = json.loads(datadir(tmp_path / "other", 0).share.read_text())
        datadir(tmp_path, 0).share.write_text(json.dumps(document | changes))
        with pytest.raises((ForeignShareError, KeyFileError)):
            share_of(tmp_path, mesh, 0)
    assert share_of(tmp_path / "other", other, 0)


def test_a_share_that_was_replaced_by_whoever_has_the_keys(tmp_path: Path, mesh: Mesh) -> None:
    """Opened under the right key it is still compared with the genesis."""
    opened = keystore(tmp_path, 0)
    other = found(tmp_path / "other").constraints.committee
    fake = mesh.constraints.model_copy(update={"committee": other})
    share = share_of(tmp_path / "other", open_genesis(
        datadir(tmp_path / "other", 0).genesis.read_bytes()), 0)  # fmt: skip
    write_share(datadir(tmp_path, 0), Mesh(mesh.mesh_id, fake, mesh.note), opened, share)
    with pytest.raises(ForeignShareError, match="does not fit"):
        share_of(tmp_path, mesh, 0)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"format": "x"}']
)
def test_a_damaged_file(tmp_path: Path, mesh: Mesh, content: bytes) -> None:
    datadir(tmp_path, 0).share.write_bytes(content)
    with pytest.raises(KeyFileError) as caught:
        share_of(tmp_path, mesh, 0)
    assert "genesis join" in caught.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "signal-mesh/v9/share"},
        {"share": "?"},
        {"share": 1},
        {"share": ""},
        {"share": base64.b64encode(bytes(72)).decode()},
        {"extra": 1},
    ],
)
def test_a_changed_file(tmp_path: Path, mesh: Mesh, changes: dict[str, object]) -> None:
    path = datadir(tmp_path, 0).share
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(KeyFileError):
        share_of(tmp_path, mesh, 0)


def test_a_file_that_is_missing_or_open_to_others(tmp_path: Path, mesh: Mesh) -> None:
    path = datadir(tmp_path, 0).share
    path.chmod(0o644)
    with pytest.raises(PermissionsTooOpenError):
        share_of(tmp_path, mesh, 0)
    path.unlink()
    with pytest.raises(MissingFileError) as caught:
        share_of(tmp_path, mesh, 0)
    assert "genesis join" in caught.value.hint
