"""One node's URL: requests over HTTP, answers matched and typed, and its health kept.

An answer that did not come is a :class:`~settlement.errors.ChainError` in its place; only
:meth:`Endpoint.call` raises it.
"""

import asyncio
import itertools
import json
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from chain import endpoints
from chain.errors import EndpointDown, RateLimited, RpcTimeout, UnclearAnswer
from chain.rpc_errors import translate
from settlement.errors import ChainError
from settlement.ports.notification import Log

Call = tuple[str, Sequence[Any]]
_AWAY = (RateLimited, EndpointDown)
"""The endpoint itself is in trouble."""
_UNCLEAR = (UnclearAnswer, RpcTimeout)
"""In an error object these may be about the question alone."""


class Endpoint:
    """Asks one URL. ``label`` names it without its secrets."""

    def __init__(
        self,
        url: str,
        label: str,
        http: httpx.AsyncBaseTransport,
        *,
        timeout_ms: int,
        batch_calls_max: int,
        now_ms: Callable[[], int],
        log: Log,
    ) -> None:
        self.label = label
        self.health = endpoints.Health()
        self._url = url
        self._http = http
        self._headers = _headers(url)
        self._timeout_s = timeout_ms / 1000
        self._batch_calls_max = batch_calls_max
        self._now_ms = now_ms
        self._log = log
        self._ids = itertools.count(1)

    async def call(self, method: str, *params: Any) -> Any:
        """The ``result`` of one call. Raises kinds of :class:`~settlement.errors.ChainError`."""
        [answer] = await self.ask([(method, params)], as_batch=False)
        if isinstance(answer, ChainError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The result or error of every call, in order; long batches are cut."""
        answers: list[Any] = []
        for start in range(0, len(calls), self._batch_calls_max):
            part = calls[start : start + self._batch_calls_max]
            answers += await self.ask(part, as_batch=True)
        return answers

    async def ask(self, calls: Sequence[Call], *, as_batch: bool) -> list[Any]:
        """One request. What came of it counts for the endpoint's health."""
        requests = [
            {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
            for method, params in calls
        ]
        started_ms = self._now_ms()
        self.health = endpoints.asked(self.health, started_ms)
        try:
            response = await self._post(requests if as_batch else requests[0])
        except ChainError as error:
            self._failed(error, started_ms)
            return [error] * len(requests)
        answers = self._read(requests, response)
        self._judge(answers, started_ms)
        return answers

    def saw_head(self, number: int) -> None:
        """Its newest block, for the score."""
        self.health = endpoints.saw_head(self.health, number)

    async def _post(self, payload: Any) -> httpx.Response:
        try:
            # httpx limits each read; a node that drips bytes needs a limit on the whole.
            async with asyncio.timeout(self._timeout_s):
                request = httpx.Request("POST", self._url, headers=self._headers, json=payload)
                response = await self._http.handle_async_request(request)
                try:
                    await response.aread()
                finally:
                    await response.aclose()
                return response
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as problem:
            raise RpcTimeout(f"{self.label} did not answer in time") from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise EndpointDown(f"{self.label}: {type(problem).__name__}") from problem

    def _read(self, requests: list[dict[str, Any]], response: httpx.Response) -> list[Any]:
        """A JSON-RPC answer counts whatever the status; the status, where there is none."""
        try:
            answers = _match(requests, response.json())
        except (json.JSONDecodeError, UnicodeDecodeError):
            return [_by_status(self.label, response)] * len(requests)
        if response.is_success:
            return answers
        by_status = _by_status(self.label, response)
        return [by_status if isinstance(answer, UnclearAnswer) else answer for answer in answers]

    def _judge(self, answers: list[Any], started_ms: int) -> None:
        trouble = next((a for a in answers if isinstance(a, _AWAY)), None)
        if trouble is not None:
            self._failed(trouble, started_ms)
        elif all(isinstance(answer, _UNCLEAR) for answer in answers):
            kind = type(answers[0]).__name__
            self._become(endpoints.puzzled(self.health, kind, started_ms, self._now_ms()))
        else:
            self._become(endpoints.answered(self.health, started_ms, self._now_ms()))

    def _failed(self, error: ChainError, started_ms: int) -> None:
        retry_after_ms = error.retry_after_ms if isinstance(error, RateLimited) else 0
        kind, now_ms = type(error).__name__, self._now_ms()
        self._become(endpoints.failed(self.health, kind, started_ms, now_ms, retry_after_ms))

    def _become(self, after: endpoints.Health) -> None:
        before, self.health = self.health, after
        if after.trips and not before.trips:
            pause_ms = after.paused_until_ms - self._now_ms()
            facts = {"error": after.last_error, "pause_ms": pause_ms}
            self._log.warning("endpoint_paused", endpoint=self.label, **facts)
        if before.trips and not after.trips:
            failed_ms = self._now_ms() - (before.failing_since_ms or 0)
            self._log.info("endpoint_recovered", endpoint=self.label, failed_ms=failed_ms)


def _headers(url: str) -> dict[str, str]:
    """What every request says; a name and password in the URL are sent as HTTP knows them."""
    headers = {"accept": "application/json", "accept-encoding": "gzip"}
    parts = urlsplit(url)
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return headers


def label(url: str) -> str:
    """Host and port alone: the path of a provider's URL is often the key to it."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


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


def _by_status(name: str, response: httpx.Response) -> ChainError:
    retry_after_ms = _retry_after_ms(response.headers.get("retry-after", ""))
    if response.status_code == 429 or retry_after_ms:
        told = f"{name} answered {response.status_code}"
        return RateLimited(told, retry_after_ms=retry_after_ms)
    if response.is_success:
        return UnclearAnswer(f"{name} answered something that is no JSON-RPC")
    return EndpointDown(f"{name} answered {response.status_code}")


def _retry_after_ms(text: str) -> int:
    """Seconds or a date (RFC 9110, 10.2.3); 0 for anything else."""
    if text.isdecimal():
        return int(text) * 1_000
    try:
        return max(0, int((parsedate_to_datetime(text).timestamp() - time.time()) * 1_000))
    except (ValueError, TypeError):
        return 0
