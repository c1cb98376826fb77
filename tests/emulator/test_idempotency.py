"""Idempotency keys, and the faults that make them necessary."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import stripe

from tests.emulator.conftest import SECRET_KEY, Bench, refusal, sdk
from tests.emulator.servers import served
from tests.support.faulty_stripe import FaultyStripe
from tests.support.waiting import eventually

KEY = {"idempotency_key": "key-1"}
PARAMS: dict[str, Any] = {"amount": 500, "currency": "usd", "payment_method_types": ["card"]}


async def held(bench: Bench, fault: Any) -> None:
    """Wait until a request is held by a fault."""
    await eventually(
        lambda: any(
            row["holding"]
            for row in bench.raw("GET", "/_emulator/faults").json()["data"]
            if row["id"] == fault["id"]
        ),
        limit_s=5,
        what="a held request",
    )


async def count(bench: Bench) -> int:
    """Return how many intents there are."""
    return len((await bench.v1.payment_intents.list_async({"limit": 100})).data)


async def test_a_key_with_another_payload_is_refused(bench: Bench) -> None:
    """The same key with other parameters, or at another endpoint, is an idempotency_error."""
    await bench.v1.payment_intents.create_async(PARAMS, KEY)
    changed = bench.v1.payment_intents.create_async({**PARAMS, "amount": 501}, KEY)
    assert (await refusal(changed, stripe.IdempotencyError)).http_status == 400
    elsewhere = bench.v1.customers.create_async({}, KEY)
    assert (await refusal(elsewhere, stripe.IdempotencyError)).http_status == 400
    assert await count(bench) == 1


async def test_a_key_in_use_is_a_409(bench: Bench) -> None:
    """While the first request runs, a second with its key is turned away; the first completes."""
    fault = bench.control("faults", kind="hold_before", path="/v1/payment_intents")
    first = asyncio.create_task(bench.v1.payment_intents.create_async(PARAMS, KEY))
    await held(bench, fault)
    error = await refusal(bench.v1.payment_intents.create_async(PARAMS, KEY), stripe.StripeError)
    assert (error.http_status, error.error.code) == (409, "idempotency_key_in_use")
    bench.control(f"faults/{fault['id']}/release")
    intent = await first
    again = await bench.v1.payment_intents.create_async(PARAMS, KEY)
    assert again.id == intent.id


@pytest.mark.parametrize("behind_the_proxy", [False, True])
async def test_half_a_request_takes_no_key(bench: Bench, behind_the_proxy: bool) -> None:
    """Whoever dies between its headers and its body has asked for nothing, with a proxy or not."""
    intent = await bench.captured()
    refund = {"payment_intent": intent.id}
    if not behind_the_proxy:
        say_half(bench.url, "/v1/refunds")
        await bench.v1.refunds.create_async(refund, KEY)
        return
    with served(FaultyStripe(bench.url)) as url:
        say_half(url, "/v1/refunds")
        await sdk(url).v1.refunds.create_async(refund, KEY)


def say_half(url: str, path: str) -> None:
    """The head of a request that uses the key, and then nothing, until the server hangs up."""
    host, _, port = url.removeprefix("http://").partition(":")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {SECRET_KEY}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 42\r\n"
        f"Idempotency-Key: {KEY['idempotency_key']}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(head.encode())
        line.shutdown(socket.SHUT_WR)
        while line.recv(4096):
            pass


async def test_a_wrong_parameter_leaves_the_key_free(bench: Bench) -> None:
    """Nothing began, so the corrected request may use the same key."""
    await refusal(bench.v1.payment_intents.create_async({**PARAMS, "amount": "x"}, KEY))
    assert (await bench.v1.payment_intents.create_async(PARAMS, KEY)).amount == 500


async def test_a_replay_gives_the_first_answer(bench: Bench) -> None:
    """A replay says so in its headers, and shows the object as it was in the first answer."""
    first = await bench.v1.payment_intents.create_async(PARAMS, KEY)
    assert "idempotent-replayed" not in first.last_response.headers
    await bench.v1.payment_intents.cancel_async(first.id)
    again = await bench.v1.payment_intents.create_async(PARAMS, KEY)
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert again.to_dict() == first.to_dict()
    assert await count(bench) == 1


async def test_a_replayed_decline_is_the_same_decline(bench: Bench) -> None:
    """A declined card is not charged again by a retry."""
    declined = {**PARAMS, "payment_method": "pm_card_chargeDeclined", "confirm": True}
    for _ in range(2):
        await refusal(bench.v1.payment_intents.create_async(declined, KEY), stripe.CardError)
    assert len((await bench.v1.charges.list_async()).data) == 1


async def test_a_key_is_forgotten_after_a_day(bench: Bench) -> None:
    """Past the window the same key makes a second object: later retries need another guard."""
    first = await bench.v1.payment_intents.create_async(PARAMS, KEY)
    bench.control("clock", advance_seconds=86_400 - 60)
    assert (await bench.v1.payment_intents.create_async(PARAMS, KEY)).id == first.id
    bench.control("clock", advance_seconds=120)
    assert (await bench.v1.payment_intents.create_async(PARAMS, KEY)).id != first.id


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("http_500", stripe.APIError),
        ("http_429", stripe.RateLimitError),
        ("drop_before", stripe.APIConnectionError),
    ],
)
async def test_a_fault_before_the_effect_leaves_nothing(
    bench: Bench, kind: str, error: type[stripe.StripeError]
) -> None:
    """The failed request did nothing, and its retry with the same key does it once."""
    bench.control("faults", kind=kind, method="POST", path="/v1/payment_intents")
    await refusal(bench.v1.payment_intents.create_async(PARAMS, KEY), error)
    assert await count(bench) == 0
    await bench.v1.payment_intents.create_async(PARAMS, KEY)
    assert await count(bench) == 1


async def test_a_lost_answer_keeps_its_effect(bench: Bench) -> None:
    """The connection breaks after the capture: money is taken, and the retry learns it."""
    intent = await bench.authorised()
    bench.control("faults", kind="drop_after", path="/v1/payment_intents/*/capture")
    capture = bench.v1.payment_intents.capture_async
    await refusal(capture(intent.id, {}, KEY), stripe.APIConnectionError)
    assert (await bench.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"
    again = await capture(intent.id, {}, KEY)
    assert again.status == "succeeded"
    assert again.last_response.headers["idempotent-replayed"] == "true"


async def test_a_held_answer_outlives_an_impatient_client(bench: Bench) -> None:
    """A client that times out finds the effect done, as when Stripe is slow."""
    fault = bench.control("faults", kind="hold_after", path="/v1/payment_intents")
    call = asyncio.create_task(bench.v1.payment_intents.create_async(PARAMS, KEY))
    await held(bench, fault)
    call.cancel()
    assert await count(bench) == 1
    bench.control(f"faults/{fault['id']}/release")
    again: Any = await eventually(
        lambda: _or_none(bench.v1.payment_intents.create_async(PARAMS, KEY)), limit_s=5
    )
    assert again.last_response.headers["idempotent-replayed"] == "true"


async def _or_none(call: Any) -> Any:
    try:
        return await call
    except stripe.StripeError:
        return None
