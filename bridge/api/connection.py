"""The connection below HTTP: how large the head of a request may be, and how long it may take.

uvicorn's fast parser bounds neither. One header without an end fills the memory and stops the
event loop, and a client that never finishes its head or its body holds a connection for ever.
How large a body may be is in :mod:`bridge.api.request`.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX_BYTES = 32 * 1024
"""Request line and headers together; checked per read, so one read more may pass."""

REQUEST_LIMIT_S = 10.0
"""From the connection, or the first byte of a later request, to the request's last byte."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with these bounds; a request that comes whole starts no timer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = True
        self._whole = False
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(REQUEST_LIMIT_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._whole:
            self._stop_timer()
            return
        if self.transport.is_closing():
            return
        if self._timer is None:
            self._timer = self.loop.call_later(REQUEST_LIMIT_S, self.transport.close)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES:
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._whole, self._head_bytes = True, False, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
