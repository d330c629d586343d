"""Backups and the way back: whole, private, of one moment; and nothing that an archive makes up."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sqlite3
import stat
import tarfile
from collections import namedtuple
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mesh.days import Day
from orgnode import backup as backup_module
from orgnode import restoring
from orgnode.backup import BackupExistsError, BackupWriteError, UnusableNameError, write_backup
from orgnode.config import NodeConfig
from orgnode.datadir import DataDir
from orgnode.errors import (
    DataDirExistsError,
    DataDirMissingError,
    DataDirNotWritableError,
    MissingFileError,
)
from orgnode.founding import create_node
from orgnode.keystore import KeyStore
from orgnode.manifest import (
    BackupError,
    BackupFile,
    BackupFormatError,
    Manifest,
    is_kept,
    parse_manifest,
)
from orgnode.material import load_mesh
from orgnode.restoring import (
    RESTORED,
    BackupDigestError,
    BackupPathError,
    ForeignBackupError,
    NoRoomError,
    NotAPeerError,
    TooFewLeftError,
    read_manifest,
    restore_backup,
)
from orgnode.store import ForeignDatabaseError, SealedIncident, StoreDamagedError
from orgnode.store.sqlite import SqliteStore
from orgnode.testnet import TestNetwork

NOW = 1_800_000_000.5
MARKER = b"MARKER-51b7 what was erased"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> TestNetwork:
    """Four organizations; their directories are not to be changed."""
    return TestNetwork.create(tmp_path_factory.mktemp("net") / "net", 4)


@pytest.fixture
def datadir(network: TestNetwork, tmp_path: Path) -> DataDir:
    """A copy of the first one's directory, with a database."""
    made = DataDir(Path(shutil.copytree(network.orgs[0].directory, tmp_path / "acme")))
    with opened(made, network) as store:
        asyncio.run(store.set_meta("some key", b"some value"))
    return made


def opened(datadir: DataDir, network: TestNetwork) -> SqliteStore:
    name, mesh = network.orgs[0].name, network.mesh.mesh_id
    return SqliteStore.open(datadir.database, name=name, mesh_id=mesh)


def meta(datadir: DataDir, network: TestNetwork, key: str) -> bytes | None:
    with opened(datadir, network) as store:
        return store.meta(key)


def backed_up(datadir: DataDir, path: Path) -> Manifest:
    return write_backup(datadir, path, now=NOW, software="1.2.3")


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the round trip


def test_what_a_node_needs_comes_back(
    datadir: DataDir, network: TestNetwork, tmp_path: Path
) -> None:
    (datadir.path / "templates").mkdir()
    (datadir.path / "templates" / "our own wörds.txt").write_text("a template")
    (datadir.path / "policy.toml").write_text('mode = "monitor"\n')
    (datadir.founding).mkdir()
    (datadir.founding / f"{'ab' * 32}.deal").write_bytes(b"what it dealt")
    before = {name: data for name, data in contents(datadir.path).items() if is_kept(name)}
    archive = tmp_path / "acme.backup"
    made = backed_up(datadir, archive)
    assert read_manifest(archive) == made
    assert (made.name, made.mesh) == (network.orgs[0].name, network.mesh.mesh_id)
    assert (made.made, made.software) == (1_800_000_000, "1.2.3")

    target = DataDir(tmp_path / "elsewhere" / "acme")
    assert restore_backup(archive, target) == made
    after = contents(target.path)
    assert after.keys() == before.keys()
    for name in before.keys() - {"node.db"}:
        assert after[name] == before[name], name
    assert meta(target, network, "some key") == b"some value"
    keystore = KeyStore.open(target.keys)
    load_mesh(target, NodeConfig(name=made.name, control_group="acme"), keystore)
    for path in target.path.rglob("*"):
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path
    assert mode(target.path) == 0o700
    assert [path.name for path in target.path.parent.iterdir()] == ["acme"]


def test_a_restored_node_knows_that_it_is_one(
    datadir: DataDir, network: TestNetwork, tmp_path: Path
) -> None:
    archive = tmp_path / "acme.backup"
    backed_up(datadir, archive)
    assert meta(datadir, network, RESTORED) is None, "the one that was backed up is not"
    restore_backup(archive, DataDir(tmp_path / "a"))
    assert meta(DataDir(tmp_path / "a"), network, RESTORED) == b""
    gone = network.orgs[2].name
    restore_backup(archive, DataDir(tmp_path / "b"), without=[gone, gone])
    assert meta(DataDir(tmp_path / "b"), network, RESTORED) == gone.encode()


def test_who_is_left_out_is_a_peer_and_a_quorum_is_left(
    datadir: DataDir, network: TestNetwork, tmp_path: Path
) -> None:
    archive, target = tmp_path / "acme.backup", DataDir(tmp_path / "a")
    backed_up(datadir, archive)
    own, *others = [org.name for org in network.orgs]
    for name in ("nobody.example", own, ""):
        with pytest.raises(NotAPeerError, match="not another member") as caught:
            restore_backup(archive, target, without=[name])
        assert others[0] in caught.value.hint
    with pytest.raises(TooFewLeftError, match=r"2 of 4 .* takes 3"):
        restore_backup(archive, target, without=others[:2])
    assert not target.path.exists()


@pytest.mark.parametrize("joined", [True, False])
def test_a_node_without_a_database_is_marked_too(
    network: TestNetwork, tmp_path: Path, joined: bool
) -> None:
    source = DataDir(tmp_path / "acme")
    if joined:
        shutil.copytree(network.orgs[0].directory, source.path)
    else:
        name = network.orgs[0].name
        config = NodeConfig(name=name, control_group="acme", federation_port=1)
        create_node(source, config, host="127.0.0.1", port=1)
    made = backed_up(source, tmp_path / "acme.backup")
    assert made.mesh == (network.mesh.mesh_id if joined else "")
    assert "node.db" not in [file.path for file in made.files]
    target = DataDir(tmp_path / "restored")
    restore_backup(tmp_path / "acme.backup", target)
    # It may have signed since; and may join, and then open its database under its mesh.
    assert meta(target, network, RESTORED) == b""
    if not joined:
        with pytest.raises(NotAPeerError, match=r"birch\.example"):
            restore_backup(
                tmp_path / "acme.backup", DataDir(tmp_path / "b"), without=["birch.example"]
            )


# --- making one


def test_a_backup_is_its_owner_s_alone(datadir: DataDir, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        backed_up(datadir, tmp_path / "acme.backup")
    finally:
        os.umask(before)
    assert mode(tmp_path / "acme.backup") == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["acme", "acme.backup"]


def test_no_file_is_overwritten(datadir: DataDir, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("an older backup")
    with pytest.raises(BackupExistsError):
        backed_up(datadir, tmp_path / "kept")
    assert (tmp_path / "kept").read_text() == "an older backup"


def test_what_can_not_be_written_leaves_nothing(datadir: DataDir, tmp_path: Path) -> None:
    with pytest.raises(BackupWriteError, match="No such file"):
        backed_up(datadir, tmp_path / "no" / "such" / "directory")

    def fails(_what: str, _done: int, _total: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(BackupWriteError, match="No space left"):
        write_backup(datadir, tmp_path / "b", now=NOW, software="1", progress=fails)
    assert [path.name for path in tmp_path.iterdir()] == ["acme"]


def test_a_database_that_is_damaged_or_another_s_is_no_backup(
    datadir: DataDir, tmp_path: Path
) -> None:
    with sqlite3.connect(datadir.database) as connection:
        find = "SELECT rootpage FROM sqlite_schema WHERE name = 'entry'"
        page = 4096 * (connection.execute(find).fetchone()[0] - 1)
    connection.close()
    good = datadir.database.read_bytes()
    # A page overwritten; and a wrong count of free pages, which reading does not stumble over.
    for damaged in (
        good[:page] + b"\xff" * 4096 + good[page + 4096 :],
        good[:36] + b"\0\0\x10\1" + good[40:],
    ):
        datadir.database.write_bytes(damaged)
        with pytest.raises(StoreDamagedError):
            backed_up(datadir, tmp_path / "b")
    datadir.database.unlink()
    with sqlite3.connect(datadir.database) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(ForeignDatabaseError):
        backed_up(datadir, tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["acme"]


def test_a_running_node_is_backed_up_as_of_one_moment(
    datadir: DataDir, network: TestNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "_PAGES", 1)
    with opened(datadir, network) as store:
        pages = datadir.database.stat().st_size // 4096
        steps = []

        def write_meanwhile(what: str, done: int, total: int) -> None:
            if what == "copying the database":
                steps.append((done, total))
                asyncio.run(store.set_meta("written meanwhile", b"x" * 10_000))
                asyncio.run(store.set_meta("some key", b"another value"))

        write_backup(datadir, tmp_path / "b", now=NOW, software="1", progress=write_meanwhile)
        assert store.meta("some key") == b"another value", "writing went on"
    assert 10 < len(steps) <= pages + 10, "it never started over"
    restore_backup(tmp_path / "b", DataDir(tmp_path / "restored"))
    assert meta(DataDir(tmp_path / "restored"), network, "some key") == b"some value"
    assert meta(DataDir(tmp_path / "restored"), network, "written meanwhile") is None


def test_what_a_crash_left_in_the_write_ahead_log_is_in_it(
    datadir: DataDir, network: TestNetwork, tmp_path: Path
) -> None:
    with opened(datadir, network) as store:
        asyncio.run(store.set_meta("some key", b"a later value"))
        crashed = DataDir(Path(shutil.copytree(datadir.path, tmp_path / "crashed")))
        assert (crashed.path / "node.db-wal").stat().st_size
        (crashed.path / "node.db-shm").unlink(missing_ok=True)
    backed_up(crashed, tmp_path / "b")
    restore_backup(tmp_path / "b", DataDir(tmp_path / "restored"))
    assert meta(DataDir(tmp_path / "restored"), network, "some key") == b"a later value"


def test_what_was_erased_is_in_no_backup(
    datadir: DataDir, network: TestNetwork, tmp_path: Path
) -> None:
    incident = SealedIncident("i1", None, Day(20_000), Day(20_001), b"k" * 72, MARKER * 500)
    with opened(datadir, network) as store:
        asyncio.run(store.vault_put(incident))
        backed_up(datadir, tmp_path / "before")
        asyncio.run(store.vault_erase("i1"))
        backed_up(datadir, tmp_path / "after")
    assert MARKER in (tmp_path / "before").read_bytes()
    assert MARKER not in (tmp_path / "after").read_bytes()


def test_only_what_is_the_node_s_is_kept(datadir: DataDir, tmp_path: Path) -> None:
    for name in ("lock", "run.json", "node.log", "keys/.keystore.json.x1", "notes.txt"):
        (datadir.path / name).write_text("not to be kept")
    (datadir.keys / "old").mkdir()
    (datadir.keys / "old" / "keystore.json").write_text("not to be kept")
    names = [file.path for file in backed_up(datadir, tmp_path / "b").files]
    assert names[-1] == "node.db"
    assert {"config.toml", "keys/keystore.json", "genesis.note", "selection.key"} < set(names)
    assert all(map(is_kept, names))
    assert b"not to be kept" not in (tmp_path / "b").read_bytes()


def test_a_name_that_could_not_come_back_is_told_of(datadir: DataDir, tmp_path: Path) -> None:
    (datadir.path / "templates").mkdir()
    (datadir.path / "templates" / "a\nb.txt").write_text("a template")
    with pytest.raises(UnusableNameError, match="a\nb"):
        backed_up(datadir, tmp_path / "b")


def test_without_a_node_there_is_nothing_to_back_up(tmp_path: Path, datadir: DataDir) -> None:
    with pytest.raises(DataDirMissingError):
        backed_up(DataDir(tmp_path / "none"), tmp_path / "b")
    (datadir.keys / "keystore.json").unlink()
    with pytest.raises(MissingFileError, match=r"keystore\.json"):
        backed_up(datadir, tmp_path / "b")


# --- restoring: what is in the way


def test_nothing_is_restored_over_anything(datadir: DataDir, tmp_path: Path) -> None:
    backed_up(datadir, tmp_path / "b")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    for target in (tmp_path / "full", tmp_path / "full" / "x", datadir.path):
        before = contents(tmp_path)
        with pytest.raises(DataDirExistsError):
            restore_backup(tmp_path / "b", DataDir(target))
        assert contents(tmp_path) == before
    (tmp_path / "empty").mkdir()
    restore_backup(tmp_path / "b", DataDir(tmp_path / "empty"))
    assert DataDir(tmp_path / "empty").config.exists()


def test_a_disk_without_room(
    datadir: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = backed_up(datadir, tmp_path / "b")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(restoring.shutil, "disk_usage", lambda _: usage(0, 0, made.size - 1))
    with pytest.raises(NoRoomError):
        restore_backup(tmp_path / "b", DataDir(tmp_path / "a"))
    monkeypatch.setattr(restoring.shutil, "disk_usage", lambda _: usage(0, 0, made.size))
    restore_backup(tmp_path / "b", DataDir(tmp_path / "a"))


def test_a_place_that_can_not_be_written(datadir: DataDir, tmp_path: Path) -> None:
    backed_up(datadir, tmp_path / "b")
    with pytest.raises(DataDirNotWritableError):
        restore_backup(tmp_path / "b", DataDir(datadir.config / "a"))


def test_a_file_that_is_not_there_or_no_backup(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(MissingFileError):
            restore_backup(path, DataDir(tmp_path / "a"))
    for data in (b"", b"hello\n", bytes(10_240), os.urandom(20_000)):
        (tmp_path / "b").write_bytes(data)
        with pytest.raises(BackupFormatError):
            restore_backup(tmp_path / "b", DataDir(tmp_path / "a"))


# --- restoring: what is no backup


Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any]


@pytest.fixture
def forged(datadir: DataDir, tmp_path: Path) -> Callable[[Change], Path]:
    """Takes a backup apart, lets a test change it, and puts it together again."""
    original = tmp_path / "original"
    backed_up(datadir, original)

    def forge(change: Change) -> Path:
        with tarfile.open(original) as tar:
            parts = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
        change(parts)
        with tarfile.open(tmp_path / "forged", "w") as tar:
            for info, data in parts:
                info.size = len(data) if info.isreg() else 0
                tar.addfile(info, io.BytesIO(data))
        return tmp_path / "forged"

    return forge


def refused(path: Path, tmp_path: Path, error: type[BackupError], match: str = ".") -> None:
    """Check that restoring is refused and leaves nothing anywhere."""
    before = contents(tmp_path)
    with pytest.raises(error, match=match) as caught:
        restore_backup(path, DataDir(tmp_path / "home" / "acme"))
    assert caught.value.hint
    assert contents(tmp_path) == before
    assert list((tmp_path / "home").iterdir()) == [] if (tmp_path / "home").exists() else True


def listed(*files: tuple[str, bytes], **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A manifest of these files."""
    made = Manifest(
        name="acme.example",
        mesh="",
        made=0,
        software="1",
        files=tuple(BackupFile(path, len(data), sha256(data).hexdigest()) for path, data in files),
    )
    text = made.encode()
    for old, new in changes.items():
        assert old.encode() in text
        text = text.replace(old.encode(), new)
    return tarfile.TarInfo("manifest.json"), text


def place(parts: list[tuple[tarfile.TarInfo, bytes]], name: str) -> int:
    return next(at for at, (info, _) in enumerate(parts) if info.name == name)


def test_any_changed_file_is_noticed(forged: Callable[[Change], Path], tmp_path: Path) -> None:
    names: list[str] = []
    forged(lambda parts: names.extend(info.name for info, _ in parts))
    assert "node.db" in names
    for name in names[1:]:
        for change in (
            lambda data: data[:-1] + bytes([data[-1] ^ 1]),
            lambda data: data[:-1],
            lambda data: data + b"\0",
        ):

            def alter(
                parts: list[tuple[tarfile.TarInfo, bytes]], name: str = name, change: Any = change
            ) -> None:
                at = place(parts, name)
                parts[at] = parts[at][0], change(parts[at][1])

            refused(forged(alter), tmp_path, BackupDigestError, name)


def test_no_more_is_written_than_the_manifest_says(
    forged: Callable[[Change], Path], tmp_path: Path
) -> None:
    def swell(parts: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        at = place(parts, "token")
        parts[at] = parts[at][0], bytes(5 << 20)

    path, told = forged(swell), []
    size = read_manifest(path).size
    with pytest.raises(BackupDigestError, match="token"):
        restore_backup(
            path,
            DataDir(tmp_path / "home" / "acme"),
            progress=lambda _what, done, _total: told.append(done),
        )
    assert max(told) <= size


def test_an_archive_that_ends_too_early(datadir: DataDir, tmp_path: Path) -> None:
    backed_up(datadir, tmp_path / "b")
    whole = (tmp_path / "b").read_bytes()
    for size in (100, 512, 700, 5_000, 20_000, len(whole) // 2, len(whole) - 20_000):
        (tmp_path / "cut").write_bytes(whole[:size])
        refused(tmp_path / "cut", tmp_path, BackupError)
    with tarfile.open(tmp_path / "b") as tar:
        ends = [info.offset for info in tar]
    for end in ends:
        (tmp_path / "cut").write_bytes(whole[:end])
        refused(tmp_path / "cut", tmp_path, BackupFormatError)


@pytest.mark.parametrize(
    "name",
    [
        "../outside", "/tmp/outside", "keys/../../outside", "keys/../config.toml", "keys//x",
        "./config.toml", "keys/sub/x", "keys/.x", "keys/", "keys", "other/x", "authorized_keys",
        "lock", "run.json", "node.db-wal", "manifest.json", "keys/a\\b", "keys/a\nb", "..",
        "keys/" + "x" * 256,
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_or_is_none_of_a_node_s(
    forged: Callable[[Change], Path], tmp_path: Path, name: str
) -> None:
    assert not is_kept(name)

    def add(parts: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        files = [(info.name, data) for info, data in parts[1:]]
        parts[0] = listed(*files, (name, b"evil"))
        parts.append((tarfile.TarInfo(name), b"evil"))

    refused(forged(add), tmp_path, BackupPathError)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_what_is_no_ordinary_file(
    forged: Callable[[Change], Path], tmp_path: Path, kind: bytes
) -> None:
    def turn(parts: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        info = parts[place(parts, "token")][0]
        info.type, info.linkname = kind, "/etc/passwd"

    refused(forged(turn), tmp_path, BackupPathError, "something else than a file")

    def begin(parts: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        parts[0][0].type, parts[0][0].linkname = kind, "/etc/passwd"

    refused(forged(begin), tmp_path, BackupPathError)


def test_files_besides_the_manifest_s_or_in_another_order(
    forged: Callable[[Change], Path], tmp_path: Path
) -> None:
    extra = (tarfile.TarInfo("policy.toml"), b'mode = "monitor"')
    refused(forged(lambda parts: parts.append(extra)), tmp_path, BackupPathError, "besides")
    refused(forged(lambda parts: parts.insert(1, extra)), tmp_path, BackupPathError, "where")
    refused(forged(lambda parts: parts.insert(0, extra)), tmp_path, BackupFormatError, "begin")

    def twice(parts: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        files = [(info.name, data) for info, data in parts[1:]]
        parts[0] = listed(*files, ("token", b"mine"))
        parts.append((tarfile.TarInfo("token"), b"mine"))

    refused(forged(twice), tmp_path, BackupPathError, "twice")


def test_a_backup_has_at_least_settings_and_keys(
    forged: Callable[[Change], Path], tmp_path: Path
) -> None:
    for name in ("config.toml", "keys/keystore.json"):

        def lack(parts: list[tuple[tarfile.TarInfo, bytes]], name: str = name) -> None:
            del parts[place(parts, name)]
            parts[0] = listed(*((info.name, data) for info, data in parts[1:]))

        refused(forged(lack), tmp_path, BackupFormatError, name)


def test_parts_of_different_members_or_meshes(
    forged: Callable[[Change], Path],
    tmp_path: Path,
    network: TestNetwork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mesh = network.mesh.mesh_id

    def claims(**changes: str) -> Change:
        def change(parts: list[tuple[tarfile.TarInfo, bytes]]) -> None:
            text = parts[0][1]
            for old, new in changes.values():  # type: ignore[misc]
                assert old in text
                text = text.replace(old, new)
            parts[0] = parts[0][0], text

        return change

    other = (b'"acme.example"', b'"birch.example"')
    refused(forged(claims(name=other)), tmp_path, ForeignBackupError)  # type: ignore[arg-type]
    nowhere = (mesh.encode(), b"00" * 32)
    refused(forged(claims(mesh=nowhere)), tmp_path, ForeignBackupError)  # type: ignore[arg-type]

    def exchanged(parts: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        other = tmp_path / "other.db"
        SqliteStore.open(other, name="birch.example", mesh_id=mesh).close()
        at = place(parts, "node.db")
        parts[at] = parts[at][0], other.read_bytes()
        text = parts[0][1]
        made = parse_manifest(text)
        old = made.files[-1]
        data = other.read_bytes()
        new = BackupFile("node.db", len(data), sha256(data).hexdigest())
        replaced = Manifest(made.name, made.mesh, 0, "1", (*made.files[:-1], new))
        assert old.path == "node.db"
        parts[0] = parts[0][0], replaced.encode()

    path = forged(exchanged)
    with pytest.raises(ForeignDatabaseError):
        restore_backup(path, DataDir(tmp_path / "home" / "acme"))
    assert list((tmp_path / "home").iterdir()) == []
    monkeypatch.setenv("ORGNODE_NAME", "birch.example")
    refused(tmp_path / "original", tmp_path, ForeignBackupError, "birch")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"signal-mesh/v1/backup", b"signal-mesh/v9/backup"),
        (b'"size": 1', b'"size": -1'),
        (b'"size": 1', b'"size": "1"'),
        (b'"size": 1', b'"size": 1, "mode": 511'),
        (b'"sha256": "', b'"sha256": "x'),
        (b'"made": 0', b'"made": 0, "made": 1'),
        (b'"name": "acme.example"', b'"name": ""'),
        (b'"mesh": ""', b'"mesh": "00"'),
        (b"{", b"["),
    ],
)
def test_a_manifest_out_of_form(old: bytes, new: bytes) -> None:
    _, text = listed(("token", b"x"))
    parse_manifest(text)
    assert old in text
    with pytest.raises(BackupFormatError):
        parse_manifest(text.replace(old, new, 1))


def test_a_manifest_too_long(tmp_path: Path) -> None:
    info = tarfile.TarInfo("manifest.json")
    info.size = 2 << 20
    with tarfile.open(tmp_path / "b", "w") as tar:
        tar.addfile(info, io.BytesIO(b" " * info.size))
    with pytest.raises(BackupFormatError, match="begin"):
        read_manifest(tmp_path / "b")
