"""Every command in the docs is run, in order, as a reader would run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orgnode.testnet.ports import free_ports

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Run by other tests, by continuous integration, or by whoever reads this just now.
ELSEWHERE = {
    "make demo": "tests/system/test_demo.py runs it",
    "make test": "this is it",
    "make setup": "done before any test could start",
    ". .venv/bin/activate": "the environment that the tests run in",
}
# Pages whose blocks another test runs, each from the page itself.
RUN_BY = {"gateways/litellm.md": "tests/gateways/test_gateway_litellm.py"}
SECONDS = 180


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return [body for found, body in FENCE.findall(path.read_text()) if found == language]


def script(path: Path) -> str:
    """All shell blocks of a page as one script; commands that never end are given three seconds."""
    lines = []
    for block in blocks(path, "sh"):
        for line in block.splitlines():
            if line.strip() in ELSEWHERE:
                continue
            if "--follow" in line:
                line = f"timeout --signal=INT 3 {line} || test $? -eq 124 -o $? -eq 130"
            lines.append(line)
    return "\n".join(lines)


def run(path: Path, directory: Path, extra: str = "") -> subprocess.CompletedProcess[str]:
    """Run a page's commands in an empty directory, with ports of their own."""
    text = script(path) + "\n" + extra
    ports = sorted(set(re.findall(r"\b184[67]\d\b", text)))
    for port, free in zip(ports, free_ports(len(ports)), strict=True):
        text = re.sub(rf"\b{port}\b", str(free), text)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(directory),
    }
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{text}"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


@pytest.mark.system
@pytest.mark.slow
def test_quick_start(tmp_path: Path) -> None:
    """The quick start works from its first line to its last."""
    page = ROOT / "docs" / "quick-start.md"
    done = run(page, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "ProofEquationError" not in done.stdout
    assert not (tmp_path / "try").exists()


@pytest.mark.system
@pytest.mark.slow
def test_operators_guide(tmp_path: Path) -> None:
    """The operator's guide founds a mesh, runs nodes, and the Python example speaks to one."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    page = ROOT / "docs" / "operators-guide.md"
    (example,) = blocks(page, "python")
    (tmp_path / "example.py").write_text(example)
    text = page.read_text().replace("kill %1 %2", "python example.py > example.out\nkill %1 %2")
    copy = tmp_path / "guide.md"
    copy.write_text(text)
    done = run(copy, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "example.out").read_text().startswith("signal id=")
    assert (tmp_path / "openapi.json").read_text().startswith("{")


def test_the_readme_names_targets_that_exist() -> None:
    """Each `make` command in the docs is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    named = {
        target
        for page in pages
        for target in re.findall(r"(?:`|^)make ([a-z]+)\b", page.read_text(), re.MULTILINE)
    }
    assert {"demo", "test", "bench"} <= named
    assert named <= targets


def test_links_in_the_docs_lead_somewhere() -> None:
    """No dead link between the pages."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_shell_block_is_run_or_said_where() -> None:
    """No page has shell blocks that no test runs."""
    tested = {"quick-start.md", "operators-guide.md"}
    docs = ROOT / "docs"
    for page in [ROOT / "README.md", *sorted(docs.rglob("*.md"))]:
        if page.name in tested or script(page).strip() == "":
            continue
        runner = RUN_BY.get(str(page.relative_to(docs)), "")
        assert runner, f"{page.name} has commands that no test runs"
        assert f'"{page.name}"' in (ROOT / runner).read_text(), f"{runner} leaves {page.name} alone"


def test_the_tests_that_the_threat_model_names_are_there() -> None:
    """Each attack in the table names a test that is in the file that it names."""
    page = (ROOT / "docs" / "threat-model.md").read_text()
    table = page.partition("## Attacks that are tested")[2].partition("\n## ")[0]
    file = ""
    named = re.findall(r"`((?:[\w/]+\.py)?(?:::\w+)?)`", table)
    assert len(named) > 40
    for path, _, test in (name.partition("::") for name in named):
        file = path or file
        text = (ROOT / "tests" / file).read_text()
        assert not test or f"def {test}(" in text, f"{file} has no {test}"
