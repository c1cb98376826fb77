"""cleared → capturing → captured: reserve the tokens, then take the money, never the reverse.

``capturing`` is stored before the provider is called. Whatever happens between the two, the
next look finds the order there and asks the provider what became of it, under the same key.
"""

from collections.abc import Sequence
from datetime import datetime

from settlement.errors import (
    InsufficientInventory,
    PaymentError,
    PaymentRefused,
    PriceUnavailable,
    ScreeningUnavailable,
)
from settlement.events import DISPUTED, HELD, Event
from settlement.ids import OrderId, TenantId, payment_key
from settlement.ledger import journal
from settlement.money import Asset
from settlement.order import HoldReason, Order, Status
from settlement.ports.bundle import Ports, apply, each, stopped
from settlement.ports.payment import Intent, IntentStatus
from settlement.quote import has_moved
from settlement.schedule import Policy, after, is_over, retry_at
from settlement.screening import vetoed_orders
from settlement.transitions import Change, move, stay, void


async def tick(ports: Ports) -> int:
    """Reserve for cleared orders, then capture those whose reservation stands."""
    return await _reserve(ports) + await _capture(ports)


async def _reserve(ports: Ports) -> int:
    now = ports.clock.now()
    orders = await ports.store.claim(
        Status.CLEARED, now, limit=ports.policy.claim_limit, lease_ms=ports.policy.lease_ms
    )
    if not orders:
        return 0
    orders = await _in_time(ports, orders, now)
    orders = await _at_a_fair_price(ports, orders, now)
    if not orders:
        return 0
    try:
        vetoed = await vetoed_orders(ports.screening, orders)
    except ScreeningUnavailable as error:
        ports.log.warning("screening_unavailable", orders=len(orders), error=str(error))
        await ports.store.apply_many(
            [stay(o, retry_at(now, o.attempts, ports.policy)) for o in orders]
        )
        return len(orders)
    available = await ports.store.available({(o.tenant_id, o.token.asset) for o in orders})
    still = await stopped(ports, {order.network for order in orders})
    changes = reserve(orders, available, vetoed, now, ports.policy, still)
    try:
        await apply(ports, changes)
    except InsufficientInventory:
        # Another worker reserved in between; nothing was written: decide afresh, soon.
        await ports.store.apply_many([stay(o, retry_at(now, 0, ports.policy)) for o in orders])
    return len(orders)


async def _in_time(ports: Ports, orders: Sequence[Order], now: datetime) -> list[Order]:
    """Those that time is left for. Looked at before anything that may be out of order: whoever
    waits for an answer must not wait beyond the card's hold."""
    late = {order.id: out_of_time(order, now, ports.policy) for order in orders}
    await apply(ports, [change for change in late.values() if change is not None])
    return [order for order in orders if late[order.id] is None]


def out_of_time(order: Order, now: datetime, policy: Policy) -> Change | None:
    """Give the hold back before it lapses; no money is taken for an escrow that would be over as
    soon as it is funded."""
    if is_over(order, now):
        return void(order, Status.EXPIRED, "escrow_expired", now)
    if order.capture_before and now >= after(order.capture_before, -policy.capture_margin_ms):
        return void(order, Status.EXPIRED, "authorization_lapsed", now)
    return None


async def _at_a_fair_price(ports: Ports, orders: Sequence[Order], now: datetime) -> list[Order]:
    """Those that may go on. After the quote's life (a long review, an outage) the price is looked
    at again: outside the tolerance the hold is given back, without a price the order waits."""
    fair, changes = [], []
    for order in orders:
        if now <= order.expires_at:
            fair.append(order)
            continue
        try:
            price = await ports.prices.price(order.token.asset, order.gross.asset)
        except PriceUnavailable as error:
            ports.log.warning("price_unavailable", order_id=order.id, error=str(error))
            changes.append(stay(order, retry_at(now, order.attempts, ports.policy)))
            continue
        if has_moved(order.token, order.lines, price.rate, ports.policy.price_tolerance_bps):
            changes.append(void(order, Status.EXPIRED, "price_moved", now))
        else:
            fair.append(order)
    await apply(ports, changes)
    return fair


def reserve(
    orders: Sequence[Order],
    available: dict[tuple[TenantId, Asset], int],
    vetoed: frozenset[OrderId],
    now: datetime,
    policy: Policy,
    stopped: frozenset[str] = frozenset(),
) -> list[Change]:
    """First come, first reserved; who does not fit waits with a reason, then is voided.

    So does an order of a network that is ``stopped``: no money is taken for what cannot be sent.
    """
    left = dict(available)
    changes = []
    for order in orders:
        pair = (order.tenant_id, order.token.asset)
        if order.id in vetoed:
            changes.append(void(order, Status.REJECTED, "list_veto", now))
        elif order.network in stopped:
            changes.append(_wait(order, HoldReason.PAUSED, "network_stopped", now, policy))
        elif order.token.amount_minor <= left.get(pair, 0):
            left[pair] -= order.token.amount_minor
            changes.append(move(order, Status.CAPTURING, now, bookings=(journal.reserved(order),)))
        else:
            changes.append(_wait(order, HoldReason.LIQUIDITY, "no_inventory", now, policy))
    return changes


def _wait(order: Order, hold: HoldReason, reason: str, now: datetime, policy: Policy) -> Change:
    if now >= after(order.expires_at, policy.liquidity_patience_ms):
        return void(order, Status.EXPIRED, reason, now)
    due = retry_at(now, order.attempts, policy)
    if order.hold_reason is hold:
        return stay(order, due)
    held = Event(HELD, {"hold_reason": hold})
    return stay(order, due, patch={"hold_reason": hold}, events=(held,))


async def _capture(ports: Ports) -> int:
    now = ports.clock.now()
    orders = await ports.store.claim(
        Status.CAPTURING, now, limit=ports.policy.claim_limit, lease_ms=ports.policy.lease_ms
    )

    async def take(order: Order) -> Change:
        assert order.payment_intent_id is not None
        try:
            intent = await _captured_intent(ports, order, order.payment_intent_id)
        except PaymentError as error:
            ports.log.warning("capture_unsettled", order_id=order.id, error=str(error))
            return stay(order, retry_at(now, order.attempts, ports.policy))
        return decide(order, intent, now, ports.policy)

    changes = await each(ports, orders, take)
    await apply(ports, changes)
    return len(orders)


async def _captured_intent(ports: Ports, order: Order, intent_id: str) -> Intent:
    """Read what is true now, and capture only if nobody has.

    Always read first: a worker may have died after the call, and the same key would only repeat
    the answer of that time, before somebody refunded or disputed the payment.
    """
    intent = await ports.payment.retrieve_intent(intent_id)
    if intent.status is not IntentStatus.REQUIRES_CAPTURE:
        return intent
    try:
        return await ports.payment.capture(
            intent_id, order.gross.amount_minor, payment_key(order.id, "capture")
        )
    except PaymentRefused:
        return await ports.payment.retrieve_intent(intent_id)


def decide(order: Order, intent: Intent, now: datetime, policy: Policy) -> Change:
    """What the provider's report means for an order whose capture was announced."""
    release = journal.unreserved(order)
    if intent.status is IntentStatus.SUCCEEDED:
        taken = journal.captured(order)
        if intent.received_minor == order.gross.amount_minor and intent.refunded_minor == 0:
            hold = HoldReason.DISPUTED if intent.disputed else HoldReason.NONE
            facts = (Event(DISPUTED),) if intent.disputed else ()
            patch: dict[str, object] = {"hold_reason": hold}
            return move(order, Status.CAPTURED, now, patch=patch, bookings=(taken,), events=facts)
        patch = {"reason": "refunded_outside" if intent.refunded_minor else "amount_mismatch"}
        return move(order, Status.REFUND_PENDING, now, patch=patch, bookings=(taken, release))
    if intent.status is IntentStatus.CANCELED:
        return void(order, Status.EXPIRED, "authorization_lapsed", now, bookings=(release,))
    return stay(order, retry_at(now, order.attempts, policy))
