"""Can the lane's account pay for another transaction beside those that are on their way?

A node refuses, or drops, what the sender's coins do not cover in the worst case: gas limit times
the fee cap of every pending transaction, and what it carries. So that is what must be there.
"""

from collections.abc import Iterable

from settlement.batch import Batch, BatchStatus, Lane, newest
from settlement.ports.chain import ChainPort, Fees


def committed_wei(batches: Iterable[Batch]) -> int:
    """The most that the open batches may still take from the account: what they carry, and gas as
    far as they are signed."""
    return sum(_bid_wei(batch) for batch in batches if batch.status is not BatchStatus.MINED)


def _bid_wei(batch: Batch) -> int:
    carried = batch.value_minor if batch.requested is None else batch.requested.call.value_minor
    if not batch.attempts:
        return carried
    transaction = newest(batch).transaction
    return transaction.gas_limit * transaction.fees.max_fee_wei + carried


async def affordable(
    chain: ChainPort, lane: Lane, open_batches: Iterable[Batch], fees: Fees
) -> int:
    """How many payouts the lane's next batch can pay the gas for; 0: not even one."""
    return chain.batch_size(await spare_wei(chain, lane, open_batches) // max(fees.max_fee_wei, 1))


async def spare_wei(chain: ChainPort, lane: Lane, open_batches: Iterable[Batch]) -> int:
    """What the lane's account holds beyond what is on its way; negative when it was drained."""
    balance = await chain.balance(chain.native, lane.address)
    return balance - committed_wei(open_batches)
