"""Puts the emulator together: state, timers, endpoints, pages and the sender of webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import HttpMethod, Litestar, Request, Response, route
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from . import charging, refunding
from .api import DROP_HEADER, Api, HttpRequest, error_answer, unknown_url
from .control import api_error_response, control
from .core import Emulator, Route
from .errors import ApiError
from .ids import new_id
from .pages import pages
from .resources import (
    accounts,
    balances,
    charges,
    customers,
    disputes,
    events,
    payment_intents,
    payment_methods,
    refunds,
    webhook_endpoints,
)
from .settings import EmulatorSettings
from .store import Store

ROUTES: tuple[Route, ...] = (
    *accounts.ROUTES,
    *balances.ROUTES,
    *charges.ROUTES,
    *customers.ROUTES,
    *disputes.ROUTES,
    *events.ROUTES,
    *payment_intents.ROUTES,
    *payment_methods.ROUTES,
    *refunds.ROUTES,
    *webhook_endpoints.ROUTES,
)
_BODY_BYTES_MAX = 1_000_000


def create_emulator(settings: EmulatorSettings | None = None) -> Litestar:
    """Return the emulator as an ASGI application with its state loaded."""
    settings = settings or EmulatorSettings()
    emulator = Emulator(settings, Store(settings.state_path), settings.public_url or "")
    emulator.timers = {
        "authorization_expiry": charging.expire,
        "refund_success": refunding.settle_later,
        "refund_failure": refunding.settle_later,
    }
    if settings.public_url:
        charging.move_challenges(emulator)
    emulator.store.commit()
    api = Api(emulator)

    @asynccontextmanager
    async def sending(_app: Litestar) -> AsyncIterator[None]:
        await api.sender.start()
        try:
            yield
        finally:
            api.faults.clear()
            await api.sender.stop()
            emulator.store.close()

    return Litestar(
        route_handlers=[*(_endpoint(api, one) for one in ROUTES), pages(api), control(api)],
        lifespan=[sending],
        middleware=[_drop_connections],
        cors_config=CORSConfig(allow_origins=["*"], allow_headers=["*"]),
        exception_handlers={HTTPException: _refuse, ApiError: _refuse_control},
        request_max_body_size=_BODY_BYTES_MAX,
        openapi_config=None,
        logging_config=None,
    )


def _endpoint(api: Api, one: Route) -> Any:
    @route(
        one.path.replace("{id}", "{id:str}"), http_method=HttpMethod(one.method), status_code=200
    )
    async def endpoint(request: HttpRequest) -> Response[bytes]:
        return await api.handle(request, one)

    return endpoint


def _refuse(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    if request.url.path.startswith("/v1/"):
        refusal = unknown_url(request.method, request.url.path)
        if error.status_code == 413:
            refusal = ApiError(
                413, {"type": "invalid_request_error", "message": "The request is too large."}
            )
        return error_answer(refusal, new_id("req")).response()
    body = {"error": {"type": "invalid_request_error", "message": error.detail}}
    return Response(body, status_code=error.status_code)


def _refuse_control(_request: Request[Any, Any, Any], error: ApiError) -> Response[Any]:
    return api_error_response(error)


def _drop_connections(app: ASGIApp) -> ASGIApp:
    """Break the connection instead of answering, where a fault ordered that.

    The response is begun with a length that never arrives; the server closes the connection.
    """

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        dropped = False

        async def send_or_drop(message: Message) -> None:
            nonlocal dropped
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                dropped = DROP_HEADER.encode() in names
                if dropped:
                    message["headers"] = [(b"content-length", b"1")]
            elif dropped:
                return
            await send(message)

        await app(scope, receive, send_or_drop)

    return middleware
