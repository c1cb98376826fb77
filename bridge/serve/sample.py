"""Buys tokens the way a merchant's checkout does: the public REST API, the official ``stripe``
SDK, and the order's event stream. Nothing in here reaches into the deployment.
"""

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import stripe
from eth_keys.datatypes import PrivateKey

from settlement.errors import TidegateError
from settlement.order import FINAL, Status

TIMEOUT_S = 30.0
ORDER_LIMIT_S = 120.0
CARD = "pm_card_visa"
CARD_SHOWN = "Visa 4242 (Stripe's test card)"

_FINAL = frozenset(str(status) for status in FINAL)
_SHOWN = frozenset(str(status) for status in Status) | {"held", "payment_failed", "reorganized"}
_PAUSE_S = 0.2


class SampleFailed(TidegateError):
    """The sample order did not go through; the message says where and why."""

    code = "sample_failed"


@dataclass(frozen=True, slots=True)
class Access:
    """What a merchant has: our API with a secret key, Stripe with a publishable one.

    With Stripe itself ``stripe_key`` may be the secret key, as test mode allows.
    """

    api_url: str
    secret_key: str
    stripe_key: str
    stripe_base: str | None

    def __repr__(self) -> str:
        return f"<Access {self.api_url}>"


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of the story: seconds since the order was asked for, and what happened."""

    elapsed_s: float
    status: str
    note: str = ""


Show = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Bought:
    """The order as the API shows it at its end, its quote, and how long it took."""

    order: dict[str, Any]
    quote: dict[str, Any]
    wallet: str
    elapsed_s: float


class Shop:
    """One merchant's connection to the API."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._http = httpx.AsyncClient(
            base_url=access.api_url,
            headers={"Authorization": f"Bearer {access.secret_key}"},
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, path: str) -> dict[str, Any]:
        """Raises :class:`SampleFailed` with the problem document's own words."""
        return _content(await self._asked("GET", path), path)

    async def post(self, path: str, body: Any, **headers: str) -> dict[str, Any]:
        """The same, with an idempotency key of its own."""
        headers = {"Idempotency-Key": uuid.uuid4().hex, **headers}
        return _content(await self._asked("POST", path, json=body, headers=headers), path)

    async def buy(self, amount: str, network: str, asset: str, show: Show) -> Bought:
        """Quote, order, pay by card, follow until the order is final.

        Raises :class:`SampleFailed` when any step is refused or the order is not final within
        :data:`ORDER_LIMIT_S`; an order that ends otherwise than completed is returned.
        """
        begun = time.monotonic()

        def tell(status: str, note: str = "") -> None:
            show(Progress(time.monotonic() - begun, status, note))

        terms = {"network": network, "asset": asset, "currency": "USD", "amount": amount}
        quote = await self.post("/v1/quotes", {**terms, "amount_in": "fiat"})
        tell("quoted", f"{_money(quote['pay'])} buys {_money(quote['receive'])}")
        wallet = PrivateKey(secrets.token_bytes(32)).public_key.to_checksum_address()
        order = await self._place(quote, network, wallet)
        tell(order["status"], f"order {order['id']}")
        await self._pay(order)
        tell("card confirmed", CARD_SHOWN)
        await self._follow(order["id"], begun + ORDER_LIMIT_S, tell)
        final = await self.get(f"/v1/orders/{order['id']}")
        return Bought(final, quote, wallet, time.monotonic() - begun)

    async def _place(self, quote: dict[str, Any], network: str, wallet: str) -> dict[str, Any]:
        body = {
            "quote_id": quote["id"],
            "wallet": {"network": network, "address": wallet},
            "customer": f"sample-{uuid.uuid4().hex[:8]}",
            "metadata": {"source": "sample order"},
        }
        order = await self.post("/v1/orders", body, Prefer="wait=5")
        deadline = time.monotonic() + TIMEOUT_S
        while order["payment"]["client_secret"] is None:
            if time.monotonic() > deadline:
                raise SampleFailed("no payment intent appeared; is a worker running?")
            await asyncio.sleep(_PAUSE_S)
            order = await self.get(f"/v1/orders/{order['id']}")
        return order

    async def _pay(self, order: dict[str, Any]) -> None:
        """What Stripe.js does in the customer's browser."""
        payment = order["payment"]
        client = stripe.StripeClient(
            self._access.stripe_key,
            base_addresses={"api": self._access.stripe_base} if self._access.stripe_base else {},
            http_client=stripe.HTTPXClient(timeout=TIMEOUT_S),
        )
        params: Any = {"payment_method": CARD}
        if self._access.stripe_key.startswith("pk_"):
            params["client_secret"] = payment["client_secret"]
        try:
            await client.v1.payment_intents.confirm_async(payment["payment_intent"], params)
        except stripe.StripeError as error:
            why = error.user_message or str(error)
            raise SampleFailed(f"Stripe refused the card payment: {why}") from error

    async def _follow(self, order_id: str, deadline: float, tell: Callable[..., None]) -> None:
        """Every status as it happens; the stream is resumed where it broke off."""
        last_id, seen = "0", {"awaiting_payment"}
        while time.monotonic() < deadline:
            try:
                async for event in self._stream(order_id, last_id, deadline):
                    last_id = event["id"]
                    status = event["type"].removeprefix("order.")
                    if status in _SHOWN and status not in seen:
                        seen.add(status)
                        tell(status, _reason(event))
                    if status in _FINAL:
                        return
            except httpx.TransportError:
                pass  # the API restarts; the stream goes on where it was
            await asyncio.sleep(_PAUSE_S)
        raise SampleFailed(f"order {order_id} is not final after {ORDER_LIMIT_S:g} s")

    async def _stream(
        self, order_id: str, last_id: str, deadline: float
    ) -> AsyncIterator[dict[str, Any]]:
        path = f"/v1/orders/{order_id}/events"
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last_id}
        limit = httpx.Timeout(TIMEOUT_S, read=max(deadline - time.monotonic(), 1))
        async with self._http.stream("GET", path, headers=headers, timeout=limit) as answer:
            if answer.status_code != 200:
                await answer.aread()
                _content(answer, path)
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    async def _asked(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            where = f"{self._access.api_url}{path}"
            raise SampleFailed(f"{where} did not answer: {type(error).__name__}") from error


def _content(answer: httpx.Response, path: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = answer.json()
    except ValueError:
        raise SampleFailed(f"{path} answered {answer.status_code} without JSON") from None
    if answer.status_code >= 400:
        why = content.get("detail") or content.get("title") or "no reason given"
        raise SampleFailed(f"{path} answered {answer.status_code}: {why}")
    return content


def _money(amount: dict[str, str]) -> str:
    """As the API writes it, without zeros that say nothing."""
    whole, _, fraction = amount["amount"].partition(".")
    shown = f"{whole}.{fraction.rstrip('0').ljust(2, '0')}" if fraction else whole
    return f"{shown} {amount.get('currency') or amount['asset']}"


def _reason(event: dict[str, Any]) -> str:
    data = event["data"]
    return str(data.get("reason") or data.get("hold_reason") or data.get("decline_code") or "")
