"""All ports of one deployment, as the stages receive them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from settlement.errors import InvariantBroken
from settlement.ids import new_id
from settlement.ports.chain import ChainPort
from settlement.ports.clock import Clock
from settlement.ports.escrow import EscrowPort
from settlement.ports.gas import GasPort
from settlement.ports.notification import Log, NullLog
from settlement.ports.payment import PaymentPort
from settlement.ports.price import PricePort
from settlement.ports.screening import ScreeningPort
from settlement.ports.store import Store
from settlement.schedule import Policy, after
from settlement.transitions import Change

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Ports:
    """``chains`` maps a network's name to its adapter, ``escrows`` those that have an escrow
    contract. Nothing else reaches outside.

    ``worker`` names this process among those that share the lanes. ``unseen`` are networks whose
    chain it has not compared yet with what we know: a backup may have come back.
    """

    store: Store
    payment: PaymentPort
    screening: ScreeningPort
    chains: Mapping[str, ChainPort]
    gas: GasPort
    prices: PricePort
    clock: Clock
    policy: Policy = field(default_factory=Policy)
    log: Log = field(default_factory=NullLog)
    worker: str = field(default_factory=lambda: new_id("wrk"))
    escrows: Mapping[str, EscrowPort] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)


LEASE_PART_TO_BEGIN_IN = 4
"""In its first quarter; the rest is for the calls under way (seconds each) and the storing."""


class _TooLate(Exception):
    """Not begun: the item is claimed again when its lease has run out."""


async def each(ports: Ports, items: Sequence[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """``work`` on every item, some at a time; returns the results of those that succeeded.

    An unexpected error in one is logged and stops none of the others: the item's lease runs out
    and it is tried again, so that one poisoned order cannot hold up the rest. Nothing is begun any
    more when a part of the lease has passed, so that slow answers delay the items at the end
    instead of making all results too late to be stored.
    """
    gate = asyncio.Semaphore(ports.policy.concurrency)
    begin_until = after(ports.clock.now(), ports.policy.lease_ms // LEASE_PART_TO_BEGIN_IN)

    async def one(item: T) -> R:
        async with gate:
            if ports.clock.now() > begin_until:
                raise _TooLate
            return await work(item)

    outcomes = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
    results: list[R] = []
    for item, outcome in zip(items, outcomes, strict=True):
        if isinstance(outcome, _TooLate):
            continue
        if isinstance(outcome, Exception):
            ports.log.error("item_failed", item=getattr(item, "id", "?"), error=repr(outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            results.append(outcome)
    return results


async def apply(ports: Ports, changes: Sequence[Change]) -> None:
    """Store what a stage decided; one order that the database refuses stops none of the others.

    A broken guard undoes the whole statement, so then each change is tried by itself. Changes that
    lost their guard are left: whoever moved the order has made it due.
    """
    try:
        await ports.store.apply_many(changes)
    except InvariantBroken as error:
        if len(changes) == 1:
            ports.log.error("change_refused", order_id=changes[0].order.id, error=str(error))
            return
        for change in changes:
            await apply(ports, [change])


async def stopped(ports: Ports, networks: Collection[str]) -> frozenset[str]:
    """Those on which nothing that cannot be undone may happen: until a person acts, or until their
    nodes have answered for the first time."""
    states = [await ports.store.network(name) for name in sorted(set(networks))]
    still = {state.name for state in states if state and state.stop_reason is not None}
    return frozenset(still | ports.unseen.intersection(networks))
