"""Quotes: firm prices, each good for one order."""

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter

from bridge.api.answer import Answer
from bridge.api.auth import caller_of
from bridge.api.pricing import make_quote
from bridge.api.request import IDEMPOTENCY_KEY, REPLAYED, idempotency
from bridge.api.schemas.common import (
    AfterParam,
    BeforeParam,
    LimitParam,
    ListView,
    decoder,
    list_view,
)
from bridge.api.schemas.quotes import QuoteCreate, QuoteView, quote_view
from bridge.api.services import services_of
from bridge.storage.pages import Page
from settlement.errors import NotFound


@post(
    "/v1/quotes",
    opt={
        "permission": "quotes.create",
        "headers": (IDEMPOTENCY_KEY,),
        **decoder(QuoteCreate),
    },
    summary="Create a quote",
    tags=["quotes"],
)
async def create_quote(
    request: Request[Any, Any, Any],
    data: JSONBody[QuoteCreate],
) -> Answer[QuoteView]:
    """Price an amount of fiat or of tokens, every fee its own line."""
    services, caller = services_of(request), caller_of(request)
    key = await idempotency(request, caller.namespace)
    quote = await make_quote(services, caller, data)
    stored = await services.store.save_quote(quote, key)
    headers = [] if stored.id == quote.id else [REPLAYED]
    return Answer(quote_view(stored, caller.livemode), headers)


@get(
    "/v1/quotes/{quote_id:str}",
    opt={"permission": "quotes.read"},
    summary="Retrieve a quote",
    tags=["quotes"],
)
async def get_quote(
    request: Request[Any, Any, Any],
    quote_id: Annotated[str, PathParameter(max_length=100)],
) -> QuoteView:
    caller = caller_of(request)
    quote = await services_of(request).queries.quote(caller.tenant_id, quote_id)
    if quote is None:
        raise NotFound("no such quote")
    return quote_view(quote, caller.livemode)


@get("/v1/quotes", opt={"permission": "quotes.read"}, summary="List quotes", tags=["quotes"])
async def list_quotes(
    request: Request[Any, Any, Any],
    limit: LimitParam = 10,
    starting_after: AfterParam = None,
    ending_before: BeforeParam = None,
) -> ListView[QuoteView]:
    caller = caller_of(request)
    page = Page(limit, starting_after, ending_before)
    listing = await services_of(request).queries.quotes(caller.tenant_id, page)
    return list_view(listing, lambda quote: quote_view(quote, caller.livemode))


HANDLERS = (create_quote, get_quote, list_quotes)
