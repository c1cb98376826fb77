"""mined → final | reverted | cancelled: what a final block means for a batch and its orders. Pure.

Paid orders complete, skipped ones are refunded. A batch that reverted or was cancelled paid
nobody: its orders join another one.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from settlement.batch import Batch, BatchKind, BatchStatus
from settlement.errors import InvariantBroken
from settlement.events import REQUEUED, Event
from settlement.ledger import journal
from settlement.ledger.entry import Booking
from settlement.money import Money
from settlement.order import Order, Status
from settlement.ports.chain import ChainPort, Inclusion, Payout
from settlement.ports.store import BatchChange
from settlement.transitions import Change, Completion, completed, move, stay


def is_cancel(batch: Batch, inclusion: Inclusion) -> bool:
    """Whether the attempt in the block is the one that only used up the nonce."""
    return any(a.cancels for a in batch.attempts if a.transaction.ref == inclusion.ref)


def has_paid(batch: Batch, inclusion: Inclusion) -> bool:
    """Whether the transaction did what the batch is for: the vault's own word where it pays."""
    if is_cancel(batch, inclusion):
        return False
    return inclusion.succeeded if batch.kind is BatchKind.PAYOUT else inclusion.executed


def pays_all(batch: Batch, inclusion: Inclusion) -> bool:
    """Whether the vault says that it paid every row, so that no order has a fate of its own."""
    is_payout = batch.kind is BatchKind.PAYOUT
    return is_payout and has_paid(batch, inclusion) and not inclusion.skipped


def contradiction(batch: Batch, payouts: Sequence[Payout], inclusion: Inclusion) -> str | None:
    """Why what the vault says it paid cannot be these payouts; ``None`` when it adds up."""
    if batch.kind is not BatchKind.PAYOUT or not has_paid(batch, inclusion):
        return None
    strangers = inclusion.skipped - set(range(len(payouts)))
    if strangers:
        return f"batch {batch.id} has {len(payouts)} rows, the vault skipped {sorted(strangers)}"
    owed = sum(p.amount_minor for row, p in enumerate(payouts) if row not in inclusion.skipped)
    if inclusion.paid_minor not in (None, owed):
        return f"batch {batch.id} owes {owed} minor units, the vault paid {inclusion.paid_minor}"
    return None


def complete(batch: Batch, inclusion: Inclusion, chain: ChainPort) -> BatchChange:
    """A final block paid them all."""
    books, step = _gas(inclusion, chain), Completion(batch.order_count)
    return BatchChange(batch, BatchStatus.FINAL, platform_bookings=books, step=step)


def _gas(inclusion: Inclusion, chain: ChainPort) -> tuple[Booking, ...]:
    if inclusion.fee_paid_wei <= 0:
        return ()
    return (journal.gas_spent(Money(inclusion.fee_paid_wei, chain.native)),)


def conclude(
    batch: Batch,
    orders: Sequence[Order],
    inclusion: Inclusion,
    chain: ChainPort,
    now: datetime,
) -> BatchChange:
    """A final block decided: paid, skipped, or (reverted, cancelled) nobody was paid."""
    if len(orders) != batch.order_count:
        raise InvariantBroken(f"batch {batch.id} paid {batch.order_count}, we know {len(orders)}")
    gas = _gas(inclusion, chain)
    if not has_paid(batch, inclusion):
        requeued = tuple(replace(_requeue(o, batch, now), epoch=None) for o in orders)
        to = BatchStatus.CANCELLED if is_cancel(batch, inclusion) else BatchStatus.REVERTED
        return BatchChange(batch, to, {}, requeued, gas)
    settled = tuple(_settle(o, o.batch_index in inclusion.skipped, now) for o in orders)
    advanced: tuple[Booking, ...] = ()
    if batch.kind is BatchKind.SINGLE:
        advanced = (journal.advanced(Money(batch.value_minor, chain.native)),)
    return BatchChange(batch, BatchStatus.FINAL, {}, settled, (*gas, *advanced))


def _settle(order: Order, skipped: bool, now: datetime) -> Change:
    if skipped:
        patch = {"reason": "recipient_refused"}
        books = (journal.unreserved(order),)
        return move(
            order, Status.REFUND_PENDING, now, patch=patch, bookings=books, under_lease=False
        )
    return completed(order, now)


def _requeue(order: Order, batch: Batch, now: datetime) -> Change:
    fact = Event(REQUEUED, {"batch_id": batch.id})
    return stay(order, now, patch={"batch_id": None, "batch_index": None}, events=(fact,))
