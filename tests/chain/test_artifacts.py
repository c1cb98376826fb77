"""The committed artifacts are what the pinned compiler makes of the committed sources."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE = shutil.which("node")
needs_compiler = pytest.mark.skipif(
    NODE is None or not (ROOT / "node_modules" / "solc").exists(),
    reason="the compiler is absent: needs Node.js and `npm ci`",
)


def rebuild(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(NODE), str(root / "contracts" / "build.mjs"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@needs_compiler
def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    """The check can fail: a renamed error no longer matches the artifacts."""
    shutil.copytree(ROOT / "contracts", tmp_path / "contracts")
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    source = tmp_path / "contracts" / "src" / "DemoDollar.sol"
    source.write_text(source.read_text().replace('"DUSD"', '"DUSX"'))
    outcome = rebuild(tmp_path)
    assert (outcome.returncode, outcome.stdout) == (1, "changed: DemoDollar\n")


@needs_compiler
def test_the_artifacts_rebuild_byte_for_byte() -> None:
    """Python trusts them without compiling, so they must be reproducible."""
    outcome = rebuild(ROOT)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_lock_file_names_no_registry() -> None:
    """A clone installs from whichever registry its machine is set to."""
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert packages
    assert not [name for name, package in packages.items() if "resolved" in package]
