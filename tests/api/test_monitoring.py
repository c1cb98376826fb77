"""What a monitor sees: that the database is away, then every number that an alert stands on."""

import uuid
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge import worker_metrics
from bridge.metrics import Metrics
from bridge.storage.records import Standing
from chain.endpoints import EndpointHealth
from chain.local.process import free_port
from settlement.order import HoldReason, Status
from settlement.ports.chain import Head
from settlement.ports.lists import Action, Entry, Listing, Publication
from settlement.transitions import move, stay
from tests.api.test_operations import LANE, Office, office
from tests.api.world import Api
from tests.support.builders import NOW, Scene, provider_event

__all__ = ["office"]

LOCAL = {"network": "local"}
LANE_OF = {"network": "local", "lane": LANE}


def value(text: str, name: str, **labels: str) -> float | None:
    """One sample of a text exposition; ``None`` when there is none."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"tidegate_{name}" and sample.labels == labels:
                return sample.value
    return None


async def shown(metrics: Metrics, api: Api) -> str:
    """Read now, whatever was read a moment ago."""
    now = api.clock.now
    await metrics.standing.refresh(lambda: api.services.queries.standing(now()), now)
    return metrics.render().decode()


async def test_a_database_that_is_away_is_said_and_old_values_are_not(office: Office) -> None:
    """The API's own numbers are still there; the next look is not worth waiting for either."""
    await office.sent()
    metrics = Metrics()
    assert value(await shown(metrics, office.api), "database_up") == 1

    async def gone() -> Standing:
        raise ConnectionRefusedError

    metrics.standing._read_at = 0
    await metrics.standing.refresh(gone, office.api.clock.now)
    text = metrics.render().decode()
    assert value(text, "database_up") == 0
    assert value(text, "network_stopped", **LOCAL) is None
    assert value(text, "inbox_dead_letters") != value(text, "inbox_dead_letters"), "no number"
    assert "tidegate_orders_accepted_total" in text


async def test_the_age_of_lists_and_of_cases_is_seen(office: Office) -> None:
    """A list that nobody refreshes, and a case that nobody decides, look like nothing at all."""
    api, name = office.api, f"list_{uuid.uuid4().hex[:8]}"
    named = Entry("0x" + "5" * 40, "ETH", Listing(name, Action.BLOCK))
    queries, now = api.services.queries, api.clock.now()
    for ago in (timedelta(days=9), timedelta(days=2)):  # the second look finds nothing new
        await queries.take_over(name, Publication("csv", "digest", (named,)), "console", now - ago)
    text = await shown(metrics := Metrics(), api)
    day_s = 86_400
    assert value(text, "list_version_age_seconds", list=name) == pytest.approx(9 * day_s, abs=60)
    assert value(text, "list_age_seconds", list=name) == pytest.approx(2 * day_s, abs=60)
    before = value(text, "cases_waiting")
    assert before is not None
    order = await Scene(api.store).order()
    for status in (Status.AUTHORIZED, Status.IN_REVIEW):
        await api.store.apply_many([move(order, status, NOW, under_lease=False)])
        order = await api.store.get(order.id)
    api.clock.ahead += timedelta(hours=5)
    metrics.standing._read_at = 0
    text = await shown(metrics, api)
    assert value(text, "cases_waiting") == before + 1
    oldest = value(text, "case_waiting_oldest_seconds")
    assert oldest is not None
    assert oldest >= 5 * 3600 - 60


async def test_many_monitors_cost_the_database_one_look(office: Office) -> None:
    """Whoever reaches the port may ask as often as he likes."""
    looks = 0

    async def look() -> Standing:
        nonlocal looks
        looks += 1
        return await office.api.services.queries.standing(NOW)

    metrics = Metrics()
    for _ in range(5):
        await metrics.standing.refresh(look, office.api.clock.now)
    assert looks == 1


async def test_every_alert_has_its_number(office: Office) -> None:
    """Stopped, paused, low, old, given up: each can be told from the page alone."""
    api, metrics = office.api, Metrics()
    store, now = api.store, api.clock.now()
    batch = await office.sent()
    await store.ask(batch.id, now, cancel=False)
    order = await office.settler.captured(api)
    held = stay(order, now, patch={"hold_reason": HoldReason.FEE_CAP})
    assert await store.apply_many([replace(held, epoch=None)]) == []
    await store.note_head("local", Head(20, "0xh", 18), now)
    await store.stop_network("local", "a person decides", now)
    await store.pause_network("local", now, by="key_1")
    await store.pause_lane("local", LANE, now, by="key_1")
    await store.mark_low(office.lane, True, now)
    await store.receive([provider_event("evt_dead"), provider_event("evt_waits")], now)
    await store.defer_inbox("evt_dead", now, error="no", dead=True)
    api.clock.ahead += timedelta(seconds=100)
    text = await shown(metrics, api)
    seen = {
        "network_stopped": value(text, "network_stopped", **LOCAL),
        "network_paused": value(text, "network_paused", **LOCAL),
        "head": value(text, "network_head_block", **LOCAL),
        "final": value(text, "network_final_block", **LOCAL),
        "workers": value(text, "network_workers", **LOCAL),
        "low": value(text, "lane_low", **LANE_OF),
        "lane_paused": value(text, "lane_paused", **LANE_OF),
        "lane_open": value(text, "lane_open_batches", **LANE_OF),
        "open": value(text, "batches_open", network="local", status="sent"),
        "attempts": value(text, "batch_attempts", **LOCAL),
        "most": value(text, "batch_attempts_most", **LOCAL),
        "waiting": value(text, "orders_waiting", network="local", hold_reason="fee_cap"),
        "dead": value(text, "inbox_dead_letters"),
    }
    assert seen == dict.fromkeys(seen, 1) | {"head": 20, "final": 18, "workers": 0}
    for age in ("network_head_age", "batch_open_oldest", "order_waiting_oldest"):
        assert 100 <= (value(text, f"{age}_seconds", **LOCAL) or 0) < 200
    assert 100 <= (value(text, "inbox_oldest_seconds") or 0) < 200


async def test_the_page_itself_is_read_from_the_database(api: Api) -> None:
    """Not only its parts: what is scraped carries the gauges beside the API's counters."""
    answer = await api.get("/metrics")
    assert value(answer.text, "database_up") == 1
    assert "tidegate_http_requests_total" in answer.text


async def test_a_worker_shows_its_endpoints_and_stops_with_it() -> None:
    """Their labels carry no credentials; after the end nobody answers."""
    bad = EndpointHealth("node-a", 900, 40, 17, 3, True, None, "429")
    port = free_port()
    stop = worker_metrics.serve(port, "127.0.0.1", {"local": lambda: [bad]})
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        where = {"network": "local", "endpoint": "node-a"}
        assert value(text, "endpoint_paused", **where) == 1
        assert value(text, "endpoint_lag_blocks", **where) == 3
        stop()
        with pytest.raises(httpx.ConnectError):
            await http.get(f"http://127.0.0.1:{port}/metrics")
