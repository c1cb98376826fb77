"""What sending costs, and below which fee it is worth sending now."""

from typing import Protocol


class GasPort(Protocol):
    async def quote_fee_wei(self, network: str) -> int:
        """The fee of one payout in the native coin's minor units, for quoting."""
        ...

    async def reservation_fee_wei(self, network: str, remaining_blocks: int) -> int | None:
        """Send when the fee per gas is at or below this; ``None``: no opinion, send now."""
        ...
