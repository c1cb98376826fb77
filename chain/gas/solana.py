"""Solana's priority fees: what compute units cost on top of the fee per signature. Pure, integers.

``getRecentPrioritizationFees`` answers, for up to 150 recent slots, the least that a transaction
which locked the given accounts paid per compute unit, in millionths of a lamport.
https://solana.com/docs/rpc/http/getrecentprioritizationfees
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

LEVELS = (50, 75, 90)
LAMPORTS_PER_SIGNATURE = 5_000
_MICRO = 1_000_000

Call = Callable[[str, Sequence[object]], Awaitable[Sequence[Mapping[str, int]]]]


def unit_prices(answer: Sequence[Mapping[str, int]], within_slots: int) -> tuple[int, ...]:
    """Micro-lamports per compute unit that got in within so many slots, one per :data:`LEVELS`.

    The cheapest of that many slots in a row is enough. Empty without slots. Raises ``ValueError``
    for an answer that is none.
    """
    try:
        by_slot = sorted((row["slot"], row["prioritizationFee"]) for row in answer)
    except (KeyError, TypeError) as problem:
        raise ValueError(f"not recent prioritization fees: {problem!r}") from problem
    prices = [price for _, price in by_slot]
    least = sorted(
        min(prices[at : at + within_slots]) for at in range(max(len(prices) - within_slots + 1, 0))
    )
    return tuple(least[min(len(least) * level // 100, len(least) - 1)] for level in LEVELS if least)


def fee_lamports(signatures: int, compute_units: int, unit_price_micro: int) -> int:
    """What a transaction pays that asks for so many units; rounded up as the network does."""
    return signatures * LAMPORTS_PER_SIGNATURE + -(-compute_units * unit_price_micro // _MICRO)


class SolanaPriorityFees:
    """Asks a node; ``accounts`` are those that a payout locks for writing."""

    def __init__(self, call: Call, accounts: Sequence[str]) -> None:
        self._call = call
        self._accounts = list(accounts)

    async def unit_prices(self, within_slots: int) -> tuple[int, ...]:
        answer = await self._call("getRecentPrioritizationFees", [self._accounts])
        return unit_prices(answer, within_slots)
