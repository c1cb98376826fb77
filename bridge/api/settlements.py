"""Settlements: the batches that paid this tenant's orders."""

from typing import Annotated, Any

from litestar import Request, get
from litestar.params import PathParameter

from bridge.api.auth import caller_of
from bridge.api.schemas.common import AfterParam, BeforeParam, LimitParam, ListView, list_view
from bridge.api.schemas.settlements import SettlementView, settlement_view
from bridge.api.services import services_of
from bridge.storage.pages import Page
from settlement.errors import InvalidInput, NotFound

_ID_DIGITS_MAX = 18


@get(
    "/v1/settlements",
    opt={"permission": "settlements.read"},
    summary="List settlements",
    tags=["settlements"],
)
async def list_settlements(
    request: Request[Any, Any, Any],
    limit: LimitParam = 10,
    starting_after: AfterParam = None,
    ending_before: BeforeParam = None,
) -> ListView[SettlementView]:
    page = number_page(limit, starting_after, ending_before)
    listing = await services_of(request).queries.settlements(caller_of(request).tenant_id, page)
    return list_view(listing, settlement_view)


@get(
    "/v1/settlements/{settlement_id:str}",
    opt={"permission": "settlements.read"},
    summary="Retrieve a settlement",
    tags=["settlements"],
)
async def get_settlement(
    request: Request[Any, Any, Any],
    settlement_id: Annotated[str, PathParameter(max_length=100)],
) -> SettlementView:
    settlement = None
    if is_number(settlement_id):
        settlement = await services_of(request).queries.settlement(
            caller_of(request).tenant_id, int(settlement_id)
        )
    if settlement is None:
        raise NotFound("no such settlement")
    return settlement_view(settlement)


def is_number(text: str) -> bool:
    """Whether a public id can name a row that is numbered in the database."""
    return text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX


def number_page(limit: int, starting_after: str | None, ending_before: str | None) -> Page:
    """A page over numbered rows. Raises ``InvalidInput`` for a cursor that is no number."""
    for name, value in (("starting_after", starting_after), ("ending_before", ending_before)):
        if value is not None and not is_number(value):
            raise InvalidInput("this cursor is not an id of this list", param=name)
    return Page(limit, starting_after, ending_before)


HANDLERS = (list_settlements, get_settlement)
