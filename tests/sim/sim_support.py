"""Running seeds in a process of their own, where coverage does not make them take twice as long."""

import json
import os
import subprocess
import sys

from orgnode.testing.simsuite import Result


def run_apart(start: int, seeds: int, *, bug: str = "", hash_seed: int = 0) -> list[Result]:
    """Run seeds, each a run under faults."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE", "COV_"))}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "orgnode.testing.simcommand", "--json"),
            *("--start", str(start), "--seeds", str(seeds), "--bug", bug),
        ],
        env={**environment, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Result(**json.loads(line)) for line in done.stdout.splitlines()]
