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


@needs_compiler
def test_the_artifacts_rebuild_byte_for_byte(tmp_path: Path) -> None:
    """Python trusts them without compiling, so they must be reproducible; so is the layout of the
    vault's storage, which must not move unseen."""
    command = [str(NODE), str(ROOT / "contracts" / "build.mjs"), "--out", str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert built.returncode == 0, built.stderr
    for folder in ("artifacts", "snapshots"):
        committed = {path.name: path for path in (ROOT / "contracts" / folder).glob("*.json")}
        assert {path.name for path in (tmp_path / folder).iterdir()} == set(committed)
        for name, path in committed.items():
            assert (tmp_path / folder / name).read_bytes() == path.read_bytes(), name


def test_the_lock_file_names_no_registry() -> None:
    """A clone installs from whichever registry its machine is set to."""
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert packages
    assert not [name for name, package in packages.items() if "resolved" in package]
