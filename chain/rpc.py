"""JSON-RPC to the nodes of one network: several endpoints, time limits, batches, typed errors.

Hand-made rather than web3.py's provider, because batches of ``eth_sendRawTransaction`` are refused
there, and because an endpoint's trouble must end in a type of :mod:`chain.errors`, not in a text.

Asking another endpoint is always safe here: reads change nothing, and a signed transaction has one
effect however often and wherever it is sent.
"""

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from chain.errors import EndpointDown, RateLimited, RpcTimeout, UnclearAnswer
from chain.rpc_errors import translate
from settlement.errors import ChainError, ChainUnknown

Call = tuple[str, Sequence[Any]]


class RpcClient:
    """Calls to the nodes of one network.

    Endpoints are asked in turn, the one that served last first. A ``transient`` error moves on to
    the next; when all have failed, an error that leaves the effect open is raised before one that
    denies it, since one open question is enough to keep the effect open.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout_ms: int = 10_000,
        batch_calls_max: int = 100,
    ) -> None:
        if not urls:
            raise ValueError("at least one endpoint is needed")
        self._urls = list(urls)
        self._batch_calls_max = batch_calls_max
        self._ids = itertools.count(1)
        self._http = httpx.AsyncClient(timeout=timeout_ms / 1000, trust_env=False)
        self._timeout_s = timeout_ms / 1000

    def __repr__(self) -> str:
        return f"<RpcClient {', '.join(_label(url) for url in self._urls)}>"

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, method: str, *params: Any) -> Any:
        """The ``result`` of one call. Raises kinds of :class:`~settlement.errors.ChainError`."""
        [answer] = await self._ask([(method, params)], as_batch=False)
        if isinstance(answer, ChainError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The result of every call, in order; a call that failed has its ``ChainError`` instead.

        Never raises for a node's sake. Long batches are cut to what nodes accept.
        """
        answers: list[Any] = []
        for start in range(0, len(calls), self._batch_calls_max):
            part = calls[start : start + self._batch_calls_max]
            try:
                answers += await self._ask(part, as_batch=True)
            except ChainError as error:
                answers += [error] * len(part)
        return answers

    async def _ask(self, calls: Sequence[Call], *, as_batch: bool) -> list[Any]:
        """Answers of the first endpoint that has none but lasting errors; else the errors kept."""
        best: list[Any] | None = None
        for url in list(self._urls):
            answers = await self._ask_endpoint(url, calls, as_batch)
            best = (
                answers
                if best is None
                else [_better(*two) for two in zip(best, answers, strict=True)]
            )
            if not any(isinstance(a, ChainError) and a.transient for a in answers):
                self._prefer(url)
                break
        assert best is not None
        return best

    async def _ask_endpoint(self, url: str, calls: Sequence[Call], as_batch: bool) -> list[Any]:
        requests = [
            {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
            for method, params in calls
        ]
        try:
            content = await self._post(url, requests if as_batch else requests[0])
        except ChainError as error:
            return [error] * len(requests)
        return _match(requests, content)

    async def _post(self, url: str, payload: Any) -> Any:
        try:
            # httpx limits each read; a node that drips bytes needs a limit on the whole.
            async with asyncio.timeout(self._timeout_s):
                response = await self._http.post(url, json=payload)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as problem:
            raise RpcTimeout(f"{_label(url)} did not answer in time") from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise EndpointDown(f"{_label(url)}: {type(problem).__name__}") from problem
        try:
            return response.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise _by_status(url, response.status_code) from None

    def _prefer(self, url: str) -> None:
        if self._urls[0] != url:
            self._urls.remove(url)
            self._urls.insert(0, url)


def _match(requests: list[dict[str, Any]], content: Any) -> list[Any]:
    """Each request's result or error; nodes may answer a batch in any order, or with one error."""
    if isinstance(content, dict):
        if len(requests) > 1 or "id" not in content or content["id"] is None:
            return [_result(content)] * len(requests) if "error" in content else _unclear(requests)
        content = [content]
    if not isinstance(content, list):
        return _unclear(requests)
    by_id = {one.get("id"): one for one in content if isinstance(one, dict)}
    return [_result(by_id.get(request["id"])) for request in requests]


def _result(answer: Any) -> Any:
    if not isinstance(answer, dict):
        return UnclearAnswer("the node left a request of the batch unanswered")
    if answer.get("error") is not None:
        return translate(answer["error"])
    if "result" not in answer:
        return UnclearAnswer("the answer holds neither result nor error")
    return answer["result"]


def _unclear(requests: list[dict[str, Any]]) -> list[Any]:
    return [UnclearAnswer("the answer is no JSON-RPC")] * len(requests)


def _better(first: Any, second: Any) -> Any:
    """Of two endpoints' answers to one call, the one to go by."""
    if not isinstance(first, ChainError):
        return first
    if not isinstance(second, ChainError) or not second.transient:
        return second
    return second if isinstance(second, ChainUnknown) else first


def _by_status(url: str, status: int) -> ChainError:
    if status == 429:
        return RateLimited(f"{_label(url)} answered 429")
    if 200 <= status < 300:
        return UnclearAnswer(f"{_label(url)} answered something that is no JSON")
    return EndpointDown(f"{_label(url)} answered {status}")


def _label(url: str) -> str:
    """Host and port alone: the path of a provider's URL is often the key to it."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
