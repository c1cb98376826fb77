"""Address lists: what is listed, since when; and the two that this account's officers write."""

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from bridge.api.answer import Answer
from bridge.api.auth import caller_of
from bridge.api.operating import act_with_body, actor_of
from bridge.api.request import IDEMPOTENCY_KEY
from bridge.api.schemas.common import (
    AfterParam,
    BeforeParam,
    LimitParam,
    ListView,
    decoder,
    list_view,
)
from bridge.api.schemas.compliance import (
    AddressListView,
    Decide,
    ListEntryCreate,
    ListEntryView,
    ListVersionView,
    address_list_view,
    entry_view,
    version_view,
)
from bridge.api.services import services_of
from bridge.api.settlements import is_number, number_page
from bridge.reviewing import add_to_own_list, remove_from_own_list
from bridge.storage.pages import Listing as PageOf
from bridge.storage.pages import Page
from bridge.storage.queries import Queries
from settlement.errors import InvalidInput, NotFound
from settlement.ids import TenantId
from settlement.ports.lists import EVERYBODY, OWN_ALLOW, OWN_LISTS, Action, Entry, Listing

ListName = Annotated[str, PathParameter(max_length=64)]
_WRITES = {"permission": "lists.write", "headers": (IDEMPOTENCY_KEY,)}


@get("/v1/lists", opt={"permission": "lists.read"}, summary="List address lists", tags=["lists"])
async def list_lists(request: Request[Any, Any, Any]) -> ListView[AddressListView]:
    """All that are kept in versions, and this account's own."""
    states = await services_of(request).queries.list_states(caller_of(request).tenant_id)
    return list_view(PageOf(states, has_more=False), address_list_view)


@get(
    "/v1/lists/{name:str}/versions",
    opt={"permission": "lists.read"},
    summary="List a list's versions",
    tags=["lists"],
)
async def list_versions(
    request: Request[Any, Any, Any],
    name: ListName,
    limit: LimitParam = 10,
    starting_after: AfterParam = None,
    ending_before: BeforeParam = None,
) -> ListView[ListVersionView]:
    """What each version brought and took away, the newest first."""
    owner = _owner(request, name)
    page = number_page(limit, starting_after, ending_before)
    return list_view(
        await services_of(request).queries.list_versions(owner, name, page), version_view
    )


@get(
    "/v1/lists/{name:str}/entries",
    opt={"permission": "lists.read"},
    summary="List a list's entries",
    tags=["lists"],
)
async def list_entries(
    request: Request[Any, Any, Any],
    name: ListName,
    limit: LimitParam = 10,
    starting_after: AfterParam = None,
    ending_before: BeforeParam = None,
    address: Annotated[str | None, QueryParameter(name="address", max_length=128)] = None,
    ended: Annotated[
        bool, QueryParameter(name="ended", description="With those that were delisted.")
    ] = False,
) -> ListView[ListEntryView]:
    """Newest first; of one address (in its normal form), with its history if asked for."""
    listing = await services_of(request).queries.list_entries(
        _owner(request, name),
        name,
        number_page(limit, starting_after, ending_before),
        address=address,
        ended=ended,
    )
    return list_view(listing, entry_view)


@post(
    "/v1/lists/{name:str}/entries",
    opt={**_WRITES, **decoder(ListEntryCreate)},
    summary="Block or allow an address",
    tags=["lists"],
)
async def add_entry(
    request: Request[Any, Any, Any], name: ListName, data: JSONBody[ListEntryCreate]
) -> Answer[ListEntryView]:
    """On `own_block` or `own_allow`. An allowed address is spared rules, score and reviews up to
    the amount that one officer may approve alone, and never a veto or an exposure to sanctioned
    addresses. What is blocked counts at once, for orders under way, too."""
    services, tenant_id = services_of(request), caller_of(request).tenant_id
    address = services.list_address(data.asset, data.address)
    if None not in (data.since, data.until) and data.since >= data.until:  # type: ignore[operator]
        raise InvalidInput("until must be later than since", param="until")
    action = Action.ALLOW if name == OWN_ALLOW else Action.BLOCK
    listing = Listing(name, action, data.category, data.name)
    now = services.clock.now()
    entry = Entry(address, data.asset.upper(), listing, data.since or now, data.until, tenant_id)
    doing = add_to_own_list(actor_of(request), tenant_id, name, entry, data.reason, now)
    return await act_with_body(request, doing, lambda queries: _newest(queries, tenant_id, name))


@post(
    "/v1/lists/{name:str}/entries/{entry_id:str}/remove",
    opt={**_WRITES, **decoder(Decide)},
    status_code=200,
    summary="Remove an own entry",
    tags=["lists"],
)
async def remove_entry(
    request: Request[Any, Any, Any],
    name: ListName,
    entry_id: Annotated[str, PathParameter(max_length=32)],
    data: JSONBody[Decide],
) -> Answer[ListEntryView]:
    """It no longer counts from now on; that it did stays on record."""
    services, tenant_id = services_of(request), caller_of(request).tenant_id
    if not is_number(entry_id):
        raise NotFound("no such entry on this list")
    number, now = int(entry_id), services.clock.now()
    doing = remove_from_own_list(actor_of(request), tenant_id, name, number, data.reason, now)
    return await act_with_body(
        request, doing, lambda queries: _entry(queries, tenant_id, name, number)
    )


def _owner(request: Request[Any, Any, Any], name: str) -> TenantId:
    return caller_of(request).tenant_id if name in OWN_LISTS else EVERYBODY


async def _newest(queries: Queries, tenant_id: TenantId, name: str) -> ListEntryView:
    return entry_view((await queries.list_entries(tenant_id, name, Page(1))).rows[0])


async def _entry(queries: Queries, tenant_id: TenantId, name: str, number: int) -> ListEntryView:
    page = Page(1, starting_after=str(number + 1))
    return entry_view((await queries.list_entries(tenant_id, name, page, ended=True)).rows[0])


HANDLERS = (list_lists, list_versions, list_entries, add_entry, remove_entry)
