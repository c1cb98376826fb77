"""Server-Sent Events: resume, wake-ups, and the end of a stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from settlement.order import Status
from settlement.transitions import move, void
from tests.api.world import Api, is_problem


async def events(api: Api, order_id: str, **headers: str) -> AsyncIterator[dict[str, Any]]:
    """Read a stream as a browser would; ends when the server ends it."""
    auth = {"Authorization": f"Bearer {api.keys['merchant']}", **headers}
    async with api.http.stream("GET", f"/v1/orders/{order_id}/events", headers=auth) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, Any] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name in ("id", "event", "data"):
                event[name] = value
            elif not line and "data" in event:
                yield event
                event = {}


async def advance(api: Api, order_id: str, *statuses: Status) -> None:
    """Move the order on as a worker would, then hint."""
    for status in statuses:
        order = await api.store.get(order_id)
        assert order is not None
        now = api.clock.now()
        if status is Status.VOIDING:
            change = void(order, Status.CANCELED, "test", now, under_lease=False)
        else:
            change = move(order, status, now, under_lease=False)
        assert await api.store.apply_many([change]) == []
    api.services.wake.notify("tidegate_events")


async def test_a_malformed_event_id_is_refused(api: Api) -> None:
    """``Last-Event-ID`` is a whole number."""
    order = await api.order()
    path = f"/v1/orders/{order['id']}/events"
    for value in ("x", "-1", "1.5", "9" * 30):
        answer = await api.get(path, headers={"Last-Event-ID": value})
        is_problem(answer, 400, "invalid_parameter")


async def test_a_stream_tells_each_fact_once_and_ends_with_the_order(api: Api) -> None:
    """What was, then what happens, in order; after the final status the stream closes."""
    order = await api.order()
    seen: list[dict[str, Any]] = []

    async def follow() -> None:
        async for event in events(api, order["id"]):
            seen.append(event)
            if len(seen) == 1:
                await advance(api, order["id"], Status.VOIDING, Status.CANCELED)

    await asyncio.wait_for(follow(), 15)
    types = [event["event"] for event in seen]
    assert types == ["order.awaiting_payment", "order.voiding", "order.canceled"]
    ids = [int(event["id"]) for event in seen]
    assert ids == sorted(set(ids))
    data = json.loads(seen[-1]["data"])
    assert (data["type"], data["order_id"], data["id"]) == (
        "order.canceled", order["id"], seen[-1]["id"]
    )  # fmt: skip


async def test_a_stream_resumes_after_the_last_event_that_was_seen(api: Api) -> None:
    """By header or by query; nothing twice, nothing lost."""
    order = await api.order()
    await advance(api, order["id"], Status.VOIDING, Status.CANCELED)
    whole = [event async for event in events(api, order["id"])]
    rest = [event async for event in events(api, order["id"], **{"Last-Event-ID": whole[0]["id"]})]
    assert rest == whole[1:]
    path = f"/v1/orders/{order['id']}/events?stream=false&last_event_id={whole[1]['id']}"
    listed = (await api.get(path)).json()["data"]
    assert [event["id"] for event in listed] == [whole[2]["id"]]


async def test_a_stream_resumed_after_the_end_ends_at_once(api: Api) -> None:
    """A browser that reconnects to a finished order is not left waiting."""
    order = await api.order()
    await advance(api, order["id"], Status.VOIDING, Status.CANCELED)
    whole = [event async for event in events(api, order["id"])]

    async def resume() -> list[dict[str, Any]]:
        last = {"Last-Event-ID": whole[-1]["id"]}
        return [event async for event in events(api, order["id"], **last)]

    assert await asyncio.wait_for(resume(), 5) == []


async def test_one_hint_reaches_every_stream(api: Api) -> None:
    """Several readers of one order all see its end."""
    order = await api.order()
    started = asyncio.Semaphore(0)

    async def follow() -> list[str]:
        types = []
        async for event in events(api, order["id"]):
            types.append(event["event"])
            if len(types) == 1:
                started.release()
        return types

    readers = [asyncio.create_task(follow()) for _ in range(5)]
    for _ in readers:
        await asyncio.wait_for(started.acquire(), 10)
    await advance(api, order["id"], Status.VOIDING, Status.CANCELED)
    results = await asyncio.wait_for(asyncio.gather(*readers), 15)
    assert all(types[-1] == "order.canceled" for types in results)


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/plain"])
async def test_a_client_that_asks_for_json_gets_a_list(api: Api, accept: str) -> None:
    """The same facts without a stream."""
    order = await api.order()
    answer = await api.get(f"/v1/orders/{order['id']}/events", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"
    assert [event["type"] for event in answer.json()["data"]] == ["order.awaiting_payment"]
