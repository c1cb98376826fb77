"""The shipped model as it is served: whole or not at all, the same every time, silent in doubt."""

import json
import shutil

import numpy as np
import pytest

from compliance_graph.artifact import FOLDER, ArtifactRefused
from compliance_graph.card import card
from compliance_graph.explain import explain
from compliance_graph.features import SERVED_NAMES, describe
from compliance_graph.graph import GrowingGraph, Transfers
from compliance_graph.judge import GraphJudge
from compliance_graph.pairs import PairIndex
from compliance_graph.scoring import INPUT, MARGIN, PAIRS_MAX, PAIRS_MIN, Scorer
from compliance_graph.secondopinion import parity_graph
from tests.compliance_graph.made import DAY_S, START_S, hub_graph, random_graph, thief_graph


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load()


@pytest.fixture(scope="module")
def thief() -> GrowingGraph:
    return GrowingGraph(thief_graph())


@pytest.mark.parametrize("name", ["screening.onnx", "network.onnx", "grids.npz", "MODEL_CARD.md"])
def test_a_changed_byte_is_not_loaded(tmp_path, name):
    """Nobody is judged by a model that is not the one shipped."""
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(ArtifactRefused, match=name):
        Scorer.load(folder)


def test_a_missing_file_is_not_loaded(tmp_path):
    """Half a model is none."""
    shutil.copytree(FOLDER, tmp_path / "model")
    (tmp_path / "model" / "trees.npz").unlink()
    with pytest.raises(ArtifactRefused):
        Scorer.load(tmp_path / "model")


def test_the_card_tells_the_figures_of_the_manifest(scorer):
    """Numbers of seeds, errors and biases are those of this very model, not of one before."""
    told = (FOLDER / "MODEL_CARD.md").read_text()
    assert told == card(scorer.artifact.about)
    for name, figures in scorer.artifact.about["figures"].items():
        assert f"| {name} | {figures['accounts_evaluated']:,} |" in told
        assert figures["false_positive_rate_mean"] <= 0.05
        assert figures["recall_mean"] >= 0.5


def test_too_little_history_is_no_evidence(scorer):
    """Below the least number of counterparties the model says nothing, and why."""
    for leaves in (1, PAIRS_MIN - 2):
        score = scorer.score(PairIndex.of(hub_graph(leaves).pairs()), 0)
        assert score.probability is None
        assert str(PAIRS_MIN) in (score.abstained or "")
        assert not score.review
    assert scorer.score(PairIndex.of(hub_graph(PAIRS_MIN).pairs()), 0).abstained is None


def test_a_hub_like_none_that_was_learned_from_is_no_guess(scorer):
    """An exchange's wallet is not judged by what private accounts do; nor explained."""
    index = PairIndex.of(hub_graph(PAIRS_MAX).pairs())
    assert str(PAIRS_MAX) in (scorer.score(index, 0).abstained or "")
    assert explain(scorer, index, 0) is None


def test_arrays_say_what_onnx_says(scorer):
    """Explanations walk the trees that serve: base and contributions add up to the margin."""
    index = PairIndex.of(random_graph(60, 2000).pairs())
    values = np.stack([describe(index, node, amounts=False) for node in range(20)])
    values[np.random.default_rng(0).random(values.shape) < 0.1] = np.nan
    rows = scorer.rows(values)
    forest = scorer.artifact.forest
    for row, margin in zip(rows, scorer.margins(rows), strict=True):
        parts, base = forest.contributions(row)
        assert base + parts.sum() == pytest.approx(margin, abs=1e-4)
        assert not parts[~np.isin(np.arange(len(row)), forest.feature)].any()


def test_served_models_say_what_the_trained_ones_said(scorer):
    """Made inputs, stored with the answers of the libraries that trained: trees and network."""
    with np.load(FOLDER / "parity.npz") as stored:
        np.testing.assert_allclose(scorer.margins(stored[INPUT]), stored[MARGIN], atol=1e-4)
        wanted = stored["network"]
    index = PairIndex.of(parity_graph())
    got = [scorer.network.log_odds(index, node) for node in range(len(wanted))]
    np.testing.assert_allclose(got, wanted, atol=1e-3)


def test_many_are_scored_as_one_by_one(scorer):
    """In bulk or alone, with those that it abstains from in between."""
    index = PairIndex.of(random_graph(60, 250).pairs())
    nodes = list(range(60))
    alone = [scorer.score(index, node) for node in nodes]
    for one, other in zip(alone, scorer.score_many(index, nodes), strict=True):
        assert one.abstained == other.abstained
        assert one.log_odds == pytest.approx(other.log_odds, abs=1e-5)
    assert {score.abstained is None for score in alone} == {True, False}


def test_a_thief_is_explained_the_same_every_time(scorer, thief):
    """Features and counterparties that moved the score, and what would change it; then undone."""
    judge = GraphJudge(scorer, thief)
    before = judge.score(0)
    found = judge.explained(0, lambda node: f"account-{node}")
    assert before.review
    assert json.dumps(found) == json.dumps(
        GraphJudge(scorer, thief).explained(0, "account-{}".format)
    )
    assert judge.score(0) == before
    parts = sum(part["log_odds"] for part in found["features"]) + found["other_features_log_odds"]
    assert found["base_log_odds"] + parts == pytest.approx(before.log_odds, abs=1e-3)
    assert found["counterparties"][0]["account"].startswith("account-")
    change = found["would_change"]["with_usual_features"]
    assert change["probability"] < before.probability
    assert judge.explained(3) is None


def test_new_blocks_change_the_score_and_a_reorganisation_brings_it_back(scorer, thief):
    """The judge follows the graph that it was made over."""
    judge = GraphJudge(scorer, thief)
    before = judge.score(0)
    mark = thief.mark
    last = START_S + 500 * DAY_S
    thief.append(Transfers.of([(0, 300 + i, 1.0, 1, last + i * 7 * DAY_S) for i in range(40)]))
    after = judge.score(0)
    assert after.log_odds != before.log_odds
    thief.rewind(mark)
    assert judge.score(0).log_odds == pytest.approx(before.log_odds, abs=1e-6)


def test_a_large_graph_is_its_own_measure(scorer):
    """Ranks among the graph's own accounts once they are many; the version names the measure."""
    small = PairIndex.of(random_graph(50, 1000).pairs())
    large = PairIndex.of(random_graph(400, 9000).pairs())
    assert scorer.ranked_within(small) is scorer
    own = scorer.ranked_within(large)
    assert own.version.startswith(scorer.version)
    assert own.version != scorer.version
    assert own.version == scorer.ranked_within(large).version


def test_what_a_graph_counts_in_does_not_count(scorer):
    """Every feature is a rank: doubled values, doubled accounts, the same verdict."""
    index = PairIndex.of(random_graph(400, 9000).pairs())
    own = scorer.ranked_within(index)
    values = np.stack([describe(index, node, amounts=False) for node in range(20)])
    doubled = Scorer(scorer.artifact, 2 * own.grid)
    np.testing.assert_array_equal(own.rows(values), doubled.rows(2 * values))


def test_a_value_on_a_threshold_goes_where_it_went_in_training(scorer):
    """Places are whole numbers, which single precision holds exactly."""
    index = PairIndex.of(random_graph(400, 9000).pairs())
    own = scorer.ranked_within(index)
    for number in (0, len(own.grid) // 2, -1):
        values = np.full((1, len(SERVED_NAMES)), np.nan)
        values[0, [SERVED_NAMES.index(name) for name in scorer.artifact.names]] = own.grid[number]
        places = own.rows(values)[0].astype(np.float64)
        known = places[np.isfinite(places)]
        assert len(known) > 100
        assert (known == np.round(known)).all()
        assert ((known >= 0) & (known <= 2 * len(own.grid))).all()
