"""A network's fees: what they were, what they may become, what waits for them, what was paid."""

from datetime import timedelta
from typing import Annotated, Any

from litestar import Request, get
from litestar.params import PathParameter, QueryParameter

from bridge.api.auth import caller_of
from bridge.api.schemas.gas import (
    NetworkGasView,
    block_view,
    forecast_view,
    planned_view,
    report_view,
)
from bridge.api.services import services_of
from settlement.errors import NotFound

REPORTED = timedelta(days=30)

Blocks = Annotated[
    int, QueryParameter(name="blocks", ge=1, le=1_000, description="How many blocks of history.")
]


@get(
    "/v1/networks/{network:str}/gas",
    opt={"permission": "networks.read"},
    summary="Retrieve a network's fees",
    tags=["networks"],
)
async def get_network_gas(
    request: Request[Any, Any, Any],
    network: Annotated[str, PathParameter(max_length=100)],
    blocks: Blocks = 300,
) -> NetworkGasView:
    """Blocks as they were, the forecast of the newest head, your own orders that wait, and what was
    quoted and paid for yours. What was decided for all tenants together is shown at the host's
    console (`tidegate gas show`)."""
    services, tenant_id = services_of(request), caller_of(request).tenant_id
    known = services.networks.get(network)
    if known is None:
        raise NotFound("no such network")
    queries, now = services.queries, services.clock.now()
    outlook = next(iter(await queries.outlooks(network)), None)
    return NetworkGasView(
        id=network,
        history=[block_view(row) for row in await queries.fee_blocks(network, blocks)],
        forecast=None if outlook is None else forecast_view(outlook),
        planned=[
            planned_view(waiting, outlook, known.block_ms, now)
            for waiting in await queries.waiting_for(network, tenant_id)
        ],
        report=report_view(await queries.fee_report(network, now - REPORTED, tenant_id)),
    )


HANDLERS = (get_network_gas,)
