"""A restored backup: what was paid since then is paid already, and must not be paid again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from settlement.errors import NetworkStopped
from settlement.ledger.accounts import Account
from settlement.money import Money
from settlement.order import Status
from settlement.stages import capture, charge, identity, screen
from tests.chain.world import fresh_address
from tests.flows.backups import (
    Backups,
    captured,
    coins_beyond_the_books,
    completed,
    rebuilt,
    refund_at_the_provider,
    taken_for_something_else,
)
from tests.flows.bridge import DOUBTFUL, FACTS_KEY, NETWORK
from tests.flows.conftest import needs_anvil
from tests.flows.crowd import captured as coins_captured
from tests.flows.crowd import is_in, stepped

pytestmark = needs_anvil


async def test_a_restored_backup_stops_the_network_before_anything_is_refunded(
    backups: Backups,
) -> None:
    """The old rows call the order unpaid and its capture somebody else's: neither is acted upon."""
    bridge = await backups.begin()
    order_id = await bridge.place()
    bridge = await backups.backup()
    await bridge.pay(order_id)
    await bridge.reach(order_id, Status.COMPLETED)
    bridge = await backups.restore()
    with pytest.raises(NetworkStopped, match="rebuild"):
        await identity.verify(bridge.ports, "local")
    for _ in range(5):
        await bridge.step()
    assert (await bridge.order(order_id)).status is Status.AWAITING_PAYMENT
    assert (await bridge.intent(order_id))["latest_charge"]["amount_refunded"] == 0


async def test_what_was_paid_since_the_backup_is_completed_and_not_paid_again(
    backups: Backups,
) -> None:
    """Orders that were unpaid then, and orders that the database has never heard of. Money that was
    taken for nobody knows what is named."""
    bridge = await backups.begin()
    old = await bridge.place()
    wallets = [fresh_address(), fresh_address()]
    bridge = await backups.backup()
    await bridge.pay(old)
    await bridge.reach(old, Status.COMPLETED)
    lost = [await completed(bridge, wallet) for wallet in wallets]
    held = [bridge.world.balance(wallet) for wallet in wallets]
    strange = await taken_for_something_else(bridge)
    bridge = await backups.restore()
    report = await rebuilt(backups)
    assert report.left == []
    assert any(strange in note for note in report.notes)
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
    bridge = await backups.backup_of_a_shop()
    await completed(bridge)
    wallet = fresh_address()
    order_id = await captured(bridge, wallet)
    bridge = await backups.restore()
    assert (await rebuilt(backups)).left == []
    order = await bridge.reach(order_id, Status.COMPLETED)
    assert bridge.world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()


async def test_a_payment_that_was_signed_and_forgotten_can_never_be_mined(
    backups: Backups,
) -> None:
    """Its nonce is used up before anything is planned, so the late copy of the bytes is refused.
    What that cost is booked to the last wei."""
    bridge = await backups.backup_of_a_shop()
    wallet = fresh_address()
    order_id = await captured(bridge, wallet)
    raw = await bridge.signed_and_not_sent(order_id)
    bridge = await backups.restore()
    beyond = await coins_beyond_the_books(bridge)
    assert (await rebuilt(backups)).left == []
    assert await coins_beyond_the_books(bridge) == beyond
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
    bridge = await backups.backup_of_a_shop()
    wallet = fresh_address()
    twins = [await captured(bridge, wallet) for _ in range(3)]
    for order_id in twins:
        await bridge.reach(order_id, Status.COMPLETED)
    places = {o: (await bridge.order(o)).batch_index for o in twins}
    bridge = await backups.restore()
    assert (await rebuilt(backups)).left == []
    assert {o: (await bridge.order(o)).batch_index for o in twins} == places


@pytest.mark.parametrize("member", ["lines", "wallet"])
async def test_an_edited_intent_is_left_for_a_person(backups: Backups, member: str) -> None:
    """Metadata that does not add up makes no order, nor does any that we did not sign; the network
    stays stopped."""
    edited = {"lines": "principal=1", "wallet": fresh_address()}[member]
    bridge = await backups.backup_of_a_shop()
    order_id = await completed(bridge)
    intent = await bridge.intent(order_id)
    intent_id, right = intent["id"], intent["metadata"][member]
    await bridge.stripe.v1.payment_intents.update_async(intent_id, {"metadata": {member: edited}})
    bridge = await backups.restore()
    report = await rebuilt(backups, keys=(FACTS_KEY,) if member == "wallet" else ())
    assert any(intent_id in line for line in report.left)
    assert any("TIDEGATE_FACTS_KEYS" in line for line in report.notes) is (member == "lines")
    state = await bridge.store.network("local")
    assert state is not None
    assert state.stop_reason is not None
    await bridge.stripe.v1.payment_intents.update_async(intent_id, {"metadata": {member: right}})
    report = await rebuilt(backups, keys=("a newer key, which signs what is new", FACTS_KEY))
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
    bridge = await backups.backup()
    ids += await coins_captured(bridge, wallets[2:], asset="ETH")
    orders = await stepped(bridge, ids, is_in(Status.COMPLETED))
    bridge = await backups.restore()
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


async def test_coins_of_an_order_that_was_left_over_are_not_sent_by_the_next_run(
    backups: Backups,
) -> None:
    """What a person mends between two runs is looked for on the chain again: a transfer is found
    by its nonce alone, and must not be counted away, nor be final, while its order is unpaid."""
    bridge = await backups.begin()
    await completed(bridge)
    bridge = await backups.backup()
    await bridge.stock_coins(10**18)
    wallets = [fresh_address(), fresh_address()]
    ids = await coins_captured(bridge, wallets, asset="ETH")
    orders = await stepped(bridge, ids, is_in(Status.COMPLETED))
    intent = await bridge.intent(ids[0])
    intents = bridge.stripe.v1.payment_intents
    await intents.update_async(intent["id"], {"metadata": {"wallet": fresh_address()}})
    bridge = await backups.restore()
    left = (await rebuilt(backups)).left
    assert any(intent["id"] in line for line in left), "edited"
    assert any("cannot become" in line for line in left), "the coins came after the backup"
    right = {"metadata": {"wallet": wallets[0]}}
    await bridge.stripe.v1.payment_intents.update_async(intent["id"], right)
    await bridge.booked(Money(10**18, NETWORK.native))
    report = await rebuilt(backups)
    assert (report.left, len(report.batches)) == ([], 2)
    for _ in range(8):
        await bridge.step()
    for order in orders:
        assert (await bridge.order(order.id)).status is Status.COMPLETED
        held = int(bridge.world.rpc("eth_getBalance", order.wallet, "latest"), 16)
        assert held == order.token.amount_minor


async def test_a_lane_that_was_added_since_the_backup_is_quarantined_like_the_others(
    backups: Backups,
) -> None:
    """Only the configuration names it: that its nonces are used stops the network, and what it
    paid is found."""
    world = backups.world  # an account without a past on this chain
    world.settler, world.second = world.second, world.settler
    await backups.begin()
    bridge = await backups.backup()
    order_id = await completed(bridge)
    bridge = await backups.restore()
    await bridge.store.pool.execute("DELETE FROM lanes")
    with pytest.raises(NetworkStopped, match=r"at nonce \d+, we at 0"):
        await identity.verify(bridge.ports, "local")
    report = await rebuilt(backups)
    assert (report.left, report.written_down) == ([], [order_id])
    again = await completed(bridge)
    assert (await bridge.order(again)).status is Status.COMPLETED
    await bridge.check_books()


async def test_running_it_twice_changes_nothing(backups: Backups) -> None:
    """Whatever was done is found done."""
    await backups.begin()
    bridge = await backups.backup()
    order_id = await completed(bridge)
    bridge = await backups.restore()
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
    bridge = await backups.backup()
    await refund_at_the_provider(bridge, order_id)
    bridge = await backups.restore()
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
    bridge = await backups.backup()
    await refund_at_the_provider(bridge, order_id)
    bridge = await backups.restore()
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
    bridge = await backups.backup()
    intent_id = str((await bridge.order(order_id)).payment_intent_id)
    await bridge.stripe.v1.payment_intents.capture_async(intent_id, {"amount_to_capture": 100})
    bridge = await backups.restore()
    assert (await rebuilt(backups)).left == []
    await bridge.reach(order_id, Status.REFUNDED)
    assert bridge.world.balance(wallet) == 0


async def test_an_order_in_review_that_was_captured_outside_is_given_back(
    backups: Backups,
) -> None:
    """Taking its money in the dashboard does not clear it, nor does an officer's word that is
    lost."""
    bridge = await backups.begin()
    await completed(bridge)
    order_id = await bridge.place(wallet=DOUBTFUL)
    await bridge.pay(order_id)
    await bridge.tick_until(order_id, Status.IN_REVIEW, charge.tick, screen.tick)
    bridge = await backups.backup()
    intent_id = str((await bridge.order(order_id)).payment_intent_id)
    await bridge.stripe.v1.payment_intents.capture_async(intent_id)
    bridge = await backups.restore()
    assert (await rebuilt(backups)).left == []
    assert (await bridge.order(order_id)).status is Status.VOIDING
    await bridge.reach(order_id, Status.REFUNDED)
    assert "order.cleared" not in await bridge.event_types(order_id)
    await bridge.check_books()


async def test_a_payment_that_is_not_final_yet_stops_a_restored_backup_at_once(
    backups: Backups,
) -> None:
    """The old rows would have it refunded long before its block is final."""
    bridge = await backups.begin()
    await completed(bridge)
    order_id = await bridge.place()
    bridge = await backups.backup()
    await bridge.pay(order_id)
    await bridge.tick_until(order_id, Status.CAPTURED, charge.tick, screen.tick, capture.tick)
    raw = await bridge.signed_and_not_sent(order_id)
    bridge = await backups.restore()
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
