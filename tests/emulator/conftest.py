"""One emulator on a real socket, driven by the official SDK; every answer is held against Stripe's
document after each test, wherever that document is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import stripe

from bridge.payments.emulator.app import create_emulator
from bridge.payments.emulator.settings import EmulatorSettings
from tests.emulator import stripe_document
from tests.emulator.servers import Receiver, Recorder, served

SECRET_KEY = "sk_test_emulator"
PUBLISHABLE_KEY = "pk_test_emulator"


def sdk(url: str, key: str = SECRET_KEY) -> stripe.StripeClient:
    """Return the official client, with nothing changed but the base URL."""
    return stripe.StripeClient(
        key,
        base_addresses={"api": url},
        http_client=stripe.HTTPXClient(timeout=10),
        max_network_retries=0,
    )


async def refusal(call: Any, kind: type[stripe.StripeError] = stripe.InvalidRequestError) -> Any:
    """Return the error that a call must raise."""
    with pytest.raises(kind) as caught:
        await call
    return caught.value


@dataclass
class Bench:
    """What a test works with: the SDK's services, plain HTTP and the control endpoints."""

    url: str
    http: httpx.Client
    backend: stripe.StripeClient
    stripe_js: stripe.StripeClient
    recorder: Recorder

    @property
    def v1(self) -> Any:
        """The SDK's services."""
        return self.backend.v1

    @property
    def frontend(self) -> Any:
        """The SDK's services with a publishable key, as Stripe.js uses them."""
        return self.stripe_js.v1

    def control(self, path: str, /, **data: Any) -> Any:
        """Call a control endpoint."""
        answer = self.http.post(f"/_emulator/{path}", json=data)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def raw(self, method: str, path: str, key: str | None = SECRET_KEY, **kwargs: Any) -> Any:
        """Send a request without the SDK."""
        given = kwargs.pop("headers", {})
        headers = {"Authorization": f"Bearer {key}", **given} if key else given
        return self.http.request(method, path, headers=headers, **kwargs)

    async def authorised(self, amount: int = 10_000, **more: Any) -> Any:
        """Return an intent whose card is authorised and not captured."""
        return await self.v1.payment_intents.create_async(
            {
                "amount": amount,
                "currency": "usd",
                "capture_method": "manual",
                "payment_method": "pm_card_visa",
                "payment_method_types": ["card"],
                "confirm": True,
                **more,
            }
        )

    async def captured(self, amount: int = 10_000, **more: Any) -> Any:
        """Return an intent whose money is taken."""
        intent = await self.authorised(amount, **more)
        return await self.v1.payment_intents.capture_async(intent.id)


@pytest.fixture(scope="session")
def server() -> Iterator[Bench]:
    """Serve one emulator for all tests of the folder; clients are dear, so they are shared."""
    settings = EmulatorSettings(retry_delays_seconds=(0.05,), webhook_attempts_max=5)
    recorder = Recorder(create_emulator(settings))
    with served(recorder) as url, httpx.Client(base_url=url, timeout=10, verify=False) as http:
        yield Bench(url, http, sdk(url), sdk(url, PUBLISHABLE_KEY), recorder)


@pytest.fixture
def bench(server: Bench) -> Iterator[Bench]:
    """Give a test an empty emulator, and hold all its answers against Stripe's document."""
    server.control("reset")
    server.recorder.answers.clear()
    yield server
    if stripe_document.available():
        answers = server.recorder.answers
        found = [text for answer in answers for text in stripe_document.problems(*answer)]
        assert not found, "\n".join(found[:20])


@pytest.fixture
def receiver() -> Iterator[tuple[str, Receiver]]:
    """Serve a webhook endpoint."""
    endpoint = Receiver()
    with served(endpoint) as url:
        yield f"{url}/hook", endpoint
