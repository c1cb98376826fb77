"""A network's fees over the API and the monitor: what was seen, thought and decided."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.metrics import Metrics
from bridge.storage.hindsight import PATIENCE, HindsightStore
from bridge.storage.records import Role
from chain.gas import artifact
from chain.gas.chart import draw
from chain.gas.market import Market
from chain.gas.reader import GasReader
from chain.networks.local import NETWORK
from settlement.ids import TenantId, new_id
from settlement.ledger import journal
from settlement.ledger.accounts import PLATFORM
from settlement.money import Asset, Money
from settlement.ports.gas import Decision
from settlement.quote import Speed
from tests.api.test_monitoring import shown, value
from tests.gas.chains import mined
from tests.support.builders import Scene, submit

START = 1_760_000_000


def seconds(count):
    return datetime.fromtimestamp(START + count, UTC)


@pytest.fixture
async def followed(api):
    """Sixty blocks, what a market makes of them, and two decisions: one sent, one waited."""
    await api.store.pool.execute("TRUNCATE gas_blocks, gas_outlooks, gas_decisions")
    store, blocks = HindsightStore(api.store.pool), mined(60, time_s=START)
    market = Market(artifact.load(), NETWORK.block_ms)
    market.replay(blocks, None)
    await store.keep("local", blocks)
    content = {**market.report(), "l1_share_wei": 7, "waits": True}
    await store.save_outlook("local", 159, api.services.clock.now(), content)
    facts = {"network": "local", "asset": "local:DUSD", "orders": 3}
    times = {"waiting_since": seconds(60), "deadline": seconds(360)}
    fee = blocks[20].base_fee_wei
    await store.note(
        Decision(**facts, **times, decided_at=seconds(200), reason="fee_may_fall", sent=0)
    )
    await store.note(
        Decision(
            **facts,
            **times,
            decided_at=seconds(228),
            reason="fee_is_low",
            sent=2,
            head_number=119,
            fee_wei=fee,
            below_wei=fee,
        )
    )
    return store, blocks, market


async def left(api, leaving, *, block=123):
    """Orders of these speeds, waiting since then, and the decision by which they left together,
    after block 119; their batch is final in ``block``, or open."""
    scene = Scene(api.store)
    orders = [await scene.captured() for _ in leaving]
    lane = await scene.lane(address=new_id("0xleft"))
    batch = await scene.batch(lane, orders, planned_at=seconds(228))
    await api.store.plan(lane, batch, [submit(order) for order in orders])
    for order, (speed, since) in zip(orders, leaving, strict=True):
        await api.store.pool.execute(
            "UPDATE orders SET speed = $2, authorized_at = $3, created_at = $3 WHERE id = $1",
            *(order.id, speed, seconds(since)),
        )
    if block is not None:
        await api.store.pool.execute(
            "UPDATE batches SET status = 'final', block_number = $2 WHERE id = $1", batch.id, block
        )
    return Decision(
        *("local", "DUSD", seconds(228), "fee_is_low", len(orders), len(orders)),
        waiting_since=seconds(min(since for _, since in leaving)),
        deadline=seconds(660),
        head_number=119,
        fee_wei=5,
        order_ids=tuple(order.id for order in orders),
    )


async def test_hindsight_is_about_each_order_and_the_block_that_it_got_into(api, followed):
    """An instant order has nothing to gain, and takes nothing from one beside it that had; what
    was paid is the block's base fee, and not the one that was hoped for."""
    store, blocks, _ = followed
    await api.store.pool.execute("TRUNCATE gas_decisions")
    fees = [row.base_fee_wei for row in blocks]
    note = await left(api, [("instant", 220), ("standard", 60)])
    await store.note(note)
    assert await store.score("local", seconds(650), 12_000) == 0
    assert await store.score("local", seconds(661), 12_000) == 1
    assert await store.score("local", seconds(661), 12_000) == 0
    [scored] = await api.services.queries.fee_decisions("local", 9)
    paid, best = fees[23], min(fees[6:56])
    assert best < paid < fees[6]
    assert scored["paid_wei"] == paid
    assert scored["at_once_wei"] == pytest.approx((paid + fees[6]) / 2, abs=1)
    assert scored["best_wei"] == pytest.approx((paid + best) / 2, abs=1)
    report = await api.services.queries.fee_report("local", seconds(0))
    assert (report.orders, report.decided_wei) == (2, 2 * paid)
    share = (fees[6] - paid) / (fees[6] - best)
    assert report.captured_millionths / 10**6 == pytest.approx(share, abs=1e-5)


async def test_hindsight_waits_for_an_open_batch_but_not_for_ever(api, followed):
    """Then it counts what the next block asked for when it was decided."""
    store, _, _ = followed
    await api.store.pool.execute("TRUNCATE gas_decisions")
    await store.note(await left(api, [("standard", 60)], block=None))
    assert await store.score("local", seconds(661), 12_000) == 0
    assert await store.score("local", seconds(660) + PATIENCE, 12_000) == 0
    assert await store.score("local", seconds(661) + PATIENCE, 12_000) == 1
    [scored] = await api.services.queries.fee_decisions("local", 9)
    assert (scored["paid_wei"], scored["best_wei"]) == (5, 5)


async def test_decisions_are_forgotten_after_a_month(api, followed):
    """Not before, and only those of the network that is scored."""
    store, _, _ = followed
    month_s = 30 * 86_400
    await store.score("elsewhere", seconds(month_s + 300), 12_000)
    await store.score("local", seconds(month_s + 100), 12_000)
    assert len(await api.services.queries.fee_decisions("local", 9)) == 2
    await store.score("local", seconds(month_s + 210), 12_000)
    [sent] = await api.services.queries.fee_decisions("local", 9)
    assert sent["sent"] == 2


async def test_an_operator_sees_nothing_of_other_tenants_orders(api):
    """Neither what waits nor what was decided, quoted or paid: of a shared batch one's own part."""
    queries, others = api.services.queries, Scene(api.store)
    own = Scene(api.store, tenant=api.tenant_id)
    waits = await others.captured()
    batch_of = [await scene.captured() for scene in (own, others, others)]
    lane = await others.lane(address="0xgas")
    now = api.clock.now()
    batch = await others.batch(lane, batch_of, planned_at=now)
    await api.store.plan(lane, batch, [submit(order) for order in batch_of])
    ether = Money(3_000, Asset("ETH", 18, "local"))
    await api.store.book(PLATFORM, f"batch:{batch.id}", journal.gas_spent(ether), now)
    [waiting] = await queries.waiting_for("local", waits.tenant_id)
    assert waiting.orders == 1
    assert sum(found.orders for found in await queries.waiting_for("local")) >= 1
    since = now - timedelta(days=1)
    assert (await queries.fee_report("local", since)).paid_wei >= 3_000
    mine = await queries.fee_report("local", since, TenantId(api.tenant_id))
    assert (mine.batches, mine.paid_wei, mine.orders) == (1, 1_000, 0)
    key = api.keys[Role.OPERATOR]
    answer = (await api.get("/v1/networks/local/gas?blocks=1", key=key)).json()
    assert answer["planned"] == []
    assert answer["report"]["paid_wei"] == "1000"
    assert "decisions" not in answer


async def waiting(api, *, speed, minutes, settle_by=None):
    """A paid order of the tenant that has waited for so many minutes."""
    order, since = await Scene(api.store, tenant=api.tenant_id).captured(), api.clock.now()
    since -= timedelta(minutes=minutes)
    await api.store.pool.execute(
        "UPDATE orders SET speed = $2, authorized_at = $3, settle_by = $4 WHERE id = $1",
        *(order.id, speed, since, settle_by),
    )
    return since


async def test_what_waits_is_shown_with_the_fee_that_the_engine_waits_for(api, followed):
    """By the oldest of each speed, two blocks before its deadline; at its deadline at any fee."""
    api = await api.new_tenant()
    _, _, market = followed
    key, reservations = api.keys[Role.OPERATOR], dict(market.report()["reservations"])
    await waiting(api, speed="standard", minutes=2)
    oldest = await waiting(api, speed="standard", minutes=5)
    await waiting(api, speed="economy", minutes=30)
    answer = (await api.get("/v1/networks/local/gas?blocks=1", key=key)).json()
    economy, standard = answer["planned"]
    assert (standard["asset"], standard["orders"]) == ("DUSD", 2)
    assert datetime.fromisoformat(standard["until"]) == oldest + timedelta(minutes=10)
    # Five minutes are 24 whole blocks, once asked; less two for inclusion, 22.
    assert standard["below_wei"] == str(reservations[20])
    assert economy["below_wei"] == str(reservations[100])  # 147 blocks left


async def test_the_blocks_for_inclusion_and_an_escrows_end_shorten_what_is_shown(api, followed):
    """As they do for the engine: what is due leaves at any fee."""
    assert dict(followed[2].report()["reservations"])[2] is not None
    for minutes, ends in ((9.5, None), (1, timedelta(seconds=30))):
        own = await api.new_tenant()
        key = own.keys[Role.OPERATOR]
        settle_by = ends and own.clock.now() + ends
        since = await waiting(own, speed="standard", minutes=minutes, settle_by=settle_by)
        answer = (await own.get("/v1/networks/local/gas?blocks=1", key=key)).json()
        [planned] = answer["planned"]
        assert planned["below_wei"] is None
        until = settle_by or since + timedelta(minutes=10)
        assert datetime.fromisoformat(planned["until"]) == until


async def test_operators_see_history_and_forecast_and_merchants_do_not(api, followed):
    """All amounts are strings; the monitor has coverage and drift."""
    _, blocks, market = followed
    refused = await api.get("/v1/networks/local/gas")
    assert refused.status_code == 403
    key = api.keys[Role.OPERATOR]
    answer = (await api.get("/v1/networks/local/gas?blocks=5", key=key)).json()
    assert [row["number"] for row in answer["history"]] == [155, 156, 157, 158, 159]
    assert answer["history"][-1]["base_fee_wei"] == str(blocks[-1].base_fee_wei)
    assert answer["forecast"]["next_base_fee_wei"] == str(market.next_fee_wei)
    assert len(answer["forecast"]["bands"][0]["quantiles_wei"]) == 5
    assert answer["planned"] == []
    assert answer["report"]["difference_wei"] == "0"
    assert (await api.get("/v1/networks/nowhere/gas", key=key)).status_code == 404
    metrics = await shown(Metrics(), api)
    coverage = value(metrics, "gas_forecast_coverage", network="local", blocks="1")
    assert coverage == market.watch.report()["1"]["coverage"]
    day = await api.services.queries.fee_report("local", api.clock.now() - timedelta(days=1))
    paid = value(metrics, "network_fee_paid_ether", network="local")
    assert round(paid * 10**18) == day.paid_wei


async def test_quotes_follow_a_fresh_outlook_and_the_networks_figures_without_one(api, followed):
    """More time is never dearer; an old outlook is none."""
    store, _, market = followed
    clock = api.services.clock
    demo = GasReader({"local": NETWORK}, store, clock)
    assert await demo.quote_fee_wei("local", Speed.INSTANT) == 60_000 * NETWORK.static_fee_wei
    reader = GasReader({"local": replace(NETWORK, local=False)}, store, clock)
    fees = [await reader.quote_fee_wei("local", speed) for speed in Speed]
    assert fees == [60_000 * market.speed_fees_wei()[speed] + 7 for speed in Speed]
    assert fees == sorted(fees, reverse=True)
    clock.ahead += timedelta(minutes=3)
    late = await reader.quote_fee_wei("local", Speed.INSTANT)
    assert late == 60_000 * NETWORK.static_fee_wei


def test_the_picture_has_history_band_and_reservation_line():
    """Valid where there is next to nothing to draw, too."""
    bands = [(1, (8, 9, 10, 11, 12)), (300, (5, 7, 10, 14, 19))]
    full = draw("local", [(1, 10), (2, 11)], 10, bands, [(1, 9), (300, None)])
    assert full.count("<polygon") == 2
    assert full.count("<polyline") == 3
    assert draw("local", [], 10, [], []).endswith("</svg>\n")
