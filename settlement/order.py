"""What an order is: a frozen fact sheet. Only :mod:`settlement.transitions` changes a status."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from settlement.ids import OrderId, QuoteId, TenantId
from settlement.money import Money
from settlement.quote import Line, Speed


class Direction(StrEnum):
    ON_RAMP = "on_ramp"
    OFF_RAMP = "off_ramp"


class Status(StrEnum):
    """Every status of the on-ramp; :data:`settlement.transitions.ON_RAMP` says what may follow."""

    AWAITING_PAYMENT = "awaiting_payment"
    AUTHORIZED = "authorized"
    IN_REVIEW = "in_review"
    CLEARED = "cleared"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    SUBMITTED = "submitted"
    CONFIRMING = "confirming"
    COMPLETED = "completed"
    VOIDING = "voiding"
    EXPIRED = "expired"
    CANCELED = "canceled"
    REJECTED = "rejected"
    REFUND_PENDING = "refund_pending"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"


FINAL = frozenset(
    {
        Status.COMPLETED,
        Status.EXPIRED,
        Status.CANCELED,
        Status.REJECTED,
        Status.REFUNDED,
        Status.REFUND_FAILED,
    }
)
"""No stage looks at these again. Only the provider's news that a refund came back moves one."""


class HoldReason(StrEnum):
    """Why an order that could go on does not. A field of its own, never a status."""

    NONE = "none"
    REVIEW = "review"
    SANCTIONS = "sanctions"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    PAUSED = "paused"
    LIQUIDITY = "liquidity"
    FEE_CAP = "fee_cap"


@dataclass(frozen=True, slots=True)
class Order:
    """One order as stored.

    ``gross`` is what the card pays, ``lines`` how it is divided, ``token`` what the wallet
    receives. ``due_at`` is when a stage should next look at it; ``epoch`` counts claims and
    writes, and a write carries the one that was read, so that a worker that wakes late changes
    nothing. ``exit_to`` is where ``voiding`` leads once the provider confirms. ``batch_id`` is
    set while a batch may pay the order.

    An order that settles to an escrow pays the escrow's purse: that is its ``wallet``. ``parties``
    are those whom the escrow may pay later, ``settle_by`` when it is too late to fill the purse.
    ``speed`` is how long it may wait for a lower network fee once it is paid, ``network_fee_wei``
    the fee that its quote reckoned with.
    """

    id: OrderId
    tenant_id: TenantId
    direction: Direction
    status: Status
    quote_id: QuoteId
    customer: str
    wallet: str
    network: str
    gross: Money
    token: Money
    lines: tuple[Line, ...]
    client_secret: str
    created_at: datetime
    expires_at: datetime
    due_at: datetime
    epoch: int = 0
    attempts: int = 0
    hold_reason: HoldReason = HoldReason.NONE
    exit_to: Status | None = None
    reason: str | None = None
    decline_code: str | None = None
    payment_intent_id: str | None = None
    payment_client_secret: str | None = None
    charge_id: str | None = None
    authorized_at: datetime | None = None
    capture_before: datetime | None = None
    screening_id: str | None = None
    batch_id: int | None = None
    batch_index: int | None = None
    refund_id: str | None = None
    refund_tried_at: datetime | None = None
    return_url: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    escrow_id: str | None = None
    parties: tuple[str, ...] = ()
    settle_by: datetime | None = None
    speed: Speed = Speed.STANDARD
    network_fee_wei: int = 0

    @property
    def screened(self) -> tuple[str, ...]:
        """Every address that has to be clear before money is taken and before it leaves."""
        return (self.wallet, *self.parties)
