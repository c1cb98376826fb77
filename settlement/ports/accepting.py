"""The accepting side of the store: quotes and orders, each one durable statement.

An idempotency key is stored in the same transaction as what it created, so there is no moment
at which a crash leaves a key without its answer. A second request with a key that is being used
waits for the first to commit and then replays its answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from settlement.escrow import Escrow, EscrowChange
from settlement.ids import OrderId, QuoteId, TenantId
from settlement.limits import Limits
from settlement.order import Order
from settlement.quote import Quote


@dataclass(frozen=True, slots=True)
class Idempotency:
    """``fingerprint`` is a digest of method, path and body: the same key must mean the same."""

    key: str
    fingerprint: str


Attest = Callable[[Escrow], EscrowChange]
"""From an escrow as it stands to the change that takes up what was attested."""


@dataclass(frozen=True, slots=True)
class AcceptOrder:
    """Everything that turns a quote into an order. ``wallet`` is in normal form.

    With ``escrow``, which was made for this order, the wallet is its purse; ``parties`` and
    ``settle_by`` as in :class:`~settlement.order.Order`.
    """

    order_id: OrderId
    tenant_id: TenantId
    quote_id: QuoteId
    customer: str
    network: str
    wallet: str
    client_secret: str
    return_url: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    escrow: Escrow | None = None
    parties: tuple[str, ...] = ()
    settle_by: datetime | None = None


class AcceptingStore(Protocol):
    async def save_quote(self, quote: Quote, idempotency: Idempotency) -> Quote:
        """Store the quote, or return the one that this key made before.

        Raises :class:`~settlement.errors.IdempotencyMismatch` (same key, other payload).
        """
        ...

    async def accept(
        self, command: AcceptOrder, limits: Limits, idempotency: Idempotency, now: datetime
    ) -> Order:
        """One statement: use up the quote, raise the customer's counter, insert the order, and
        the escrow that it fills if there is one.

        Returns the order as accepted (for a replay: as it was accepted then). Raises, with
        nothing written: :class:`~settlement.errors.NotFound` (quote of this tenant),
        :class:`~settlement.errors.QuoteExpired`, :class:`~settlement.errors.QuoteUsed`,
        :class:`~settlement.errors.InvalidAddress` (the quote is for another network),
        :class:`~settlement.errors.LimitExceeded`,
        :class:`~settlement.errors.IdempotencyMismatch`.
        """
        ...

    async def cancel(
        self,
        tenant_id: TenantId,
        order_id: OrderId,
        reason: str,
        idempotency: Idempotency,
        now: datetime,
    ) -> Order:
        """Move a cancelable order to ``voiding`` (exit ``canceled``), once per key.

        Raises :class:`~settlement.errors.NotFound`, :class:`~settlement.errors.NotCancelable`,
        :class:`~settlement.errors.IdempotencyMismatch`. Canceling a canceled order (or one that
        is being voided towards ``canceled``) returns it unchanged.
        """
        ...
