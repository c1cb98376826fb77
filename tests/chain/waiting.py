"""Waiting for a condition, never for a time."""

import os
from collections.abc import Callable

from tests.support.waiting import eventually_sync


def wait_for(condition: Callable[[], object], what: str, limit_s: float = 10.0) -> None:
    eventually_sync(condition, limit_s=limit_s, what=what)


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
