"""Champion and challenger on stored blocks: what is kept apart, who wins, what serves afterwards."""

from dataclasses import replace

import numpy as np
import pytest

from chain.gas import artifact
from chain.gas.artifact import BadArtifact
from chain.gas.history import History
from chain.gas.retrain import TooLittleHistory, divide, judge, open_model, windows_of
from chain.gas.service import GasService
from chain.gas.store import GasStore
from chain.networks.local import NETWORK
from settlement.ports.clock import SystemClock
from tests.gas.chains import Node, Shelf, mined
from tests.support.builders import NOW


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


def test_the_champion_stays_unless_the_challenger_is_better(model):
    """Equal is not better; one that waits for the lowest fee of all, and pays for it, loses."""
    [window] = windows_of(mined(620))
    equal = judge(window, model, model)
    assert not equal.is_better
    assert equal.scores["champion"] == equal.scores["challenger"]
    never = replace(
        model, learned_share=np.zeros(model.horizon), percentiles=np.full(model.horizon, -4.0)
    )
    assert judge(window, never, model).is_better
    assert not judge(window, model, never).is_better


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
