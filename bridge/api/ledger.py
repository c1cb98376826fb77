"""The ledger, read-only: a trial balance that must sum to zero, and every entry behind it."""

from typing import Annotated, Any

from litestar import Request, get
from litestar.params import QueryParameter

from bridge.api.auth import caller_of
from bridge.api.schemas.common import AfterParam, BeforeParam, LimitParam, ListView, list_view
from bridge.api.schemas.settlements import EntryView, TrialBalance, entry_view, trial_balance
from bridge.api.services import Services, services_of
from bridge.api.settlements import number_page
from settlement.errors import InvalidInput
from settlement.ledger.accounts import Account
from settlement.money import Asset


@get(
    "/v1/ledger/accounts",
    opt={"permission": "ledger.read"},
    summary="Trial balance",
    tags=["ledger"],
)
async def trial(request: Request[Any, Any, Any]) -> TrialBalance:
    """Every account with its totals, and per asset the sums, whose differences are zero."""
    balances = await services_of(request).store.balances(caller_of(request).tenant_id)
    return trial_balance(balances)


@get(
    "/v1/ledger/entries",
    opt={"permission": "ledger.read"},
    summary="List ledger entries",
    tags=["ledger"],
)
async def list_entries(
    request: Request[Any, Any, Any],
    limit: LimitParam = 10,
    starting_after: AfterParam = None,
    ending_before: BeforeParam = None,
    order_id: Annotated[str | None, QueryParameter(name="order", max_length=100)] = None,
    account: Annotated[Account | None, QueryParameter(name="account")] = None,
    asset: Annotated[str | None, QueryParameter(name="asset", max_length=100)] = None,
) -> ListView[EntryView]:
    """Newest first; of one order, one account or one asset (``USD``, ``local:DUSD``)."""
    services = services_of(request)
    listing = await services.queries.ledger_entries(
        caller_of(request).tenant_id,
        number_page(limit, starting_after, ending_before),
        source=order_id,
        account=account,
        asset=None if asset is None else _asset(services, asset),
    )
    return list_view(listing, entry_view)


def _asset(services: Services, asset_id: str) -> Asset:
    known = {asset.id: asset for asset in services.settings.currencies}
    for network in services.networks.values():
        known[network.native.id] = network.native
        known |= {token.asset.id: token.asset for token in network.assets}
    if asset_id not in known:
        raise InvalidInput(f"asset must be one of {', '.join(sorted(known))}", param="asset")
    return known[asset_id]


HANDLERS = (trial, list_entries)
