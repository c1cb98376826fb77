"""The way to Stripe and back when it is bad: a proxy before its API, and one before our webhooks.

API: ``drop_before``, ``drop_after`` (the call takes effect, the answer is lost),
``timeout_before``, ``timeout_after``, ``http_500``, ``http_500_after``, ``http_429``,
``said_twice`` (the same request with the same key arrives twice at once).

Webhooks: ``webhook_lost`` (never delivered, never repeated), ``webhook_duplicated`` (two at the
same moment), ``webhook_reordered`` (kept back until others have overtaken it),
``webhook_answer_lost`` (delivered, and delivered again because nobody heard our 200).
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import Any

import httpx

from tests.support.faulty import Faults, answer, drop, hold, lifespan, read_body

API_KINDS = (
    *("drop_before", "drop_after", "timeout_before", "timeout_after"),
    *("http_500", "http_500_after", "http_429"),
)
WEBHOOK_KINDS = (
    *("webhook_lost", "webhook_duplicated", "webhook_reordered", "webhook_answer_lost"),
)
_PASSED_ON = (b"authorization", b"content-type", b"idempotency-key", b"stripe-version")
_ERROR = {
    500: {"type": "api_error", "message": "Something went wrong on Stripe's end."},
    429: {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests."},
}


class FaultyStripe:
    """ASGI application before the API at ``upstream``. A fault's subject is ``METHOD /path``."""

    def __init__(
        self,
        upstream: str,
        *,
        rng: Random | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        self.faults = Faults(rng or Random(0), rates or {})
        self._upstream = upstream
        self._http: httpx.AsyncClient | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        body, method = await read_body(receive), scope["method"]
        if body is None:
            return None
        possible = (*API_KINDS, "said_twice") if method == "POST" else API_KINDS
        kind = self.faults.take([f"{method} {scope['path']}"], possible)
        if kind == "timeout_before":
            await hold(receive, self.faults)
        if kind in ("drop_before", "timeout_before"):
            return await drop(send)
        if kind in ("http_500", "http_429"):
            return await _refuse(send, int(kind[5:]))
        copies = 2 if kind == "said_twice" else 1
        found = (await asyncio.gather(*(self._ask(scope, body) for _ in range(copies))))[0]
        if kind == "timeout_after":
            await hold(receive, self.faults)
        if kind in ("drop_after", "timeout_after"):
            return await drop(send)
        if kind == "http_500_after":
            return await _refuse(send, 500)
        headers = {k: v for k, v in found.headers.items() if k == "request-id"}
        kind_of_body = found.headers.get("content-type", "application/json")
        return await answer(send, found.status_code, found.content, kind_of_body, **headers)

    async def _ask(self, scope: Any, body: bytes) -> httpx.Response:
        if self._http is None:  # made in the loop that serves
            self._http = httpx.AsyncClient(timeout=60, trust_env=False, verify=False)
        query = scope["query_string"].decode()
        url = f"{self._upstream}{scope['path']}{'?' + query if query else ''}"
        headers = [(name, value) for name, value in scope["headers"] if name in _PASSED_ON]
        return await self._http.request(scope["method"], url, content=body, headers=headers)


class FaultyWebhooks:
    """ASGI application between Stripe's sender and our endpoint at ``target``.

    A fault's subject is the event's type.
    """

    def __init__(
        self,
        target: str,
        *,
        rng: Random | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        self.faults = Faults(rng or Random(0), rates or {})
        self._target = target
        self._http: httpx.AsyncClient | None = None
        self._kept: list[tuple[int, Any, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        body = await read_body(receive)
        if body is None:
            return None
        kind = self.faults.take([str(json.loads(body)["type"])], WEBHOOK_KINDS)
        await self._overtaken()
        if kind == "webhook_lost":
            return await answer(send, 200, b"", "text/plain")
        if kind == "webhook_reordered":
            self._kept.append((self.faults.rng.randrange(1, 8), scope, body))
            return await answer(send, 200, b"", "text/plain")
        copies = 2 if kind == "webhook_duplicated" else 1
        statuses = await asyncio.gather(*(self._deliver(scope, body) for _ in range(copies)))
        if kind == "webhook_answer_lost":
            return await drop(send)
        return await answer(send, max(statuses), b"", "text/plain")

    async def _overtaken(self) -> None:
        """One more delivery has come: those that were kept back long enough go now."""
        calm = self.faults.lifted
        due = [kept for kept in self._kept if kept[0] <= 1 or calm]
        self._kept = [(n - 1, scope, body) for n, scope, body in self._kept if n > 1 and not calm]
        for _, scope, body in due:
            await self._deliver(scope, body)

    async def _deliver(self, scope: Any, body: bytes) -> int:
        if self._http is None:  # made in the loop that serves
            self._http = httpx.AsyncClient(timeout=10, trust_env=False, verify=False)
        wanted = (b"content-type", b"stripe-signature")
        headers = [(name, value) for name, value in scope["headers"] if name in wanted]
        with suppress(httpx.HTTPError):
            return (await self._http.post(self._target, content=body, headers=headers)).status_code
        return 502  # nobody there: Stripe will try again


async def _refuse(send: Any, status: int) -> None:
    body = json.dumps({"error": _ERROR[status]}).encode()
    await answer(send, status, body, "application/json")
