"""Orders and their events over the wire.

What is shown depends on who asks. The intent's client secret goes to whoever may pay: a
merchant's secret key, or the holder of the order's own client secret. Why an order is held or was
rejected, and the merchant's metadata, are never shown to a frontend: a screened customer must not
be tipped off.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from bridge.api.schemas.agreements import EscrowCreate
from bridge.api.schemas.common import (
    NO_CONTROL,
    FiatAmount,
    Id,
    LineView,
    Name,
    TokenAmount,
    fiat_amount,
    line_views,
    token_amount,
)
from settlement.batch import Batch
from settlement.events import ESCROW_HELD, HELD, RELEASED, StoredEvent
from settlement.order import Order

Metadata = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=40, pattern=NO_CONTROL)],
        Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")],
    ],
    Meta(max_length=50, description="Up to 50 pairs of your own, kept and shown with the order."),
]


Customer = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=r"^(?!\s)[^\x00-\x1f\x7f]*(?<!\s)$",
        description="Your own name for whoever pays; limits count by it, letter for letter. From a "
        "publishable key it is only what a browser claims.",
    ),
]


class Wallet(Struct, forbid_unknown_fields=True, kw_only=True):
    """Where the tokens go."""

    network: Name
    address: Annotated[str, Meta(min_length=1, max_length=128)]


class OrderCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    """Turn a quote into an order. ``customer`` is your own name for whoever pays.

    ``wallet`` says where the tokens go. With ``settle_to`` ``escrow`` it is left out: the tokens go
    to a purse on the quote's network that follows from the terms in ``escrow``; the answer shows it
    as ``wallet``.
    """

    quote_id: Id
    customer: Customer
    settle_to: Literal["wallet", "escrow"] = "wallet"
    wallet: Wallet | None = None
    escrow: EscrowCreate | None = None
    metadata: Metadata | None = None
    return_url: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None


class PaymentView(Struct, kw_only=True):
    """The card side; the ids are null until the payment intent exists."""

    provider: str = "stripe"
    payment_intent: str | None
    client_secret: str | None


class OrderSettlement(Struct, kw_only=True):
    """The chain side, once the order is in a batch."""

    batch_id: str
    status: str | None = None
    transaction: str | None = None
    block_number: int | None = None


class WalletView(Struct, kw_only=True):
    network: str
    address: str


class OrderView(Struct, kw_only=True):
    """One order. Absent fields are not for this key's eyes."""

    id: str
    object: str = "order"
    status: str
    hold_reason: str | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET
    decline_code: str | None
    direction: str
    quote_id: str
    customer: str
    settle_to: str
    wallet: WalletView
    escrow: str | None
    pay: FiatAmount
    receive: TokenAmount
    lines: list[LineView]
    payment: PaymentView
    settlement: OrderSettlement | None
    screening_id: str | UnsetType | None = UNSET
    client_secret: str | UnsetType = UNSET
    return_url: str | None
    metadata: Mapping[str, str] | UnsetType = UNSET
    speed: str
    created_at: datetime
    expires_at: datetime
    livemode: bool


class EventView(Struct, kw_only=True):
    """One fact of an order's history; ``id`` grows and resumes a stream."""

    id: str
    object: str = "event"
    type: str
    order_id: str
    data: Mapping[str, str | int | None]
    created_at: datetime


FRONTEND_HIDES = frozenset({"reason", "hold_reason", "screening_id"})
"""Members of an event's data that a frontend does not see."""

FRONTEND_SKIPS = frozenset({HELD, RELEASED, ESCROW_HELD})
"""Events that a frontend does not see at all."""


def order_view(
    order: Order,
    *,
    livemode: bool,
    frontend: bool,
    batch: Batch | None = None,
    may_pay: bool = True,
    shows_secret: bool = True,
) -> OrderView:
    """``frontend``: for a publishable key. ``may_pay``: the secrets are for this key's eyes;
    ``shows_secret``: the order's own client secret too."""
    view = OrderView(
        id=order.id,
        status=order.status,
        decline_code=order.decline_code,
        direction=order.direction,
        quote_id=order.quote_id,
        customer=order.customer,
        settle_to="wallet" if order.escrow_id is None else "escrow",
        wallet=WalletView(network=order.network, address=order.wallet),
        escrow=order.escrow_id,
        pay=fiat_amount(order.gross),
        receive=token_amount(order.token),
        lines=line_views(order.lines, order.gross.asset.scale),
        payment=PaymentView(
            payment_intent=order.payment_intent_id,
            client_secret=order.payment_client_secret if may_pay else None,
        ),
        settlement=_settlement(order, batch),
        return_url=order.return_url,
        speed=order.speed,
        created_at=order.created_at,
        expires_at=order.expires_at,
        livemode=livemode,
    )
    if shows_secret and may_pay:
        view.client_secret = order.client_secret
    if not frontend:
        view.hold_reason = order.hold_reason
        view.reason = order.reason
        view.screening_id = order.screening_id
        view.metadata = order.metadata
    return view


def _settlement(order: Order, batch: Batch | None) -> OrderSettlement | None:
    if order.batch_id is None:
        return None
    view = OrderSettlement(batch_id=str(order.batch_id))
    if batch is not None:
        view.status = batch.status
        view.transaction = batch.mined_ref
        view.block_number = batch.block_number
    return view


def event_view(event: StoredEvent, *, frontend: bool) -> EventView:
    data = event.data
    if frontend:
        data = {name: value for name, value in data.items() if name not in FRONTEND_HIDES}
    return EventView(
        id=str(event.id),
        type=event.type,
        order_id=event.order_id,
        data=data,
        created_at=event.created_at,
    )
