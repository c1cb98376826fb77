"""Locks between processes of one machine: a file that its holder keeps open.

The system drops such a lock when its holder ends, however it ends, so nothing is left to clean up.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from settlement.errors import TidegateError


class LockHeld(TidegateError):
    """Another process holds the lock; ``pid`` is its process id, 0 when it did not say."""

    code = "lock_held"

    def __init__(self, message: str, pid: int) -> None:
        super().__init__(message)
        self.pid = pid


@contextlib.contextmanager
def hold(path: Path, *, limit_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of ``path`` (created when it is missing) for the length of the block.

    Raises :class:`LockHeld` when another process does not give it up within ``limit_s``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _take(file.fileno(), path, limit_s)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _take(descriptor: int, path: Path, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() >= deadline:
                text = path.read_text().strip()
                pid = int(text) if text.isdigit() else 0
                raise LockHeld(f"{path} is held by process {pid or 'unknown'}", pid) from None
        time.sleep(0.05)
