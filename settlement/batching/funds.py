"""Can the lane's account pay for another transaction beside those that are on their way?

A node refuses, or drops, what the sender's coins do not cover in the worst case: gas limit times
the fee cap of every pending transaction, and what it carries. So that is what must be there.
"""

from collections.abc import Iterable

from settlement.batch import Batch, BatchStatus, Lane, newest
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort, Fees


def committed_wei(batches: Iterable[Batch]) -> int:
    """The most that the open batches may still take from the account, as far as they are signed."""
    pending = (batch for batch in batches if batch.status is not BatchStatus.MINED)
    return sum(_bid_wei(batch) for batch in pending if batch.attempts)


def _bid_wei(batch: Batch) -> int:
    transaction = newest(batch).transaction
    carried = 0 if batch.requested is None else batch.requested.call.value_minor
    return transaction.gas_limit * transaction.fees.max_fee_wei + carried


async def affordable(ports: Ports, chain: ChainPort, lane: Lane, fees: Fees) -> int:
    """How many payouts the lane's next batch can pay the gas for; 0: not even one."""
    balance = await chain.balance(chain.native, lane.address)
    left = balance - committed_wei(await ports.store.open_batches(lane))
    return chain.batch_size(left // max(fees.max_fee_wei, 1))
