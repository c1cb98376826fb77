"""A merchant's client that does not give up: the same request, the same key, until answered."""

import uuid
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar

import httpx
import stripe

from tests.chaos import world
from tests.chaos.system import System
from tests.support.waiting import eventually

T = TypeVar("T")
ANSWER_LIMIT_S = 120.0
MARK_LIMIT_S = 600.0
"""For an order to get where its customer acts upon it, through all kills of a slow machine's storm.
What it is judged by is ``drain_limit_s``, once the storm is over."""


class Refused(Exception):
    """A definite no of our API."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(status, problem.get("code"), problem.get("detail"))
        self.status = status
        self.code = problem.get("code")


class Shop:
    """Our API as a merchant calls it, Stripe as its customers and its dashboard call it."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._http = httpx.AsyncClient(
            base_url=system.api_url,
            headers={"Authorization": f"Bearer {world.API_KEY}"},
            timeout=15,
            trust_env=False,
        )
        self.stripe = world.stripe_client(system.emulator.url).v1
        self.web = httpx.AsyncClient(timeout=30, trust_env=False, verify=False)

    async def close(self) -> None:
        await self._http.aclose()
        await self.web.aclose()

    async def get(self, path: str) -> dict[str, Any]:
        return await self._until_answered("GET", path, None, {})

    async def post(self, path: str, body: Any, rng: Random) -> dict[str, Any]:
        """Raises :class:`Refused` for a 4xx."""
        key = str(uuid.UUID(int=rng.getrandbits(128)))
        return await self._until_answered("POST", path, body, {"Idempotency-Key": key})

    async def _until_answered(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> dict[str, Any]:
        async def ask() -> tuple[int, dict[str, Any]] | None:
            try:
                answer = await self._http.request(method, path, json=body, headers=headers)
                if answer.status_code >= 500 or answer.status_code == 429:
                    await self._system.pause(0.2)
                    return None
                return answer.status_code, answer.json()
            except httpx.HTTPError:
                await self._system.pause(0.2)
                return None

        status, content = await eventually(
            ask, limit_s=ANSWER_LIMIT_S, what=f"an answer to {method} {path}"
        )
        if status >= 400:
            raise Refused(status, content)
        return content

    # The order ---------------------------------------------------------------------------------

    async def place(
        self, amount_minor: int, wallet: str, rng: Random, asset: str = "DUSD"
    ) -> dict[str, Any]:
        """Quote and order; a quote that ran out while nobody answered is drawn again."""
        while True:
            quote = await self.post("/v1/quotes", _quote(amount_minor, asset), rng)
            body = {
                "quote_id": quote["id"],
                "wallet": {"network": "local", "address": wallet},
                "customer": f"cus_{rng.getrandbits(48):x}",
            }
            replay = Random()
            replay.setstate(rng.getstate())
            try:
                order = await self.post("/v1/orders", body, rng)
            except Refused as no:
                if no.code != "quote_expired":
                    raise
                continue
            if rng.random() < 0.1:
                again = await self.post("/v1/orders", body, replay)
                assert again["id"] == order["id"], "one key, two orders"
            return order

    async def order(self, order_id: str) -> dict[str, Any]:
        return await self.get(f"/v1/orders/{order_id}")

    async def intent_of(self, order_id: str) -> str | None:
        """The order's payment intent once it can be paid; ``None`` when that will never be."""

        async def known() -> tuple[str | None] | None:
            order = await self.order(order_id)
            if order["status"] != "awaiting_payment":
                return (None,)
            payment = order["payment"]
            if payment["client_secret"]:
                return (payment["payment_intent"],)
            await self._system.pause(0.15)
            return None

        found = await eventually(known, limit_s=ANSWER_LIMIT_S, what=f"the intent of {order_id}")
        return found[0]

    async def follow(
        self, order_id: str, until: Callable[[dict[str, Any]], bool], limit_s: float = MARK_LIMIT_S
    ) -> dict[str, Any]:
        async def reached() -> dict[str, Any] | None:
            order = await self.order(order_id)
            if until(order):
                return order
            await self._system.pause(0.3)
            return None

        return await eventually(reached, limit_s=limit_s, what=f"{order_id} at its mark")

    async def cancel(self, order_id: str, rng: Random) -> bool:
        """Whether it was still possible."""
        try:
            await self.post(f"/v1/orders/{order_id}/cancel", None, rng)
        except Refused as no:
            if no.status != 409:
                raise
            return False
        return True

    # The card ----------------------------------------------------------------------------------

    async def pay(self, intent_id: str, card: str) -> Any:
        """Confirm; ``None`` when the card or the intent's state does not allow it."""
        params: Any = {"payment_method": card, "return_url": "https://shop.example/back"}
        return await _allowed(self.stripe.payment_intents.confirm_async(intent_id, params))

    async def authenticate(self, intent: Any, outcome: str) -> None:
        url = intent.next_action.redirect_to_url.url
        await self.web.post(url, data={"outcome": outcome})

    # The dashboard -----------------------------------------------------------------------------

    async def intent(self, intent_id: str) -> Any:
        return await self.stripe.payment_intents.retrieve_async(intent_id)

    async def captured(self, intent_id: str) -> bool:
        """Wait until the money is taken; ``False`` when that will never be."""

        async def over() -> str | None:
            status = str((await self.intent(intent_id)).status)
            if status in ("succeeded", "canceled"):
                return status
            await self._system.pause(0.05)
            return None

        return (
            await eventually(over, limit_s=MARK_LIMIT_S, what=f"{intent_id} taken") == "succeeded"
        )

    async def refund(self, intent_id: str, amount_minor: int | None) -> bool:
        """A refund by hand, marked as such."""
        params: Any = {"payment_intent": intent_id, "metadata": {"by": "dashboard"}}
        if amount_minor is not None:
            params["amount"] = amount_minor
        return await _allowed(self.stripe.refunds.create_async(params)) is not None

    async def capture(self, intent_id: str) -> bool:
        return await _allowed(self.stripe.payment_intents.capture_async(intent_id)) is not None

    async def cancel_intent(self, intent_id: str) -> bool:
        return await _allowed(self.stripe.payment_intents.cancel_async(intent_id)) is not None


async def _allowed(call: Awaitable[T]) -> T | None:
    try:
        return await call
    except (stripe.CardError, stripe.InvalidRequestError):
        return None


def _quote(amount_minor: int, asset: str) -> dict[str, str]:
    return {
        "network": "local",
        "asset": asset,
        "currency": "USD",
        "amount": f"{amount_minor // 100}.{amount_minor % 100:02d}",
        "amount_in": "fiat",
    }
