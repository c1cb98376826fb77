"""The API as one application: :func:`create_app` joins routes, keys, errors and edge.

``bridge.bootstrap`` fills :class:`Services`; everything else is decided here once, at start, so
that a request finds nothing left to look up.
"""

import gc
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp

from bridge.api import (
    assets,
    audit,
    auth,
    cases,
    docs,
    escrows,
    gas,
    health,
    ledger,
    limits,
    lists,
    networks,
    orders,
    quotes,
    receipts,
    screenings,
    settlements,
    webhooks,
)
from bridge.api.edge import Edge
from bridge.api.errors import on_any_error, on_core_error, on_http_error
from bridge.api.origins import Origins
from bridge.api.request import ApiRequest
from bridge.api.services import NetworkInfo, Services, TokenInfo
from bridge.api.streams import Hub
from settlement.errors import InvariantBroken, TidegateError

if TYPE_CHECKING:
    import uvicorn

__all__ = ["NetworkInfo", "Services", "TokenInfo", "create_app", "state_over", "uvicorn_config"]

BODY_MAX_BYTES = 64 * 1024
SHUTDOWN_S = 3

_RESOURCES = (
    quotes,
    orders,
    assets,
    limits,
    settlements,
    networks,
    gas,
    escrows,
    receipts,
    screenings,
    cases,
    lists,
    audit,
    ledger,
    webhooks,
    health,
    docs,
)


class _App(Litestar):
    """Litestar with our edge around its router, errors of unknown routes included."""

    def __init__(self, services: Services, **options: Any) -> None:
        self._services = services
        super().__init__(**options)

    def _create_asgi_handler(self) -> ASGIApp:
        services = self._services
        origins = Origins(services.queries)
        edge = Edge(
            super()._create_asgi_handler(),
            services.metrics,
            services.settings.access_log,
            origins.known,
        )
        if edge.log is not None:
            self.on_shutdown.append(edge.log.flush)
        return edge


def create_app(services: Services) -> Litestar:
    """The API over ``services``. Configure logging first (:func:`bridge.logging.configure`).

    Raises :class:`~settlement.errors.InvariantBroken` when a route under ``/v1`` has no row in
    the permission table.
    """
    app = _App(
        services,
        route_handlers=[handler for module in _RESOURCES for handler in module.HANDLERS],
        request_class=ApiRequest,
        request_max_body_size=BODY_MAX_BYTES,
        before_request=auth.admit,
        exception_handlers={
            TidegateError: on_core_error,
            HTTPException: on_http_error,
            Exception: on_any_error,
        },
        openapi_config=docs.openapi_config(version("tidegate")),
        logging_config=None,
        on_startup=[_freeze],
        state=state_over(services),
    )
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            _settle(route)
    return app


def state_over(services: Services) -> State:
    """What every request finds on the application."""
    return State(
        {
            "services": services,
            "key_ring": auth.KeyRing(services.queries, services.settings.mode),
            "hub": Hub(services.wake),
        }
    )


def _freeze() -> None:
    """Take what lives for ever out of the garbage collector's rounds: shorter pauses."""
    gc.collect()
    gc.freeze()


def _settle(route: HTTPRoute) -> None:
    """Refuse routes that nobody scoped, and note which query parameters each one knows."""
    for method, (handler, model) in route.route_handler_map.items():
        permission = handler.opt.get("permission")
        if route.path.startswith("/v1") and method != "OPTIONS":
            if permission != auth.OPEN and permission not in auth.PERMISSIONS:
                raise InvariantBroken(f"{method} {route.path} has no permission")
            handler.opt["query"] = frozenset(p.field_alias for p in model.expected_query_params)


def uvicorn_config(app: ASGIApp, host: str, port: int, **options: Any) -> "uvicorn.Config":
    """How the API is served everywhere: uvloop, httptools within bounds, our own logs.

    uvicorn's access log would print query strings, which may hold client secrets.
    """
    import uvicorn

    from bridge.api.connection import BoundedProtocol

    logging.getLogger("uvicorn.access").disabled = True
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        **{
            "loop": "uvloop",
            "http": BoundedProtocol,
            "ws": "none",
            "access_log": False,
            "log_config": None,
            "server_header": False,
            "date_header": False,
            "proxy_headers": False,
            "timeout_graceful_shutdown": SHUTDOWN_S,
            **options,
        },
    )
