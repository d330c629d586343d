"""The data directory: who may use it, and that its files are whole and private."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from orgnode.datadir import DataDir, RunInfo, read_file, write_file
from orgnode.errors import (
    DataDirExistsError,
    DataDirInUseError,
    DataDirMissingError,
    DataDirNotWritableError,
    ForeignCorpusError,
    MissingFileError,
    OrgnodeError,
    PermissionsTooOpenError,
    SecretFormatError,
)


@pytest.fixture
def datadir(tmp_path: Path) -> DataDir:
    datadir = DataDir(tmp_path / "node")
    datadir.create()
    return datadir


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def unprivileged(directory: Path) -> Iterator[None]:
    """A directory that may be read but not written; without root's power to do so all the same."""
    directory.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        directory.chmod(0o755)


def test_create_makes_private_directories(tmp_path: Path) -> None:
    old = os.umask(0o000)
    try:
        datadir = DataDir(tmp_path / "a" / "node")
        datadir.create()
    finally:
        os.umask(old)
    assert mode(datadir.path) == 0o700
    assert mode(datadir.keys) == 0o700
    datadir.check_exists()
    datadir.check_writable()


def test_create_tightens_a_directory_of_keys_that_exists(tmp_path: Path) -> None:
    datadir = DataDir(tmp_path)
    datadir.keys.mkdir(mode=0o755)
    datadir.create()
    assert mode(datadir.keys) == 0o700


def test_create_never_overwrites_a_node(datadir: DataDir) -> None:
    (datadir.keys / "keystore.json").write_text("{}")
    with pytest.raises(DataDirExistsError) as caught:
        datadir.create()
    assert "--data-dir" in caught.value.hint


def test_directory_without_a_node(tmp_path: Path) -> None:
    for check in (DataDir(tmp_path).check_exists, DataDir(tmp_path / "no").check_exists):
        with pytest.raises(DataDirMissingError) as caught:
            check()
        assert "orgnode init" in caught.value.hint
    with pytest.raises(DataDirMissingError):
        DataDir(tmp_path / "no").check_writable()
    with pytest.raises(DataDirMissingError), DataDir(tmp_path / "no").lock():
        pass


def test_directory_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        with unprivileged(path):
            for attempt in (
                DataDir(path).check_writable,
                DataDir(path / "node").create,
                DataDir(path).lock().__enter__,
                DataDir(path).create_token,
                lambda: write_file(path / "file", b"", private=False),
            ):
                with pytest.raises(DataDirNotWritableError) as caught:
                    attempt()
                assert "permissions" in caught.value.hint
                assert str(path) in str(caught.value)


def test_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirNotWritableError):
        DataDir(tmp_path / "file").create()


_HOLDER = """
import sys
from pathlib import Path
from orgnode.datadir import DataDir
with DataDir(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another_process(datadir: DataDir) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(datadir.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_lock_held_by_another_process(datadir: DataDir) -> None:
    assert not datadir.in_use()
    with held_by_another_process(datadir) as process:
        assert datadir.in_use()
        with pytest.raises(DataDirInUseError, match=str(process.pid)) as caught, datadir.lock():
            pass
        assert "stop" in caught.value.hint
        process.send_signal(signal.SIGKILL)  # no clean end: the kernel lets go all the same
        process.wait()
        with datadir.lock():
            assert datadir.in_use()
    assert not datadir.in_use()


def test_lock_is_exclusive_within_a_process_too(datadir: DataDir) -> None:
    with datadir.lock(), pytest.raises(DataDirInUseError), datadir.lock():
        pass
    with datadir.lock():
        pass


def test_looking_does_not_take_the_lock(datadir: DataDir) -> None:
    """A command that asks whether a node runs must not keep one from starting."""
    with datadir.lock():
        pass
    assert not datadir.in_use()
    with datadir.lock():
        pass


def test_run_info(datadir: DataDir) -> None:
    info = RunInfo(pid=os.getpid(), local_host="127.0.0.1", local_port=1234, federation_port=5678)
    assert datadir.read_run() is None
    datadir.write_run(info)
    assert datadir.read_run() is None  # left by a crash: nobody holds the lock
    with datadir.lock():
        assert datadir.read_run() == info
        for damaged in (b"", b"[]", b'{"pid": 1}', b'{"pid": "x"}', b"\xff"):
            datadir.run_file.write_bytes(damaged)
            assert datadir.read_run() is None
        datadir.remove_run()
        datadir.remove_run()
        assert datadir.read_run() is None


def test_token(datadir: DataDir) -> None:
    token = datadir.create_token()
    assert datadir.read_token() == token
    assert len(token) >= 43  # 256 bits
    assert mode(datadir.token) == 0o600
    assert datadir.create_token() != token


def test_selection_key(datadir: DataDir) -> None:
    key = bytes(range(32))
    datadir.write_selection_key(key)
    assert datadir.read_selection_key() == key
    assert mode(datadir.selection_key) == 0o600
    with pytest.raises(SecretFormatError):
        datadir.write_selection_key(b"short")


@pytest.mark.parametrize("content", ["", "\n", "sh0rt!", "x" * 200, "a" * 31, "ö" * 40, "a b" * 15])
def test_malformed_secrets(datadir: DataDir, content: str) -> None:
    for path, read in (
        (datadir.token, datadir.read_token),
        (datadir.selection_key, datadir.read_selection_key),
    ):
        write_file(path, content.encode(), private=True)
        with pytest.raises(SecretFormatError) as caught:
            read()
        assert caught.value.hint
        assert not content.strip() or content.strip() not in str(caught.value)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o606, 0o610, 0o601])
def test_secrets_that_others_can_use_are_refused(datadir: DataDir, bits: int) -> None:
    datadir.create_token()
    datadir.write_selection_key(bytes(32))
    for path, read in (
        (datadir.token, datadir.read_token),
        (datadir.selection_key, datadir.read_selection_key),
    ):
        path.chmod(bits)
        with pytest.raises(PermissionsTooOpenError) as caught:
            read()
        assert f"chmod 600 {path}" in caught.value.hint
        path.chmod(0o400)  # stricter than needed is fine
        read()


def test_the_benign_corpus_is_the_pinned_one(datadir: DataDir) -> None:
    digest = sha256(b"corpus").hexdigest()
    with pytest.raises(MissingFileError) as missing:
        datadir.read_benign(digest)
    assert digest in missing.value.hint
    write_file(datadir.benign, b"corpus", private=False)
    assert datadir.read_benign(digest) == b"corpus"
    write_file(datadir.benign, b"corpus ", private=False)
    with pytest.raises(ForeignCorpusError) as caught:
        datadir.read_benign(digest)
    assert digest in caught.value.hint


def test_missing_files(datadir: DataDir) -> None:
    for read in (datadir.read_token, datadir.read_selection_key, lambda: read_file(datadir.card)):
        with pytest.raises(MissingFileError) as caught:
            read()
        assert caught.value.hint
    with pytest.raises(MissingFileError):
        read_file(datadir.path)  # a directory


def test_write_file_is_private_from_the_first_byte_and_leaves_no_rest(datadir: DataDir) -> None:
    path = datadir.path / "secret"
    old = os.umask(0o000)
    try:
        write_file(path, b"one", private=True)
        assert mode(path) == 0o600
        write_file(path, b"two", private=True)
        write_file(datadir.path / "public", b"", private=False)
    finally:
        os.umask(old)
    assert path.read_bytes() == b"two"
    assert mode(datadir.path / "public") == 0o644
    assert {file.name for file in datadir.path.iterdir()} == {"keys", "secret", "public"}


def test_failed_write_keeps_the_old_file(datadir: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    path = datadir.path / "file"
    write_file(path, b"old", private=False)

    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(DataDirNotWritableError, match="No space left") as caught:
        write_file(path, b"new", private=False)
    assert "full" in caught.value.hint
    assert path.read_bytes() == b"old"
    assert {file.name for file in datadir.path.iterdir()} == {"keys", "file"}


def test_errors_carry_their_names() -> None:
    error = DataDirInUseError("message", hint="do this")
    assert (error.code, str(error), error.hint) == ("DataDirInUseError", "message", "do this")
    assert OrgnodeError("message").hint == ""
