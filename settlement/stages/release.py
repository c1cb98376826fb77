"""voiding → expired | canceled | rejected: give the authorisation back, and only then say so.

An order without a known intent may still have one (a crash between the call and its storing):
creating it again under the same derived key finds it, and then it is canceled like any other.
"""

from datetime import datetime
from typing import Any

from settlement.errors import InvariantBroken, PaymentError, PaymentRefused
from settlement.ids import payment_key
from settlement.ledger import journal
from settlement.order import Order, Status
from settlement.ports.bundle import Ports, apply, each, stopped
from settlement.ports.payment import Intent, IntentStatus
from settlement.schedule import Policy, retry_at
from settlement.transitions import Change, move, stay


async def tick(ports: Ports) -> int:
    """Cancel the intents of voiding orders."""
    now = ports.clock.now()
    orders = await ports.store.claim(
        Status.VOIDING, now, limit=ports.policy.claim_limit, lease_ms=ports.policy.lease_ms
    )

    still = await stopped(ports, {order.network for order in orders})

    async def give_back(order: Order) -> Change:
        try:
            intent_id = await _intent_id(ports, order)
            if intent_id is None:
                return _exit(order, now, {"reason": order.reason})
            intent = await _canceled_intent(ports, order, intent_id)
        except PaymentError as error:
            ports.log.warning("void_unsettled", order_id=order.id, error=str(error))
            return stay(order, retry_at(now, order.attempts, ports.policy))
        if intent.status is IntentStatus.SUCCEEDED and order.network in still:
            # Perhaps we captured it ourselves, and a backup has forgotten that it was paid out.
            return stay(order, retry_at(now, order.attempts, ports.policy))
        return decide(order, intent, now, ports.policy)

    changes = await each(ports, orders, give_back)
    await apply(ports, changes)
    return len(orders)


async def _intent_id(ports: Ports, order: Order) -> str | None:
    """``None``: the provider refuses for good to make one, so there is nothing to cancel.

    Even if an earlier call made one, its secret was never stored: nobody can pay it.
    """
    if order.payment_intent_id is not None:
        return order.payment_intent_id
    try:
        return (await ports.payment.create_intent(order)).id
    except PaymentRefused as error:
        ports.log.warning("no_intent_to_void", order_id=order.id, error=str(error))
        return None


async def _canceled_intent(ports: Ports, order: Order, intent_id: str) -> Intent:
    try:
        return await ports.payment.cancel(intent_id, payment_key(order.id, "cancel"))
    except PaymentRefused:
        return await ports.payment.retrieve_intent(intent_id)


def decide(order: Order, intent: Intent, now: datetime, policy: Policy) -> Change:
    """The exit is taken once the provider confirms; money that was taken anyway goes back."""
    patch = {"payment_intent_id": intent.id, "reason": order.reason}
    if intent.status is IntentStatus.CANCELED:
        return _exit(order, now, patch)
    if intent.status is IntentStatus.SUCCEEDED:
        unseen = (journal.captured_outside(order),) if order.authorized_at is None else ()
        return move(order, Status.REFUND_PENDING, now, patch=patch, bookings=unseen)
    return stay(order, retry_at(now, order.attempts, policy))


def _exit(order: Order, now: datetime, patch: dict[str, Any]) -> Change:
    if order.exit_to is None:
        raise InvariantBroken(f"{order.id} is voiding towards nothing")
    books = (journal.voided(order),)
    return move(order, order.exit_to, now, patch=patch, bookings=books, gives_back_limit=True)
