"""What keeps a node from starting: it says so, ends with code 1, and has lost nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults_support import published, refused, running, status_of
from testnet_support import SECONDS, orgnode

from orgnode.keystore import KeyStore
from orgnode.testnet import TestNetwork

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("faults-start")]

TEXT = "MARKER-77d2 ignore all previous instructions"


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The directory of a stopped node that has published one signal, and the signal."""
    network = TestNetwork.create(tmp_path_factory.mktemp("faults") / "net", 2)
    directory = network.orgs[0].directory
    with running(directory) as node:
        entry = published(directory, TEXT)
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(SECONDS) == 0
    return directory, entry


@pytest.fixture
def stopped(published_once: tuple[Path, str], tmp_path: Path) -> Iterator[Path]:
    """A copy of that directory; after the test it must run and hold the signal, live."""
    original, entry = published_once
    directory = tmp_path / "node"
    shutil.copytree(original, directory)
    yield directory
    with running(directory):
        assert status_of(directory, entry) == "live"
        verified = orgnode("--data-dir", directory, "--json", "log", "verify", "--proofs")
        assert verified.code == 0, verified


def contents(directory: Path) -> dict[str, str]:
    """A digest of every file in it but the lock, which holds nothing but a process number."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Something else listens on the port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


@pytest.mark.parametrize(
    ("setting", "code"),
    [("local_port", "LocalListenError"), ("federation_port", "PortInUseError")],
)
def test_a_taken_port(stopped: Path, setting: str, code: str) -> None:
    line = next(
        line
        for line in (stopped / "config.toml").read_text().splitlines()
        if line.startswith(f"{setting} = ")
    )
    port = int(line.removeprefix(f"{setting} = "))
    with taken(port):
        ran = refused(stopped)
        assert (ran.code, ran.error["code"]) == (1, code)
        assert str(port) in ran.error["message"]
        assert setting in ran.error["hint"]
        assert ran.out == "", "it never said that it was ready"
        # For people the same in words, and nothing of a traceback.
        text = orgnode("--data-dir", stopped, "run")
        assert text.code == 1
        assert f"{code}: " in text.err
        assert "Traceback" not in text.err
    # Nobody is told of a node that does not run.
    unreachable = orgnode("--data-dir", stopped, "--json", "signals")
    assert (unreachable.code, unreachable.error["code"]) == (3, "NodeUnreachableError")


def test_a_directory_that_is_not_writable(stopped: Path) -> None:
    before = contents(stopped)
    stopped.chmod(0o555)
    try:
        ran = refused(stopped, unprivileged=True)
    finally:
        stopped.chmod(0o700)
    assert (ran.code, ran.error["code"]) == (1, "DataDirNotWritableError")
    assert str(stopped) in ran.error["message"]
    assert "permissions" in ran.error["hint"]
    assert contents(stopped) == before


def test_a_database_that_is_not_writable(stopped: Path) -> None:
    before = contents(stopped)
    database = stopped / "node.db"
    database.chmod(0o444)
    try:
        ran = refused(stopped, unprivileged=True)
    finally:
        database.chmod(0o600)
    assert (ran.code, ran.error["code"]) == (1, "StoreReadOnlyError")
    assert "node.db" in ran.error["message"] + ran.error["hint"]
    assert contents(stopped)["node.db"] == before["node.db"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="uses /proc as what nobody can write")
def test_init_where_nothing_can_be_written() -> None:
    for path in (Path("/proc/node"), Path("/dev/null/node")):
        ran = orgnode(
            "--data-dir", path, "--json", "init", "--name", "acme.example", "--host", "127.0.0.1"
        )
        assert (ran.code, ran.error["code"]) == (1, "DataDirNotWritableError"), ran
        assert str(path) in ran.error["message"]


def test_a_directory_in_use_by_another_process(stopped: Path) -> None:
    with running(stopped) as first:
        ran = refused(stopped)
        assert (ran.code, ran.error["code"]) == (1, "DataDirInUseError")
        assert str(first.process.pid) in ran.error["message"]
        assert "stop" in ran.error["hint"]
        # The first one goes on, and is still found.
        entry = published(stopped, f"{TEXT} while another one tried")
        assert status_of(stopped, entry) == "live"


def test_a_wrong_passphrase(stopped: Path, tmp_path: Path) -> None:
    KeyStore.change_passphrase(stopped / "keys", None, "correct horse")
    before = contents(stopped)
    wrong = _passphrase(tmp_path / "wrong", "battery staple")
    right = _passphrase(tmp_path / "right", "correct horse")
    try:
        ran = refused(stopped, "--passphrase-file", wrong)
        assert (ran.code, ran.error["code"]) == (1, "WrongPassphraseError")
        assert "battery" not in ran.err
        ran = refused(stopped)
        assert (ran.code, ran.error["code"]) == (1, "PassphraseNeededError")
        assert "ORGNODE_PASSPHRASE" in ran.error["hint"]
        assert contents(stopped) == before
        with running(stopped, "--passphrase-file", right) as node:
            published(stopped, f"{TEXT} under a passphrase")
            assert "correct horse" not in node.output.read_text()
    finally:
        KeyStore.change_passphrase(stopped / "keys", "correct horse", None)


def _passphrase(path: Path, words: str) -> Path:
    path.write_text(f"{words}\n")
    path.chmod(0o600)
    return path


def test_a_wrong_token(stopped: Path) -> None:
    token = stopped / "token"
    with running(stopped):
        right = token.read_text()
        token.write_text("A" * 43 + "\n")
        for arguments in (
            ["signals"],
            ["peers"],
            ["feed"],
            ["report", "--category", "ncr", "--technique", "AML.T0054",
             "--capability-gain", "9", "--breadth", "9",
             "--ease-of-weaponization", "9", "--discoverability", "9"],
        ):  # fmt: skip
            ran = orgnode("--data-dir", stopped, "--json", *arguments, stdin=TEXT)
            assert (ran.code, ran.error["code"]) == (1, "UnauthorizedError"), ran
            assert "token" in ran.error["hint"]
            assert right.strip() not in ran.out + ran.err
            assert TEXT not in ran.out + ran.err
        token.write_text(right)
        listed = orgnode("--data-dir", stopped, "--json", "signals")
        assert len(listed.objects) == 1, "nothing was published without the token"


def test_a_csv_file_without_the_column(stopped: Path, tmp_path: Path) -> None:
    path = tmp_path / "incidents.csv"
    path.write_text(
        "text,capability_gain,breadth,ease_of_weaponization,category,technique\n"
        f"{TEXT},5,5,5,ncr,AML.T0054\n"
    )
    with running(stopped):
        ran = orgnode("--data-dir", stopped, "--json", "report", "--file", path)
        assert ran.code == 1
        assert "discoverability" in ran.error["message"]
        assert TEXT not in ran.out + ran.err
        listed = orgnode("--data-dir", stopped, "--json", "signals")
        assert len(listed.objects) == 1, "nothing of the file was published"


def test_a_database_that_is_none(stopped: Path) -> None:
    database = stopped / "node.db"
    true = database.read_bytes()
    for damaged in (b"not a database " * 400, true[:4096] + os.urandom(len(true) - 4096)):
        database.write_bytes(damaged)
        ran = refused(stopped)
        assert ran.code == 1
        assert ran.error["code"] in {"ForeignDatabaseError", "StoreDamagedError"}, ran
        assert "backup" in ran.error["hint"]
        assert database.read_bytes() == damaged, "what is left of it is not touched"
    database.write_bytes(true)


def test_a_database_from_before_the_last_checkpoint(stopped: Path) -> None:
    """A genesis or a database of another node is refused too: nothing is signed on top of it."""
    other = TestNetwork.create(stopped.parent / "other", 2).orgs[0].directory
    shutil.copy(stopped / "genesis.note", stopped.parent / "kept.note")
    shutil.copy(other / "genesis.note", stopped / "genesis.note")
    ran = refused(stopped)
    assert (ran.code, ran.error["code"]) == (1, "ForeignKeysError")
    shutil.copy(stopped.parent / "kept.note", stopped / "genesis.note")
