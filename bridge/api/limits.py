"""Limits, live: what one order may pay, and what a customer has left today."""

from typing import Annotated, Any

from litestar import Request, get
from litestar.params import QueryParameter

from bridge.api.auth import Caller, caller_of
from bridge.api.schemas.assets import LimitList, LimitView
from bridge.api.schemas.common import fiat_amount
from bridge.api.services import Services, services_of
from settlement.money import Asset, Money

CustomerParam = Annotated[
    str | None,
    QueryParameter(
        name="customer", min_length=1, max_length=255, description="Your own reference."
    ),
]


@get("/v1/limits", opt={"permission": "limits.read"}, summary="List limits", tags=["limits"])
async def list_limits(request: Request[Any, Any, Any], customer: CustomerParam = None) -> LimitList:
    """Per currency. The day is a UTC day. What a customer has left is for servers' eyes only."""
    services, caller = services_of(request), caller_of(request)
    shown = None if caller.is_frontend else customer
    fiats = [f for f in services.settings.currencies if f.code in caller.login.tenant.limits]
    return LimitList(data=[await _view(services, caller, fiat, shown) for fiat in fiats])


async def _view(services: Services, caller: Caller, fiat: Asset, customer: str | None) -> LimitView:
    limits = caller.login.tenant.limits[fiat.code]
    view = LimitView(
        currency=fiat.code,
        order_min=fiat_amount(Money(limits.order_min_minor, fiat)),
        order_max=fiat_amount(Money(limits.order_max_minor, fiat)),
        customer_day_max=fiat_amount(Money(limits.customer_day_max_minor, fiat)),
    )
    if customer is not None:
        today = services.clock.now().date()
        used = await services.queries.limit_used(caller.tenant_id, customer, fiat.code, today)
        left = max(limits.customer_day_max_minor - used, 0)
        view.customer = customer
        view.customer_day_remaining = fiat_amount(Money(left, fiat))
    return view


HANDLERS = (list_limits,)
