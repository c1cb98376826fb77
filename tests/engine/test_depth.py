"""No lane ever has more open batches than its depth: what a rebuilding relies on."""

from settlement.batch import RequestedCall
from settlement.pipeline import settle
from settlement.ports.chain import ContractCall
from settlement.schedule import Policy
from tests.support.engine import Engine, an_engine


async def request(engine: Engine, count: int) -> None:
    for number in range(count):
        call = ContractCall("0xcontract", bytes([number]))
        wanted = RequestedCall(f"call_{number}", "local", "0xlane0", call)
        await engine.store.request_call(wanted, engine.clock.now())


async def test_many_calls_at_once_do_not_exceed_it() -> None:
    """Each has a nonce of its own, and one whose signature is lost could be mined much later."""
    engine = await an_engine(policy=Policy(lane_depth=3))
    await request(engine, 8)
    order = await engine.order()
    for _ in range(12):
        await settle(engine.ports)
        [state] = await engine.store.lanes("local")
        assert len(await engine.store.open_batches(state.lane)) <= 3
        engine.chain.mine()
        engine.clock.pass_s(2)
    await engine.until_quiet()
    assert engine.paid(order) == order.token.amount_minor
    assert len(engine.batches()) == 9
    await engine.check()


async def test_an_order_waits_for_the_calls_before_it() -> None:
    """It is planned in the round that has room for it, not pushed beyond the depth."""
    engine = await an_engine(policy=Policy(lane_depth=2))
    await request(engine, 2)
    order = await engine.order()
    await settle(engine.ports)
    assert [batch.order_count for batch in engine.batches()] == [0, 0]
    assert (await engine.now(order)).batch_id is None
    await engine.until_quiet()
    assert engine.paid(order) == order.token.amount_minor
