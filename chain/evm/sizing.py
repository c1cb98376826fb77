"""How many payouts fit into one transaction: by gas, and by the bytes that nodes accept. Pure."""

from chain.evm.transactions import GAS_LIMIT_MAX, GAS_TO_SKIP
from chain.network import Network

TRANSACTION_BYTES_MAX = 128 * 1024
"""Pools refuse larger transactions (geth's ``txMaxSize``)."""
ROW_BYTES_MAX = 34
"""An address and the widest amount of a row."""
FRAME_BYTES = 512
"""Selector, arguments, signature and fees of a batch, rounded up."""
_FRAME_GAS = 100_000
"""What a batch costs before its first row, rounded up: the transaction itself, the root's slot,
the window's, the log."""


def batch_size(network: Network, gas: int) -> int:
    """Payouts that one transaction with ``gas`` can make; 0 when not even one.

    ``gas_per_payout`` is what a recipient costs at most; the gas that the vault keeps back to judge
    a failing row comes on top.
    """
    usable = min(gas, GAS_LIMIT_MAX, network.gas_limit_max) - _FRAME_GAS - GAS_TO_SKIP
    by_gas = usable // network.gas_per_payout
    by_bytes = (TRANSACTION_BYTES_MAX - FRAME_BYTES) // ROW_BYTES_MAX
    return max(0, min(network.max_batch, by_gas, by_bytes))
