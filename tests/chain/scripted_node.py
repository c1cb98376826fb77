"""A node that misbehaves on demand: a real HTTP server whose answers a test writes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

Script = Callable[[Any], Any]


class ScriptedNode:
    """``requests`` holds the decoded bodies it was asked, in order."""

    def __init__(self, script: Script, *, status: int = 200, drip_s: float | None = None) -> None:
        self.requests: list[Any] = []
        self.url = ""
        self._script = script
        self._status = status
        self._drip_s = drip_s

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                request = json.loads(await reader.readexactly(length))
                self.requests.append(request)
                await self._answer(writer, request)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client hung up, as clients do
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, request: Any) -> None:
        content = self._script(request)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        head = f"HTTP/1.1 {self._status} X\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode())
        if self._drip_s is None:
            writer.write(body)
            return
        for index in range(len(body)):
            writer.write(body[index : index + 1])
            await writer.drain()
            await asyncio.sleep(self._drip_s)


@asynccontextmanager
async def scripted_node(
    script: Script, *, status: int = 200, drip_s: float | None = None, path: str = "/"
) -> AsyncIterator[ScriptedNode]:
    node = ScriptedNode(script, status=status, drip_s=drip_s)
    server = await asyncio.start_server(node.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    node.url = f"http://127.0.0.1:{port}{path}"
    try:
        yield node
    finally:
        server.close()


def result(value: Any) -> Script:
    """Answers every request, batches included, with this result."""

    def script(request: Any) -> Any:
        if isinstance(request, list):
            return [script(one) for one in request]
        return {"jsonrpc": "2.0", "id": request["id"], "result": value}

    return script


def error(code: int, message: str, data: Any = None) -> Script:
    """Answers every single request with this error."""

    def script(request: Any) -> Any:
        body = {"code": code, "message": message}
        if data is not None:
            body["data"] = data
        return {"jsonrpc": "2.0", "id": request["id"], "error": body}

    return script
