"""The outermost layer, one pure ASGI callable: request ids, CORS, metrics and the access log.

It wraps the router itself, so that unknown routes and wrong methods are answered, counted and
logged like everything else. Per-request work is kept to a few dictionary look-ups, since every
order passes through here.
"""

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from bridge.logging import AccessLine, AccessLog
from bridge.metrics import Metrics

_ORDER_ID = re.compile(r"ord_[0-9a-z]{26}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{8,64}")

ALLOWED_METHODS = b"GET, POST, OPTIONS"
ALLOWED_HEADERS = (
    b"Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, Tidegate-Client-Secret"
)
EXPOSED_HEADERS = b"X-Request-Id, Idempotent-Replayed, Preference-Applied, Retry-After"

_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]

OriginKnown = Callable[[str], Awaitable[bool]]
"""Whether any publishable key lists this origin; a preflight carries no key to ask."""


class Edge:
    """Wraps an ASGI application; ``scope["state"]`` carries ``request_id`` to whoever needs it."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, access_log: bool, origin_known: OriginKnown
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._origin_known = origin_known
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self.log = AccessLog() if access_log else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = self._request_id(headers)
        # A dict of our own: the server's lifespan state must not be shared between requests.
        state: dict[str, Any] = dict(
            scope.get("state") or (), request_id=request_id, headers=headers
        )
        scope["state"] = state
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    *_SECURITY_HEADERS,
                    *_cors(state.get("cors_origin")),
                ]
            await send(message)

        try:
            if _is_preflight(scope, headers):
                await self._preflight(headers[b"origin"], send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        finally:
            self._done(scope, state, status, time.perf_counter() - started)

    def _done(self, scope: Scope, state: dict[str, Any], status: int, seconds: float) -> None:
        route = scope.get("path_template") or "unmatched"
        self._metrics.observe(scope["method"], route, status, seconds)  # type: ignore[typeddict-item]
        code = state.get("error_code")
        if code is not None and route == "/v1/orders" and scope["method"] == "POST":  # type: ignore[typeddict-item]
            self._metrics.orders_refused.labels(code).inc()
        if self.log is None:
            return
        caller = state.get("caller")
        line = AccessLine(
            datetime.now(UTC),
            state["request_id"],
            scope["method"],  # type: ignore[typeddict-item]
            route,
            status,
            round(seconds * 1000, 2),
            order_id=state.get("order_id") or _order_id(scope),
            tenant_id=None if caller is None else caller.tenant_id,
            code=code,
        )
        self.log.write(line)

    def _request_id(self, headers: Mapping[bytes, bytes]) -> str:
        """The caller's own ``X-Request-Id`` where it is harmless, else the next of ours."""
        given = headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given.decode()
        return f"req_{self._prefix}{next(self._numbers):08x}"

    async def _preflight(self, origin_header: bytes, send: Send) -> None:
        """https://fetch.spec.whatwg.org/#cors-preflight-fetch; 403 for an unlisted origin."""
        origin = origin_header.decode("latin-1")
        headers: list[tuple[bytes, bytes]] = [(b"content-length", b"0"), (b"vary", b"Origin")]
        known = await self._origin_known(origin)
        if known:
            headers += [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-allow-methods", ALLOWED_METHODS),
                (b"access-control-allow-headers", ALLOWED_HEADERS),
                (b"access-control-max-age", b"600"),
            ]
        await send(
            {
                "type": "http.response.start",
                "status": 204 if known else 403,
                "headers": headers,
            }
        )
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _order_id(scope: Scope) -> str | None:
    """The order that the address names; what does not look like an id may be a secret."""
    text: str | None = scope.get("path_params", {}).get("order_id")
    return text if text is not None and _ORDER_ID.fullmatch(text) else None


def _is_preflight(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    return (
        scope["method"] == "OPTIONS"  # type: ignore[typeddict-item]
        and b"origin" in headers
        and b"access-control-request-method" in headers
    )


def _cors(origin: str | None) -> list[tuple[bytes, bytes]]:
    if origin is None:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", EXPOSED_HEADERS),
        (b"vary", b"Origin"),
    ]
