"""The contracts' own tests, in Solidity: misbehaving tokens, reentrancy, fuzzing."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORGE = ROOT / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin" / "forge"


needs_forge = pytest.mark.skipif(
    not (FORGE.exists() and shutil.which("node") and sys.platform.startswith("linux"))
    or platform.machine() != "x86_64",
    reason="forge is absent: needs Node.js and `npm ci` on Linux, x86-64",
)


def forge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(FORGE), *arguments],
        cwd=ROOT / "contracts",  # foundry.toml names the compiler by a relative path
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@needs_forge
def test_the_solidity_tests_pass() -> None:
    """They ask the committed artifacts; ``test_artifacts`` shows what those are made of."""
    outcome = forge("test")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert " 0 failed" in outcome.stdout


@needs_forge
def test_a_payout_costs_what_the_snapshot_says() -> None:
    """A change that makes it dearer, or cheaper, also changes ``contracts/snapshots/gas.txt``."""
    outcome = forge("snapshot", "--match-contract", "GasTest", "--check", "snapshots/gas.txt")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
