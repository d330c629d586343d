"""A node's settings: `config.toml` in the data directory, each overridden by `ORGNODE_<NAME>`.

A key that is not a setting is an error that names the nearest ones. The keys' passphrase is no
setting and is never in the file: `passphrase()` takes it from the environment.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from mesh.names import check_control_group, check_name
from orgnode.datadir import DataDir
from orgnode.errors import (
    ConfigSyntaxError,
    MissingFileError,
    SettingValueError,
    UnknownSettingError,
)
from orgnode.files import read_file, write_file

ENV_PREFIX = "ORGNODE_"
ENV_PASSPHRASE = "ORGNODE_PASSPHRASE"  # noqa: S105 - the variable's name
ENV_PASSPHRASE_FILE = "ORGNODE_PASSPHRASE_FILE"  # noqa: S105
ENV_DATA_DIR = "ORGNODE_DATA_DIR"
_OTHER_ENV = (ENV_PASSPHRASE, ENV_PASSPHRASE_FILE, ENV_DATA_DIR)

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=3_600)]


def _ascending(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError("the first number must not be larger than the second")
    return interval


class NodeConfig(BaseSettings):
    """The settings of one node. Built directly it looks at no file and no environment."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, env_ignore_empty=True
    )
    from_environment: ClassVar[bool] = False

    name: Annotated[str, AfterValidator(check_name)] = Field(
        description="this organization's name in the mesh, as in its member card"
    )
    control_group: Annotated[str, AfterValidator(check_control_group)] = Field(
        description="who owns this organization; organizations of one owner count as one source"
    )
    local_host: str = Field(
        default="127.0.0.1", min_length=1, description="address that the local API listens on"
    )
    local_port: Port = Field(default=8460, description="port of the local API; 0 for any free one")
    federation_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - peers come from elsewhere, through mutual TLS
        min_length=1,
        description="address that peers' connections are taken on",
    )
    federation_port: Port = Field(default=8461, description="port for peers; 0 for any free one")
    federation_source: str = Field(
        default="",
        description="own address that peers are connected from; empty for the system's choice",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level of log lines"
    )
    log_format: Literal["json", "console"] = Field(
        default="console", description="log lines for people (console) or programs (json)"
    )
    retention_days: int = Field(
        default=90,
        ge=1,
        le=3_650,
        description="days after which an incident in the vault is erased",
    )
    expiry_days: int = Field(
        default=90, ge=1, le=3_650, description="days after which a published signal expires"
    )
    poll_interval: Annotated[tuple[Seconds, Seconds], AfterValidator(_ascending)] = Field(
        default=(1.0, 5.0),
        description="seconds between two exchanges with a peer at random: least and most",
    )
    prove_workers: int = Field(
        default_factory=lambda: min(2, os.cpu_count() or 1),
        ge=1,
        le=64,
        description="processes that make and verify proofs",
    )
    max_subscribers: int = Field(
        default=200, ge=1, le=10_000, description="open feed connections at most"
    )
    subscriber_buffer: int = Field(
        default=1_000,
        ge=10,
        le=100_000,
        description="events that a slow feed subscriber may be behind",
    )
    feed_events: int = Field(
        default=1_000_000,
        ge=100,
        description="newest feed events kept, for subscribers to resume from",
    )
    heartbeat_seconds: Seconds = Field(
        default=15.0, description="seconds between heartbeats on a feed"
    )
    metrics_open: bool = Field(default=False, description="serve /metrics without the bearer token")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file; there is no .env and no secrets directory."""
        if cls.from_environment:
            return env_settings, init_settings
        return (init_settings,)


class _LayeredConfig(NodeConfig):
    from_environment: ClassVar[bool] = True


class SettingSource(NamedTuple):
    """One setting for `orgnode doctor`: its value, where that came from, and what it means."""

    name: str
    value: object
    source: Literal["default", "file", "environment"]
    description: str


def load_config(datadir: DataDir) -> NodeConfig:
    """Read the settings of a data directory.

    :raises MissingFileError: there is no `config.toml`.
    :raises ConfigSyntaxError: it is not TOML.
    :raises UnknownSettingError: it holds a key that is no setting.
    :raises SettingValueError: a value is of the wrong type or out of range; names file or variable.
    """
    values = _read_toml(datadir.config)
    _check_types(values, datadir.config)
    try:
        layered = _LayeredConfig(**values)
    except ValidationError as error:
        raise _value_error(error, datadir.config) from None  # its text would repeat every input
    except SettingsError as error:
        raise _environment_error(error) from None
    return NodeConfig(**layered.model_dump())


def write_config(datadir: DataDir, config: NodeConfig) -> None:
    """Write `config.toml`: what differs from the defaults as settings, the rest as comments.

    :raises DataDirNotWritableError: the directory can't be written to.
    """
    lines = [
        "# Settings of this node. Remove the # before a line to change its default.",
        f"# Each can be overridden by an environment variable: {ENV_PREFIX}LOG_LEVEL=debug",
        "",
    ]
    for name, field in NodeConfig.model_fields.items():
        value = getattr(config, name)
        default = field.is_required() is False and value == field.get_default(
            call_default_factory=True, validated_data={}
        )
        lines += [f"# {field.description}", f"{'# ' if default else ''}{name} = {_toml(value)}", ""]
    write_file(datadir.config, "\n".join(lines).encode(), private=False)


def describe(datadir: DataDir, config: NodeConfig) -> list[SettingSource]:
    """Every setting with its value and where it came from."""
    in_file = _read_toml(datadir.config)
    environment = {key.upper() for key, value in os.environ.items() if value}
    result = []
    for name, field in NodeConfig.model_fields.items():
        source: Literal["default", "file", "environment"] = "default"
        if ENV_PREFIX + name.upper() in environment:
            source = "environment"
        elif name in in_file:
            source = "file"
        result.append(SettingSource(name, getattr(config, name), source, field.description or ""))
    return result


def unknown_environment(environment: Mapping[str, str] | None = None) -> dict[str, tuple[str, ...]]:
    """Variables that begin like settings but are none, with the nearest settings' variables.

    They are shown by `orgnode doctor` rather than refused: container platforms define such names
    (`ORGNODE_SERVICE_HOST`) for reasons of their own.
    """
    known = [ENV_PREFIX + name.upper() for name in NodeConfig.model_fields] + list(_OTHER_ENV)
    found = os.environ if environment is None else environment
    return {
        key: tuple(difflib.get_close_matches(key, known))
        for key in sorted(found)
        if key.startswith(ENV_PREFIX) and key not in known
    }


def passphrase(environment: Mapping[str, str] | None = None) -> str | None:
    """The keys' passphrase: `ORGNODE_PASSPHRASE`, or the first line of `ORGNODE_PASSPHRASE_FILE`.

    :raises MissingFileError, PermissionsTooOpenError: that file can't be used.
    """
    found = os.environ if environment is None else environment
    if found.get(ENV_PASSPHRASE):
        return found[ENV_PASSPHRASE]
    if found.get(ENV_PASSPHRASE_FILE):
        data = read_file(Path(found[ENV_PASSPHRASE_FILE]), private=True)
        return data.decode("utf-8", "replace").split("\n", 1)[0].rstrip("\r") or None
    return None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(read_file(path).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigSyntaxError(
            f"{path} is not UTF-8 text", hint="write it again as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigSyntaxError(
            f"{path} is not TOML: {error}",
            hint='a setting looks like  log_level = "info"  (text in quotes, numbers without)',
        ) from error
    except MissingFileError as error:
        raise MissingFileError(
            str(error), hint="set a node up with `orgnode init`, or name its directory: --data-dir"
        ) from error
    for key in values:
        if key not in NodeConfig.model_fields:
            near = difflib.get_close_matches(key, NodeConfig.model_fields)
            raise UnknownSettingError(
                f"{path}: there is no setting {key!r}",
                hint=f"did you mean {' or '.join(near)}?"
                if near
                else f"the settings are {', '.join(NodeConfig.model_fields)}",
            )
    return values


def _check_types(values: Mapping[str, object], path: Path) -> None:
    # Variables of the environment are text and are converted; a file can say what it means, and
    # local_port = "8460" or = true is a slip.
    for name, value in values.items():
        kind = NodeConfig.model_fields[name].annotation
        if kind is int:
            good, wanted = type(value) is int, "a whole number"
        elif kind is float:
            good, wanted = type(value) in (int, float), "a number"
        elif kind is bool:
            good, wanted = type(value) is bool, "true or false"
        elif name == "poll_interval":
            good = isinstance(value, list) and all(type(item) in (int, float) for item in value)
            wanted = "a list of two numbers"
        else:
            good, wanted = isinstance(value, str), "text in quotes"
        if not good:
            raise SettingValueError(
                f"{path}: {name} must be {wanted} (it is {_short(value)})",
                hint=f"{name}: {NodeConfig.model_fields[name].description}",
            )


def _value_error(error: ValidationError, path: Path) -> SettingValueError:
    problems, names = [], []
    for item in error.errors(include_url=False, include_context=False):
        name = str(item["loc"][0]) if item["loc"] else "settings"
        variable = ENV_PREFIX + name.upper()
        where = variable if os.environ.get(variable) else f"{path}: {name}"
        shown = "" if item["type"] == "missing" else f" (it is {_short(item['input'])})"
        problems.append(f"{where}: {item['msg'].removeprefix('Value error, ')}{shown}")
        names.append(name)
    return SettingValueError(
        "; ".join(problems),
        hint="; ".join(
            f"{name}: {NodeConfig.model_fields[name].description}"
            for name in dict.fromkeys(names)
            if name in NodeConfig.model_fields
        ),
    )


def _environment_error(error: SettingsError) -> SettingValueError:
    match = re.search(r'field "([a-z_]+)"', str(error))
    name = match[1] if match else "poll_interval"
    return SettingValueError(
        f"{ENV_PREFIX}{name.upper()} is not JSON",
        hint=f"write a list, for example {ENV_PREFIX}{name.upper()}='[1.0, 5.0]'",
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _toml(value: object) -> str:
    # TOML's strings, numbers, booleans and arrays of them are written as in JSON.
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
