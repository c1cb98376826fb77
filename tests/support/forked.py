"""Processes that are forked from one which has imported everything already.

Real processes that can really be killed, for a tenth of the processor time: importing what a worker
needs takes seconds, and a test that kills workers starts many. That all of it also starts from
nothing is shown by ``tests/serve``.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    [
        "bridge.console.serve",
        "bridge.console.treasury",
        "chain.signers.keystore",
        "tests.chaos.worker",
        "tests.flows.crashing_worker",
    ]
)


class ForkedProcess:
    """``run()`` in a process of its own; ends when the tests do, however they do."""

    def __init__(
        self, name: str, run: Callable[[], None], environment: Mapping[str, str], log_path: Path
    ) -> None:
        self.name = name
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log_path.touch()
        arguments = (run, dict(environment), log_path)
        self._process = _server.Process(target=_begin, args=arguments, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def returncode(self) -> int | None:
        """The exit status; a signal's number is negative."""
        return self._process.exitcode

    def log_tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-2_000:]

    def stop(self, limit_s: float = 10.0) -> None:
        """SIGTERM, and SIGKILL after ``limit_s``."""
        self._process.terminate()
        self._process.join(limit_s)
        self._process.kill()
        self._process.join()


def _begin(run: Callable[[], None], environment: dict[str, str], log_path: Path) -> None:
    """In the new process: its own surroundings, its own log, and no life without the tests."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.environ.clear()
    os.environ.update(environment)
    with log_path.open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run()
