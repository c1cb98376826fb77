"""A person's command, or the start of a deployment, dies behind its call, and is run again.

Nobody finishes it for them: others only go on with what they find, and the same command, given once
more, has done no more than it would have at once.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from settlement.pipeline import advance
from settlement.ports.bundle import Ports
from settlement.ports.chain import ContractCall
from settlement.ports.effects import BY_HAND
from settlement.ports.store import RequestedCall
from tests.engine.stories import Story, rounds
from tests.engine.test_crashes import finished
from tests.support.engine import Engine, an_engine
from tests.support.stopping import Doomed, Stopped, watched

WHY = "an alarm that was false"
CALL = RequestedCall("call_1", "local", "0xlane0", ContractCall("0xto", b"data"))


async def nothing_else(_engine: Engine) -> None:
    """The command leaves nothing to be undone, and nothing to look at but the end."""


@dataclass(frozen=True)
class Command:
    """``given`` what was before it; ``do`` is all of it, so that it can be given again; ``after``
    looks at what it was for and takes back what would keep orders waiting."""

    given: Callable[[Engine], Awaitable[None]]
    do: Callable[[Engine, Ports], Awaitable[object]]
    after: Callable[[Engine], Awaitable[None]] = nothing_else


async def _sent(engine: Engine) -> None:
    await advance(engine.ports)
    assert all(batch.attempts for batch in engine.batches())


async def _stopped(engine: Engine) -> None:
    await engine.store.stop_network("local", WHY, engine.clock.now())


async def _paused(engine: Engine) -> None:
    await engine.store.pause_network("local", engine.clock.now(), by="op_1")


async def _lane_paused(engine: Engine) -> None:
    await engine.store.pause_lane("local", "0xlane0", engine.clock.now(), by="op_1")


async def _unknown(engine: Engine) -> None:
    """The database knows neither the network nor its lanes."""
    engine.store.tables.networks.clear()
    engine.store.tables.lanes.clear()


async def _begin(engine: Engine, ports: Ports) -> None:
    """What the start of a deployment does: the network unless it is known, then every lane."""
    chain = ports.chains["local"]
    if await ports.store.network("local") is None:
        identity = await chain.identity()
        await ports.store.register_network("local", identity, engine.clock.now())
    for lane in chain.lanes:
        await ports.store.register_lane("local", lane, await chain.nonce(lane))


async def _ask_again(engine: Engine, ports: Ports) -> None:
    for batch in engine.batches():
        await ports.store.ask_again(batch.id)


async def _called_once(engine: Engine) -> None:
    await rounds(engine, engine.ports, 6)
    calls = [t.call for block in engine.chain.blocks for t in block.transactions]
    assert calls.count(CALL.call) == 1


async def _waited(engine: Engine) -> None:
    """Nothing was planned; then they may go on."""
    assert engine.batches() == []
    await engine.store.resume_network("local", engine.clock.now())
    await engine.store.resume_lane("local", "0xlane0", engine.clock.now())


COMMANDS = {
    "store.request_call": Command(
        nothing_else,
        lambda engine, ports: ports.store.request_call(CALL, engine.clock.now()),
        _called_once,
    ),
    "store.ask_again": Command(_sent, _ask_again),
    "store.start_network": Command(
        _stopped, lambda _engine, ports: ports.store.start_network("local", WHY)
    ),
    "store.pause_network": Command(
        nothing_else,
        lambda engine, ports: ports.store.pause_network("local", engine.clock.now(), by="op_1"),
        _waited,
    ),
    "store.resume_network": Command(
        _paused, lambda engine, ports: ports.store.resume_network("local", engine.clock.now())
    ),
    "store.pause_lane": Command(
        nothing_else,
        lambda engine, ports: ports.store.pause_lane(
            "local", "0xlane0", engine.clock.now(), by="op_1"
        ),
        _waited,
    ),
    "store.resume_lane": Command(
        _lane_paused,
        lambda engine, ports: ports.store.resume_lane("local", "0xlane0", engine.clock.now()),
    ),
    "store.register_network": Command(_unknown, _begin),
    "store.register_lane": Command(_unknown, _begin),
}


def test_every_effect_by_hand_has_its_command():
    """A new one is stopped behind as well."""
    assert set(COMMANDS) == set(BY_HAND)


@pytest.mark.parametrize("effect", BY_HAND, ids=list(BY_HAND.values()))
async def test_a_command_that_died_behind_its_call_is_given_again(effect: str):
    """Workers go on in between; in the end all orders are paid once, and the books agree."""
    command, engine = COMMANDS[effect], await an_engine(1)
    for _ in range(3):
        await engine.order()
    await command.given(engine)
    doomed = Doomed(engine.store, frozenset({effect}), 0)
    with pytest.raises(Stopped):
        await command.do(engine, watched(engine.ports, doomed.watch))
    assert doomed.trace == [effect]
    await rounds(engine, engine.another_worker(), 2)
    await command.do(engine, engine.another_worker())
    await command.after(engine)

    async def begin() -> Engine:
        return engine

    await finished(engine, Story(effect, begin, rounds))
    assert all(engine.paid(order) for order in engine.orders.values())
