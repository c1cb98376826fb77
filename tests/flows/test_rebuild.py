"""A restored backup: what was paid since then is paid already, and must not be paid again."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.rebuild import Rebuild, Report
from bridge.storage import postgres
from bridge.storage.rebuilding import Rebuilding
from chain.local.local_chain import LocalChain
from settlement.errors import NetworkStopped
from settlement.ledger.accounts import Account
from settlement.money import Asset
from settlement.order import Status
from settlement.stages import capture, charge, identity, screen
from tests.chain.world import World, fresh_address
from tests.flows.bridge import NETWORK, Bridge, open_bridge
from tests.flows.conftest import needs_anvil
from tests.flows.crowd import captured as coins_captured
from tests.flows.crowd import is_in, stepped
from tests.support.postgres import execute

pytestmark = needs_anvil

USD = Asset("USD", 2)


class Backups:
    """Copies of one database, and a deployment on whichever is said to be the real one."""

    def __init__(
        self, server: postgres.Server, dsn: str, open_on: Callable[..., Awaitable[Bridge]]
    ):
        self._server = server
        self._dsn = dsn
        self._open_on = open_on
        self.bridge: Bridge | None = None
        self.began_at = datetime.now(UTC)

    async def begin(self) -> Bridge:
        self.bridge = await self._open_on(self._dsn, True)
        return self.bridge

    async def backup(self) -> str:
        """Stop everything, copy the database, and go on; returns the copy's name."""
        name = f"backup_{uuid.uuid4().hex[:12]}"
        await self.close()
        source = self._dsn.rpartition("/")[2]
        await execute(self._server.dsn, f"CREATE DATABASE {name} TEMPLATE {source}")
        self.bridge = await self._open_on(self._dsn, False)
        return name

    async def restore(self, name: str) -> Bridge:
        await self.close()
        self.bridge = await self._open_on(self._server.dsn_for(name), False)
        return self.bridge

    async def close(self) -> None:
        if self.bridge is not None:
            for close in self.bridge.closing:
                await close()
        self.bridge = None

    @property
    def now(self) -> Bridge:
        assert self.bridge is not None
        return self.bridge


@pytest.fixture
async def backups(
    postgres_server: postgres.Server,
    flow_dsn: str,
    flow_chain: LocalChain,
    emulator_url: str,
    tmp_path: Path,
) -> AsyncIterator[Backups]:
    """A deployment whose database can be copied and put back."""
    world = World(flow_chain.url)

    async def open_on(dsn: str, fresh: bool) -> Bridge:
        return await open_bridge(dsn, world, emulator_url, tmp_path, fresh=fresh)

    made = Backups(postgres_server, flow_dsn, open_on)
    yield made
    await made.close()
    world.close()


async def captured(bridge: Bridge, wallet: str | None = None) -> str:
    """A paid, screened and captured order that no batch holds yet."""
    order_id = await bridge.place(wallet=wallet)
    await bridge.pay(order_id)
    await bridge.tick_until(order_id, Status.CAPTURED, charge.tick, screen.tick, capture.tick)
    return order_id


async def completed(bridge: Bridge, wallet: str | None = None) -> str:
    order_id = await captured(bridge, wallet)
    await bridge.reach(order_id, Status.COMPLETED)
    return order_id


async def rebuilt(backups: Backups, since: datetime | None = None) -> Report:
    """Run the command's work while the chain goes on mining."""
    bridge = backups.now
    rebuild = Rebuild(
        bridge.ports, Rebuilding(bridge.store.pool), bridge.chain.history, "local", [USD]
    )
    work = asyncio.ensure_future(rebuild.run(since or backups.began_at))
    while not work.done():
        bridge.world.rpc("evm_mine")
        await asyncio.wait({work}, timeout=0.2)
    return work.result()


async def test_a_restored_backup_stops_the_network_before_anything_is_refunded(
    backups: Backups,
) -> None:
    """The old rows call the order unpaid and its capture somebody else's: neither is acted upon."""
    bridge = await backups.begin()
    order_id = await bridge.place()
    name = await backups.backup()
    bridge = backups.now
    await bridge.pay(order_id)
    await bridge.reach(order_id, Status.COMPLETED)
    bridge = await backups.restore(name)
    with pytest.raises(NetworkStopped, match="rebuild"):
        await identity.verify(bridge.ports, "local")
    for _ in range(5):
        await bridge.step()
    assert (await bridge.order(order_id)).status is Status.AWAITING_PAYMENT
    assert (await bridge.intent(order_id))["latest_charge"]["amount_refunded"] == 0


async def test_what_was_paid_since_the_backup_is_completed_and_not_paid_again(
    backups: Backups,
) -> None:
    """Orders that were unpaid then, and orders that the database has never heard of."""
    bridge = await backups.begin()
    old = await bridge.place()
    wallets = [fresh_address(), fresh_address()]
    name = await backups.backup()
    bridge = backups.now
    await bridge.pay(old)
    await bridge.reach(old, Status.COMPLETED)
    lost = [await completed(bridge, wallet) for wallet in wallets]
    held = [bridge.world.balance(wallet) for wallet in wallets]
    bridge = await backups.restore(name)
    report = await rebuilt(backups)
    assert report.left == []
    assert sorted(report.written_down) == sorted(lost)
    for order_id in (old, *lost):
        assert (await bridge.order(order_id)).status is Status.COMPLETED
    for _ in range(6):
        await bridge.step()
    assert [bridge.world.balance(wallet) for wallet in wallets] == held
    await bridge.check_books()


async def test_an_order_captured_since_the_backup_and_not_paid_is_paid_once(
    backups: Backups,
) -> None:
    """Its money is ours and its tokens are not sent: it goes on like any other."""
    bridge = await backups.begin()
    await completed(bridge)
    name = await backups.backup()
    bridge = backups.now
    await completed(bridge)
    wallet = fresh_address()
    order_id = await captured(bridge, wallet)
    bridge = await backups.restore(name)
    assert (await rebuilt(backups)).left == []
    order = await bridge.reach(order_id, Status.COMPLETED)
    assert bridge.world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()


async def test_a_payment_that_was_signed_and_forgotten_can_never_be_mined(
    backups: Backups,
) -> None:
    """Its nonce is used up before anything is planned, so the late copy of the bytes is refused."""
    bridge = await backups.begin()
    await completed(bridge)
    name = await backups.backup()
    bridge = backups.now
    wallet = fresh_address()
    order_id = await captured(bridge, wallet)
    raw = await bridge.signed_and_not_sent(order_id)
    bridge = await backups.restore(name)
    assert (await rebuilt(backups)).left == []
    order = await bridge.reach(order_id, Status.COMPLETED)
    bridge.world.ask("eth_sendRawTransaction", "0x" + raw.hex())
    for _ in range(4):
        await bridge.step()
    assert bridge.world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()


async def test_two_equal_orders_of_one_batch_are_told_apart_by_its_root(
    backups: Backups,
) -> None:
    """Same wallet, same amount: only one placing gives the root that the vault holds."""
    bridge = await backups.begin()
    await completed(bridge)
    name = await backups.backup()
    bridge = backups.now
    wallet = fresh_address()
    twins = [await captured(bridge, wallet) for _ in range(3)]
    for order_id in twins:
        await bridge.reach(order_id, Status.COMPLETED)
    places = {o: (await bridge.order(o)).batch_index for o in twins}
    bridge = await backups.restore(name)
    assert (await rebuilt(backups)).left == []
    assert {o: (await bridge.order(o)).batch_index for o in twins} == places


async def test_an_edited_intent_is_left_for_a_person(backups: Backups) -> None:
    """Metadata that does not add up makes no order, and the network stays stopped."""
    bridge = await backups.begin()
    await completed(bridge)
    name = await backups.backup()
    bridge = backups.now
    order_id = await completed(bridge)
    intent_id = str((await bridge.order(order_id)).payment_intent_id)
    await bridge.stripe.v1.payment_intents.update_async(
        intent_id, {"metadata": {"lines": "principal=1"}}
    )
    bridge = await backups.restore(name)
    report = await rebuilt(backups)
    assert any(intent_id in line for line in report.left)
    state = await bridge.store.network("local")
    assert state is not None
    assert state.stop_reason is not None
    await bridge.stripe.v1.payment_intents.update_async(
        intent_id, {"metadata": {"lines": "principal=9999 spread=1"}}
    )
    report = await rebuilt(backups)
    assert report.left == []
    assert (await bridge.order(order_id)).status is Status.COMPLETED


async def test_coins_that_a_lane_sent_since_the_backup_are_not_sent_again(
    backups: Backups,
) -> None:
    """Transfers leave no log: one that the backup had planned, one of an order that it knew, and
    one of an order that it has never heard of."""
    bridge = await backups.begin()
    await bridge.stock_coins(10**18)
    wallets = [fresh_address() for _ in range(3)]
    ids = await coins_captured(bridge, wallets[:1], asset="ETH")
    await bridge.signed_and_not_sent(ids[0])
    ids += await coins_captured(bridge, wallets[1:2], asset="ETH")
    name = await backups.backup()
    bridge = backups.now
    ids += await coins_captured(bridge, wallets[2:], asset="ETH")
    orders = await stepped(bridge, ids, is_in(Status.COMPLETED))
    bridge = await backups.restore(name)
    report = await rebuilt(backups)
    assert (report.left, report.written_down, len(report.batches)) == ([], ids[2:], 3)
    for _ in range(6):
        await bridge.step()
    assert (await rebuilt(backups)).batches == []
    for order in orders:
        assert (await bridge.order(order.id)).status is Status.COMPLETED
        held = int(bridge.world.rpc("eth_getBalance", order.wallet, "latest"), 16)
        assert held == order.token.amount_minor
        answer = await bridge.api.get(f"/v1/receipts/{order.id}")
        assert answer.json()["object"] == "transfer_receipt"
    vault = int(bridge.world.rpc("eth_getBalance", bridge.world.vault.address, "latest"), 16)
    assert await bridge.store.totals(Account.VAULT, NETWORK.native) == vault
    await bridge.check_books()


async def test_running_it_twice_changes_nothing(backups: Backups) -> None:
    """Whatever was done is found done."""
    bridge = await backups.begin()
    name = await backups.backup()
    bridge = backups.now
    order_id = await completed(bridge)
    bridge = await backups.restore(name)
    await rebuilt(backups)
    before = await bridge.event_types(order_id)
    again = await rebuilt(backups)
    assert (again.left, again.written_down, again.batches, again.moved) == ([], [], [], 0)
    assert await bridge.event_types(order_id) == before
    await bridge.check_books()


async def test_an_order_refunded_while_its_lost_batch_was_open_is_not_paid(
    backups: Backups,
) -> None:
    """Its batch gave it back since the backup, and the provider its money."""
    bridge = await backups.begin()
    await completed(bridge)
    wallet = fresh_address()
    order_id = await captured(bridge, wallet)
    await bridge.signed_and_not_sent(order_id)
    name = await backups.backup()
    bridge = backups.now
    await refund_at_the_provider(bridge, order_id)
    bridge = await backups.restore(name)
    assert (await rebuilt(backups)).left == []
    await bridge.reach(order_id, Status.REFUNDED)
    assert bridge.world.balance(wallet) == 0
    await bridge.check_books()


async def test_an_order_older_than_the_search_is_not_paid_after_its_refund(
    backups: Backups,
) -> None:
    """Whatever our own rows would pay is compared with the provider, however old it is."""
    bridge = await backups.begin()
    await completed(bridge)
    wallet = fresh_address()
    order_id = await captured(bridge, wallet)
    name = await backups.backup()
    bridge = backups.now
    await refund_at_the_provider(bridge, order_id)
    bridge = await backups.restore(name)
    assert (await rebuilt(backups, datetime.now(UTC) + timedelta(seconds=2))).left == []
    assert (await bridge.order(order_id)).status is Status.REFUND_PENDING
    await bridge.reach(order_id, Status.REFUNDED)
    assert bridge.world.balance(wallet) == 0


async def test_an_order_captured_in_part_is_given_back_and_not_paid_in_full(
    backups: Backups,
) -> None:
    """Somebody took another sum in the dashboard than what was quoted."""
    bridge = await backups.begin()
    await completed(bridge)
    wallet = fresh_address()
    order_id = await bridge.place(wallet=wallet)
    await bridge.pay(order_id)
    name = await backups.backup()
    bridge = backups.now
    intent_id = str((await bridge.order(order_id)).payment_intent_id)
    await bridge.stripe.v1.payment_intents.capture_async(intent_id, {"amount_to_capture": 100})
    bridge = await backups.restore(name)
    assert (await rebuilt(backups)).left == []
    await bridge.reach(order_id, Status.REFUNDED)
    assert bridge.world.balance(wallet) == 0


async def test_a_payment_that_is_not_final_yet_stops_a_restored_backup_at_once(
    backups: Backups,
) -> None:
    """The old rows would have it refunded long before its block is final."""
    bridge = await backups.begin()
    await completed(bridge)
    order_id = await bridge.place()
    name = await backups.backup()
    bridge = backups.now
    await bridge.pay(order_id)
    await bridge.tick_until(order_id, Status.CAPTURED, charge.tick, screen.tick, capture.tick)
    raw = await bridge.signed_and_not_sent(order_id)
    bridge = await backups.restore(name)
    bridge.world.wait_for_receipt(
        bridge.world.ask("eth_sendRawTransaction", "0x" + raw.hex())["result"]
    )
    with pytest.raises(NetworkStopped, match="rebuild"):
        await identity.verify(bridge.ports, "local")


async def test_nonces_that_the_backup_itself_gave_out_are_used_up_too(backups: Backups) -> None:
    """However many there are: their bytes are known to some mempool."""
    bridge = await backups.begin()
    wallet = fresh_address()
    order_id = await captured(bridge, wallet)
    raw = await bridge.signed_and_not_sent(order_id)
    bridge.ports = replace(bridge.ports, policy=replace(bridge.ports.policy, lane_depth=0))
    assert (await rebuilt(backups)).left == []
    bridge.world.ask("eth_sendRawTransaction", "0x" + raw.hex())
    bridge.world.rpc("evm_mine")
    assert bridge.world.balance(wallet) == 0


async def refund_at_the_provider(bridge: Bridge, order_id: str) -> None:
    intent_id = str((await bridge.order(order_id)).payment_intent_id)
    await bridge.stripe.v1.refunds.create_async({"payment_intent": intent_id})
