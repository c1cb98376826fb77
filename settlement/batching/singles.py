"""Which orders of native coin leave singly, by a plain transfer from the lane's own account?

Those that cost less so, as long as the lane has coins beyond what it needs for gas: its coins are
an advance, for which the platform has the order's coins in the vault once the transfer is final.
Where they don't suffice, the vault pays, as it does whoever has code. So gas is never spent on
payouts, and no order waits for a lane's coins.
"""

from collections.abc import Sequence

from settlement.batch import Lane
from settlement.batching.funds import spare_wei
from settlement.order import Order
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort


async def choose_singles(
    ports: Ports, chain: ChainPort, lane: Lane, orders: Sequence[Order]
) -> list[Order]:
    """The orders, all of native coin, that the lane pays itself; gas for a whole batch is left."""
    cheaper = await chain.singly([order.wallet for order in orders])
    if not cheaper:
        return []
    left = await spare_wei(chain, lane, await ports.store.open_batches(lane))
    fee_wei = max((await chain.fees()).max_fee_wei, 1)
    chosen = []
    for order in orders:
        after = left - order.token.amount_minor
        if order.wallet in cheaper and chain.batch_size(after // fee_wei) >= chain.max_batch:
            chosen.append(order)
            left = after
    return chosen
