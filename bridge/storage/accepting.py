"""Accepting in SQL: one statement per quote and per order, explained only when it refuses.

The statements are optimistic. What must hold is a join condition or a constraint, so the usual
case is one round trip and one commit; when nothing was written, a second look finds out why and
says so, or replays the answer that the same key was given before.

An accepted order's answer is a function of columns that never change, so its replay needs no
stored copy. Nothing in here notifies: NOTIFY takes a database-wide lock at commit.
"""

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import asyncpg

from bridge.storage.codec import (
    lines_from,
    lines_json,
    order_from,
    quote_from,
    token_network_agrees,
)
from bridge.storage.database import Part, broken_guard, refusing_unstorable_text
from bridge.storage.orders import apply_on
from settlement.errors import (
    IdempotencyMismatch,
    InvalidAddress,
    InvariantBroken,
    LimitExceeded,
    NotCancelable,
    NotFound,
    QuoteExpired,
    QuoteUsed,
    TidegateError,
)
from settlement.ids import OrderId, TenantId
from settlement.limits import Limits
from settlement.money import Asset, Money
from settlement.order import Direction, HoldReason, Order, Status
from settlement.ports.accepting import AcceptOrder, Idempotency
from settlement.quote import Quote, Speed
from settlement.transitions import CANCELABLE, void

_SAVE_QUOTE = """
    WITH kept AS (
        INSERT INTO idempotency_keys (tenant_id, key, fingerprint, resource_id, created_at)
        VALUES ($2, $14, $15, $1, $12)
    )
    INSERT INTO quotes (id, tenant_id, network, fiat, fiat_scale, gross_minor,
                        token, token_scale, token_minor, lines, rate, created_at, expires_at,
                        speed, network_fee_wei)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $16, $17)
"""

# ``{columns}`` and ``{values}`` are what only orders with an escrow have, ``{escrow}`` the escrow.
_ACCEPT_FORM = """
    WITH offer AS (
        SELECT * FROM quotes
        WHERE id = $3 AND tenant_id = $2 AND network = $5 AND expires_at > $10
    ), kept AS (
        -- Waits here while the same key is being used, then fails: the answer is replayed.
        INSERT INTO idempotency_keys (tenant_id, key, fingerprint, resource_id, created_at)
        SELECT tenant_id, $11, $12, $1, $10 FROM offer
    ), counted AS (
        -- The CHECK (used <= cap) decides between two orders that race for the last of it.
        INSERT INTO limit_usage AS u (tenant_id, customer, currency, day, used, cap)
        SELECT tenant_id, $4, fiat, ($10 AT TIME ZONE 'UTC')::date, gross_minor, $13 FROM offer
        ON CONFLICT (tenant_id, customer, currency, day)
        DO UPDATE SET used = u.used + EXCLUDED.used, cap = EXCLUDED.cap
    ), told AS (
        INSERT INTO order_events (order_id, type, data, created_at)
        SELECT $1, 'order.awaiting_payment', '{{}}', $10 FROM offer
    ){escrow}
    INSERT INTO orders (id, tenant_id, quote_id, customer, wallet, network,
                        fiat, fiat_scale, gross_minor, token, token_scale, token_minor, lines,
                        client_secret, created_at, expires_at, due_at, return_url,
                        metadata, speed, network_fee_wei{columns})
    SELECT $1, tenant_id, id, $4, $6, network,
           fiat, fiat_scale, gross_minor, token, token_scale, token_minor, lines,
           $7, $10, expires_at, $10, $8, $9, speed, network_fee_wei{values}
    FROM offer
    RETURNING fiat, fiat_scale, gross_minor, token, token_scale, token_minor, lines, expires_at,
              speed, network_fee_wei
"""

_ACCEPT = _ACCEPT_FORM.format(escrow="", columns="", values="")

# The amount is the quote's own: the purse was computed from it, and a quote never changes.
_ACCEPT_WITH_ESCROW = _ACCEPT_FORM.format(
    escrow=""", agreed AS (
        INSERT INTO escrows (id, tenant_id, order_id, network, contract, ref, purse,
                             asset, asset_scale, token, amount_minor,
                             payer, payee, arbiter, oracle, operator,
                             expires_at, pays_at_expiry, created_at, due_at)
        SELECT $14, tenant_id, $1, network, $17, $18, $6,
               network || ':' || token, token_scale, $19, token_minor,
               $20, $21, $22, $23, $24, $25, $26, $10, $10
        FROM offer
    )""",
    columns=", escrow_id, parties, settle_by",
    values=", $14, $15, $16",
)

# Shared with whatever else takes an idempotency key.
KNOWN_KEY = "SELECT * FROM idempotency_keys WHERE tenant_id = $1 AND key = $2"
_QUOTE = "SELECT * FROM quotes WHERE tenant_id = $1 AND id = $2"
_ORDER = "SELECT * FROM orders WHERE id = $1"
_ORDER_OF_QUOTE = "SELECT id FROM orders WHERE quote_id = $1"
_USED = """
    SELECT used FROM limit_usage
    WHERE tenant_id = $1 AND customer = $2 AND currency = $3 AND day = $4
"""
KEEP_KEY = """
    INSERT INTO idempotency_keys (tenant_id, key, fingerprint, resource_id, created_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING
    RETURNING key
"""
_LOCK_ORDER = "SELECT * FROM orders WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
_REMEMBER = """
    UPDATE idempotency_keys k SET response = to_jsonb(o)
    FROM orders o
    WHERE k.tenant_id = $1 AND k.key = $2 AND o.id = $3
    RETURNING k.response
"""


@lru_cache(maxsize=256)
def _asset(code: str, scale: int, network: str | None) -> Asset:
    return Asset(code, scale, network)


def _new_order(command: AcceptOrder, offer: Any, now: datetime) -> Order:
    """The order that was just inserted: the command, and what its quote offered.

    Only the quote's columns come back from the statement: reading forty columns of our own would
    cost a sixth of the whole acceptance.
    """
    network = command.network
    return Order(
        id=command.order_id,
        tenant_id=command.tenant_id,
        direction=Direction.ON_RAMP,
        status=Status.AWAITING_PAYMENT,
        quote_id=command.quote_id,
        customer=command.customer,
        wallet=command.wallet,
        network=network,
        gross=Money(int(offer["gross_minor"]), _asset(offer["fiat"], offer["fiat_scale"], None)),
        token=Money(
            int(offer["token_minor"]), _asset(offer["token"], offer["token_scale"], network)
        ),
        lines=lines_from(offer["lines"]),
        client_secret=command.client_secret,
        created_at=now,
        expires_at=offer["expires_at"],
        due_at=now,
        return_url=command.return_url,
        metadata=dict(command.metadata),
        escrow_id=None if command.escrow is None else command.escrow.id,
        parties=command.parties,
        settle_by=command.settle_by,
        speed=Speed(offer["speed"]),
        network_fee_wei=int(offer["network_fee_wei"]),
    )


def _escrow_columns(command: AcceptOrder) -> tuple[Any, ...]:
    """Parameters from the fourteenth on; none for an order that pays a wallet."""
    escrow = command.escrow
    if escrow is None:
        return ()
    terms = escrow.terms
    return (
        *(escrow.id, list(command.parties), command.settle_by),
        *(terms.contract, escrow.ref, terms.token),
        *(terms.payer, terms.payee, terms.arbiter, terms.oracle, terms.operator),
        *(terms.expires_at, terms.pays_at_expiry),
    )


def as_accepted(order: Order) -> Order:
    """The order as its acceptance answered, whatever became of it."""
    return replace(
        order,
        status=Status.AWAITING_PAYMENT,
        due_at=order.created_at,
        epoch=0,
        attempts=0,
        hold_reason=HoldReason.NONE,
        exit_to=None,
        reason=None,
        decline_code=None,
        payment_intent_id=None,
        payment_client_secret=None,
        charge_id=None,
        authorized_at=None,
        capture_before=None,
        screening_id=None,
        batch_id=None,
        batch_index=None,
        refund_id=None,
        refund_tried_at=None,
    )


def check_fingerprint(stored: str, idempotency: Idempotency) -> None:
    """Raise :class:`~settlement.errors.IdempotencyMismatch` for the same key, other payload."""
    if stored != idempotency.fingerprint:
        raise IdempotencyMismatch("this idempotency key was used with another request")


def refuse_quote(quote: Quote | None, command: AcceptOrder, used: bool, now: datetime) -> None:
    """Raise why this quote cannot become this order, if it cannot."""
    if quote is None:
        raise NotFound(f"no such quote: {command.quote_id}", param="quote")
    if quote.network != command.network:
        raise InvalidAddress(
            f"the quote is for {quote.network}, not for {command.network}", param="wallet"
        )
    if used:
        raise QuoteUsed("this quote has made an order already", param="quote")
    if quote.expires_at <= now:
        raise QuoteExpired("this quote has expired; ask for a new one", param="quote")


def over_limit(gross: Money, limits: Limits, used_minor: int) -> LimitExceeded:
    """The refusal, with what the customer may still spend today."""
    remaining = max(0, limits.customer_day_max_minor - used_minor)
    left = Money(remaining, gross.asset)
    return LimitExceeded(
        f"{gross} is more than the {left} that this customer may still spend today",
        remaining_minor=str(remaining),
        currency=gross.asset.code,
    )


class AcceptingPart(Part):
    """Implements :class:`settlement.ports.accepting.AcceptingStore`."""

    async def save_quote(self, quote: Quote, idempotency: Idempotency) -> Quote:
        token_network_agrees(quote.token, quote.network)
        gross, token = quote.gross, quote.token
        try:
            await self.pool.execute(
                _SAVE_QUOTE,
                *(quote.id, quote.tenant_id, quote.network),
                *(gross.asset.code, gross.asset.scale, gross.amount_minor),
                *(token.asset.code, token.asset.scale, token.amount_minor),
                *(lines_json(quote.lines), str(quote.rate), quote.created_at, quote.expires_at),
                *(idempotency.key, idempotency.fingerprint),
                *(quote.speed, quote.network_fee_wei),
            )
        except asyncpg.UniqueViolationError as error:
            row = await self._known(quote.tenant_id, idempotency)
            if row is None:
                raise broken_guard(error) from error
            stored = await self.pool.fetchrow(_QUOTE, quote.tenant_id, row["resource_id"])
            return quote_from(stored)
        return quote

    async def accept(
        self, command: AcceptOrder, limits: Limits, idempotency: Idempotency, now: datetime
    ) -> Order:
        refused: Exception | None = None
        try:
            with refusing_unstorable_text():
                row = await self.pool.fetchrow(
                    _ACCEPT if command.escrow is None else _ACCEPT_WITH_ESCROW,
                    *(command.order_id, command.tenant_id, command.quote_id, command.customer),
                    *(command.network, command.wallet, command.client_secret),
                    *(command.return_url, dict(command.metadata), now),
                    *(idempotency.key, idempotency.fingerprint, limits.customer_day_max_minor),
                    *_escrow_columns(command),
                )
            if row is not None:
                return _new_order(command, row, now)
        except (asyncpg.UniqueViolationError, asyncpg.CheckViolationError) as error:
            refused = error
        return await self._explain(command, limits, idempotency, now, refused)

    async def _explain(
        self,
        command: AcceptOrder,
        limits: Limits,
        idempotency: Idempotency,
        now: datetime,
        refused: Exception | None,
    ) -> Order:
        """Replay what this key was answered before, or raise why nothing was written."""
        known = await self._known(command.tenant_id, idempotency)
        if known is not None:
            return as_accepted(order_from(await self.pool.fetchrow(_ORDER, known["resource_id"])))
        row = await self.pool.fetchrow(_QUOTE, command.tenant_id, command.quote_id)
        used = await self.pool.fetchval(_ORDER_OF_QUOTE, command.quote_id) is not None
        quote = None if row is None else quote_from(row)
        refuse_quote(quote, command, used, now)
        if quote is not None and _is_over_limit(refused):
            day = now.astimezone(UTC).date()
            scope = (command.tenant_id, command.customer, quote.gross.asset.code, day)
            taken = await self.pool.fetchval(_USED, *scope)
            raise over_limit(quote.gross, limits, int(taken or 0))
        raise _unexplained(refused)

    async def _known(self, tenant_id: TenantId, idempotency: Idempotency) -> Any:
        """The row of this key; raises when it was used with another payload."""
        row = await self.pool.fetchrow(KNOWN_KEY, tenant_id, idempotency.key)
        if row is not None:
            check_fingerprint(row["fingerprint"], idempotency)
        return row

    async def cancel(
        self,
        tenant_id: TenantId,
        order_id: OrderId,
        reason: str,
        idempotency: Idempotency,
        now: datetime,
    ) -> Order:
        async with self.pool.acquire() as connection, connection.transaction():
            key = (tenant_id, idempotency.key)
            scope = (*key, idempotency.fingerprint, order_id, now)
            if await connection.fetchval(KEEP_KEY, *scope) is None:
                row = await connection.fetchrow(KNOWN_KEY, *key)
                check_fingerprint(row["fingerprint"], idempotency)
                return order_from(row["response"])
            row = await connection.fetchrow(_LOCK_ORDER, tenant_id, order_id)
            if row is None:
                raise NotFound(f"no such order: {order_id}", param="order")
            order = order_from(row)
            if not is_canceled(order):
                await _void(connection, order, reason, now)
            return order_from(await connection.fetchval(_REMEMBER, *key, order_id))


def is_canceled(order: Order) -> bool:
    """Canceled, or on the way there."""
    return Status.CANCELED in (order.status, order.exit_to)


def cancelable(order: Order) -> None:
    """Raise :class:`~settlement.errors.NotCancelable` for an order that has gone too far."""
    if order.status not in CANCELABLE:
        raise NotCancelable(f"an order that is {order.status} cannot be canceled")


async def _void(connection: Any, order: Order, reason: str, now: datetime) -> None:
    cancelable(order)
    change = void(order, Status.CANCELED, reason, now, under_lease=False)
    if await apply_on(connection, [change], now):
        raise InvariantBroken(f"{order.id} changed although its row was locked")


def _is_over_limit(refused: Exception | None) -> bool:
    return getattr(refused, "constraint_name", None) == "limit_usage_within_cap"


def _unexplained(refused: Exception | None) -> TidegateError:
    return broken_guard(refused or RuntimeError("an accept wrote nothing for no reason"))
