"""The contracts' own tests, in Solidity: misbehaving tokens, reentrancy, fuzzing."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORGE = ROOT / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin" / "forge"


@pytest.mark.skipif(
    not (FORGE.exists() and shutil.which("node") and sys.platform.startswith("linux"))
    or platform.machine() != "x86_64",
    reason="forge is absent: needs Node.js and `npm ci` on Linux, x86-64",
)
def test_the_solidity_tests_pass() -> None:
    """forge compiles with the same pinned compiler and runs ``contracts/test``."""
    outcome = subprocess.run(
        [str(FORGE), "test"],
        cwd=ROOT / "contracts",  # foundry.toml names the compiler by a relative path
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "0 failed" in outcome.stdout
