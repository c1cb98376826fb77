# ruff: noqa: E402 (what the extra does not bring must be skipped before it is imported)
"""The evaluation, end to end on a made market, and its promises one by one."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

for extra in ("lightgbm", "sklearn", "torch", "torch_geometric", "onnx"):
    pytest.importorskip(extra, reason=f"{extra} is not installed (extra train)")

from compliance_graph import evaluate
from compliance_graph.asof import contemporary_auc, cut
from compliance_graph.boosting import Boosted
from compliance_graph.export import forest_of, onnx_forests
from compliance_graph.features import SERVED_NAMES, describe, selected
from compliance_graph.matching import same_accounts
from compliance_graph.metrics import best_threshold, judged
from compliance_graph.netexport import onnx_net, scales_of
from compliance_graph.nettrain import fit_net
from compliance_graph.pairs import PairIndex
from compliance_graph.problem import is_forward, read_source, rounds_of
from compliance_graph.sampler import sample
from compliance_graph.secondopinion import Network, parity_graph
from tests.compliance_graph.made import START_S, nasty_graph, shifted, write_market


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
    assert len(predictions(tmp_path / "p.csv")) == 20
    same = tmp_path / "here"
    other = ["--test-edges", str(same / "edges.csv"), "--test-labels", str(same / "answers.csv")]
    assert run(same, capsys, *other)["accounts_evaluated"] == 0


def test_held_out_accounts_are_never_fitted_on(tmp_path):
    """Every round's held accounts are absent from its fit, and every training account is held."""
    write_market(tmp_path)
    accounts = read_source(tmp_path / "edges.csv", tmp_path / "labels.csv", amounts=True).accounts
    assert not is_forward(accounts)
    rounds = rounds_of(accounts, seed=0)
    assert all(not set(r.fit) & set(r.held) for r in rounds)
    held = np.concatenate([r.held for r in rounds])
    assert sorted(held) == np.flatnonzero(accounts.is_train).tolist()
    assert all(i not in r.prior for i, r in enumerate(rounds))


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


def test_a_cut_graph_knows_nothing_later():
    """As of a moment: no later transfer, each earlier one once."""
    graph = nasty_graph()
    small, centre = cut(graph, 0, START_S + 20)
    assert small.rows.time_s.max() == START_S + 20
    assert len(small.sent(centre)) == 3
    assert len(small.rows) == 4


def test_contemporaries_alone_are_compared():
    """A score that is nothing but age is worth nothing among accounts of one month."""
    day = 86_400
    first = np.array([0, 10 * day, 400 * day, 410 * day])
    labels = np.array([0, 1, 0, 1])
    assert contemporary_auc(labels, np.array([0.1, 0.2, 0.8, 0.9]), first) == 1.0
    assert contemporary_auc(labels, np.array([0.5, 0.5, 0.5, 0.5]), first) == 0.5
    assert np.isnan(contemporary_auc(labels[:2], first[:2] * 0.0, np.array([0, 90 * day])))


def test_the_same_account_is_recognised_under_another_number():
    """Amount and time name a transfer, whatever its accounts are called."""
    graph = nasty_graph()
    rows = graph.rows
    turned = type(rows)(3 - rows.src, 3 - rows.dst, rows.amount, rows.count, rows.time_s)
    found = same_accounts(graph, type(graph).build(turned, 4))
    assert {0: 3, 1: 2, 2: 1}.items() <= found.items()
    assert same_accounts(graph, shifted(graph, 5)) == {}


def test_the_threshold_is_where_f1_peaks():
    """Between the lowest score flagged and the next one, with perfect scores right between."""
    labels = np.array([0] * 50 + [1] * 50)
    scores = np.concatenate((np.linspace(0, 0.4, 50), np.linspace(0.6, 1, 50)))
    limit = best_threshold(labels, scores)
    assert 0.35 < limit < 0.65
    assert judged(labels, scores, scores > limit)["f1"] > 0.95


def test_shared_sources_overlap_as_known():
    """The two public sources share 330 labelled accounts."""
    folder = os.environ.get("TIDEGATE_DATA")
    if not folder:
        pytest.skip("TIDEGATE_DATA names no folder with the shared wallets")
    from compliance_graph.tables import read_labels, read_transfers

    wallets = Path(folder) / "wallets"
    one = read_transfers(wallets / "tedge_edges.csv.gz")
    other = read_transfers(wallets / "tsgn_transfers.csv.gz")
    found = same_accounts(one.graph, other.graph)
    here = [one.names.number(r.node) for r in read_labels(wallets / "tedge_labels.csv")]
    there = {other.names.number(r.node) for r in read_labels(wallets / "tsgn_labels.csv")}
    assert sum(found.get(node) in there for node in here) == 330
