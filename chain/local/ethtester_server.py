"""``python -m chain.local.ethtester_server --port P``: a development chain without Node.js.

Speaks JSON-RPC 2.0 over HTTP on the loopback interface, batches included, so that the one EVM
adapter works against it unchanged.
"""

import argparse
import asyncio
import contextlib
import json
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from chain.local.accounts import LOCAL_CHAIN_ID
from chain.local.ethtester_node import Node
from chain.local.ethtester_pool import Refused
from chain.local.ethtester_rpc import Methods
from chain.local.process import LOOPBACK

_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


class Application:
    """The ASGI application. Requests run one after the other: the chain is one state machine."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods

    async def __call__(self, scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = json.dumps(self.answer(body)).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def answer(self, body: bytes) -> Any:
        """The answer to one request or to a batch of them."""
        try:
            request = json.loads(body)
        except ValueError:
            return _error(None, -32700, "parse error")
        if isinstance(request, list):
            if not request:
                return _error(None, -32600, "empty batch")
            return [self._one(single) for single in request]
        return self._one(request)

    def _one(self, request: Any) -> Any:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _error(None, -32600, "invalid request")
        identifier, name = request.get("id"), request["method"]
        method = self._methods.table.get(name)
        if method is None:
            message = f"the method {name} does not exist/is not available"
            return _error(identifier, -32601, message)
        try:
            result = method(*(request.get("params") or []))
        except Refused as refused:
            return _error(identifier, refused.code, str(refused), refused.data)
        except TypeError as problem:
            return _error(identifier, -32602, f"invalid params: {problem}")
        except Exception as problem:  # a node answers; it does not drop the connection
            return _error(identifier, -32603, f"{type(problem).__name__}: {problem}")
        return {"jsonrpc": "2.0", "id": identifier, "result": result}


def _error(identifier: Any, code: int, message: str, data: bytes | None = None) -> Any:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = "0x" + data.hex()
    return {"jsonrpc": "2.0", "id": identifier, "error": error}


class _Server(uvicorn.Server):
    """Ends with status 0 on SIGTERM, as a process does that was asked to end and did.

    uvicorn's own handler kills the process once more, with the signal, after closing in order.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        yield

    def _end(self) -> None:
        self.should_exit = True


async def serve(node: Node, port: int, block_time_s: float | None) -> None:
    """Serve until SIGTERM or SIGINT; mines by the clock when ``block_time_s`` is given."""
    application: Any = Application(Methods(node))
    config = uvicorn.Config(
        application, host=LOOPBACK, port=port, log_level="warning", access_log=False, lifespan="off"
    )
    clock = asyncio.create_task(_mine_by_the_clock(node, block_time_s)) if block_time_s else None
    try:
        await _Server(config).serve()
    finally:
        if clock is not None:
            clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await clock


async def _mine_by_the_clock(node: Node, block_time_s: float) -> None:
    while True:
        await asyncio.sleep(block_time_s)
        node.mine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chain-id", type=int, default=LOCAL_CHAIN_ID)
    parser.add_argument("--journal", type=Path, help="keep the chain in this file")
    parser.add_argument("--block-time", type=float, help="seconds; default: mine at once")
    options = parser.parse_args()
    node = Node(chain_id=options.chain_id, journal_path=options.journal)
    node.automine = options.block_time is None
    asyncio.run(serve(node, options.port, options.block_time))


if __name__ == "__main__":
    main()
