"""``tidegate serve`` as a person runs it: a process of its own, its text, and what it leaves."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

from bridge.cli import main
from tests.support.forked import ForkedProcess
from tests.support.waiting import eventually_sync

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120
_NOT_PASSED_ON = ("STRIPE_", "TIDEGATE_", "DATABASE_URL")


def environment(**values: str) -> dict[str, str]:
    """Ours, without whatever this machine configures for a deployment."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_PASSED_ON)}
    return {**clean, "PYTHONPATH": str(ROOT), **values}


def tidegate(*arguments: str, **values: str) -> tuple[int | None, str, str]:
    """Run a command to its end: status, standard output, standard error.

    Forked, so that not every command imports everything anew; :class:`Serving` begins from nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        run = partial(_command, arguments, out)
        child = ForkedProcess("tidegate", run, environment(**values), err)
        try:
            eventually_sync(
                lambda: not child.alive, limit_s=LIMIT_S, what=f"the end of {arguments}"
            )
        finally:
            child.stop()
        return child.returncode, out.read_text(), err.read_text()


def _command(arguments: tuple[str, ...], out: Path) -> None:
    with out.open("wb") as file:
        os.dup2(file.fileno(), 1)
    sys.argv = ["tidegate", *arguments]
    main()


class Serving:
    """A command that goes on in the background; ``text`` is what it has said so far."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bridge.cli", *arguments],
            env=environment(TIDEGATE_STATE_DIR=str(folder)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line

    def says(self, pattern: str, limit_s: float = LIMIT_S) -> str:
        """Wait for a line that matches; returns the match."""

        def found() -> str | None:
            match = re.search(pattern, self.text, re.MULTILINE)
            assert match or self.process.poll() is None, self.text
            return match.group(0) if match else None

        return str(eventually_sync(found, limit_s=limit_s, what=f"{pattern!r} in the output"))

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal; returns the exit status once everything has been read."""
        self.process.send_signal(number)
        status = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return status


def processes_of(folder: Path) -> dict[int, str]:
    """Every living process that names ``folder`` in its command line or environment (Linux)."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            told = (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in command + told:
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def all_gone(folder: Path) -> None:
    """Wait until nothing runs for ``folder`` any more."""
    eventually_sync(
        lambda: not processes_of(folder),
        limit_s=20,
        what=f"the end of {processes_of(folder)}",
    )
