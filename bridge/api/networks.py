"""Networks: how far each chain is, which lanes work it, what waits; pause and resume.

What is done here concerns every tenant of the deployment. Keys of operators and admins are made at
the host's console alone.
"""

from typing import Annotated, Any

from litestar import Request, get
from litestar.params import PathParameter

from bridge.api.answer import Answer
from bridge.api.auth import Caller, caller_of
from bridge.api.operating import act, actor_of, operates
from bridge.api.schemas.networks import NetworkList, NetworkView, network_view
from bridge.api.services import NetworkInfo, Services, services_of
from bridge.operating import switch_lane, switch_network
from bridge.storage.queries import Queries
from settlement.errors import NotFound

NetworkName = Annotated[str, PathParameter(max_length=100)]
LaneAddress = Annotated[str, PathParameter(max_length=200)]


@get(
    "/v1/networks", opt={"permission": "networks.read"}, summary="List networks", tags=["networks"]
)
async def list_networks(request: Request[Any, Any, Any]) -> NetworkList:
    """Every network of the deployment. ``waiting`` counts your own orders."""
    services, caller = services_of(request), caller_of(request)
    found = {n.state.name: n for n in await services.queries.networks(tenant_id=caller.tenant_id)}
    return NetworkList(
        data=[network_view(name, found.get(name)) for name in sorted(services.networks)]
    )


@get(
    "/v1/networks/{network:str}",
    opt={"permission": "networks.read"},
    summary="Retrieve a network",
    tags=["networks"],
)
async def get_network(request: Request[Any, Any, Any], network: NetworkName) -> NetworkView:
    """``stopped``: nothing is signed until a person has looked at the ``stop_reason`` and started
    it at the console. ``paused``: nothing new is planned; what was sent is followed."""
    services, caller = services_of(request), caller_of(request)
    known = _known(services, network)
    return await _view(services.queries, caller, known.name)


@operates("/v1/networks/{network:str}/pause", "networks.operate", "Pause a network")
async def pause_network(
    request: Request[Any, Any, Any], network: NetworkName
) -> Answer[NetworkView]:
    """Plan nothing new for any tenant: orders wait with the reason `paused`, none fails. What was
    sent is followed to its end."""
    return await _switch(request, network, pause=True)


@operates("/v1/networks/{network:str}/resume", "networks.operate", "Resume a network")
async def resume_network(
    request: Request[Any, Any, Any], network: NetworkName
) -> Answer[NetworkView]:
    """Plan again; orders that were held for the pause are looked at at once."""
    return await _switch(request, network, pause=False)


@operates(
    "/v1/networks/{network:str}/lanes/{address:str}/pause", "networks.operate", "Pause a lane"
)
async def pause_lane(
    request: Request[Any, Any, Any], network: NetworkName, address: LaneAddress
) -> Answer[NetworkView]:
    """Plan nothing new on this signing account; the other lanes take the work."""
    return await _switch_lane(request, network, address, pause=True)


@operates(
    "/v1/networks/{network:str}/lanes/{address:str}/resume", "networks.operate", "Resume a lane"
)
async def resume_lane(
    request: Request[Any, Any, Any], network: NetworkName, address: LaneAddress
) -> Answer[NetworkView]:
    """Plan on this signing account again."""
    return await _switch_lane(request, network, address, pause=False)


async def _switch(
    request: Request[Any, Any, Any], network: str, *, pause: bool
) -> Answer[NetworkView]:
    services, caller = services_of(request), caller_of(request)
    name = _known(services, network).name
    doing = switch_network(actor_of(request), name, services.clock.now(), pause=pause)
    return await act(request, doing, lambda queries: _view(queries, caller, name))


async def _switch_lane(
    request: Request[Any, Any, Any], network: str, address: str, *, pause: bool
) -> Answer[NetworkView]:
    services, caller = services_of(request), caller_of(request)
    known = _known(services, network)
    lane = known.normalize_address(address)
    doing = switch_lane(actor_of(request), known.name, lane, services.clock.now(), pause=pause)
    return await act(request, doing, lambda queries: _view(queries, caller, known.name))


def _known(services: Services, name: str) -> NetworkInfo:
    found = services.networks.get(name)
    if found is None:
        raise NotFound("no such network")
    return found


async def _view(queries: Queries, caller: Caller, name: str) -> NetworkView:
    found = await queries.networks(name, tenant_id=caller.tenant_id)
    return network_view(name, found[0] if found else None)


HANDLERS = (list_networks, get_network, pause_network, resume_network, pause_lane, resume_lane)
