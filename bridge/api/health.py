"""Is it alive, is it ready, what does it measure. Open to whoever reaches the port.

``/readyz`` names the part that is not ready. It does not ask the payment provider: orders are
accepted and stay durable while it is away.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, get
from litestar.response import Response

from bridge import metrics
from bridge.api.services import Probe, Services, services_of
from bridge.storage.records import Standing

PROBE_TIMEOUT_S = 2.0


class Health(msgspec.Struct, kw_only=True):
    status: str = "ok"


class Readiness(msgspec.Struct, kw_only=True):
    """``parts``: ``ok``, or why that part is not ready."""

    ready: bool
    parts: dict[str, str]


@get("/healthz", summary="Liveness", tags=["health"], security=[{}])
async def healthz() -> Health:
    """The process runs and its event loop turns."""
    return Health()


@get("/readyz", summary="Readiness", tags=["health"], security=[{}])
async def readyz(request: Request[Any, Any, Any]) -> Response[Readiness]:
    """200 when every part is ready, else 503 and the reason per part."""
    services = services_of(request)
    probes = {**_built_in(services), **services.probes}
    names = list(probes)
    reasons = await asyncio.gather(*(_ask(probes[name]) for name in names))
    parts = {name: reason or "ok" for name, reason in zip(names, reasons, strict=True)}
    ready = not any(reasons)
    return Response(Readiness(ready=ready, parts=parts), status_code=200 if ready else 503)


@get(
    "/metrics",
    summary="Prometheus metrics",
    tags=["health"],
    security=[{}],
    media_type="text/plain",
)
async def prometheus(request: Request[Any, Any, Any]) -> Response[bytes]:
    """What this process counts, and where everything stands by the database."""
    services = services_of(request)

    async def read() -> Standing:
        return await services.queries.standing(services.clock.now())

    await services.metrics.standing.refresh(read, services.clock.now)
    body = services.metrics.render()
    return Response(body, headers={"content-type": metrics.CONTENT_TYPE})


async def _ask(probe: Probe) -> str | None:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return await probe()
    except TimeoutError:
        return f"no answer within {PROBE_TIMEOUT_S:.0f} s"
    except Exception as error:  # whatever it was, this part is not ready; its text may hold a DSN
        return f"failed: {type(error).__name__}"


def _built_in(services: Services) -> Mapping[str, Probe]:
    probes: dict[str, Probe] = {"database": lambda: _database(services)}
    for name in services.networks:
        probes[f"network:{name}"] = lambda name=name: _network(services, name)  # type: ignore[misc]
    return probes


async def _database(services: Services) -> str | None:
    await services.queries.tenant("")
    return None


async def _network(services: Services, name: str) -> str | None:
    state = await services.store.network(name)
    if state is None:
        return "not registered yet: no worker has started it"
    return None if state.stop_reason is None else f"stopped: {state.stop_reason}"


HANDLERS = (healthz, readyz, prometheus)
