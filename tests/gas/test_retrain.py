"""Champion and challenger on stored blocks: what is kept apart, who wins, what serves then."""

import pytest

from chain.gas import artifact
from chain.gas.artifact import BadArtifact
from chain.gas.history import History
from chain.gas.retrain import TooLittleHistory, divide, is_better, judge, open_model, windows_of
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
