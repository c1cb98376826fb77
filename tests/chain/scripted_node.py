"""A node that misbehaves on demand: a real HTTP server whose answers a test writes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

Script = Callable[[Any], Any]


class ScriptedNode:
    """``requests`` holds the decoded bodies it was asked, in order, ``heads`` the headers.

    ``script``, ``status`` and ``headers`` may be changed between requests.
    """

    def __init__(
        self,
        script: Script,
        *,
        status: int = 200,
        drip_s: float | None = None,
        delay_s: float = 0,
    ) -> None:
        self.requests: list[Any] = []
        self.heads: list[bytes] = []
        self.url = ""
        self.script = script
        self.status = status
        self.headers = ""
        self._drip_s = drip_s
        self._delay_s = delay_s

    def methods(self) -> list[str]:
        """What it was asked, batches laid out flat."""
        batches = [r if isinstance(r, list) else [r] for r in self.requests]
        return [one["method"] for batch in batches for one in batch]

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
                self.heads.append(head)
                await self._answer(writer, request)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client hung up, as clients do
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, request: Any) -> None:
        await asyncio.sleep(self._delay_s)
        content = self.script(request)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        head = f"HTTP/1.1 {self.status} X\r\n{self.headers}content-length: {len(body)}\r\n\r\n"
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
    script: Script, *, path: str = "/", **options: Any
) -> AsyncIterator[ScriptedNode]:
    """Serve until the block ends; ``options`` are :class:`ScriptedNode`'s."""
    node = ScriptedNode(script, **options)
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
