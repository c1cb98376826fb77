"""What operators ask over the API: whom it refuses, that it happens once, and that it is told."""

import asyncio
import os
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import httpx
import pytest

from bridge.storage.pages import Page
from bridge.storage.records import AuditRecord, Role
from bridge.storage.wake import WORK
from settlement.batch import Batch, BatchStatus, Lane
from settlement.events import REQUEUED, Event
from settlement.order import HoldReason, Order, Status
from settlement.ports.chain import ChainIdentity, Head
from settlement.ports.store import BatchChange
from settlement.transitions import stay
from tests.api.test_receipts import Settler
from tests.api.world import TOKEN_ADDRESS, Api, is_problem
from tests.support.builders import DUSD, signed
from tests.support.postgres import empty
from tests.support.waiting import eventually

LANE = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
OTHER_LANE = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
IDENTITY = ChainIdentity("0xgenesis", TOKEN_ADDRESS, "0xcode")
VERBS = ("bump", "cancel", "retry")
SWITCHES = (
    "networks/local/pause",
    "networks/local/resume",
    f"networks/local/lanes/{LANE}/pause",
    f"networks/local/lanes/{LANE}/resume",
)


@dataclass
class Office:
    """The API as a tenant's operator sees it, and batches in whatever state a test needs."""

    api: Api
    settler: Settler
    lane: Lane

    async def sent(self, *orders: Order) -> Batch:
        """A batch over the orders, or a new one, whose first attempt was handed over."""
        store, now = self.api.store, self.api.clock.now()
        members = orders or (await self.settler.captured(self.api),)
        batch = Batch(
            id=await store.new_batch_id(),
            network="local",
            asset=DUSD,
            lane_id=self.lane.id,
            lane_address=self.lane.address,
            nonce=self.lane.next_nonce,
            status=BatchStatus.PLANNED,
            root="0xroot",
            order_count=len(members),
            planned_at=now,
        )
        moves = [self.settler._move(order, Status.SUBMITTED) for order in members]
        await store.plan(self.lane, batch, moves)
        self.lane = replace(self.lane, next_nonce=self.lane.next_nonce + 1)
        transaction = signed(batch.nonce, f"0x{os.urandom(32).hex()}")
        await store.store_attempt(self.lane, batch, transaction, now)
        await store.mark_sent(self.lane, batch, transaction, now)
        return replace(batch, status=BatchStatus.SENT)

    async def mined(self, batch: Batch, block: int = 17) -> Batch:
        place = {"mined_ref": "0xmined", "block_number": block, "block_hash": "0xb"}
        change = BatchChange(batch, BatchStatus.MINED, place)
        await self.api.store.apply_batch(self.lane, change, self.api.clock.now())
        return replace(batch, status=BatchStatus.MINED, **place)  # type: ignore[arg-type]

    async def cancelled(self, batch: Batch) -> None:
        """A final block holds the attempt that pays nobody."""
        mined, now = await self.mined(batch), self.api.clock.now()
        fact = Event(REQUEUED, {"batch_id": batch.id})
        patch = {"batch_id": None, "batch_index": None}
        gone = tuple(
            replace(stay(order, now, patch=patch, events=(fact,)), epoch=None)
            for order in await self.api.store.in_batch(batch.id)
        )
        change = BatchChange(mined, BatchStatus.CANCELLED, {}, gone)
        await self.api.store.apply_batch(self.lane, change, now)

    async def get(self, path: str) -> dict[str, Any]:
        answer = await self.api.get(f"/v1/{path}", key=self.api.keys[Role.OPERATOR])
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def post(self, path: str, **options: Any) -> httpx.Response:
        key = options.pop("key", self.api.keys[Role.OPERATOR])
        return await self.api.post(f"/v1/{path}", key=key, **options)

    async def audited(self) -> list[AuditRecord]:
        return (await self.api.services.queries.audit_log(self.api.tenant_id, Page())).rows


@pytest.fixture
async def office(server: Api) -> Office:
    """An empty deployment with one lane, held by the test."""
    await empty(server.store)
    api = await server.new_tenant()
    now = api.clock.now()
    await api.store.register_network("local", IDENTITY, now)
    await api.store.register_lane("local", LANE, 4)
    [lane] = await api.store.claim_lanes("local", now, lease_ms=600_000, worker="a test")
    return Office(api, Settler(api), lane)


@pytest.mark.parametrize("path", [*(f"settlements/1/{verb}" for verb in VERBS), *SWITCHES])
async def test_other_roles_may_not_operate(office: Office, path: str) -> None:
    """Neither merchants nor officers, and a frontend least of all; nothing is written down."""
    for role in (Role.MERCHANT, Role.COMPLIANCE):
        is_problem(await office.post(path, key=office.api.keys[role]), 403, "forbidden")
    frontend = await office.api.publishable()
    is_problem(await office.post(path, key=frontend), 403, "forbidden")
    assert await office.audited() == []


async def test_networks_are_the_operators_alone(office: Office) -> None:
    """What is wrong with a lane is no merchant's business."""
    for path in ("networks", "networks/local"):
        for role in (Role.MERCHANT, Role.COMPLIANCE):
            answer = await office.api.get(f"/v1/{path}", key=office.api.keys[role])
            is_problem(answer, 403, "forbidden")


@pytest.mark.parametrize("verb", VERBS)
async def test_another_tenants_batch_does_not_exist(office: Office, verb: str) -> None:
    """Not to be asked for anything either; nor does a number that nobody drew."""
    batch = await office.sent()
    stranger = await office.api.new_tenant()
    key = stranger.keys[Role.ADMIN]
    for number in (str(batch.id), "999999", "x", "1e3", "٣"):
        is_problem(
            await office.post(f"settlements/{number}/{verb}", key=key), 404, "resource_missing"
        )
    [stored] = await office.api.store.open_batches(office.lane)
    assert (stored.cancel_asked_at, stored.bump_asked_at) == (None, None)
    assert stored.reminded_at is not None


@pytest.mark.parametrize("verb", VERBS)
async def test_a_decided_batch_is_not_open(office: Office, verb: str) -> None:
    """A final block has spoken; the refusal keeps neither the key nor a line of the log."""
    batch = await office.sent()
    await office.cancelled(batch)
    for _ in range(2):
        answer = await office.post(f"settlements/{batch.id}/{verb}", idempotency_key="once")
        assert "cancelled" in is_problem(answer, 409, "not_open")["detail"]
    assert await office.audited() == []


@pytest.mark.parametrize(
    "path",
    ["networks/nowhere/pause", "networks/nowhere/resume", f"networks/nowhere/lanes/{LANE}/pause"],
)
async def test_an_unknown_network_is_not_found(office: Office, path: str) -> None:
    """Nor one that no worker has registered yet, nor a lane that it does not have."""
    is_problem(await office.post(path), 404, "resource_missing")
    is_problem(await office.post(path.replace("nowhere", "other")), 404, "resource_missing")
    is_problem(
        await office.post(f"networks/local/lanes/{OTHER_LANE}/pause"), 404, "resource_missing"
    )
    is_problem(await office.post("networks/local/lanes/0xnobody/pause"), 400, "invalid_address")
    assert await office.audited() == []


@pytest.mark.parametrize("path", ["settlements/{}/bump", *SWITCHES])
async def test_actions_need_an_idempotency_key_and_no_body(office: Office, path: str) -> None:
    """As every POST; the same key for something else is refused, and does not do it."""
    batch = await office.sent()
    path = path.format(batch.id)
    refused = await office.post(path, idempotency_key=None)
    is_problem(refused, 400, "idempotency_key_missing")
    is_problem(await office.post(path, body={"why": "because"}), 400, "invalid_parameter")
    assert (await office.post(path, idempotency_key="once")).status_code == 200
    other = await office.post(f"settlements/{batch.id}/cancel", idempotency_key="once")
    is_problem(other, 422, "idempotency_key_reused")
    [stored] = await office.api.store.open_batches(office.lane)
    assert stored.cancel_asked_at is None


async def test_a_repeated_key_acts_once(office: Office) -> None:
    """Ten at once: one is done and written down, all get its answer, even after the batch ended."""
    batch = await office.sent()
    path = f"settlements/{batch.id}/cancel"
    answers = await asyncio.gather(*(office.post(path, idempotency_key="once") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 9
    await office.cancelled(batch)
    late = await office.post(path, idempotency_key="once")
    assert {answer.text for answer in (*answers, late)} >= {late.text}
    assert all(answer.json() == late.json() for answer in answers)
    assert late.json()["status"] == "sent"
    assert [row.action for row in await office.audited()] == ["settlement.cancel_asked"]


async def test_what_is_asked_is_stored_shown_written_down_and_announced(office: Office) -> None:
    """The key that asked is named; the workers are told at once."""
    batch = await office.sent()
    heard: list[str] = []
    listener = await asyncpg.connect(office.api.services.wake._dsn)
    await listener.add_listener(WORK, lambda *words: heard.append(words[2]))
    for verb in VERBS:
        heard.clear()
        answer = await office.post(f"settlements/{batch.id}/{verb}")
        assert answer.status_code == 200, answer.text
        await eventually(lambda: WORK in heard, what="the announcement")
    await listener.close()
    shown = await office.get(f"settlements/{batch.id}")
    assert shown["bump_asked_at"] is not None
    assert shown["cancel_asked_at"] is not None
    [stored] = await office.api.store.open_batches(office.lane)
    assert stored.reminded_at is None, "the bytes are said again at the next look"
    actions = [f"settlement.{verb}_asked" for verb in reversed(VERBS)]
    rows = await office.audited()
    assert [(row.action, row.object_id) for row in rows] == [(a, str(batch.id)) for a in actions]
    login = {key.id: key for key in await office.api.services.queries.keys(office.api.tenant_id)}
    assert {login[row.actor].role for row in rows} == {Role.OPERATOR}


async def test_a_settlement_shows_attempts_confirmations_and_never_bytes(office: Office) -> None:
    """Counted from the newest block that a worker saw; unknown while none was seen."""
    batch = await office.sent()
    shown = await office.get(f"settlements/{batch.id}")
    assert (shown["confirmations"], shown["kind"], shown["status"]) == (None, "payout", "sent")
    await office.mined(batch, block=17)
    assert (await office.get(f"settlements/{batch.id}"))["confirmations"] is None
    for head, confirmations in ((16, 1), (17, 1), (20, 4)):
        await office.api.store.note_head("local", Head(head, "0xh", 3), office.api.clock.now())
        shown = await office.get(f"settlements/{batch.id}")
        assert shown["confirmations"] == confirmations
    [attempt] = shown["attempts"]
    assert attempt["cancels"] is False
    assert "raw" not in attempt
    assert b"raw".hex() not in str(shown)
    assert (shown["network_state"], shown["lane_state"]) == ("running", "running")
    await office.api.store.stop_network("local", "a person decides", office.api.clock.now())
    assert (await office.get(f"settlements/{batch.id}"))["network_state"] == "stopped"
    listed = await office.get("settlements")
    assert [row["confirmations"] for row in listed["data"]] == [4]


async def test_a_cancelled_settlement_still_shows_whose_orders_it_had(office: Office) -> None:
    """They wait for another one; a tenant that had none in it sees nothing."""
    order = await office.settler.captured(office.api)
    batch = await office.sent(order)
    await office.cancelled(batch)
    shown = await office.get(f"settlements/{batch.id}")
    assert (shown["status"], shown["orders"]) == ("cancelled", [order.id])
    stranger = await office.api.new_tenant()
    assert (await stranger.get("/v1/settlements")).json()["data"] == []


async def test_a_pause_is_shown_with_its_author_until_resumed(office: Office) -> None:
    """The second one to pause changes nothing, and is not written down as if it had."""
    answer = await office.post("networks/local/pause")
    assert answer.json()["state"] == "paused"
    admin = office.api.keys[Role.ADMIN]
    again = await office.post("networks/local/pause", key=admin)
    assert again.json()["paused_by"] == answer.json()["paused_by"]
    assert (await office.post("networks/local/resume")).json()["state"] == "running"
    actions = [row.action for row in await office.audited()]
    assert actions == ["network.resumed", "network.paused"]


async def test_a_lane_is_paused_by_its_address_in_any_case(office: Office) -> None:
    """The others of the network are not."""
    await office.api.store.register_lane("local", OTHER_LANE, 0)
    path = f"networks/local/lanes/{LANE.lower()}"
    lanes = (await office.post(f"{path}/pause")).json()["lanes"]
    assert {lane["address"]: lane["state"] for lane in lanes} == {
        LANE: "paused",
        OTHER_LANE: "running",
    }
    lanes = (await office.post(f"{path}/resume")).json()["lanes"]
    assert {lane["state"] for lane in lanes} == {"running"}
    assert [row.action for row in await office.audited()] == ["lane.resumed", "lane.paused"]
    assert (await office.audited())[0].object_id == f"local:{LANE}"


async def test_a_network_shows_its_chain_its_lanes_and_what_waits(office: Office) -> None:
    """Shared facts are shown to every operator; orders are counted for their own tenant alone."""
    api, now = office.api, office.api.clock.now()
    unseen = (await office.get("networks"))["data"]
    assert [(n["id"], n["state"]) for n in unseen] == [
        ("local", "running"),
        ("other", "unregistered"),
    ]
    await office.sent()
    for reason in (HoldReason.PAUSED, HoldReason.PAUSED, HoldReason.FEE_CAP):
        order = await office.settler.captured(api)
        held = stay(order, now, patch={"hold_reason": reason})
        assert await api.store.apply_many([replace(held, epoch=None)]) == []
    await api.store.mark_low(office.lane, True, now)
    await api.store.note_head("local", Head(20, "0xh", 18), now)
    await api.store.stop_network("local", "genesis differs", now)
    shown = await office.get("networks/local")
    assert (shown["state"], shown["stop_reason"]) == ("stopped", "genesis differs")
    assert (shown["head"]["number"], shown["head"]["final_number"]) == (20, 18)
    assert shown["vault"] == TOKEN_ADDRESS
    assert shown["waiting"] == {"fee_cap": 1, "paused": 2}
    [lane] = shown["lanes"]
    assert (lane["state"], lane["open_batches"], lane["next_nonce"]) == ("low", 1, 5)
    stranger = await api.new_tenant()
    answer = await stranger.get("/v1/networks/local", key=stranger.keys[Role.OPERATOR])
    assert answer.json()["waiting"] == {}
