"""What a payment intent's metadata says of its order, enough to write a lost order down again.

The provider keeps it when our database does not: after a backup was restored, an order that was
captured since then is known to the provider alone. Values stay within Stripe's 500 characters
(https://docs.stripe.com/metadata).
"""

from collections.abc import Mapping
from datetime import datetime

from settlement.errors import InvariantBroken
from settlement.ids import OrderId, new_client_secret
from settlement.money import Asset, Money
from settlement.order import Direction, Order, Status
from settlement.quote import Line, LineKind


def order_facts(order: Order) -> dict[str, str]:
    """Everything fixed about an order that the intent itself does not say."""
    escrow = {} if order.escrow_id is None else {"escrow_id": order.escrow_id}
    return {
        **escrow,
        "order_id": order.id,
        "tenant_id": order.tenant_id,
        "quote_id": order.quote_id,
        "customer": order.customer,
        "network": order.network,
        "wallet": order.wallet,
        "token": order.token.asset.code,
        "token_scale": str(order.token.asset.scale),
        "token_minor": str(order.token.amount_minor),
        "lines": " ".join(f"{line.kind}={line.amount_minor}" for line in order.lines),
        "created_at": order.created_at.isoformat(),
        "expires_at": order.expires_at.isoformat(),
    }


def lost_order(facts: Mapping[str, str], intent_id: str, gross: Money) -> Order:
    """The order as it was when it was accepted, with its intent; a new client secret.

    Raises :class:`~settlement.errors.InvariantBroken` when the facts are incomplete, malformed or
    do not add up to ``gross``: somebody edited them, and a person has to look.
    """
    try:
        order = _order(facts["order_id"], facts, intent_id, gross)
    except (KeyError, ValueError) as error:
        raise InvariantBroken(f"{intent_id}: its metadata is no order: {error!r}") from error
    if sum(line.amount_minor for line in order.lines) != gross.amount_minor:
        raise InvariantBroken(f"{intent_id}: its lines do not add up to {gross.amount_minor}")
    return order


def _order(order_id: OrderId, facts: Mapping[str, str], intent_id: str, gross: Money) -> Order:
    token = Asset(facts["token"], int(facts["token_scale"]), facts["network"])
    created_at = datetime.fromisoformat(facts["created_at"])
    return Order(
        id=order_id,
        tenant_id=facts["tenant_id"],
        direction=Direction.ON_RAMP,
        status=Status.AWAITING_PAYMENT,
        quote_id=facts["quote_id"],
        customer=facts["customer"],
        wallet=facts["wallet"],
        network=facts["network"],
        gross=gross,
        token=Money(int(facts["token_minor"]), token),
        lines=tuple(_line(text) for text in facts["lines"].split()),
        client_secret=new_client_secret(order_id),
        created_at=created_at,
        expires_at=datetime.fromisoformat(facts["expires_at"]),
        due_at=created_at,
        payment_intent_id=intent_id,
    )


def _line(text: str) -> Line:
    kind, _, amount = text.partition("=")
    return Line(LineKind(kind), int(amount))
