"""A worker freezes before any of its calls, loses its lanes, and wakes when others have finished.

Whatever it then does changes nothing: not in our books, and on the chain only what is stored.
"""

import asyncio
from copy import copy
from dataclasses import fields, replace
from typing import Any

import pytest

from settlement.batch import Lane
from settlement.pipeline import settle, take_lanes
from settlement.ports.bundle import Ports
from settlement.ports.chain import ContractCall
from settlement.ports.store import RequestedCall
from settlement.stages import confirm, submit
from tests.support.engine import RICH_WEI, Engine, an_engine
from tests.support.stopping import Frozen, watched


async def waits(engine: Engine) -> None:
    """Orders and calls that nobody has planned."""
    for _ in range(3):
        await engine.order()
    engine.chain.refusing.add("0xrefusing")
    for number, to in enumerate(("0xto", "0xrefusing")):
        call = RequestedCall(f"call_{number}", "local", "0xlane0", ContractCall(to, b"data"))
        await engine.store.request_call(call, engine.clock.now())


async def is_sent(engine: Engine) -> None:
    """A batch in the mempool that is due to be outbid."""
    await waits(engine)
    await settle(engine.ports)
    engine.clock.pass_s(61)


async def is_mined(engine: Engine) -> None:
    """A batch in a block that nobody has noticed."""
    await is_sent(engine)
    engine.chain.mine()


async def is_final(engine: Engine) -> None:
    """A batch whose block is final and not judged."""
    await is_mined(engine)
    await settle(engine.ports)
    engine.chain.mine(4)


async def is_called_back(engine: Engine) -> None:
    """A batch that somebody wants cancelled."""
    await is_sent(engine)
    for batch in engine.batches():
        await engine.store.ask(batch.id, engine.clock.now(), cancel=True)


async def is_given_up(engine: Engine) -> None:
    """A planned batch that the chain has refused for too long."""
    await engine.order()

    def drained(method: str) -> None:
        if method == "sign":
            engine.chain.give("0xvault", tokens=-engine.chain.state.tokens["0xvault"])

    engine.chain.before = drained
    await settle(engine.ports)
    engine.chain.before = lambda _method: None
    engine.clock.pass_s(engine.ports.policy.sign_patience_ms // 1_000)


async def is_ahead(engine: Engine) -> None:
    """A counter that nothing explains, and an account without funds."""
    await engine.order()
    row = engine.store.tables.lanes[1]
    engine.store.tables.lanes[1] = replace(row, lane=replace(row.lane, next_nonce=5))
    engine.chain.give("0xlane0", coins=1 - RICH_WEI)


SCENES = (waits, is_sent, is_mined, is_final, is_called_back, is_given_up, is_ahead)


async def a_round(ports: Ports, lane: Lane) -> None:
    """What a worker does under one lease, without anybody renewing it: it is frozen."""
    await confirm.tick(ports, lane)
    await submit.tick(ports, lane)


def rows(engine: Engine) -> dict[str, Any]:
    tables = engine.store.tables
    return {item.name: copy(getattr(tables, item.name)) for item in fields(tables)}


async def others_go_on(engine: Engine, rounds: int) -> None:
    """Another worker takes over after the lane's lease has ended."""
    engine.chain.give("0xvault", tokens=10**12)
    engine.chain.give("0xlane0", coins=RICH_WEI)
    ports = engine.another_worker()
    for _ in range(rounds):
        engine.clock.pass_s(31)
        await settle(ports)
        engine.chain.mine()


@pytest.mark.parametrize("rounds", [1, 16], ids=["taken-over", "finished"])
@pytest.mark.parametrize("scene", SCENES, ids=[scene.__name__ for scene in SCENES])
async def test_a_worker_that_wakes_late_changes_nothing(scene: Any, rounds: int):
    """Frozen before each of its calls in turn, reads and writes, of the store and of the chain."""
    at = 0
    while True:
        engine = await an_engine()
        await scene(engine)
        frozen = Frozen(at)
        [lane] = await take_lanes(engine.ports, "local")
        late = asyncio.ensure_future(a_round(watched(engine.ports, frozen.watch), lane))
        asleep = asyncio.ensure_future(frozen.asleep.wait())
        await asyncio.wait({late, asleep}, return_when=asyncio.FIRST_COMPLETED)
        asleep.cancel()
        if not frozen.asleep.is_set():
            break
        await others_go_on(engine, rounds)
        before = rows(engine)
        frozen.wake.set()
        await asyncio.gather(late, return_exceptions=True)
        assert rows(engine) == before, f"woken before {frozen.name}"
        stored = {a.transaction.ref for batch in engine.batches() for a in batch.attempts}
        assert {t.ref for t in engine.chain.mempool.values()} <= stored
        await engine.check()
        at += 1
    await asyncio.gather(late, return_exceptions=True)
    assert at > 5
