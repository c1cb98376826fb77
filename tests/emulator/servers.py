"""Runs ASGI applications on free ports for the tests, and a webhook receiver."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

_START_LIMIT_S = 10


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application from a thread on 127.0.0.1 and yield its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    end = time.monotonic() + _START_LIMIT_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise RuntimeError("the test server did not start")
        thread.join(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_START_LIMIT_S)


@dataclass
class Recorder:
    """Passes requests to an application and remembers each JSON answer of the API."""

    app: Any
    answers: list[tuple[str, str, int, Any]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        status, body, broken = 0, b"", False

        async def remember(message: Any) -> None:
            nonlocal status, body, broken
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                body += message.get("body", b"")
            await send(message)

        await self.app(scope, receive, remember)
        if scope["type"] == "http" and scope["path"].startswith("/v1/") and body:
            self.answers.append((scope["method"], scope["path"], status, json.loads(body)))


@dataclass
class Receiver:
    """A webhook endpoint that keeps what it is sent and answers as told."""

    statuses: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take one delivery."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.received.append((headers, body))
        status = self.statuses.pop(0) if self.statuses else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def events(self) -> list[dict[str, Any]]:
        """Return the events received, in order of arrival."""
        return [json.loads(body) for _, body in self.received]

    def types(self) -> list[str]:
        """Return the types of the events received."""
        return [event["type"] for event in self.events()]
