"""The saved state of the local chain, and the copy that survives a bad end.

anvil writes its state in place. Killed in the middle of that (``kill -9``, power), it leaves half a
file and refuses to start from it. So a copy of the last complete dump is kept beside it, and a
damaged file is moved aside, never deleted: somebody may want to look.

Every start of anvil makes a genesis block of its own, and every dump holds all of them, in any
order. From the third start on, chance would decide which one is block 0; so the later ones are
dropped before each start.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
        if not self.path.exists():
            return None
        if _is_complete(self.path):
            _keep_first_genesis(self.path)
            return None
        aside = self.path.with_suffix(f".damaged-{time.time_ns()}{self.path.suffix}")
        if not _is_complete(self.copy):
            raise StateFileUnusable(
                f"the chain's state file {self.path} is damaged and there is no earlier copy; "
                "move it away to start a new chain (what was settled on this one is then gone)"
            )
        self.path.rename(aside)
        shutil.copyfile(self.copy, self.path)
        _keep_first_genesis(self.path)
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


def _keep_first_genesis(path: Path) -> None:
    """Of several blocks with number 0 the oldest is the chain's; the file is replaced in one step.

    Starts within the same second make the same genesis, and are then one block.
    """
    state = json.loads(path.read_bytes())
    geneses = [block for block in state.get("blocks", []) if _number(block, "number") == 0]
    if len(geneses) < 2:
        return
    first = min(geneses, key=lambda block: _number(block, "timestamp"))
    later = [block for block in geneses if block is not first]
    state["blocks"] = [block for block in state["blocks"] if block not in later]
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(state))
    os.replace(draft, path)


def _number(block: dict[str, Any], member: str) -> int:
    return int(block["header"][member], 16)
