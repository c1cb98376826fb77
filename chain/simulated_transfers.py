"""A chain of transfers in memory, for tests of what follows a chain: ``SimulatedTransfers``."""

import hashlib
from collections.abc import Sequence

from settlement.errors import ChainUnknown
from settlement.ports.transfers import NATIVE_POSITION, ChainTransfer, TransferBlock

BLOCK_S = 12
BEGIN_S = 1_700_000_000


class SimulatedTransfers:
    """Implements :class:`settlement.ports.transfers.TransferFeed`; ``down`` makes it answer
    nothing, ``asked`` counts the blocks that it gave. ``begin_s`` is the first block's time."""

    def __init__(
        self, network: str = "local", final_depth: int = 3, begin_s: int = BEGIN_S
    ) -> None:
        self.network = network
        self._begin_s = begin_s
        self.final_depth = final_depth
        self.down = False
        self.asked = 0
        self._forks = 0
        self._chain: list[TransferBlock] = []
        self.mine()

    def mine(self, *payments: tuple[str, str, int]) -> None:
        """One block with these payments ``(src, dst, minor units)`` of native coin."""
        number = len(self._chain)
        parent = self._chain[-1].hash if self._chain else ""
        name = hashlib.sha256(f"{self._forks}:{number}:{parent}".encode()).hexdigest()
        transfers = tuple(
            ChainTransfer(f"0x{name[:16]}{i}", NATIVE_POSITION, "ETH", 18, src, dst, amount)
            for i, (src, dst, amount) in enumerate(payments)
        )
        time_s = self._begin_s + BLOCK_S * number
        self._chain.append(TransferBlock(number, name, parent, time_s, transfers))

    def reorganise(self, depth: int) -> None:
        """The last ``depth`` blocks are gone; the next ones are others."""
        del self._chain[-depth:]
        self._forks += 1

    async def heights(self) -> tuple[int, int]:
        self._answer()
        newest = len(self._chain) - 1
        return newest, max(-1, newest - self.final_depth)

    async def blocks(self, first: int, last: int) -> Sequence[TransferBlock]:
        self._answer()
        if last >= len(self._chain):
            raise ChainUnknown(f"block {last} is not known yet")
        self.asked += last - first + 1
        return self._chain[first : last + 1]

    def _answer(self) -> None:
        if self.down:
            raise ChainUnknown("nobody answers")
