"""Settings: a slip in the file is named, the environment overrides, and nothing secret is in it."""

import tomllib
from pathlib import Path

import pytest

from orgnode.config import (
    NodeConfig,
    describe,
    load_config,
    passphrase,
    unknown_environment,
    write_config,
)
from orgnode.datadir import DataDir
from orgnode.errors import (
    ConfigSyntaxError,
    MissingFileError,
    PermissionsTooOpenError,
    SettingValueError,
    UnknownSettingError,
)

MINIMAL = 'name = "acme.example"\ncontrol_group = "acme"\n'


@pytest.fixture
def datadir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDir:
    for name in NodeConfig.model_fields:
        monkeypatch.delenv(f"ORGNODE_{name.upper()}", raising=False)
    (tmp_path / "config.toml").write_text(MINIMAL)
    return DataDir(tmp_path)


def write(datadir: DataDir, text: str) -> None:
    datadir.config.write_text(MINIMAL + text)


def test_defaults(datadir: DataDir) -> None:
    config = load_config(datadir)
    assert (config.name, config.control_group) == ("acme.example", "acme")
    assert (config.local_host, config.local_port) == ("127.0.0.1", 8460)
    assert (config.federation_host, config.federation_port) == ("0.0.0.0", 8461)
    assert config.poll_interval == (1.0, 5.0)
    assert (config.retention_days, config.expiry_days) == (90, 90)
    assert (config.max_subscribers, config.subscriber_buffer) == (200, 1000)
    assert config.heartbeat_seconds == 15
    assert config.prove_workers in (1, 2)
    assert not config.metrics_open


def test_file_then_environment(datadir: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    write(datadir, 'local_port = 9000\nlog_level = "debug"\npoll_interval = [2, 3.5]\n')
    config = load_config(datadir)
    assert (config.local_port, config.log_level, config.poll_interval) == (9000, "debug", (2, 3.5))
    monkeypatch.setenv("ORGNODE_LOCAL_PORT", "9001")
    monkeypatch.setenv("ORGNODE_POLL_INTERVAL", "[0.1, 0.2]")
    monkeypatch.setenv("ORGNODE_LOG_LEVEL", "")  # empty is as good as unset
    monkeypatch.setenv("ORGNODE_METRICS_OPEN", "true")
    config = load_config(datadir)
    assert (config.local_port, config.log_level, config.poll_interval) == (
        9001,
        "debug",
        (0.1, 0.2),
    )
    assert config.metrics_open


def test_built_directly_it_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORGNODE_LOCAL_PORT", "9001")
    assert NodeConfig(name="acme.example", control_group="acme").local_port == 8460


@pytest.mark.parametrize(
    ("line", "named", "near"),
    [
        ("local_prot = 1", "local_prot", "local_port"),
        ('log_levle = "info"', "log_levle", "log_level"),
        ("retention = 1", "retention", "retention_days"),
        ("[network]\nport = 1", "network", ""),
        ('passphrase = "secret"', "passphrase", ""),
    ],
)
def test_unknown_setting(datadir: DataDir, line: str, named: str, near: str) -> None:
    write(datadir, line + "\n")
    with pytest.raises(UnknownSettingError) as caught:
        load_config(datadir)
    assert named in str(caught.value)
    assert near in caught.value.hint
    assert "secret" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('local_port = "8460"', "local_port must be a whole number"),
        ("local_port = true", "local_port must be a whole number"),
        ("local_port = 8460.0", "local_port must be a whole number"),
        ("local_port = 70000", "local_port"),
        ("local_port = -1", "local_port"),
        ("local_host = 1", "local_host must be text"),
        ('local_host = ""', "local_host"),
        ('log_level = "loud"', "log_level"),
        ("heartbeat_seconds = 0", "heartbeat_seconds"),
        ("heartbeat_seconds = nan", "heartbeat_seconds"),
        ('heartbeat_seconds = "1"', "heartbeat_seconds must be a number"),
        ('metrics_open = "yes"', "metrics_open must be true or false"),
        ("poll_interval = 5", "poll_interval must be a list"),
        ("poll_interval = [5]", "poll_interval"),
        ("poll_interval = [5, 1]", "poll_interval"),
        ('poll_interval = ["1", "2"]', "poll_interval must be a list"),
        ("retention_days = 0", "retention_days"),
        ("prove_workers = 0", "prove_workers"),
    ],
)
def test_wrong_value(datadir: DataDir, line: str, named: str) -> None:
    write(datadir, line + "\n")
    with pytest.raises(SettingValueError) as caught:
        load_config(datadir)
    assert named in str(caught.value)
    assert str(datadir.config) in str(caught.value)
    assert caught.value.hint.startswith(named.split(" ")[0])


def test_wrong_value_in_the_environment_names_the_variable(
    datadir: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORGNODE_LOCAL_PORT", "many")
    with pytest.raises(SettingValueError, match="ORGNODE_LOCAL_PORT"):
        load_config(datadir)
    monkeypatch.delenv("ORGNODE_LOCAL_PORT")
    monkeypatch.setenv("ORGNODE_POLL_INTERVAL", "often")
    with pytest.raises(SettingValueError, match="ORGNODE_POLL_INTERVAL") as caught:
        load_config(datadir)
    assert "[1.0, 5.0]" in caught.value.hint


def test_missing_name(datadir: DataDir) -> None:
    datadir.config.write_text('control_group = "acme"\n')
    with pytest.raises(SettingValueError, match="name"):
        load_config(datadir)
    datadir.config.write_text('name = "no name"\ncontrol_group = "acme"\n')
    with pytest.raises(SettingValueError, match=r"acme\.example"):
        load_config(datadir)


@pytest.mark.parametrize("content", [b"name = acme\n", b"= 1", b'name = "\xff"', b"a = 1\na = 2\n"])
def test_not_toml(datadir: DataDir, content: bytes) -> None:
    datadir.config.write_bytes(content)
    with pytest.raises(ConfigSyntaxError, match=r"config\.toml") as caught:
        load_config(datadir)
    assert caught.value.hint


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"config\.toml") as caught:
        load_config(DataDir(tmp_path))
    assert "orgnode init" in caught.value.hint


def test_written_file_reads_back(datadir: DataDir) -> None:
    config = NodeConfig(
        name="acme.example",
        control_group="acme",
        local_port=0,
        log_format="json",
        poll_interval=(0.5, 0.75),
        metrics_open=True,
        prove_workers=3,
    )
    write_config(datadir, config)
    assert load_config(datadir) == config
    text = datadir.config.read_text()
    assert set(tomllib.loads(text)) == {
        "name",
        "control_group",
        "local_port",
        "log_format",
        "poll_interval",
        "metrics_open",
        "prove_workers",
    }
    # Every other setting is there to be found, as a comment.
    assert all(f"{name} = " in text for name in NodeConfig.model_fields)
    assert tomllib.loads(text.replace("# federation_port", "federation_port"))["federation_port"]


def test_describe_tells_where_values_come_from(
    datadir: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(datadir, "local_port = 9000\n")
    monkeypatch.setenv("ORGNODE_LOG_LEVEL", "error")
    by_name = {row.name: row for row in describe(datadir, load_config(datadir))}
    assert (by_name["local_port"].value, by_name["local_port"].source) == (9000, "file")
    assert (by_name["log_level"].value, by_name["log_level"].source) == ("error", "environment")
    assert by_name["expiry_days"].source == "default"
    assert all(row.description for row in by_name.values())


def test_misspelt_variables_are_found() -> None:
    found = unknown_environment(
        {
            "ORGNODE_LOCAL_PROT": "1",
            "ORGNODE_LOG_LEVEL": "info",
            "ORGNODE_PASSPHRASE": "x",
            "HOME": "/",
        }
    )
    assert set(found) == {"ORGNODE_LOCAL_PROT"}
    assert "ORGNODE_LOCAL_PORT" in found["ORGNODE_LOCAL_PROT"]


def test_passphrase(tmp_path: Path) -> None:
    assert passphrase({}) is None
    assert passphrase({"ORGNODE_PASSPHRASE": ""}) is None
    assert passphrase({"ORGNODE_PASSPHRASE": " a b "}) == " a b "
    file = tmp_path / "secret"
    file.write_text("from file\nnot this\n")
    file.chmod(0o600)
    assert passphrase({"ORGNODE_PASSPHRASE_FILE": str(file)}) == "from file"
    assert passphrase({"ORGNODE_PASSPHRASE": "x", "ORGNODE_PASSPHRASE_FILE": str(file)}) == "x"
    file.chmod(0o644)
    with pytest.raises(PermissionsTooOpenError):
        passphrase({"ORGNODE_PASSPHRASE_FILE": str(file)})
    with pytest.raises(MissingFileError):
        passphrase({"ORGNODE_PASSPHRASE_FILE": str(tmp_path / "nothing")})
