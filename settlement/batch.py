"""What a batch is: one transaction of one lane, and the attempts to get it mined.

``planned → signed → sent → mined → final | reverted | cancelled``. A reorganisation takes a
batch from ``mined`` back to ``sent``. Only a final block decides; until one attempt at the
batch's nonce is final, none of its orders is planned again or refunded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from settlement.errors import InvariantBroken
from settlement.ids import TxRef
from settlement.money import Asset
from settlement.order import Order
from settlement.ports.chain import (
    BatchCall,
    Call,
    ChainPort,
    ContractCall,
    Payout,
    SelfTransfer,
    SignedTransaction,
    Transfer,
)


class BatchStatus(StrEnum):
    PLANNED = "planned"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    REVERTED = "reverted"
    CANCELLED = "cancelled"


B = BatchStatus

BATCH: dict[BatchStatus, frozenset[BatchStatus]] = {
    B.PLANNED: frozenset({B.SIGNED, B.CANCELLED}),
    B.SIGNED: frozenset({B.SENT, B.CANCELLED}),
    B.SENT: frozenset({B.MINED, B.CANCELLED}),
    B.MINED: frozenset({B.SENT, B.FINAL, B.REVERTED, B.CANCELLED}),
    B.FINAL: frozenset(),
    B.REVERTED: frozenset(),
    B.CANCELLED: frozenset(),
}

OPEN = frozenset({B.PLANNED, B.SIGNED, B.SENT, B.MINED})
"""Batches that a lane still has to bring to an end."""


class BatchKind(StrEnum):
    """What the transaction does: ``payout`` through the vault, ``single`` straight from the lane's
    own account to one order, ``call`` a contract call of ours that pays no order."""

    PAYOUT = "payout"
    SINGLE = "single"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Lane:
    """One signing account of one network, worked by one process at a time.

    ``epoch`` grows with every lease; a write under an older one changes nothing. ``next_nonce``
    is our own count, given out in the transaction that plans a batch; it began at ``first_nonce``.
    ``paused_at``: a person wants nothing new planned on it. ``low_since``: its account cannot pay
    for another transaction.
    """

    id: int
    network: str
    address: str
    next_nonce: int
    epoch: int
    first_nonce: int = 0
    paused_at: datetime | None = None
    low_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """Signed bytes of a batch, stored before they are ever sent.

    ``cancels``: a self-transfer that only uses up the batch's nonce.
    """

    transaction: SignedTransaction
    signed_at: datetime
    sent_at: datetime | None
    cancels: bool = False


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A contract call that waits for the lane of its ``sender``; stored before it is planned."""

    id: str
    network: str
    sender: str
    call: ContractCall


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch as stored; ``attempts`` oldest first, all with the batch's own nonce.

    ``block_*`` and ``mined_ref`` are set while an attempt is in a canonical block.
    ``requested`` is set for ``call`` batches alone, whose ``asset`` is the native coin and whose
    ``root`` is empty. ``cancel_asked_at``: from then on only a self-transfer is signed;
    ``bump_asked_at``: an operator wants a higher bid than those signed before. ``reminded_at``:
    when bytes of it were last handed to the network. ``value_minor`` is what a ``single`` takes
    from the lane's account beside the gas.
    """

    id: int
    network: str
    asset: Asset
    lane_id: int
    lane_address: str
    nonce: int
    status: BatchStatus
    root: str
    order_count: int
    planned_at: datetime
    kind: BatchKind = BatchKind.PAYOUT
    requested: RequestedCall | None = None
    cancel_asked_at: datetime | None = None
    bump_asked_at: datetime | None = None
    reminded_at: datetime | None = None
    value_minor: int = 0
    attempts: tuple[Attempt, ...] = ()
    mined_ref: TxRef | None = None
    block_number: int | None = None
    block_hash: str | None = None


def newest(batch: Batch) -> Attempt:
    """The attempt that outbids all others: by fee, since clocks of several workers may disagree."""

    def bid(attempt: Attempt) -> tuple[int, int]:
        fees = attempt.transaction.fees
        return fees.max_fee_wei, fees.priority_fee_wei

    return max(batch.attempts, key=bid)


def sealed_call(chain: ChainPort, batch: Batch, payouts: Sequence[Payout]) -> Call:
    """What to sign for the batch: what was planned, or a self-transfer once it is to be cancelled.

    The rows are read again before anything is signed. Raises
    :class:`~settlement.errors.InvariantBroken` when they no longer give the root that was stored
    with the plan: other recipients, other amounts, another token.
    """
    if batch.cancel_asked_at is not None:
        return SelfTransfer()
    if batch.kind is BatchKind.CALL:
        if batch.requested is None:
            raise InvariantBroken(f"batch {batch.id} has lost its call: nothing is signed")
        return batch.requested.call
    call = BatchCall(batch.id, batch.asset, tuple(payouts))
    if len(payouts) != batch.order_count or chain.batch_root(call) != batch.root:
        raise InvariantBroken(f"batch {batch.id} is not what was planned: nothing is signed")
    return Transfer(batch.id, call.payouts[0]) if batch.kind is BatchKind.SINGLE else call


def batch_call(batch_id: int, asset: Asset, orders: Sequence[Order]) -> BatchCall:
    """The payouts in the batch's own order (``batch_index``), which the chain reports skips by."""
    return BatchCall(batch_id, asset, tuple(payout_of(order) for order in orders))


def payout_of(order: Order) -> Payout:
    return Payout(order.id, order.wallet, order.token.amount_minor)
