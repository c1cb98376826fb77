"""A backup that comes back at a bad moment: while payments wait in a mempool only."""

import pytest

from settlement.errors import NetworkStopped
from settlement.order import Status
from settlement.pipeline import settle
from settlement.stages import capture, charge, identity, screen
from tests.chain.world import fresh_address
from tests.flows.backups import Backups, rebuilt
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
