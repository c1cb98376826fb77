"""Settlements: the batches that pay this tenant's orders, and what operators ask of them."""

from typing import Annotated, Any

from litestar import Request, get
from litestar.params import PathParameter

from bridge.api.answer import Answer
from bridge.api.auth import caller_of
from bridge.api.operating import act, actor_of, operates
from bridge.api.schemas.common import AfterParam, BeforeParam, LimitParam, ListView, list_view
from bridge.api.schemas.settlements import SettlementView, settlement_view
from bridge.api.services import services_of
from bridge.operating import Actor, ask_settlement, settlement_of
from bridge.storage.pages import Page
from bridge.storage.queries import Queries
from settlement.errors import InvalidInput, NotFound

_ID_DIGITS_MAX = 18

SettlementId = Annotated[str, PathParameter(max_length=100)]


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
    request: Request[Any, Any, Any], settlement_id: SettlementId
) -> SettlementView:
    """With every attempt to get it mined; signed bytes are never shown."""
    return await _view(services_of(request).queries, actor_of(request), _number(settlement_id))


@operates(
    "/v1/settlements/{settlement_id:str}/bump", "settlements.operate", "Bid more for a settlement"
)
async def bump_settlement(
    request: Request[Any, Any, Any], settlement_id: SettlementId
) -> Answer[SettlementView]:
    """Replace the newest attempt by one with the same nonce and higher fees, without waiting for
    the usual time. Within the fee cap."""
    return await _ask(request, settlement_id, "bump")


@operates(
    "/v1/settlements/{settlement_id:str}/cancel", "settlements.operate", "Cancel a settlement"
)
async def cancel_settlement(
    request: Request[Any, Any, Any], settlement_id: SettlementId
) -> Answer[SettlementView]:
    """Outbid it by a transaction that pays nobody. Which of them wins, only a final block says: if
    this one, its orders (other tenants' too) join another batch, else they are paid as planned."""
    return await _ask(request, settlement_id, "cancel")


@operates(
    "/v1/settlements/{settlement_id:str}/retry", "settlements.operate", "Send a settlement again"
)
async def retry_settlement(
    request: Request[Any, Any, Any], settlement_id: SettlementId
) -> Answer[SettlementView]:
    """Have the stored bytes said again with the worker's next look, before their turn: to every
    endpoint of the network that is not paused, and to the paused ones where those refuse for a
    reason that may pass; one that takes them is enough. Where a higher bid is due by then it is
    sent instead; what is not signed yet is tried with every look anyway."""
    return await _ask(request, settlement_id, "retry")


async def _ask(
    request: Request[Any, Any, Any], settlement_id: str, verb: str
) -> Answer[SettlementView]:
    actor, batch_id = actor_of(request), _number(settlement_id)
    doing = ask_settlement(actor, verb, batch_id, services_of(request).clock.now())
    return await act(request, doing, lambda queries: _view(queries, actor, batch_id))


async def _view(queries: Queries, actor: Actor, batch_id: int) -> SettlementView:
    return settlement_view(await settlement_of(queries, actor, batch_id))


def _number(settlement_id: str) -> int:
    if not is_number(settlement_id):
        raise NotFound("no such settlement")
    return int(settlement_id)


def is_number(text: str) -> bool:
    """Whether a public id can name a row that is numbered in the database."""
    return text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX


def number_page(limit: int, starting_after: str | None, ending_before: str | None) -> Page:
    """A page over numbered rows. Raises ``InvalidInput`` for a cursor that is no number."""
    for name, value in (("starting_after", starting_after), ("ending_before", ending_before)):
        if value is not None and not is_number(value):
            raise InvalidInput("this cursor is not an id of this list", param=name)
    return Page(limit, starting_after, ending_before)


HANDLERS = (
    list_settlements,
    get_settlement,
    bump_settlement,
    cancel_settlement,
    retry_settlement,
)
