"""Native coin: singly from a lane where that costs less, else from the vault; once either way."""

import pytest

from chain.simulated import GAS_FRAME, GAS_PER_PAYOUT, VAULT
from settlement.batch import Batch, BatchKind
from settlement.order import HoldReason, Status
from settlement.pipeline import settle
from tests.support.engine import COINS_WEI, Engine, an_engine

FULL_BATCH_WEI = (GAS_FRAME + GAS_PER_PAYOUT * 5) * 3 * 10**9
"""Gas for a whole batch at more than the fake's price."""


def kinds(engine: Engine) -> list[BatchKind]:
    return [batch.kind for batch in engine.batches()]


async def settled(engine: Engine) -> list[Batch]:
    """All is done and every book agrees."""
    await engine.until_quiet()
    await engine.check()
    await engine.check_coins()
    return engine.batches()


def leave(engine: Engine, coins: int) -> None:
    """The lane has just so much."""
    engine.chain.give("0xlane0", coins=coins - engine.chain.state.coins["0xlane0"])


async def test_what_the_vault_would_not_pay_no_lane_pays():
    """Its pause stops every outflow."""
    engine = await an_engine()
    engine.chain.paused = True
    order = await engine.coins()
    for _ in range(3):
        await engine.step()
    assert engine.batches() == []
    assert (await engine.now(order)).hold_reason is HoldReason.PAUSED
    engine.chain.paused = False
    await settled(engine)


async def test_payouts_never_take_the_coins_for_gas():
    """A lane that has no more than the gas of a whole batch leaves the order to the vault."""
    engine = await an_engine()
    leave(engine, COINS_WEI + FULL_BATCH_WEI // 2)
    await engine.coins()
    [batch] = await settled(engine)
    assert batch.kind is BatchKind.PAYOUT


async def test_coins_on_their_way_are_not_promised_again():
    """In one plan, and while an earlier transfer is in no block yet."""
    engine = await an_engine()
    leave(engine, COINS_WEI * 3 // 2 + FULL_BATCH_WEI)
    for _ in range(2):
        await engine.coins()
    await settle(engine.ports)
    assert sorted(kinds(engine)) == [BatchKind.PAYOUT, BatchKind.SINGLE]
    await engine.coins()
    await settle(engine.ports)
    assert sorted(kinds(engine)) == [BatchKind.PAYOUT, BatchKind.PAYOUT, BatchKind.SINGLE]
    await settled(engine)


async def test_no_more_transfers_leave_than_the_lane_has_room_for():
    """One nonce each; what cannot leave now comes again, and nobody shares."""
    engine = await an_engine()
    engine.with_policy(lane_depth=3)
    for _ in range(5):
        await engine.coins()
    await settle(engine.ports)
    assert kinds(engine) == [BatchKind.SINGLE] * 3
    await settled(engine)
    assert kinds(engine) == [BatchKind.SINGLE] * 5


async def test_accounts_in_use_share_a_batch_of_the_vault():
    """The fresh one beside them leaves singly."""
    engine = await an_engine()
    orders = [await engine.coins() for _ in range(3)]
    for order in orders[:2]:
        engine.chain.give(order.wallet, coins=1)
    await settle(engine.ports)
    counts = {batch.kind: batch.order_count for batch in engine.batches()}
    assert counts == {BatchKind.PAYOUT: 2, BatchKind.SINGLE: 1}
    for order in orders[:2]:
        engine.chain.give(order.wallet, coins=-1)
    await settled(engine)


async def test_a_transfer_that_reverted_is_judged_by_the_vault_once_final():
    """Who has code by now may refuse: nobody is paid, and only the vault's word refunds."""
    engine = await an_engine()
    order = await engine.coins()
    await settle(engine.ports)
    engine.chain.refusing.add(order.wallet)
    await engine.step(blocks=2)
    await settle(engine.ports)
    assert (await engine.now(order)).status is Status.SUBMITTED
    assert len(engine.batches()) == 1
    await settled(engine)
    assert kinds(engine) == [BatchKind.SINGLE, BatchKind.PAYOUT]
    stored = await engine.now(order)
    assert (stored.status, stored.reason) == (Status.REFUND_PENDING, "recipient_refused")
    assert engine.paid(order) == 0


@pytest.mark.parametrize("mined_first", [False, True])
async def test_a_transfer_that_is_called_back_is_paid_once(mined_first: bool):
    """By another transaction if the cancellation won, else by this one."""
    engine = await an_engine()
    order = await engine.coins()
    await settle(engine.ports)
    [batch] = engine.batches()
    if mined_first:
        engine.chain.mine()
    await engine.store.ask(batch.id, engine.clock.now(), cancel=True)
    engine.clock.pass_s(10)
    assert len(await settled(engine)) == (1 if mined_first else 2)
    assert engine.paid(order) == COINS_WEI


async def test_what_a_lane_paid_becomes_the_platforms_in_the_vault():
    """The tenant's coins leave its books, and stay where they are."""
    engine = await an_engine()
    await engine.coins()
    [batch] = await settled(engine)
    assert (batch.kind, batch.value_minor) == (BatchKind.SINGLE, COINS_WEI)
    assert engine.chain.state.coins[VAULT] == COINS_WEI
    held = {tenant: await _vault_of(engine, tenant) for tenant in (engine.scene.tenant, "platform")}
    assert held == {engine.scene.tenant: 0, "platform": COINS_WEI}


async def _vault_of(engine: Engine, tenant: str) -> int:
    rows = await engine.store.balances(tenant)
    return sum(r.debits_posted - r.credits_posted for r in rows if r.account == "vault:inventory")
