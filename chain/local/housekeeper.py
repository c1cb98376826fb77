"""The small chores of a running anvil: finality, and the copy of its state.

An instant-mining chain makes no block while nobody sends a transaction, so ``finalized``, which
anvil puts two epochs behind the head, would never reach the last one. Mining by the clock would do,
but fills the state file with a day's empty blocks. So blocks are mined only while a transaction
waits for its finality.
"""

import contextlib
import threading

import httpx

from chain.local.jsonrpc import LocalRpc
from chain.local.process import ChildProcess
from chain.local.state_file import StateFile

# anvil: ``finalized`` is two epochs behind the head.
_EPOCHS_TO_FINALITY = 2
# Shorter than the interval of the dumps, so that some look falls between two of them.
_COPY_CHECK_S = 0.4


class Housekeeper:
    """Two daemon threads that end with :meth:`stop`."""

    def __init__(
        self,
        process: ChildProcess,
        url: str,
        *,
        state: StateFile | None,
        slots_in_an_epoch: int,
        finality_interval_s: float | None,
    ) -> None:
        self._process = process
        self._rpc = LocalRpc(url)
        self._state = state
        self._depth = _EPOCHS_TO_FINALITY * slots_in_an_epoch
        self._interval_s = finality_interval_s
        self._stopping = threading.Event()
        self._last_busy_block = 0
        self._seen_block = -1
        chores = [self._finalize] if finality_interval_s else []
        chores += [self._copy_state] if state else []
        self._threads = [threading.Thread(target=chore, daemon=True) for chore in chores]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both chores; returns when they have ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._rpc.close()

    def _finalize(self) -> None:
        while not self._stopping.wait(self._interval_s):
            # The chain may be down, paused or slow; the next round looks again.
            with contextlib.suppress(httpx.HTTPError, LookupError, ValueError):
                self._mine_towards_finality()

    def _mine_towards_finality(self) -> None:
        head = int(self._rpc.call("eth_blockNumber"), 16)
        # After a rollback or at the start, look back as far as finality reaches.
        oldest_unseen = self._seen_block + 1 if self._seen_block <= head else 0
        for number in range(max(oldest_unseen, head - self._depth + 1, 1), head + 1):
            block = self._rpc.call("eth_getBlockByNumber", hex(number), False)
            if block and block["transactions"]:
                self._last_busy_block = number
        self._seen_block = head
        if head - self._depth < self._last_busy_block <= head:
            self._rpc.call("evm_mine")

    def _copy_state(self) -> None:
        assert self._state is not None
        while not self._stopping.wait(_COPY_CHECK_S):
            with contextlib.suppress(OSError):
                self._state.keep_copy(lambda: self._process.alive)
