"""Webhook endpoints and deliveries: signed, repeated, and as unreliable as a test wants them."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.emulator import stripe_document
from tests.emulator.conftest import Bench, refusal
from tests.emulator.servers import Receiver
from tests.support.waiting import eventually

Hook = tuple[str, Receiver]


async def listen(bench: Bench, url: str, *kinds: str) -> Any:
    """Register an endpoint and return it with its secret."""
    return await bench.v1.webhook_endpoints.create_async(
        {"url": url, "enabled_events": list(kinds or ("*",))}
    )


async def arrived(receiver: Receiver, count: int) -> list[str]:
    """Wait for a number of deliveries and return their types."""
    await eventually(lambda: len(receiver.received) >= count, limit_s=5, what="deliveries")
    return receiver.types()


def deliveries(bench: Bench) -> list[dict[str, Any]]:
    """Return the delivery records."""
    rows: list[dict[str, Any]] = bench.raw("GET", "/_emulator/deliveries").json()["data"]
    return rows


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.com/", "http://"])
async def test_an_endpoint_needs_a_url(bench: Bench, url: str) -> None:
    """What is no http address is refused."""
    error = await refusal(listen(bench, url))
    assert (error.code, error.param) == ("url_invalid", "url")


async def test_a_secret_is_shown_once(bench: Bench) -> None:
    """Only the answer to create carries the signing secret."""
    endpoint = await listen(bench, "http://127.0.0.1:9/hook", "charge.refunded")
    assert endpoint.secret.startswith("whsec_")
    services = bench.v1.webhook_endpoints
    for shown in (
        await services.retrieve_async(endpoint.id),
        (await services.list_async()).data[0],
        await services.update_async(endpoint.id, {"description": "x", "disabled": True}),
    ):
        assert "secret" not in shown.to_dict()
    assert (await services.retrieve_async(endpoint.id)).status == "disabled"
    assert (await services.delete_async(endpoint.id)).deleted
    await refusal(services.retrieve_async(endpoint.id))


async def test_a_disabled_or_deaf_endpoint_gets_nothing(bench: Bench, receiver: Hook) -> None:
    """Events that nobody asked for are recorded without a delivery."""
    await listen(bench, receiver[0], "charge.refunded")
    await bench.authorised()
    assert deliveries(bench) == []


async def test_a_forged_signature_does_not_verify(bench: Bench, receiver: Hook) -> None:
    """The SDK accepts a delivery with its own secret and refuses it with any other."""
    endpoint = await listen(bench, receiver[0], "payment_intent.created")
    await bench.authorised()
    await arrived(receiver[1], 1)
    headers, body = receiver[1].received[0]
    construct = stripe.Webhook.construct_event
    event = construct(body, headers["stripe-signature"], endpoint.secret)
    assert event.type == "payment_intent.created"
    for secret, payload in ((endpoint.secret + "x", body), (endpoint.secret, body + b" ")):
        with pytest.raises(stripe.SignatureVerificationError):
            construct(payload, headers["stripe-signature"], secret)


async def test_a_refused_delivery_is_repeated_until_accepted(bench: Bench, receiver: Hook) -> None:
    """Two errors, then 2xx: three attempts on record and nothing more to deliver."""
    receiver[1].statuses.extend([500, 410])
    await listen(bench, receiver[0], "payment_intent.created")
    await bench.authorised()
    await arrived(receiver[1], 3)
    await eventually(lambda: deliveries(bench)[0]["status"] == "succeeded", limit_s=5)
    codes = [attempt["status_code"] for attempt in deliveries(bench)[0]["attempts"]]
    assert codes == [500, 410, 200]
    events = await bench.v1.events.list_async({"type": "payment_intent.created"})
    assert events.data[0].pending_webhooks == 0


async def test_an_unreachable_endpoint_is_given_up_in_the_end(bench: Bench) -> None:
    """After the last attempt the delivery has failed and the event says undelivered."""
    await listen(bench, "http://127.0.0.1:9/hook", "payment_intent.created")
    await bench.authorised()
    await eventually(lambda: deliveries(bench)[0]["status"] == "failed", limit_s=5)
    assert [attempt["error"] for attempt in deliveries(bench)[0]["attempts"]] == [
        "ConnectError"
    ] * 5
    missed = await bench.v1.events.list_async({"delivery_success": False})
    assert [event.type for event in missed.data] == ["payment_intent.created"]


async def test_a_lost_delivery_never_comes_and_can_be_resent(bench: Bench, receiver: Hook) -> None:
    """Lost on request: only the event list knows, until it is sent again by hand."""
    await listen(bench, receiver[0], "payment_intent.created")
    bench.control("webhooks", lose_next=1)
    await bench.authorised()
    await eventually(lambda: deliveries(bench)[0]["status"] == "lost", limit_s=5)
    assert receiver[1].received == []
    event = (await bench.v1.events.list_async({"type": "payment_intent.*"})).data[-1]
    bench.control(f"events/{event.id}/resend")
    assert await arrived(receiver[1], 1) == ["payment_intent.created"]


async def test_a_duplicate_carries_the_same_event(bench: Bench, receiver: Hook) -> None:
    """Two deliveries at the same moment have one event id."""
    await listen(bench, receiver[0], "payment_intent.created")
    bench.control("webhooks", duplicate_next=1)
    await bench.authorised()
    await arrived(receiver[1], 2)
    assert len({event["id"] for event in receiver[1].events()}) == 1


async def test_paused_deliveries_come_late_and_backwards(bench: Bench, receiver: Hook) -> None:
    """While paused nothing arrives; then the newest event comes first."""
    await listen(bench, receiver[0])
    bench.control("webhooks", paused=True, reverse=True)
    await bench.captured()
    assert receiver[1].received == []
    bench.control("webhooks", paused=False)
    types = await arrived(receiver[1], 5)
    assert types[0] == "payment_intent.succeeded"
    assert types[-1] == "payment_intent.created"


async def test_every_event_carries_its_object_as_it_was(bench: Bench, receiver: Hook) -> None:
    """Events hold the object of their moment, in the form that Stripe's document gives it."""
    await listen(bench, receiver[0])
    intent = await bench.captured(metadata={"order": "ord_1"})
    await bench.v1.refunds.create_async({"payment_intent": intent.id})
    await arrived(receiver[1], 7)
    events = receiver[1].events()
    assert sorted(event["type"] for event in events) == [
        "charge.captured",
        "charge.refunded",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "payment_intent.created",
        "payment_intent.succeeded",
        "refund.created",
    ]
    by_type = {event["type"]: event["data"]["object"] for event in events}
    assert by_type["payment_intent.created"]["status"] == "requires_confirmation"
    assert by_type["payment_intent.succeeded"]["metadata"] == {"order": "ord_1"}
    assert by_type["charge.captured"]["refunded"] is False
    assert by_type["charge.refunded"]["refunded"] is True
    if stripe_document.available():
        assert stripe_document.nested_problems(events, validate=True) == []
