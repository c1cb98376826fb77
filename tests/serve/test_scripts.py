"""The scripts behind ``make``: a machine that lacks something is told so, and nothing breaks."""

import subprocess
from pathlib import Path

import pytest

from tests.serve.running import ROOT

TOOLS = ("bash", "cat", "dirname", "env", "grep", "mkdir", "mktemp", "rm", "tail", "touch")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of the few tools that every machine has; as ``PATH`` it hides all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = next(p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists())
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with the scripts and nothing installed."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "scripts").mkdir()
    for script in (ROOT / "scripts").iterdir():
        target = root / "scripts" / script.name  # scripts find their project by their own place
        target.write_text(script.read_text())
        target.chmod(0o755)
    return root


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def run(machine: Path, script: str, *arguments: str, cwd: Path) -> tuple[int, str]:
    """Status, and everything that was said."""
    done = subprocess.run(
        [str(cwd / "scripts" / script), *arguments],
        env={"PATH": str(machine), "HOME": str(cwd)},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, done.stdout


def test_a_machine_without_a_recent_python_is_told_what_to_do(machine: Path, project: Path) -> None:
    """An old python3 is no Python for us."""
    program(machine, "python3", "exit 1")
    status, said = run(machine, "find-python", cwd=project)
    assert status == 1
    assert "Python 3.11 or newer is needed" in said


def test_without_node_the_fallback_is_named(machine: Path, project: Path) -> None:
    """The chain will be eth-tester, and that is said, not failed."""
    status, said = run(machine, "node-packages", "base", cwd=project)
    assert (status, said.count("\n")) == (1, 1)
    assert "Node.js is not installed: the local chain will be eth-tester" in said


def test_an_old_node_is_not_used(machine: Path, project: Path) -> None:
    """anvil's package needs a recent npm."""
    program(machine, "node", '[ "$1" = -p ] && echo 16 || echo v16.0.0')
    program(machine, "npm", "exit 99")
    status, said = run(machine, "node-packages", "base", cwd=project)
    assert status == 1
    assert "v16.0.0 is too old" in said


def test_a_failing_npm_is_shown_and_the_fallback_named(machine: Path, project: Path) -> None:
    """What npm said last, then what it means; no stamp, so that the next run tries again."""
    program(machine, "node", "echo 20")
    program(machine, "npm", 'echo "npm error code EAI_AGAIN"; exit 1')
    (project / "package-lock.json").write_text("{}")
    status, said = run(machine, "node-packages", "base", cwd=project)
    assert status == 1
    assert "EAI_AGAIN" in said
    assert "the local chain will be eth-tester" in said
    assert not list(project.rglob(".installed-*"))


def test_a_half_made_environment_is_noticed(machine: Path, project: Path) -> None:
    """An interpreter that is missing or does not run makes its packages' target out of date."""
    environment = project / ".venv"
    (environment / "bin").mkdir(parents=True)
    assert run(machine, "venv-broken", str(environment), cwd=project) == (0, "FORCE\n")
    program(environment / "bin", "python", "exit 1")
    assert run(machine, "venv-broken", str(environment), cwd=project) == (0, "FORCE\n")
    program(environment / "bin", "python", "exit 0")
    assert run(machine, "venv-broken", str(environment), cwd=project) == (0, "")


def test_failed_packages_leave_no_stamp(machine: Path, project: Path) -> None:
    """The end of pip's log and what to do; the next run installs again."""
    program(machine, "python3", FAKE_PYTHON)
    status, said = run(machine, "python-packages", "base", ".venv", cwd=project)
    assert status == 1
    assert "no network here" in said
    assert "run the same command again" in said
    assert not (project / ".venv" / ".installed-base").exists()


FAKE_PYTHON = """
case "$*" in
  *"-m venv"*) mkdir -p "$3/bin" && cat "$0" > "$3/bin/python" && /bin/chmod +x "$3/bin/python" ;;
  *"-m pip"*) echo "no network here"; exit 1 ;;
esac
"""


def test_a_damaged_environment_is_made_anew_once(machine: Path, project: Path) -> None:
    """Packages that pip takes for installed but that do not import: one new try, then the truth."""
    program(machine, "python3", DAMAGED_PYTHON)
    status, said = run(machine, "python-packages", "base", ".venv", cwd=project)
    assert status == 1
    assert said.count("is damaged; making it anew") == 1
    assert "ModuleNotFoundError" in said
    assert not (project / ".venv" / ".installed-base").exists()


DAMAGED_PYTHON = """
case "$*" in
  *"-m venv"*) mkdir -p "$3/bin" && cat "$0" > "$3/bin/python" && /bin/chmod +x "$3/bin/python" ;;
  *"import bridge"*) echo "ModuleNotFoundError: No module named 'litestar'"; exit 1 ;;
esac
"""
