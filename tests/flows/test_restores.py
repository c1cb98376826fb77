"""What a restore finds half done: payments in a mempool, a killed rebuilding, forgotten gas."""

import pytest

from settlement.errors import NetworkStopped
from settlement.ledger.accounts import Account
from settlement.order import Status
from settlement.pipeline import settle
from settlement.stages import capture, charge, identity, screen
from tests.chain.world import fresh_address
from tests.flows.backups import (
    Backups,
    coins_beyond_the_books,
    completed,
    killed_while_it_waits,
    rebuilt,
)
from tests.flows.bridge import NETWORK
from tests.flows.conftest import needs_anvil

pytestmark = needs_anvil


async def test_payments_that_only_the_mempool_knows_stop_a_restored_backup(
    backups: Backups,
) -> None:
    """Two batches were sent and no block holds them: to the old rows both orders are unpaid, and
    the chain's own count says nothing. Nobody is paid twice, and rebuilding completes both."""
    bridge = await backups.backup_of_a_shop()
    lane = bridge.world.settler.address
    wallets = [fresh_address(), fresh_address()]
    orders = [await bridge.place(wallet=wallet) for wallet in wallets]
    bridge.world.rpc("evm_setAutomine", False)
    for order_id in orders:
        await bridge.pay(order_id)
        stages = (charge.tick, screen.tick, capture.tick, settle)
        await bridge.tick_until(order_id, Status.SUBMITTED, *stages)
    sent = await bridge.chain.nonces(lane)
    assert sent.known == sent.mined + 2
    bridge = await backups.restore()
    with pytest.raises(NetworkStopped, match=rf"{lane}: a mempool is at nonce .* rebuild"):
        await identity.verify(bridge.ports, "local")
    for _ in range(4):
        await bridge.step()
    assert (await rebuilt(backups)).left == []
    await identity.verify(bridge.ports, "local")
    for _ in range(4):
        await bridge.step()
    for order_id, wallet in zip(orders, wallets, strict=True):
        order = await bridge.order(order_id)
        assert order.status is Status.COMPLETED
        assert bridge.world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()


async def test_the_gas_of_a_rebuilding_that_was_killed_is_booked_by_the_next(
    backups: Backups,
) -> None:
    """It had used up its nonces and not booked one of them: the next run finds them on the chain.
    Running it once more books nothing twice."""
    bridge = await backups.backup_of_a_shop()
    order_id = await completed(bridge)
    beyond = await coins_beyond_the_books(bridge)
    bridge = await backups.restore()
    booked = await bridge.store.totals(Account.HOT_WALLET, NETWORK.native)
    for _ in range(2):
        await killed_while_it_waits(backups)
    assert await bridge.store.totals(Account.HOT_WALLET, NETWORK.native) == booked
    for _ in range(2):
        assert (await rebuilt(backups)).left == []
        assert await coins_beyond_the_books(bridge) == beyond
    assert (await bridge.order(order_id)).status is Status.COMPLETED
    await bridge.check_books()


async def test_the_gas_of_whatever_a_lane_sent_and_we_forgot_is_booked(backups: Backups) -> None:
    """A cancellation paid nobody and left no log. What somebody else did with the key is told: its
    gas is booked, what it moved stays missing."""
    bridge = await backups.backup_of_a_shop()
    order_id = await bridge.place()
    await bridge.pay(order_id)
    bridge.world.rpc("evm_setAutomine", False)
    order = await bridge.tick_until(
        order_id, Status.SUBMITTED, charge.tick, screen.tick, capture.tick, settle
    )
    assert await bridge.store.ask(order.batch_id, bridge.clock.now(), cancel=True)
    await settle(bridge.ports)
    bridge.world.rpc("evm_setAutomine", True)
    await bridge.reach(order_id, Status.COMPLETED)
    assert "order.requeued" in await bridge.event_types(order_id)
    beyond = await coins_beyond_the_books(bridge)
    bridge = await backups.restore()
    theft = bridge.world.send(bridge.world.settler, fresh_address(), "0x", value=5)
    report = await rebuilt(backups)
    assert report.left == []
    assert [note for note in report.notes if theft["transactionHash"] in note] == report.notes
    assert await coins_beyond_the_books(bridge) == beyond - 5
    await bridge.check_books()


async def test_the_restart_of_a_rebuilt_network_is_in_the_audit_log(backups: Backups) -> None:
    """With the reason that it was stopped for, in the transaction that took it back; a network that
    stays stopped has no such line."""
    bridge = await backups.backup_of_a_shop()
    intent = await bridge.intent(await completed(bridge))
    intent_id, lines = intent["id"], intent["metadata"]["lines"]
    update = bridge.stripe.v1.payment_intents.update_async
    await update(intent_id, {"metadata": {"lines": "principal=1"}})
    bridge = await backups.restore()
    with pytest.raises(NetworkStopped) as stopped:
        await identity.verify(bridge.ports, "local")
    started = """
        SELECT a.actor, a.data ->> 'stop_reason' AS reason, a.xmin = n.xmin AS at_once
        FROM audit_log a JOIN networks n ON n.name = a.object_id
        WHERE a.action = 'network.started'
    """
    assert (await rebuilt(backups, keys=())).left != []
    assert await bridge.store.pool.fetch(started) == []
    await update(intent_id, {"metadata": {"lines": lines}})
    assert (await rebuilt(backups)).left == []
    [row] = await bridge.store.pool.fetch(started)
    assert tuple(row) == ("console", str(stopped.value), True)
