"""The saved state of the local chain, and the copy that survives a bad end.

anvil writes its state in place. Killed in the middle of that (``kill -9``, power), it leaves half a
file and refuses to start from it. So a copy of the last complete dump is kept beside it, and a
damaged file is moved aside, never deleted: somebody may want to look.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from chain.errors import StateFileUnusable

# A dump takes milliseconds; a file untouched for this long is complete, if its writer still lives.
_SETTLED_AFTER_S = 0.25


class StateFile:
    """``path`` is what the chain writes; ``path`` with ``.good`` is our copy of a complete dump."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.copy = path.with_suffix(".good" + path.suffix)
        self._copied_mtime_ns = 0

    def prepare(self) -> str | None:
        """Make ``path`` loadable or absent before a start.

        Returns what a person should know (the chain fell back to the copy), or ``None``.

        Raises:
            StateFileUnusable: damaged, and the copy is missing or damaged as well.
        """
        if not self.path.exists() or _is_complete(self.path):
            return None
        aside = self.path.with_suffix(f".damaged-{time.time_ns()}{self.path.suffix}")
        if not _is_complete(self.copy):
            raise StateFileUnusable(
                f"the chain's state file {self.path} is damaged and there is no earlier copy; "
                "move it away to start a new chain (what was settled on this one is then gone)"
            )
        self.path.rename(aside)
        shutil.copyfile(self.copy, self.path)
        return (
            f"the chain's state file was damaged; it is kept as {aside.name}, and the chain goes "
            "on from the last complete copy: its newest blocks may be missing"
        )

    def keep_copy(self, writer_lives: Callable[[], bool]) -> None:
        """Copy the dump if it changed, is complete, and its writer lives to tell so."""
        try:
            before = self.path.stat()
        except FileNotFoundError:
            return
        settled = time.time() - before.st_mtime > _SETTLED_AFTER_S
        if not settled or before.st_mtime_ns == self._copied_mtime_ns:
            return
        draft = self.copy.with_suffix(".draft")
        shutil.copyfile(self.path, draft)
        # Asked after the copy: a writer that died may have died while writing.
        if self.path.stat().st_mtime_ns == before.st_mtime_ns and writer_lives():
            os.replace(draft, self.copy)
            self._copied_mtime_ns = before.st_mtime_ns


def _is_complete(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError):
        return False
