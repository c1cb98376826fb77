"""Screening on the way of real orders: who passes, who is vetoed, and what officers decide."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.api.auth import key_digest
from bridge.prices.static import StaticPrices, parse_prices
from bridge.storage.records import KeyKind, Role
from chain.local.local_chain import LocalChain
from chain.simulated_transfers import SimulatedTransfers
from compliance_graph.follow import follow
from compliance_graph.judge import ShippedModel
from compliance_graph.live import LiveGraph
from compliance_graph.policy import load_policy
from compliance_graph.replay import replayed
from compliance_graph.rescoring import Rescorer
from compliance_graph.scoring import Scorer
from compliance_graph.screener import ListScreener
from compliance_graph.screening import GraphScreener
from compliance_graph.store import GraphStore
from settlement.order import HoldReason, Status
from settlement.ports.lists import Action, Entry, Listing, Publication
from settlement.ports.notification import NullLog
from settlement.stages import capture, charge, release, screen
from tests.chain.world import World, fresh_address
from tests.compliance_graph.made import read_in, thief_graph
from tests.flows.bridge import DOUBTFUL, SANCTIONED, Bridge, open_bridge
from tests.flows.conftest import needs_anvil, undone
from tests.flows.test_refusals import nothing_happened
from tests.support.waiting import eventually

pytestmark = needs_anvil
WHY = {"reason": "the customer showed whose wallet it is"}
MIXER, MIDDLE = "0x" + "1" * 40, "0x" + "2" * 40


class Officer:
    """One person with a key of their own."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._key = f"tg_sk_test_{uuid.uuid4().hex}"

    async def arrive(self) -> "Officer":
        await self._bridge.queries.create_key(
            self._bridge.tenant,
            key_hash=key_digest(self._key),
            prefix=self._key[:11],
            last4=self._key[-4:],
            kind=KeyKind.SECRET,
            role=Role.COMPLIANCE,
            now=self._bridge.clock.now(),
        )
        return self

    async def get(self, path: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}"}
        answer = await self._bridge.api.get(f"/v1/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._key}"}
        return await self._bridge.post(f"/v1/{path}", body, **headers)

    async def case_of(self, order_id: str) -> dict[str, Any]:
        [case] = (await self.get(f"cases?order={order_id}"))["data"][:1]
        return await self.get(f"cases/{case['id']}")

    async def decide(self, order_id: str, verb: str) -> httpx.Response:
        case = await self.case_of(order_id)
        return await self.post(f"cases/{case['id']}/{verb}", WHY)


@pytest.fixture(scope="module")
async def opened(
    database_dsn: str,
    flow_chain: LocalChain,
    flow_contracts: World,
    emulator_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Bridge]:
    """One deployment for all tests of this module; those that pay nobody come first."""
    folder = tmp_path_factory.mktemp("screening")
    with undone(flow_chain, flow_contracts) as world:
        bridge = await open_bridge(database_dsn, world, emulator_url, folder)
        yield bridge
        for close in bridge.closing:
            await close()


@pytest.fixture
async def bridge(opened: Bridge) -> AsyncIterator[Bridge]:
    """As it was opened, at the real time; the customer has spent nothing today."""
    ports = opened.ports
    opened.clock.ahead = timedelta()
    await opened.store.pool.execute("DELETE FROM limit_usage")
    yield opened
    opened.ports = ports


@pytest.fixture
async def officer(bridge: Bridge) -> Officer:
    return await Officer(bridge).arrive()


async def paid(bridge: Bridge, wallet: str, amount: str = "100.00") -> str:
    order_id = await bridge.place(amount, wallet=wallet)
    await bridge.pay(order_id)
    return order_id


async def in_review(bridge: Bridge, amount: str = "100.00", wallet: str = DOUBTFUL) -> str:
    order_id = await paid(bridge, wallet, amount)
    await bridge.tick_until(order_id, Status.IN_REVIEW, charge.tick, screen.tick)
    return order_id


async def test_a_case_that_nobody_decides_gives_the_hold_back_in_time(
    bridge: Bridge, officer: Officer
) -> None:
    """The case closes with its order; an approval afterwards is refused and moves nothing."""
    order_id = await in_review(bridge)
    case = await officer.case_of(order_id)
    order = await bridge.order(order_id)
    assert case["decide_before"] is not None
    assert order.capture_before is not None
    bridge.clock.ahead += order.capture_before - timedelta(hours=11) - bridge.clock.now()
    order = await bridge.tick_until(order_id, Status.EXPIRED, screen.tick, release.tick)
    assert order.reason == "review_timeout"
    await nothing_happened(bridge, order_id)
    late = await officer.decide(order_id, "approve")
    assert (late.status_code, late.json()["code"]) == (409, "case_decided")
    closed = await officer.case_of(order_id)
    assert (closed["status"], closed["closed_because"]) == ("closed", "review_timeout")


async def test_a_rejected_order_gives_the_authorisation_back(
    bridge: Bridge, officer: Officer
) -> None:
    """Nothing is captured, no token moves; the customer sees that it was refused."""
    order_id = await in_review(bridge)
    assert (await officer.decide(order_id, "reject")).status_code == 200
    order = await bridge.reach(order_id, Status.REJECTED)
    assert order.reason == "review_rejected"
    await nothing_happened(bridge, order_id)


async def test_a_list_that_names_the_wallet_after_the_approval_is_honoured(
    bridge: Bridge, officer: Officer
) -> None:
    """Whether an officer blocks it or the Treasury's newest version does."""
    wallets = [fresh_address(), fresh_address()]
    with bridge.lists.open("a") as lists:
        lists.writelines(f"ETH,{wallet},review\n" for wallet in wallets)
    orders = [await in_review(bridge, wallet=wallet) for wallet in wallets]
    for order_id in orders:
        assert (await officer.decide(order_id, "approve")).status_code == 200
    entry = {"address": wallets[0], "asset": "ETH", "reason": "a complaint came in"}
    assert (await officer.post("lists/own_block/entries", entry)).status_code == 201
    named = Entry(wallets[1].lower(), "ETH", Listing("ofac", Action.BLOCK, "sanctions"))
    publication = Publication("SDN.XML", "digest", (named,))
    await bridge.queries.take_over("ofac", publication, "console", bridge.clock.now())
    for order_id in orders:
        order = await bridge.reach(order_id, Status.REJECTED)
        assert order.reason == "list_veto"
        await nothing_happened(bridge, order_id)


async def test_a_paid_order_that_a_list_holds_is_refunded_or_goes_on_after_a_delisting(
    bridge: Bridge, officer: Officer
) -> None:
    """While it is listed no approval pays it; above the limit two officers take the hold off."""
    other = await Officer(bridge).arrive()
    wallets = [fresh_address(), fresh_address()]
    stages, orders, entries = (charge.tick, screen.tick, capture.tick), [], []
    for wallet in wallets:
        orders.append(await paid(bridge, wallet, "1500.00"))
        await bridge.tick_until(orders[-1], Status.CAPTURED, *stages)
        entry = {"address": wallet, "asset": "ETH", "reason": "a complaint came in"}
        entries.append((await officer.post("lists/own_block/entries", entry)).json()["id"])

    async def held(order_id: str) -> bool:
        await bridge.step()
        return (await bridge.order(order_id)).hold_reason is HoldReason.SANCTIONS

    async def lifted_by_both(order_id: str) -> None:
        assert (await officer.decide(order_id, "approve")).json()["status"] == "second"
        assert (await officer.decide(order_id, "approve")).status_code == 409
        assert (await other.decide(order_id, "approve")).json()["status"] == "approved"

    for order_id in orders:
        await eventually(lambda order_id=order_id: held(order_id))
    case = await officer.case_of(orders[0])
    assert (case["status"], case["decide_before"]) == ("open", None)
    await lifted_by_both(orders[0])
    await eventually(lambda: held(orders[0]))  # it is still listed
    assert (await bridge.order(orders[0])).batch_id is None
    assert (await officer.decide(orders[1], "reject")).json()["status"] == "rejected"
    assert (await bridge.reach(orders[1], Status.REFUNDED)).reason == "review_rejected"
    why = {"reason": "it was another wallet"}
    path = f"lists/own_block/entries/{entries[0]}/remove"
    assert (await officer.post(path, why)).status_code in (200, 201)
    await lifted_by_both(orders[0])
    await bridge.reach(orders[0], Status.COMPLETED)
    await bridge.check_books()


async def test_above_the_limit_the_order_waits_for_a_second_officer(
    bridge: Bridge, officer: Officer
) -> None:
    """The same one cannot be both, however long nobody else comes."""
    order_id, other = await in_review(bridge, "1500.00"), await Officer(bridge).arrive()
    assert (await officer.decide(order_id, "approve")).json()["status"] == "second"
    same = await officer.decide(order_id, "approve")
    assert (same.status_code, same.json()["code"]) == (409, "second_officer_needed")
    await bridge.step()
    assert (await bridge.order(order_id)).status is Status.IN_REVIEW
    assert (await other.decide(order_id, "approve")).json()["status"] == "approved"
    await bridge.reach(order_id, Status.COMPLETED)
    await bridge.check_books()


async def test_clean_wallets_pass_sanctioned_are_vetoed_and_doubtful_wait_for_an_officer(
    bridge: Bridge, officer: Officer
) -> None:
    """Approved after the quote's life, at a price that stands, the order completes."""
    clean = fresh_address()
    orders = [await paid(bridge, wallet) for wallet in (clean, SANCTIONED, DOUBTFUL)]
    await bridge.reach(orders[2], Status.IN_REVIEW)
    await bridge.reach(orders[0], Status.COMPLETED)
    rejected = await bridge.reach(orders[1], Status.REJECTED)
    assert rejected.reason == "list.sanctions"
    assert bridge.world.balance(clean) > 0
    [waiting] = (await officer.get("cases?standing=true"))["data"]
    assert waiting["order_id"] == orders[2]
    wallet = (await bridge.order(orders[2])).wallet
    before = bridge.world.balance(wallet)
    case = await officer.case_of(orders[2])
    assert case["screening"]["reasons"][0]["code"] == "list.sanctions"
    await officer.post(f"cases/{case['id']}/claim")
    bridge.clock.ahead += timedelta(minutes=20)
    assert (await officer.decide(orders[2], "approve")).status_code == 200
    order = await bridge.reach(orders[2], Status.COMPLETED)
    assert bridge.world.balance(wallet) - before == order.token.amount_minor
    await bridge.check_books()
    assert (await officer.get("audit_log/verification"))["verified"] is True
    done = (await officer.case_of(orders[2]))["history"]
    assert [row["action"] for row in done] == ["case.opened", "case.claimed", "case.approved"]


async def test_an_approval_that_comes_after_the_price_has_moved_captures_nothing(
    bridge: Bridge, officer: Officer
) -> None:
    """Within the quote's life the quoted price holds; after it only within the tolerance."""
    orders = [await in_review(bridge) for _ in range(2)]
    table = parse_prices("DUSD=1.03 USD")
    bridge.ports = replace(bridge.ports, prices=StaticPrices(table, bridge.clock))
    assert (await officer.decide(orders[0], "approve")).status_code == 200
    await bridge.reach(orders[0], Status.COMPLETED)
    bridge.clock.ahead += timedelta(minutes=20)
    assert (await officer.decide(orders[1], "approve")).status_code == 200
    order = await bridge.reach(orders[1], Status.EXPIRED)
    assert order.reason == "price_moved"
    assert (await bridge.intent(orders[1]))["status"] == "canceled"
    await bridge.check_books()


async def test_while_screening_is_down_orders_wait_and_none_is_lost(
    bridge: Bridge, officer: Officer
) -> None:
    """Before the verdict, and after an approval when the lists are to be read again."""
    approved = await in_review(bridge)
    assert (await officer.decide(approved, "approve")).status_code == 200
    away = bridge.lists.rename(bridge.lists.with_suffix(".away"))
    waiting = await paid(bridge, fresh_address())
    await bridge.reach(waiting, Status.AUTHORIZED)
    for _ in range(3):
        await bridge.step()
    assert (await bridge.order(waiting)).status is Status.AUTHORIZED
    assert (await bridge.order(approved)).status is Status.CLEARED
    away.rename(bridge.lists)
    bridge.clock.ahead += timedelta(minutes=2)
    await bridge.reach(waiting, Status.COMPLETED)
    await bridge.reach(approved, Status.COMPLETED)
    await bridge.check_books()


async def test_a_wallet_that_behaves_like_a_thief_waits_for_an_officer_who_sees_why(
    bridge: Bridge, officer: Officer, tmp_path: Path
) -> None:
    """The shipped model asks, nothing else; its reasons and the transactions behind them are in the
    case, stay in it when it is decided, and the verdict is made again, score and all."""
    wallet, store = fresh_address(), GraphStore(bridge.store.pool)
    await read_in(store, thief_graph(), {0: wallet.lower()})
    policy = load_policy()
    graph = GraphScreener(
        ListScreener([bridge.lists]),
        LiveGraph(store, policy.worth, tmp_path / "graph"),
        policy,
        model=ShippedModel(),
        keeper=bridge.queries,
        clock=bridge.clock,
        log=NullLog(),
    )
    await graph.refresh()
    bridge.ports = replace(bridge.ports, screening=graph)
    order_id = await in_review(bridge, wallet=wallet)
    case = await officer.case_of(order_id)
    shown = case["screening"]
    assert [reason["code"] for reason in shown["reasons"]] == ["model.score"]
    assert case["risk_ppm"] == case["score_ppm"] == shown["score_ppm"]
    peers = [part["account"] for part in shown["evidence"]["explanation"]["counterparties"]]
    behind = {address for one in shown["payments"] for address in (one["src"], one["dst"])}
    assert peers
    assert {*peers, wallet.lower()} <= behind
    assert all(0 < len(one["transactions"]) <= 5 for one in shown["payments"])
    assert (await officer.decide(order_id, "approve")).status_code == 200
    kept = (await officer.case_of(order_id))["evidence"]["screening"]
    assert kept["evidence"]["explanation"] == shown["evidence"]["explanation"]
    assert kept["payments"] == shown["payments"]
    record = await bridge.queries.screening(None, shown["id"])
    assert record is not None
    asking = Rescorer(Scorer.load(), {})
    again = replayed(record.verdict, wallet, lambda _: policy, asking)
    assert again.digest == record.digest
    assert f"says {shown['score_ppm']} ppm" in asking.said[0]
    await bridge.reach(order_id, Status.COMPLETED)


async def test_two_hops_from_a_mixer_the_officer_sees_the_path(
    bridge: Bridge, officer: Officer, tmp_path: Path
) -> None:
    """The verdict is sealed with what it was made from, down to each account on the way."""
    wallet, chain = fresh_address(), SimulatedTransfers()
    chain.mine((MIXER, MIDDLE, 2 * 10**18))
    chain.mine((MIDDLE, wallet.lower(), 2 * 10**18))
    store, labels = GraphStore(bridge.store.pool), tmp_path / "entities.csv"
    await follow(store, chain)
    labels.write_text(f"address,name,labels\n{MIXER},Tornado,tornado-cash\n")
    policy = load_policy()
    graph = GraphScreener(
        ListScreener([bridge.lists]),
        LiveGraph(store, policy.worth, tmp_path / "graph"),
        policy,
        labels=[labels],
        clock=bridge.clock,
        log=NullLog(),
    )
    await graph.refresh()
    bridge.ports = replace(bridge.ports, screening=graph)
    order_id = await in_review(bridge, wallet=wallet)
    shown = (await officer.case_of(order_id))["screening"]
    behind = {(one["src"], one["dst"]): one["transactions"] for one in shown["payments"]}
    assert behind.keys() == {(MIXER, MIDDLE), (MIDDLE, wallet.lower())}
    assert all(len(hashes) == 1 for hashes in behind.values())
    [relief] = shown["evidence"]["explanation"]["rules"]
    assert (relief["without"], relief["share_ppm"], relief["is_enough"]) == ([MIDDLE], 0, True)
    assert any("mixer" in reason["code"] for reason in shown["reasons"]), shown["reasons"]
    text = str(shown["evidence"]["findings"])
    assert all(address in text for address in (MIXER, MIDDLE, wallet.lower()))
    assert (await officer.decide(order_id, "approve")).status_code == 200
    await bridge.reach(order_id, Status.COMPLETED)
