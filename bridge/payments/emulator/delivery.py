"""Sends events to webhook endpoints, signed, until they are answered with 2xx.

Like Stripe's, the sender promises no order and no single delivery. Tests may make it worse: paused,
lost, duplicated, reversed. Sources: https://docs.stripe.com/webhooks,
https://docs.stripe.com/webhooks/signature (``v1`` is HMAC-SHA256 over ``timestamp.body``).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time

import httpx

from .core import Emulator, public
from .store import Json

_PARALLEL_MAX = 16
_MODE_DEFAULT: Json = {"paused": False, "lose_next": 0, "duplicate_next": 0, "reverse": False}


def signature(secret: str, body: bytes, timestamp: int) -> str:
    """Return the ``Stripe-Signature`` header for a body sent at ``timestamp`` (Unix seconds)."""
    signed = f"{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class Sender:
    """The task that works off the planned deliveries."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self._due: dict[str, float] = {}
        self._pending: dict[str, None] = {}
        self._client: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Begin to send, with what an earlier process left over."""
        timeout = self._emulator.settings.webhook_timeout_seconds
        # Deliveries are for this machine; a proxy of the environment must not see them.
        self._client = httpx.AsyncClient(timeout=timeout, trust_env=False)
        for row in self._emulator.store.oldest_first("deliveries"):
            if row["status"] == "pending":
                self._pending[row["id"]] = None
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop sending; what is under way is tried again by the next process."""
        tasks = [task for task in (self._task, *self._attempts.values()) if task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._client is not None:
            await self._client.aclose()

    def wake(self) -> None:
        """Look for planned deliveries now."""
        self._wake.set()

    def flush(self) -> None:
        """Try everything that is waiting for its next attempt at once."""
        self._due.clear()
        self.wake()

    def mode(self) -> Json:
        """Return how deliveries are disturbed."""
        return {**_MODE_DEFAULT, **self._emulator.meta("webhooks")}

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            pause = self._start_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    def _start_due(self) -> float | None:
        """Start the attempts that are due; return the seconds until the next one is."""
        mode = self.mode()
        if mode["paused"]:
            return None
        planned, self._emulator.planned = self._emulator.planned, []
        self._pending |= dict.fromkeys(planned)
        parallel = 1 if mode["reverse"] else _PARALLEL_MAX
        order = reversed(self._pending) if mode["reverse"] else iter(self._pending)
        waiting: list[float] = []
        clock = time.monotonic()
        for delivery_id in list(order):
            due = self._due.get(delivery_id, clock)
            if due > clock:
                waiting.append(due - clock)
            elif delivery_id not in self._attempts and len(self._attempts) < parallel:
                self._start(delivery_id)
        return min(waiting, default=None)

    def _start(self, delivery_id: str) -> None:
        task = asyncio.create_task(self._attempt(delivery_id))
        self._attempts[delivery_id] = task
        task.add_done_callback(lambda _: self._ended(delivery_id))

    def _ended(self, delivery_id: str) -> None:
        del self._attempts[delivery_id]
        self.wake()

    async def _attempt(self, delivery_id: str) -> None:
        row = self._emulator.store.get("deliveries", delivery_id)
        if row is None:  # Its transaction was rolled back, or the state was reset.
            self._pending.pop(delivery_id, None)
            return
        endpoint = self._emulator.store.get("webhook_endpoints", row["endpoint"])
        if endpoint is None or endpoint["status"] != "enabled":
            self._save(row, {"error": "endpoint gone"}, "given_up")
            return
        if self._spend("lose_next"):
            self._save(row, {"error": "lost on request"}, "lost")
            return
        copies = 2 if self._spend("duplicate_next") else 1
        results = await asyncio.gather(*(self._send(row, endpoint) for _ in range(copies)))
        result = results[-1]
        self._save(row, result, self._status_after(row, result))

    def _status_after(self, row: Json, result: Json) -> str:
        if 200 <= result.get("status_code", 0) < 300:
            return "succeeded"
        attempts = len(row["attempts"]) + 1
        if attempts >= self._emulator.settings.webhook_attempts_max:
            return "failed"
        delays = self._emulator.settings.retry_delays_seconds
        self._due[row["id"]] = time.monotonic() + delays[min(attempts, len(delays)) - 1]
        return "pending"

    async def _send(self, row: Json, endpoint: Json) -> Json:
        assert self._client is not None
        event = self._emulator.find(row["event"], "evt")
        body = json.dumps(public({**event, "pending_webhooks": 1}), indent=2).encode()
        # Real time: receivers compare it with their own clock, not with the emulator's.
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(endpoint["_secret"], body, int(time.time())),
        }
        try:
            response = await self._client.post(endpoint["url"], content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return {"error": type(error).__name__}
        return {"status_code": response.status_code}

    def _save(self, row: Json, result: Json, status: str) -> None:
        attempt = {"at": self._emulator.now(), **result}
        attempts = [*row["attempts"], attempt]
        changed = {**row, "attempts": attempts, "status": status}
        if status != "pending":
            self._pending.pop(row["id"], None)
            self._due.pop(row["id"], None)
        self._emulator.store.put("deliveries", row["id"], changed)
        self._emulator.store.commit()

    def _spend(self, name: str) -> bool:
        mode = self.mode()
        if mode[name] <= 0:
            return False
        self._emulator.set_meta("webhooks", {**mode, name: mode[name] - 1})
        self._emulator.store.commit()
        return True
