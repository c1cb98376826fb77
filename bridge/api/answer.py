"""A lean JSON answer for the hot paths: encoded once, sent as it is.

Litestar's own response merges cookies, headers and encoders of five layers for every request.
"""

from typing import Any, TypeVar

import msgspec
from litestar.response import Response
from litestar.types import ASGIApp, Receive, Scope, Send

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


class Answer(Response[T]):
    """``content`` as JSON with the route's own status; ``headers`` in wire form."""

    def __init__(self, content: T, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self.content = content
        self.wire_headers = headers or []

    def to_asgi_response(self, *_: Any, status_code: int | None = None, **__: Any) -> ASGIApp:  # type: ignore[override]
        """What Litestar calls with the route's defaults; only the status is used."""
        return _Sent(_encode(self.content), status_code or 200, self.wire_headers)


class _Sent:
    """The two messages of a complete answer."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, body: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._body = body
        self._status = status
        self._headers = headers

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self._body)),
            *self._headers,
        ]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
