"""The outermost layer, one pure ASGI callable: request ids, CORS, metrics and the access log.

It wraps the router itself, so that unknown routes and wrong methods are answered, counted and
logged like everything else. Per-request work is kept to a few dictionary look-ups, since every
order passes through here.
"""

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from bridge.logging import AccessLine, write_access
from bridge.metrics import Metrics

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")

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
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        # A dict of our own: the server's lifespan state must not be shared between requests.
        state: dict[str, Any] = dict(scope.get("state") or {}, request_id=request_id)
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
            if _is_preflight(scope):
                await self._preflight(scope, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        finally:
            self._done(scope, state, status, time.perf_counter() - started)

    def _done(self, scope: Scope, state: dict[str, Any], status: int, seconds: float) -> None:
        route = scope.get("path_template") or "unmatched"
        self._metrics.observe(scope["method"], route, status, seconds)  # type: ignore[typeddict-item]
        if not self._access_log:
            return
        caller = state.get("caller")
        line = AccessLine(
            datetime.now(UTC),
            state["request_id"],
            scope["method"],  # type: ignore[typeddict-item]
            route,
            status,
            round(seconds * 1000, 2),
            order_id=state.get("order_id") or scope.get("path_params", {}).get("order_id"),
            tenant_id=None if caller is None else caller.tenant_id,
            code=state.get("error_code"),
        )
        write_access(line)

    async def _preflight(self, scope: Scope, send: Send) -> None:
        """https://fetch.spec.whatwg.org/#cors-preflight-fetch; 403 for an unlisted origin."""
        origin = _header(scope, b"origin").decode("latin-1")
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


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")


def _is_preflight(scope: Scope) -> bool:
    return (
        scope["method"] == "OPTIONS"  # type: ignore[typeddict-item]
        and _header(scope, b"origin") != b""
        and _header(scope, b"access-control-request-method") != b""
    )


def _request_id(scope: Scope) -> str:
    """The caller's own ``X-Request-Id`` where it is harmless, else a new one."""
    given = _header(scope, b"x-request-id").decode("latin-1")
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return f"req_{secrets.token_hex(12)}"


def _cors(origin: str | None) -> list[tuple[bytes, bytes]]:
    if origin is None:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", EXPOSED_HEADERS),
        (b"vary", b"Origin"),
    ]
