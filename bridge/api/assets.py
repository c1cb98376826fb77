"""Assets: what can be bought on which network."""

from typing import Any

from litestar import Request, get

from bridge.api.auth import Caller, caller_of
from bridge.api.schemas.assets import AssetList, AssetView, OrderBounds
from bridge.api.schemas.common import fiat_amount
from bridge.api.services import NetworkInfo, Services, TokenInfo, services_of
from settlement.money import Money


@get("/v1/assets", opt={"permission": "assets.read"}, summary="List assets", tags=["assets"])
async def list_assets(request: Request[Any, Any, Any]) -> AssetList:
    services, caller = services_of(request), caller_of(request)
    bounds = _bounds(services, caller)
    return AssetList(
        data=[
            _view(network, token, bounds)
            for network in services.networks.values()
            for token in network.assets
        ]
    )


def _bounds(services: Services, caller: Caller) -> list[OrderBounds]:
    limits = caller.login.tenant.limits
    return [
        OrderBounds(
            currency=fiat.code,
            order_min=fiat_amount(Money(limits[fiat.code].order_min_minor, fiat)),
            order_max=fiat_amount(Money(limits[fiat.code].order_max_minor, fiat)),
        )
        for fiat in services.settings.currencies
        if fiat.code in limits
    ]


def _view(network: NetworkInfo, token: TokenInfo, bounds: list[OrderBounds]) -> AssetView:
    return AssetView(
        id=token.asset.id,
        network=network.name,
        asset=token.asset.code,
        address=token.address,
        scale=token.asset.scale,
        limits=bounds,
    )


HANDLERS = (list_assets,)
