"""Champion and challenger on stored blocks: what is kept apart, who wins, what serves then."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from bridge.gas import due, train_in_turn
from chain.gas import artifact
from chain.gas.artifact import BadArtifact
from chain.gas.history import History
from chain.gas.retrain import (
    TooLittleHistory,
    challenge,
    divide,
    is_better,
    is_due,
    judge,
    open_model,
    windows_of,
)
from chain.gas.service import GasService
from chain.gas.store import GasStore
from chain.networks.local import NETWORK
from settlement.ports.clock import SystemClock
from tests.gas.chains import Node, Shelf, mined
from tests.support.builders import NOW


@dataclass
class At:
    """A clock that stands."""

    moment: datetime

    def now(self):
        return self.moment


@pytest.fixture(scope="module")
def model():
    return artifact.load()


def test_too_little_history_is_said_so():
    """Nothing is trained on blocks that it would be judged by."""
    for rows in ([], mined(700), [*mined(2_100), *mined(500, first=9_000)]):
        with pytest.raises(TooLittleHistory):
            divide(rows)


def test_the_newest_connected_blocks_are_kept_apart_and_gaps_cut():
    """Windows never bridge missing blocks, and the judge's window is in none of them."""
    rows = [*mined(1_000), *mined(3_000, first=5_000)]
    assert [len(window) for window in windows_of(rows)] == [1_000, 3_000]
    known, unseen = divide(rows)
    assert [len(window) for window in known] == [1_000, 2_400]
    assert (unseen.numbers[0], unseen.numbers[-1]) == (7_400, 7_999)
    assert known[-1].numbers[-1] < unseen.numbers[0]


@pytest.mark.parametrize(
    ("captured", "pinball", "wins"),
    [
        ({"5": 0.30, "50": 0.40}, 0.1, False),  # equal is not better
        ({"5": 0.36, "50": 0.42}, 0.1, True),
        ({"5": 0.26, "50": 0.60}, 0.1, False),  # clearly worse at one deadline
        ({"5": 0.36, "50": 0.42}, 0.12, False),  # a worse forecast
    ],
)
def test_the_champion_stays_unless_the_challenger_is_better(captured, pinball, wins):
    """On average by half a percent, nowhere clearly worse, and with no worse a forecast."""
    champion = {"captured": {"5": 0.30, "50": 0.40}, "pinball_5": 0.1}
    assert is_better(champion, {"captured": captured, "pinball_5": pinball}) is wins


def test_both_walk_the_unseen_window_as_they_would_have_served(model):
    """Deadlines that do not fit into it are left out."""
    [window] = windows_of(mined(130))
    trial = judge(window, model, model)
    assert trial.scores["champion"] == trial.scores["challenger"]
    assert list(trial.scores["champion"]["captured"]) == ["5", "50"]
    assert not trial.is_better


def test_a_stored_model_that_was_altered_does_not_open():
    """As with the file."""
    with pytest.raises(BadArtifact):
        open_model({"format": artifact.FORMAT, "sha256": "no"})


async def test_a_promoted_model_serves_from_the_next_look_on(model):
    """And one that does not open is passed over for the shipped one."""
    node, shelf = Node(mined(40)), Shelf()
    gas = GasService(
        {"local": (NETWORK, History("local", node, shelf))},
        *(shelf, SystemClock(), lambda: model),
        waits=frozenset({"local"}),
    )
    await gas.refresh()
    first = gas.market("local")
    await gas.score()
    assert gas.market("local") is first
    shelf.models.append({"sha256": "damaged"})
    await gas.score()
    await gas.refresh()
    second = gas.market("local")
    assert second is not first
    assert second.model is model


async def test_every_challenger_is_kept_and_the_newest_promoted_one_serves(postgres_store):
    """With its scores, by network."""
    store = GasStore(postgres_store.pool)
    assert await store.promoted("local") is None
    await store.save_model("local", {"sha256": "one"}, {"a": 1}, NOW, promote=True)
    await store.save_model("local", {"sha256": "two"}, {}, NOW, promote=False)
    assert await store.promoted("local") == "one"
    assert await store.promoted("base") is None
    assert await store.model("local", "two") == {"sha256": "two"}


WEEK = timedelta(days=7)


@pytest.mark.parametrize(
    ("trained_ago", "begun_ago", "is_expected"),
    [
        (None, None, True),
        (timedelta(days=6), timedelta(days=6), False),
        (WEEK, WEEK, True),
        (None, timedelta(hours=23), False),  # too little history, or killed: not every hour
        (None, timedelta(days=1), True),
        (timedelta(days=8), timedelta(hours=1), False),  # the second one failed or still runs
        (timedelta(hours=1), timedelta(days=8), False),  # a model from before beginnings were kept
    ],
)
def test_training_is_due_by_what_is_stored_alone(trained_ago, begun_ago, is_expected):
    """Not by when a worker was started: a restart neither delays nor repeats it."""
    trained_at, begun_at = (None if ago is None else NOW - ago for ago in (trained_ago, begun_ago))
    assert is_due(NOW, WEEK, trained_at, begun_at) is is_expected


def test_a_short_interval_is_kept_also_after_a_failure():
    """Who trains every six hours tries again after six."""
    six_h = timedelta(hours=6)
    assert is_due(NOW, six_h, None, NOW - six_h)
    assert not is_due(NOW, six_h, None, NOW - timedelta(hours=5))


async def test_of_many_workers_one_trains_and_the_next_finds_it_done(postgres_store):
    """While one trains the others end at once; afterwards nothing is due until the week is over."""
    pool, store = postgres_store.pool, GasStore(postgres_store.pool)
    await store.save_outlook("local", 1, NOW, {})
    begun, may_end, trained = asyncio.Event(), asyncio.Event(), []

    async def train(_, network, now):
        trained.append((network, now))
        begun.set()
        await may_end.wait()
        return "done"

    async def work(moment):
        turn = train_in_turn(pool, At(moment), (), due_every=WEEK, train=train)
        return [line async for line in turn]

    assert await due(store, NOW, WEEK) == ["local"]
    first = asyncio.create_task(work(NOW))
    await asyncio.wait_for(begun.wait(), 10)
    assert await work(NOW) == ["another training is under way"]
    may_end.set()
    assert await first == ["done"]
    assert await work(NOW + timedelta(hours=23)) == []
    await store.save_model("local", {"sha256": "one"}, {}, NOW, promote=False)
    assert await work(NOW + timedelta(days=6)) == []
    assert await work(NOW + WEEK) == ["done"]
    assert trained == [("local", NOW), ("local", NOW + WEEK)]


async def test_too_little_history_is_a_training_that_was_begun(postgres_store):
    """So it is tried again after a day, and not at every look."""
    pool, store = postgres_store.pool, GasStore(postgres_store.pool)
    await store.save_outlook("local", 1, NOW, {})
    [line] = [line async for line in train_in_turn(pool, At(NOW), (), due_every=WEEK)]
    assert "0 blocks are known" in line
    assert await due(store, NOW + timedelta(hours=23), WEEK) == []
    assert await due(store, NOW + timedelta(hours=24), WEEK) == ["local"]


def test_a_challenger_is_trained_on_the_older_blocks_and_judged_on_the_newest(model):
    """End to end with the library that trains: its content opens, and both are scored."""
    content, trial = challenge(mined(2_700), model)
    assert open_model(content).digest == content["sha256"]
    assert trial.scores["window"] == "blocks 2200 to 2799"
    assert trial.scores["challenger"]["model"] == content["sha256"]
    assert set(trial.scores["champion"]["captured"]) == {"5", "50", "300"}
