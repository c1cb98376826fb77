"""A hint makes an order go on at once, and no order needs one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.storage.wake import Wake
from bridge.worker import Worker
from settlement.order import Status
from tests.chain.world import fresh_address
from tests.flows.bridge import Bridge
from tests.flows.test_provider_faults import provider_events, signed
from tests.support.waiting import eventually

NEVER = 10**6
"""Milliseconds between two ticks, and seconds between two sweeps: longer than any test."""
HAS_LEFT = (Status.SUBMITTED, Status.CONFIRMING, Status.COMPLETED)


@asynccontextmanager
async def working(bridge: Bridge, dsn: str, *, tick_ms: int) -> AsyncIterator[None]:
    """A worker that hears what ``dsn`` tells, on the test's deployment."""
    wake = Wake(dsn)
    await wake.start()
    worker = Worker(bridge.ports, wake, tick_ms=tick_ms, sweep_s=NEVER)
    await worker.start()
    try:
        yield
    finally:
        await worker.stop()
        await wake.stop()


async def accepted(bridge: Bridge) -> str:
    """An order as the API answers with it; the worker has to make its intent."""
    quote = await bridge.quote()
    wallet = {"network": "local", "address": fresh_address()}
    body = {"quote_id": quote["id"], "wallet": wallet, "customer": "cus_1"}
    return str((await bridge.post("/v1/orders", body)).json()["id"])


async def has_intent(bridge: Bridge, order_id: str) -> None:
    async def made() -> str | None:
        return (await bridge.order(order_id)).payment_intent_id

    await eventually(made, limit_s=20, what="the payment intent")


async def has_left(bridge: Bridge, order_id: str) -> None:
    async def left() -> bool:
        return (await bridge.order(order_id)).status in HAS_LEFT

    await eventually(left, limit_s=30, what=f"{order_id} in a batch")


async def test_an_order_goes_on_at_once_when_the_next_tick_is_far_away(bridge, flow_dsn):
    """The API's hint and the webhook's are enough, from accepting to the batch."""
    bridge.with_policy(poll_ms=60_000)  # or a slow machine would find it due by itself
    async with working(bridge, flow_dsn, tick_ms=NEVER):
        await has_intent(bridge, await accepted(bridge))  # perhaps the worker's own first look
        order_id = await accepted(bridge)
        await has_intent(bridge, order_id)
        await bridge.pay(order_id)
        for event in await provider_events(bridge, order_id):
            body, headers = signed(event)
            answer = await bridge.api.post("/v1/webhooks/stripe", content=body, headers=headers)
            assert answer.status_code == 200
        await has_left(bridge, order_id)


async def test_an_order_goes_on_when_no_hint_ever_arrives(bridge):
    """A worker that hears nothing looks by itself: polling suffices, without webhooks too."""
    async with working(bridge, "postgresql://nobody@127.0.0.1:1/none", tick_ms=100):
        await has_intent(bridge, await accepted(bridge))
        order_id = await accepted(bridge)
        await has_intent(bridge, order_id)
        await bridge.pay(order_id)
        await has_left(bridge, order_id)
