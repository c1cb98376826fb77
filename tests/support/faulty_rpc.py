"""A chain's endpoint as the bad ones are: a proxy before a healthy node that loses, delays and
contradicts answers. What it never does is invent a transaction.

==================  ============================================================================
fault               what happens
==================  ============================================================================
drop_before         the connection breaks, the node has heard nothing
drop_after          the node has done it, the answer is lost
timeout_before      nobody answers, the node has heard nothing
timeout_after       the node has done it, nobody answers
http_500, http_429  as it says, with a body that is no JSON-RPC
outage              the next requests all fail
stale_head          ``latest``, ``safe`` and ``finalized`` as they were some blocks ago
lagging_receipt     a receipt that exists is not there yet
stale_answer        what this very question was answered some blocks ago, reorganised or not
wrapped_error       the bytes are accepted, and the answer is some client's error text for that
refused             the bytes are not accepted, in the words of :attr:`FaultyRpc.refusal`
said_twice          the bytes are delivered twice, the second answer counts
lie_reverted        every receipt says failure, every view answers zero
lie_final           the newest block is said to be final
==================  ============================================================================
"""

import json
from collections.abc import Mapping
from random import Random
from typing import Any

import httpx

from tests.support.faulty import Faults, answer, drop, hold, lifespan, read_body

SEND = "eth_sendRawTransaction"
RECEIPT = "eth_getTransactionReceipt"
HEADS = ("eth_getBlockByNumber", "eth_getTransactionCount")
_TAGS = ("latest", "safe", "finalized")
_CONNECTION = (
    *("drop_before", "drop_after", "timeout_before", "timeout_after"),
    *("http_500", "http_429", "outage"),
)

REFUSALS: tuple[Mapping[str, Any], ...] = (
    {"code": -32603, "message": "Internal error", "data": {"message": "already known"}},
    {"code": -32000, "message": "ALREADY_EXISTS: already known"},
    {"code": -32603, "message": 'upstream: {"error": "nonce too low: next nonce 9"}'},
    {"code": -32010, "message": "Transaction gas price supplied is too low (replacement fee)"},
    {"code": -32000, "message": "txpool is full"},
    {"code": -32000, "message": "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)"},
    {"code": -32005, "message": "daily request count exceeded, request rate limited"},
    {"code": -32099, "message": "Unbekannter Fehler 0x7b"},
)
"""What nodes and gateways have answered to bytes that were taken all the same."""


class FaultyRpc:
    """ASGI application before the node at ``upstream``.

    ``requests`` are the methods asked for, ``sent`` the raw transactions that arrived here;
    ``refusal`` is the error of ``refused`` and ``wrapped_error`` (otherwise one is drawn).
    ``lag_blocks_max`` bounds ``stale_answer``: as far as a reorganisation may reach, and no
    further, since a node that contradicts final blocks is not late but false.
    """

    def __init__(
        self,
        upstream: str,
        *,
        rng: Random | None = None,
        rates: Mapping[str, float] | None = None,
        lag_blocks_max: int = 3,
    ) -> None:
        self.faults = Faults(rng or Random(0), rates or {})
        self.requests: list[str] = []
        self.sent: list[str] = []
        self.refusal: Mapping[str, Any] | None = None
        self._upstream = upstream
        self._lag_blocks_max = lag_blocks_max
        self._http: httpx.AsyncClient | None = None
        self._earlier: dict[str, tuple[int, Any]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        body = await read_body(receive)
        if body is None:
            return None
        payload = json.loads(body)
        calls = payload if isinstance(payload, list) else [payload]
        methods = [str(call["method"]) for call in calls]
        self.requests += methods
        self.sent += [call["params"][0] for call in calls if call["method"] == SEND]
        kind = self.faults.take(methods, _possible(methods))
        if kind in ("drop_before", "outage"):
            return await drop(send)
        if kind == "timeout_before":
            await hold(receive, self.faults)
            return await drop(send)
        if kind in ("http_500", "http_429"):
            return await answer(send, int(kind[5:]), b"<html>busy</html>", "text/html")
        answers = [await self._one(call, kind) for call in calls]
        if kind == "timeout_after":
            await hold(receive, self.faults)
        if kind in ("drop_after", "timeout_after"):
            return await drop(send)
        content = json.dumps(answers if isinstance(payload, list) else answers[0]).encode()
        return await answer(send, 200, content, "application/json")

    async def _one(self, call: dict[str, Any], kind: str | None) -> dict[str, Any]:
        if kind == "stale_head" and call["method"] in HEADS:
            call = await self._as_of_earlier(call)
        if kind == "said_twice" and call["method"] == SEND:
            await self._ask(call)
        if kind == "stale_answer":
            known = self._earlier.get(_question(call))
            if known is not None and await self._head() - known[0] <= self._lag_blocks_max:
                return {**known[1], "id": call["id"]}
        if kind == "lie_final" and call["params"][:1] == ["finalized"]:
            call = {**call, "params": ["latest", *call["params"][1:]]}
        if kind == "refused" and call["method"] == SEND:
            return self._error(call)
        found = await self._ask(call)
        if kind == "lie_reverted":
            return _reverted(call, found)
        if kind == "lagging_receipt" and call["method"] == RECEIPT:
            return {"jsonrpc": "2.0", "id": call["id"], "result": None}
        if kind == "wrapped_error" and call["method"] == SEND:
            return self._error(call)
        if self.faults.rates and call["method"] in (*HEADS, RECEIPT):
            self._earlier[_question(call)] = (await self._head(), found)
        return found

    def _error(self, call: dict[str, Any]) -> dict[str, Any]:
        error = self.refusal or self.faults.rng.choice(REFUSALS)
        return {"jsonrpc": "2.0", "id": call["id"], "error": error}

    async def _as_of_earlier(self, call: dict[str, Any]) -> dict[str, Any]:
        """The same question about a head some blocks ago."""
        params = [*call["params"]]
        place = 0 if call["method"] == "eth_getBlockByNumber" else 1
        if len(params) <= place or params[place] not in _TAGS:
            return call
        block = await self._ask({**call, "method": HEADS[0], "params": [params[place], False]})
        number = int(block["result"]["number"], 16)
        params[place] = hex(max(0, number - self.faults.rng.randrange(1, 12)))
        return {**call, "params": params}

    async def _head(self) -> int:
        asked = {"jsonrpc": "2.0", "id": 0, "method": "eth_blockNumber", "params": []}
        return int((await self._ask(asked))["result"], 16)

    async def _ask(self, call: dict[str, Any]) -> dict[str, Any]:
        if self._http is None:  # made in the loop that serves
            self._http = httpx.AsyncClient(timeout=30, trust_env=False, verify=False)
        return dict((await self._http.post(self._upstream, json=call)).json())


def _possible(methods: list[str]) -> tuple[str, ...]:
    kinds = _CONNECTION
    if SEND in methods:
        kinds += ("wrapped_error", "refused", "said_twice")
    if RECEIPT in methods:
        kinds += ("lagging_receipt", "stale_answer")
    if RECEIPT in methods or "eth_call" in methods:
        kinds += ("lie_reverted",)
    if any(method in HEADS for method in methods):
        kinds += ("stale_head", "stale_answer", "lie_final")
    return kinds


def _reverted(call: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    if call["method"] == RECEIPT and found.get("result"):
        return {**found, "result": {**found["result"], "status": "0x0", "logs": []}}
    if call["method"] == "eth_call" and "result" in found:
        return {**found, "result": "0x" + "0" * 64}
    return found


def _question(call: dict[str, Any]) -> str:
    return json.dumps([call["method"], call["params"]])
