"""Orders: accept in one durable statement, read, cancel, follow."""

import re
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from litestar.response import Response, Stream

from bridge.api.agreements import escrow_command
from bridge.api.answer import Answer
from bridge.api.auth import Caller, caller_of, check_client_secret, check_return_url
from bridge.api.errors import TooManyStreams
from bridge.api.pricing import limits_for_quote
from bridge.api.request import IDEMPOTENCY_KEY, REPLAYED, HeaderDoc, header, idempotency
from bridge.api.schemas.common import (
    AfterParam,
    BeforeParam,
    LimitParam,
    ListView,
    decoder,
    list_view,
)
from bridge.api.schemas.orders import (
    FRONTEND_SKIPS,
    EventView,
    OrderCreate,
    OrderView,
    event_view,
    order_view,
)
from bridge.api.services import Services, services_of
from bridge.api.streams import Hub, follow, wait_for_intent
from bridge.storage.pages import Page
from bridge.storage.wake import WORK
from settlement.errors import InvalidInput, NotFound
from settlement.ids import new_client_secret, new_id
from settlement.order import Order, Status
from settlement.ports.accepting import AcceptOrder

WAIT_S_MAX = 10
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])", re.I)

OrderId = Annotated[str, PathParameter(max_length=100)]
ClientSecret = Annotated[
    str | None,
    QueryParameter(name="client_secret", max_length=200, description="With a publishable key."),
]
ClientSecretHeader = Annotated[
    str | None,
    HeaderParameter(name="Tidegate-Client-Secret", description="The same, kept out of the URL."),
]
PREFER = HeaderDoc(
    "Prefer",
    f"`wait=N` (RFC 7240), at most {WAIT_S_MAX}: answer once the payment intent's client secret "
    "is known.",
)
QueryKey = Annotated[
    str | None,
    QueryParameter(name="key", description="A publishable key, for clients that send no headers."),
]


@post(
    "/v1/orders",
    opt={
        "permission": "orders.create",
        "headers": (IDEMPOTENCY_KEY, PREFER),
        **decoder(OrderCreate),
    },
    summary="Create an order",
    tags=["orders"],
)
async def create_order(
    request: Request[Any, Any, Any],
    data: JSONBody[OrderCreate],
) -> Answer[OrderView]:
    """Turn a quote into an order. Durable when answered; never waits for the card network."""
    services, caller = services_of(request), caller_of(request)
    key = await idempotency(request, caller.namespace)
    if data.settle_to == "escrow":
        command = await escrow_command(services, caller, data)
    else:
        command = _command(services, caller, data)
    limits = limits_for_quote(caller, data.quote_id)
    order = await services.store.accept(command, limits, key, services.clock.now())
    services.wake.notify(WORK)
    request.scope["state"]["order_id"] = order.id
    headers = []
    if order.id == command.order_id:
        services.metrics.orders_accepted.inc()
    else:
        headers.append(REPLAYED)
    wait_s = preferred_wait_s(header(request.scope, b"prefer"))
    if wait_s is not None:
        order = await wait_for_intent(services, hub_of(request), order, wait_s)
        headers.append((b"preference-applied", b"wait=%d" % wait_s))
    return Answer(_view(order, caller), headers)


def _command(services: Services, caller: Caller, data: OrderCreate) -> AcceptOrder:
    """Everything that can be checked without the database."""
    if data.wallet is None:
        raise InvalidInput("Object missing required field `wallet`", param="wallet")
    if data.escrow is not None:
        raise InvalidInput("terms of an escrow need settle_to: escrow", param="escrow")
    network = services.network(data.wallet.network, "wallet.network")
    try:
        wallet = network.normalize_address(data.wallet.address)
    except InvalidInput as error:
        error.param = "wallet.address"
        raise
    check_return_url(caller, data.return_url)
    order_id = new_id("ord")
    return AcceptOrder(
        order_id=order_id,
        tenant_id=caller.tenant_id,
        quote_id=data.quote_id,
        customer=data.customer,
        network=network.name,
        wallet=wallet,
        client_secret=new_client_secret(order_id),
        return_url=data.return_url,
        metadata=data.metadata or {},
    )


def preferred_wait_s(prefer: str | None) -> int | None:
    """The ``wait`` preference in seconds, capped (https://www.rfc-editor.org/rfc/rfc7240#4.3)."""
    match = _WAIT.search(prefer) if prefer else None
    return None if match is None else min(int(match.group(1)), WAIT_S_MAX)


def hub_of(request: Request[Any, Any, Any]) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


def _view(order: Order, caller: Caller) -> OrderView:
    return order_view(
        order, livemode=caller.livemode, frontend=caller.is_frontend, may_pay=caller.may_pay
    )


@get(
    "/v1/orders/{order_id:str}",
    opt={"permission": "orders.read", "key_in_query": True},
    summary="Retrieve an order",
    tags=["orders"],
)
async def get_order(
    request: Request[Any, Any, Any],
    order_id: OrderId,
    client_secret: ClientSecret = None,
    client_secret_header: ClientSecretHeader = None,
    key: QueryKey = None,  # noqa: ARG001  (read by the guard; here for the documentation)
) -> OrderView:
    """With a publishable key also send the order's client secret."""
    services, caller = services_of(request), caller_of(request)
    order = await _own_order(services, caller, order_id, client_secret_header or client_secret)
    settlement = None
    if order.batch_id is not None:
        settlement = await services.queries.settlement(caller.tenant_id, order.batch_id)
    return order_view(
        order,
        livemode=caller.livemode,
        frontend=caller.is_frontend,
        batch=settlement.batch if settlement else None,
        may_pay=caller.may_pay,
        shows_secret=not caller.is_frontend,
    )


async def _own_order(
    services: Services, caller: Caller, order_id: str, client_secret: str | None
) -> Order:
    order = await services.queries.order(caller.tenant_id, order_id)
    if order is None:
        raise NotFound("no such order")
    check_client_secret(caller, order, client_secret)
    return order


@get("/v1/orders", opt={"permission": "orders.list"}, summary="List orders", tags=["orders"])
async def list_orders(
    request: Request[Any, Any, Any],
    limit: LimitParam = 10,
    starting_after: AfterParam = None,
    ending_before: BeforeParam = None,
    status: Annotated[Status | None, QueryParameter(name="status")] = None,
    customer: Annotated[str | None, QueryParameter(name="customer", max_length=255)] = None,
) -> ListView[OrderView]:
    """Newest first, by status and by your own customer reference."""
    services, caller = services_of(request), caller_of(request)
    page = Page(limit, starting_after, ending_before)
    listing = await services.queries.orders(
        caller.tenant_id, page, status=status, customer=customer
    )
    return list_view(listing, lambda order: _view(order, caller))


@post(
    "/v1/orders/{order_id:str}/cancel",
    opt={"permission": "orders.cancel", "headers": (IDEMPOTENCY_KEY,)},
    status_code=200,
    summary="Cancel an order",
    tags=["orders"],
)
async def cancel_order(
    request: Request[Any, Any, Any],
    order_id: OrderId,
    client_secret: ClientSecret = None,
    client_secret_header: ClientSecretHeader = None,
) -> Answer[OrderView]:
    """Possible until the order leaves review; releases the card's authorisation."""
    services, caller = services_of(request), caller_of(request)
    if (await request.body()).strip() not in (b"", b"{}"):
        raise InvalidInput("canceling takes no body")
    key = await idempotency(request, caller.namespace)
    await _own_order(services, caller, order_id, client_secret_header or client_secret)
    reason = "canceled_by_customer" if caller.is_frontend else "canceled_by_merchant"
    order = await services.store.cancel(
        caller.tenant_id, order_id, reason, key, services.clock.now()
    )
    services.wake.notify(WORK)
    return Answer(_view(order, caller))


@get(
    "/v1/orders/{order_id:str}/events",
    opt={"permission": "orders.read", "key_in_query": True},
    media_type="text/event-stream",
    summary="Follow an order",
    tags=["orders"],
)
async def order_events(
    request: Request[Any, Any, Any],
    order_id: OrderId,
    client_secret: ClientSecret = None,
    client_secret_header: ClientSecretHeader = None,
    key: QueryKey = None,  # noqa: ARG001  (read by the guard; here for the documentation)
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
    last_event_id_query: Annotated[str | None, QueryParameter(name="last_event_id")] = None,
    stream: Annotated[bool, QueryParameter(name="stream")] = True,
) -> Response[ListView[EventView]] | Stream:
    """Server-Sent Events until the order is final; a plain list with ``stream=false`` or
    ``Accept: application/json``."""
    services, caller = services_of(request), caller_of(request)
    await _own_order(services, caller, order_id, client_secret_header or client_secret)
    after_id = _event_id(last_event_id or last_event_id_query)
    if not stream or _wants_json(header(request.scope, b"accept")):
        return await _event_list(services, caller, order_id, after_id)
    if not hub_of(request).has_room(order_id):
        raise TooManyStreams("this order, or this server, is followed by as many as it can serve")
    return Stream(
        follow(services, hub_of(request), caller, order_id, after_id),
        media_type="text/event-stream",
        headers={"cache-control": "no-cache, no-store", "x-accel-buffering": "no"},
    )


def _event_id(text: str | None) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("an event id is a whole number", param="last_event_id")
    return int(text)


def _wants_json(accept: str | None) -> bool:
    return accept is not None and "application/json" in accept and "event-stream" not in accept


async def _event_list(
    services: Services, caller: Caller, order_id: str, after_id: int
) -> Response[ListView[EventView]]:
    events = await services.queries.order_events(
        caller.tenant_id, order_id, after_id, limit=_EVENTS_MAX + 1
    )
    views = [
        event_view(event, frontend=caller.is_frontend)
        for event in events[:_EVENTS_MAX]
        if not (caller.is_frontend and event.type in FRONTEND_SKIPS)
    ]
    return Response(
        ListView(data=views, has_more=len(events) > _EVENTS_MAX), media_type="application/json"
    )


_EVENTS_MAX = 100

HANDLERS = (create_order, get_order, list_orders, cancel_order, order_events)
