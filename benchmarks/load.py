"""A small closed-loop HTTP load generator: prebuilt requests, one outstanding per connection.

It parses just enough of an answer (status, ``content-length``) to stay far below the cost of the
servers that it measures; :func:`ceiling` shows how far, against a server that does nothing.
"""

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

_CANNED = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@dataclass(frozen=True, slots=True)
class Result:
    """One run: ``latencies_ms`` sorted, ``failures`` counts answers that are not 2xx."""

    seconds: float
    latencies_ms: list[float]
    failures: int
    first_failure: str

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        index = min(int(len(self.latencies_ms) * percent / 100), len(self.latencies_ms) - 1)
        return self.latencies_ms[index]


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the last one is answered."""

    def __init__(self, requests: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self.requests = requests
        self.done = done
        self.latencies: list[float] = []
        self.failures = 0
        self.first_failure = ""
        self._buffer = b""
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        head = buffer.find(b"\r\n\r\n")
        if head < 0 or len(buffer) < head + 4 + _content_length(buffer, head):
            self._buffer = buffer
            return
        self.latencies.append(time.perf_counter() - self._started)
        if buffer[9:10] != b"2":
            self.failures += 1
            self.first_failure = self.first_failure or buffer.decode("latin-1")
        self._buffer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        request = next(self.requests, None)
        if request is None:
            if not self.done.done():
                self.done.set_result(None)
            return
        self._started = time.perf_counter()
        self._transport.write(request)


def _content_length(buffer: bytes, head: int) -> int:
    start = buffer.find(b"content-length: ", 0, head)
    if start < 0:
        raise ValueError("an answer without content-length")
    return int(buffer[start + 16 : buffer.find(b"\r\n", start)])


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A whole POST request as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def run(port: int, requests: Sequence[bytes], connections: int) -> Result:
    """Send all ``requests`` to 127.0.0.1 over ``connections`` kept-alive connections."""
    loop = asyncio.get_running_loop()
    shared = iter(requests)
    futures = [loop.create_future() for _ in range(connections)]
    started = time.perf_counter()
    pairs = [
        await loop.create_connection(
            lambda future=future: _Connection(shared, future),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        for future in futures
    ]
    await asyncio.gather(*futures)
    seconds = time.perf_counter() - started
    protocols = [protocol for _, protocol in pairs]
    for transport, _ in pairs:
        transport.close()
    latencies = sorted(1000 * value for protocol in protocols for value in protocol.latencies)
    failure = next((p.first_failure for p in protocols if p.first_failure), "")
    return Result(seconds, latencies, sum(p.failures for p in protocols), failure)


class _Canned(asyncio.Protocol):
    """Answers every read with the same bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, _data: bytes) -> None:
        self._transport.write(_CANNED)


def _serve_canned(listener: socket.socket) -> None:
    import uvloop

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Canned, sock=listener)
        await server.serve_forever()

    uvloop.run(serve())


async def ceiling(requests: Sequence[bytes], connections: int) -> float:
    """Requests per second of the generator itself, against a server that only echoes a reply."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    context = multiprocessing.get_context("fork")
    server = context.Process(target=_serve_canned, args=(listener,), daemon=True)
    server.start()
    listener.close()
    try:
        return (await run(port, requests, connections)).per_second
    finally:
        server.terminate()
        server.join()
