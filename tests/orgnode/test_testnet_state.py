"""A test network's file names nothing that `up` must not run, nor `down --remove` delete."""

import json
from pathlib import Path
from typing import Any

import pytest

from orgnode.testnet.errors import OtherNetworkError
from orgnode.testnet.state import FILE, FORMAT, HONEST, MAVERICK, read_state


def written(home: Path, **changed: Any) -> Path:
    org = {"name": "acme.example", "directory": "acme", "module": HONEST, "process": None}
    document = {"format": FORMAT, "orgs": [{**org, **changed}]}
    (home / FILE).write_text(json.dumps(document))
    return home


@pytest.mark.parametrize("module", [HONEST, MAVERICK])
def test_a_network_is_read(tmp_path: Path, module: str) -> None:
    (org,) = read_state(written(tmp_path, module=module))
    assert (org.directory, org.module) == (tmp_path / "acme", module)


@pytest.mark.parametrize("directory", ["..", "a/..", "", ".", "/", ".ssh", None])
def test_no_directory_leads_out_of_the_networks_own(tmp_path: Path, directory: Any) -> None:
    with pytest.raises(OtherNetworkError):
        read_state(written(tmp_path, directory=directory))


@pytest.mark.parametrize("module", ["http.server", "", "-c", None])
def test_only_node_programs_are_run(tmp_path: Path, module: Any) -> None:
    with pytest.raises(OtherNetworkError):
        read_state(written(tmp_path, module=module))
