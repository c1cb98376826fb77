"""The process dies in every gap between two effects; another finishes what it began.

Every effect of every port has a gap with a name (:mod:`settlement.ports.effects`); a port or method
in no table, or an effect that no story reaches, fails here. What people do by hand is in
``test_crashes_by_hand.py``.
"""

import asyncio
import contextlib
from dataclasses import fields
from functools import cache

import pytest

from settlement.batch import BatchStatus
from settlement.order import Status
from settlement.ports.bundle import Ports
from settlement.ports.effects import BY_HAND, GAPS, READS
from tests.engine.escrows import escrows_agree
from tests.engine.stories import STORIES, Story, go_on
from tests.support.engine import Engine
from tests.support.stopping import REACHES_NOTHING, Doomed, Stopped, effect_ports, watched


async def played(story: Story, last: int | None) -> tuple[Engine, list[str]]:
    """The story up to and including its ``last``-th effect (``None``: to its end)."""
    engine = await story.begin()
    doomed = Doomed(engine.store, frozenset(GAPS), last)
    with contextlib.suppress(Stopped):
        await story.play(engine, watched(engine.ports, doomed.watch))
    return engine, doomed.trace


@cache
def traces() -> dict[str, tuple[str, ...]]:
    """The effects of each story, in order, when nothing stops it."""
    return {story.name: tuple(asyncio.run(played(story, None))[1]) for story in STORIES}


def test_every_field_of_the_ports_is_a_port_or_reaches_nothing():
    """A new one has its methods in the tables, or is said to change nothing outside."""
    names = {field.name for field in fields(Ports)}
    assert set(REACHES_NOTHING) <= names
    for name, (_, port) in effect_ports().items():
        assert getattr(port, "_is_protocol", False), f"Ports.{name} is no protocol: {port}"
    assert {"store", "payment", "chains", "escrows"} <= set(effect_ports())


def test_every_method_of_a_port_is_an_effect_or_a_read():
    """A new one must be put into a table, and an effect into a story."""
    methods = {
        f"{prefix}.{name}"
        for prefix, port in effect_ports().values()
        for name in dir(port)
        if not name.startswith("_") and callable(getattr(port, name))
    }
    tables = [set(GAPS), set(BY_HAND), set(READS)]
    assert methods == set.union(*tables)
    assert sum(map(len, tables)) == len(methods)


def test_every_gap_has_a_name_of_its_own():
    """So that a crash there can be talked about."""
    names = [*GAPS.values(), *BY_HAND.values()]
    assert len(set(names)) == len(names)


def test_every_effect_of_the_pipeline_is_reached_by_a_story():
    """A gap that no test stops in is a gap that nobody has looked into."""
    reached = {effect for trace in traces().values() for effect in trace}
    assert set(GAPS) - reached == set()


@pytest.mark.parametrize("effect", GAPS, ids=list(GAPS.values()))
async def test_a_crash_in_this_gap_is_finished_by_another_worker(effect: str):
    """Wherever it occurs, in every story: all are paid or refunded, once, and the books agree."""
    stops = 0
    for story in STORIES:
        trace = await asyncio.to_thread(lambda story=story: traces()[story.name])
        for index, name in enumerate(trace):
            if name == effect:
                engine, reached = await played(story, index)
                assert reached[-1] == effect, f"{story.name}: {reached[-3:]}"
                await finished(engine, story)
                stops += 1
    assert stops > 0


async def finished(engine: Engine, story: Story) -> None:
    """Nothing is open, nobody was paid twice or both paid and refunded, the books agree."""
    for order in await go_on(engine, story):
        refunded = order.status in (Status.REFUNDED, Status.EXPIRED, Status.REJECTED)
        assert not (refunded and engine.paid(order)), f"{order.id} was paid and refunded"
    await engine.check()
    await escrows_agree(engine)
    used = [
        (batch.lane_id, batch.nonce)
        for batch in engine.batches()
        if batch.status is not BatchStatus.CANCELLED or batch.block_number is not None
    ]
    assert len(set(used)) == len(used)
