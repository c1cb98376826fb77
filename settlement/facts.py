"""What a payment intent's metadata says of its order, enough to write a lost order down again.

The provider keeps it when our database does not: after a backup was restored, an order that was
captured since then is known to the provider alone. Values stay within Stripe's 500 characters
(https://docs.stripe.com/metadata).

Whoever has access to the provider's dashboard can edit metadata, and with it whom a lost order
would pay. So the facts are signed with a key of ours, where there is one.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from settlement.errors import InvariantBroken
from settlement.ids import OrderId, new_client_secret
from settlement.money import Asset, Money
from settlement.order import Direction, Order, Status
from settlement.quote import Line, LineKind

MAC = "mac"
"""The member that holds the code over all others of :data:`_SIGNED`."""

_SIGNED = (
    *("order_id", "tenant_id", "quote_id", "customer", "network", "wallet", "escrow_id"),
    *("token", "token_scale", "token_minor", "lines", "created_at", "expires_at"),
)


def order_facts(order: Order, key: str | None = None) -> dict[str, str]:
    """Everything fixed about an order that the intent itself does not say; signed with ``key``."""
    facts = _facts(order)
    return facts if key is None else {**facts, MAC: facts_mac(facts, order.gross, key)}


def facts_mac(facts: Mapping[str, str], gross: Money, key: str) -> str:
    """HMAC-SHA256 (RFC 2104) over the facts and what is charged, in hexadecimal.

    Members that others add later (how an escrow stands) are not of them.
    """
    said = {name: facts[name] for name in _SIGNED if name in facts}
    text = json.dumps([gross.asset.code, gross.amount_minor, said], sort_keys=True)
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def check_mac(facts: Mapping[str, str], gross: Money, keys: Sequence[str]) -> None:
    """Raises :class:`~settlement.errors.InvariantBroken` unless one of ``keys`` signed the facts.
    Without any key nothing is checked."""
    given = facts.get(MAC, "")
    right = (hmac.compare_digest(given, facts_mac(facts, gross, key)) for key in keys)
    if keys and not any(right):
        how = "were signed with another key, or edited" if given else "are not signed"
        raise InvariantBroken(f"its facts {how}: compare them with what the customer ordered")


def _facts(order: Order) -> dict[str, str]:
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
