"""Which of the waiting orders leave now: the gas port asked, the rule applied, the note written."""

from collections.abc import Sequence
from dataclasses import replace

from settlement.batch import Lane
from settlement.order import Order
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort, Fees
from settlement.ports.gas import Decision, Waiting
from settlement.schedule import Moment, Policy, blocks_left, deadline, decide, waiting_since


async def choose(
    ports: Ports, chain: ChainPort, lane: Lane, orders: Sequence[Order], fees: Fees
) -> tuple[Decision, Moment]:
    """Which of them leave now, while a transaction is bid for with ``fees``, and the note of it."""
    now, policy = ports.clock.now(), ports.policy
    waiting = [
        Waiting(waiting_since(o), blocks_left(o, now, block_ms=chain.block_ms, policy=policy))
        for o in orders
    ]
    outlook = await ports.gas.outlook(lane.network, waiting)
    moment = decide(
        orders,
        now,
        batch_max=chain.max_batch,
        block_ms=chain.block_ms,
        bid_wei=fees.max_fee_wei,
        fee_cap_wei=policy.fee_caps_wei.get(lane.network),
        outlook=outlook,
        policy=policy,
    )
    note = Decision(
        network=lane.network,
        asset=orders[0].token.asset.id,
        decided_at=now,
        reason=moment.why,
        orders=len(orders),
        sent=0,
        waiting_since=min(map(waiting_since, orders)),
        deadline=max(deadline(order, policy) for order in orders),
        head_number=outlook.head_number if outlook else None,
        fee_wei=outlook.fee_wei if outlook else None,
        below_wei=moment.below_wei,
    )
    return with_sent(note, moment.sends, policy), moment


def with_sent(note: Decision, sent: Sequence[Order], policy: Policy) -> Decision:
    """The note of a decision by which these left, or, where there are none, all wait."""
    if not sent:
        return note
    return replace(
        note,
        sent=len(sent),
        waiting_since=min(map(waiting_since, sent)),
        deadline=max(deadline(order, policy) for order in sent),
        order_ids=tuple(order.id for order in sent),
    )
