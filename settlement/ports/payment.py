"""The card side. One adapter per provider; Stripe's vocabulary, since it is the field's.

Every method raises :class:`~settlement.errors.PaymentUnknown` when no definite answer came and
:class:`~settlement.errors.PaymentRefused` for a definite no. The caller settles an unknown by
retrieving, never by a new idempotency key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from settlement.ids import OrderId
from settlement.order import Order


class IntentStatus(StrEnum):
    """https://docs.stripe.com/payments/paymentintents/lifecycle; anything new is ``UNKNOWN``."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment intent as the provider reports it now. Amounts in the currency's minor units.

    ``currency`` is upper case; ``order_id`` comes from the intent's metadata; ``authorized_at``
    is when the charge was made; ``capture_before`` when the hold lapses by itself; ``facts`` are
    what :mod:`settlement.facts` wrote into its metadata.
    """

    id: str
    status: IntentStatus
    amount_minor: int
    currency: str
    order_id: OrderId | None
    client_secret: str | None = None
    charge_id: str | None = None
    authorized_at: datetime | None = None
    capture_before: datetime | None = None
    received_minor: int = 0
    refunded_minor: int = 0
    disputed: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
    decline_code: str | None = None


class RefundStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Refund:
    """``status``: canceled counts as failed; anything unknown or requiring action as pending."""

    id: str
    status: RefundStatus
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """A notification as received: a hint about ``object_id``/``intent_id``, never a fact."""

    id: str
    type: str
    created_at: datetime
    intent_id: str | None
    order_id: OrderId | None
    body: Mapping[str, Any]


class PaymentPort(Protocol):
    async def create_intent(self, order: Order) -> Intent:
        """Create (or, with the same derived key, find again) the order's payment intent."""
        ...

    async def retrieve_intent(self, intent_id: str) -> Intent: ...

    async def capture(self, intent_id: str, amount_minor: int, key: str) -> Intent: ...

    async def cancel(self, intent_id: str, key: str) -> Intent: ...

    async def refund(
        self, intent_id: str, amount_minor: int, order_id: OrderId, key: str
    ) -> Refund: ...

    async def refunds_of(self, intent_id: str) -> Sequence[Refund]:
        """All refunds of the intent's charge, whoever made them."""
        ...

    async def intents_since(self, created_at: datetime) -> Sequence[Intent]:
        """The account's intents, oldest first; for repairs."""
        ...

    async def annotate(self, intent_id: str, metadata: Mapping[str, str], key: str) -> None:
        """Add to what the provider's dashboard shows beside the payment; moves nothing."""
        ...

    async def events_since(self, created_at: datetime) -> Sequence[ProviderEvent]:
        """The provider's events of our types, oldest first: what a lost webhook would have said."""
        ...
