"""Accepting in memory. The refusals are the PostgreSQL store's own."""

from dataclasses import replace
from datetime import UTC, datetime

from bridge.storage.accepting import (
    as_accepted,
    cancelable,
    check_fingerprint,
    is_canceled,
    over_limit,
    refuse_quote,
)
from bridge.storage.codec import token_network_agrees
from bridge.storage.memory.orders import OrderPart
from bridge.storage.memory.state import EscrowRow, KeyRow
from settlement.errors import NotFound
from settlement.escrow import Escrow
from settlement.events import Event
from settlement.ids import OrderId, TenantId
from settlement.limits import Limits
from settlement.order import Direction, Order, Status
from settlement.ports.accepting import AcceptOrder, Idempotency
from settlement.quote import Quote
from settlement.transitions import void


class AcceptingPart(OrderPart):
    """Implements :class:`settlement.ports.accepting.AcceptingStore`."""

    async def save_quote(self, quote: Quote, idempotency: Idempotency) -> Quote:
        token_network_agrees(quote.token, quote.network)
        known = self._known(quote.tenant_id, idempotency)
        if known is not None:
            return self.tables.quotes[known.resource_id]
        self.tables.quotes[quote.id] = quote
        self._keep(quote.tenant_id, idempotency, quote.id)
        return quote

    async def accept(
        self, command: AcceptOrder, limits: Limits, idempotency: Idempotency, now: datetime
    ) -> Order:
        known = self._known(command.tenant_id, idempotency)
        if known is not None:
            return as_accepted(self.tables.orders[known.resource_id])
        quote = self.tables.quotes.get(command.quote_id)
        own = quote if quote is not None and quote.tenant_id == command.tenant_id else None
        used = any(order.quote_id == command.quote_id for order in self.tables.orders.values())
        refuse_quote(own, command, used, now)
        assert own is not None  # refuse_quote raised otherwise
        self._count(own, command, limits, now)
        order = _new_order(command, own, now)
        self.tables.orders[order.id] = order
        if command.escrow is not None:
            self.tables.escrows[command.escrow.id] = EscrowRow(_agreed(command.escrow, now))
        self._keep(command.tenant_id, idempotency, order.id)
        self.tell(order.id, (Event("order.awaiting_payment"),), now)
        return order

    async def cancel(
        self,
        tenant_id: TenantId,
        order_id: OrderId,
        reason: str,
        idempotency: Idempotency,
        now: datetime,
    ) -> Order:
        known = self._known(tenant_id, idempotency)
        if known is not None and known.response is not None:
            return known.response
        order = self.tables.orders.get(order_id)
        if order is None or order.tenant_id != tenant_id:
            raise NotFound(f"no such order: {order_id}", param="order")
        if not is_canceled(order):
            cancelable(order)
            change = void(order, Status.CANCELED, reason, now, under_lease=False)
            with self.transaction():
                self.apply_all([change], now)
        after = self.tables.orders[order_id]
        self._keep(tenant_id, idempotency, order_id, after)
        return after

    def _count(self, quote: Quote, command: AcceptOrder, limits: Limits, now: datetime) -> None:
        day = now.astimezone(UTC).date()
        key = (command.tenant_id, command.customer, quote.gross.asset.code, day)
        used = self.tables.used.get(key, 0)
        if used + quote.gross.amount_minor > limits.customer_day_max_minor:
            raise over_limit(quote.gross, limits, used)
        self.tables.used[key] = used + quote.gross.amount_minor

    def _known(self, tenant_id: TenantId, idempotency: Idempotency) -> KeyRow | None:
        known = self.tables.keys.get((tenant_id, idempotency.key))
        if known is not None:
            check_fingerprint(known.fingerprint, idempotency)
        return known

    def _keep(
        self,
        tenant_id: TenantId,
        idempotency: Idempotency,
        resource_id: str,
        response: Order | None = None,
    ) -> None:
        row = KeyRow(idempotency.fingerprint, resource_id, response)
        self.tables.keys[tenant_id, idempotency.key] = row


def _new_order(command: AcceptOrder, quote: Quote, now: datetime) -> Order:
    order = Order(
        id=command.order_id,
        tenant_id=command.tenant_id,
        direction=Direction.ON_RAMP,
        status=Status.AWAITING_PAYMENT,
        quote_id=quote.id,
        customer=command.customer,
        wallet=command.wallet,
        network=quote.network,
        gross=quote.gross,
        token=quote.token,
        lines=quote.lines,
        client_secret=command.client_secret,
        created_at=now,
        expires_at=quote.expires_at,
        due_at=now,
        return_url=command.return_url,
    )
    return replace(
        order,
        metadata=dict(command.metadata),
        escrow_id=None if command.escrow is None else command.escrow.id,
        parties=command.parties,
        settle_by=command.settle_by,
        speed=quote.speed,
        network_fee_wei=quote.network_fee_wei,
    )


def _agreed(escrow: Escrow, now: datetime) -> Escrow:
    return replace(escrow, created_at=now, due_at=now)
