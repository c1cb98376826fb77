# ruff: noqa: E402 (what the extra does not bring must be skipped before it is imported)
"""The evaluation, end to end on a made market, and that what serves says what was trained."""

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

for extra in ("lightgbm", "sklearn", "torch", "torch_geometric", "onnx"):
    pytest.importorskip(extra, reason=f"{extra} is not installed (extra train)")

from compliance_graph import evaluate
from compliance_graph.boosting import Boosted
from compliance_graph.export import forest_of, onnx_forests
from compliance_graph.features import SERVED_NAMES, describe, selected, served_rows
from compliance_graph.netexport import onnx_net, scales_of
from compliance_graph.nettrain import fit_net
from compliance_graph.pairs import PairIndex
from compliance_graph.problem import read_source
from compliance_graph.sampler import sample
from compliance_graph.scoring import PAIRS_MIN, Scorer
from compliance_graph.secondopinion import Network, parity_graph
from compliance_graph.transfer import fitted, judged_as_served, known_labels
from tests.compliance_graph.made import write_market


def run(
    folder: Path, capsys: pytest.CaptureFixture[str], *more: str, labels: str = "labels.csv"
) -> dict[str, object]:
    paths = ["--edges", str(folder / "edges.csv"), "--labels", str(folder / labels)]
    evaluate.main([*paths, "--seeds", "1", "--jobs", "1", "--json", "--as-of-days", "0", *more])
    report: dict[str, object] = json.loads(capsys.readouterr().out)
    return report


def predictions(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_refuses_a_second_source_without_its_labels(tmp_path):
    """Half a question is an error, not a silent default."""
    with pytest.raises(SystemExit):
        evaluate.arguments(
            ["--edges", "e", "--labels", "l", "--test-edges", str(tmp_path / "x.csv")]
        )


def test_neither_the_date_nor_the_answers_change_a_prediction(tmp_path, capsys):
    """The same market years later, its test labels given this time: the very same scores."""
    found, reports = [], []
    for name, shift_s, labels in (
        ("now", 0, "labels.csv"),
        ("later", 86_400 * 777 + 4321, "answers.csv"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        write_market(folder, accounts=60, shift_s=shift_s)
        more = ("--predictions", str(folder / "p.csv"))
        reports.append(run(folder, capsys, *more, labels=labels))
        found.append(predictions(folder / "p.csv"))
    assert found[0] == found[1]
    assert [r["evaluated_on"] for r in reports] == ["held-out training", "test"]
    assert [r["accounts_evaluated"] for r in reports] == [45, 15]
    for report in reports:
        assert {"accuracy_mean", "auc_mean", "f1_mean", "f1_sd", "auc_bootstrap_se"} <= set(report)
        assert {"own", "graph", "net", "blend"} == set(report["ablation"])
        assert report["auc_mean"] > 0.9
    rows = found[0]
    assert [(r["seed"], r["node"]) for r in rows] == [("0", str(n)) for n in range(45, 60)]
    hits = np.mean([(int(r["node"]) % 2 == 1) == (r["predicted"] == "1") for r in rows])
    assert hits > 0.85


def test_another_source_is_judged_without_its_overlap(tmp_path, capsys):
    """Trained here, tested there; accounts that are in both sources are left out."""
    for name, seed in (("here", 0), ("there", 1)):
        (tmp_path / name).mkdir()
        write_market(tmp_path / name, seed=seed)
    there = tmp_path / "there"
    other = ["--test-edges", str(there / "edges.csv"), "--test-labels", str(there / "answers.csv")]
    report = run(tmp_path / "here", capsys, *other, "--predictions", str(tmp_path / "p.csv"))
    assert (report["accounts_overlapping"], report["accounts_evaluated"]) == (0, 20)
    assert report["auc_mean"] > 0.9
    silent = report["accounts_abstained"]
    scored = report["over_scored"]["false_positive_rate_mean"] * (10 - silent["licit"])
    assert report["false_positive_rate_mean"] * 10 == pytest.approx(scored)
    assert len(predictions(tmp_path / "p.csv")) == 20
    same = tmp_path / "here"
    other = ["--test-edges", str(same / "edges.csv"), "--test-labels", str(same / "answers.csv")]
    assert run(same, capsys, *other)["accounts_evaluated"] == 0


def test_forests_say_the_same_in_every_form():
    """LightGBM, flat arrays and ONNX agree, unknown values included, and on who moved the score."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 5)).astype(np.float32).astype(np.float64)
    labels = (values[:, 0] + values[:, 1] > 0).astype(np.int64)
    values[:, :4][rng.random((200, 4)) < 0.2] = np.nan
    model = Boosted.fit(values, labels, seed=0)
    expected, forest = model.logits(values), forest_of(model)
    values[:5, 4] = np.nan
    parts = np.mean([f.predict(values[:20], pred_contrib=True) for f in model.forests], axis=0)
    for row, wanted in zip(values[:20].astype(np.float32), parts, strict=True):
        got, base = forest.contributions(row)
        np.testing.assert_allclose([*got, base], wanted, atol=1e-6)
    session = onnxruntime.InferenceSession(onnx_forests({"v": (model, 5)}).SerializeToString())
    got = session.run(None, {"v": values.astype(np.float32)})[0][:, 0]
    np.testing.assert_allclose(got[5:], expected[5:], atol=1e-4)
    np.testing.assert_allclose(got[:5], model.logits(values[:5]), atol=1e-4)


def test_the_served_network_says_what_was_trained():
    """Packed lists of edges in training, fixed places with masks in serving: one opinion."""
    index = PairIndex.of(parity_graph())
    names = selected(SERVED_NAMES, amounts=False, own_only=True)
    at = [SERVED_NAMES.index(name) for name in names]
    nodes = list(range(30))
    own = np.stack([describe(index, node, amounts=False)[at] for node in nodes])
    egos = [sample(index, node) for node in nodes]
    trained = fit_net(index, egos, own, np.arange(30) % 2, 0, amounts=False)
    served = Network(onnx_net(trained), scales_of(trained), names)
    got = [served.log_odds(index, node) for node in nodes]
    np.testing.assert_allclose(got, trained.logits(index, egos, own), atol=1e-4)


def test_an_account_that_the_model_abstains_from_is_not_flagged(tmp_path):
    """As served: silence lets pass, whatever the account is, and counts against recall."""
    write_market(tmp_path)
    source = read_source(tmp_path / "edges.csv", tmp_path / "labels.csv", amounts=True)
    scorer = Scorer(fitted([(source.features, known_labels(source))], 0).artifact())
    index = source.graph.index
    every = np.arange(index.n_nodes)
    found = judged_as_served(scorer, index, every)
    short = np.array([index.degree(node) < PAIRS_MIN for node in every.tolist()])
    assert 0 < short.sum() < len(every)
    assert not found.predicted[short].any()
    assert (found.scores[short] == 0).all()
    assert (found.scored == ~short).all()
    bad = source.accounts.nodes[source.accounts.labels == 1]
    assert found.predicted[bad].mean() > 0.8


def test_a_crossing_is_judged_by_the_very_numbers_that_training_gave(tmp_path):
    """Exported trees on served ranks, against the library that trained them on its own."""
    write_market(tmp_path)
    source = read_source(tmp_path / "edges.csv", tmp_path / "labels.csv", amounts=True)
    trees = fitted([(source.features, known_labels(source))], 0)
    scorer, index, nodes = Scorer(trees.artifact()), source.graph.index, source.accounts.nodes
    served = judged_as_served(scorer, index, nodes)
    values = source.features.only(trees.names).values
    places = served_rows(values, np.arange(len(trees.names)), trees.grid).astype(np.float64)
    wanted = trees.model.logits(places)
    np.testing.assert_allclose(served.log_odds[served.scored], wanted[served.scored], atol=1e-4)
