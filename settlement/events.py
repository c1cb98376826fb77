"""Facts in the past tense. The store writes them in the transaction that makes them true.

``id`` grows within one order, which is what a stream is resumed by (``Last-Event-ID``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from settlement.ids import OrderId


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an order; ``type`` is ``order.<status>`` or a named fact.

    What happens to an order's escrow is told in the order's history, as ``escrow.…``.
    """

    type: str
    data: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with its place in the order's history."""

    id: int
    order_id: OrderId
    type: str
    data: Mapping[str, str | int | None]
    created_at: datetime


PAYMENT_INTENT_CREATED = "order.payment_intent_created"
PAYMENT_FAILED = "order.payment_failed"
HELD = "order.held"
RELEASED = "order.released"
REORGANIZED = "order.reorganized"
REQUEUED = "order.requeued"
REFUNDED_OUTSIDE = "order.refunded_outside"
DISPUTED = "order.disputed"

ESCROW_FUNDED = "escrow.funded"
ESCROW_RELEASED = "escrow.released"
ESCROW_REFUNDED = "escrow.refunded"
ESCROW_DISPUTED = "escrow.disputed"
ESCROW_DISPUTE_LAPSED = "escrow.dispute_lapsed"
ESCROW_ENDED = "escrow.ended"
ESCROW_VOIDED = "escrow.voided"
ESCROW_REQUESTED = "escrow.requested"
ESCROW_HELD = "escrow.held"
ESCROW_FAILED = "escrow.failed"
