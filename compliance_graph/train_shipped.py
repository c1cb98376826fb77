"""Makes the model that is shipped: ``python -m compliance_graph.train_shipped --data FOLDER``.

It is the model of :mod:`compliance_graph.transfer`, trained on the labelled training parts of both
public sources, an account that is in both taken once. Its figures are those of the two crossings
(trained on one source alone, judged on the other), and its probabilities are calibrated on them:
what a model says of its own source is no measure of what it will say of a deployment's.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from compliance_graph.artifact import EXPLAINED, FOLDER, GRIDS, NETWORK, PARITY, TREES, packed, save
from compliance_graph.boosting import Boosted
from compliance_graph.card import card
from compliance_graph.export import forest_of, onnx_forests
from compliance_graph.features import SERVED_NAMES, describe, grid_of, ranks_within, selected
from compliance_graph.forest import Forest
from compliance_graph.graph import Bools, Floats, Ints
from compliance_graph.netexport import onnx_net, scales_of
from compliance_graph.nettrain import TrainedNet, fit_net
from compliance_graph.pairs import PairIndex
from compliance_graph.problem import Source, read_source
from compliance_graph.sampler import Ego, sample
from compliance_graph.scoring import CONTEXT, PAIRS_MAX, PAIRS_MIN
from compliance_graph.secondopinion import parity_graph
from compliance_graph.transfer import (
    BAG,
    REVIEW_LOG_ODDS,
    ROUNDS,
    Carried,
    overlapping,
    transfer_report,
    view_names,
    views,
)

SEED = 0
FILES = {
    "T-EDGE": ("tedge_edges.csv.gz", "tedge_labels.csv"),
    "TSGN": ("tsgn_transfers.csv.gz", "tsgn_labels.csv"),
}


def shared_names(sources: Sequence[Source]) -> list[str]:
    """Served features that every source can give, without amounts."""
    known = set.intersection(*(set(s.features.names) for s in sources))
    return [n for n in SERVED_NAMES if n in known]


def learned_from(sources: Sequence[Source]) -> list[Bools]:
    """For each source, its labelled training accounts that no earlier source has."""
    found = []
    for i, source in enumerate(sources):
        kept = source.accounts.is_train.copy()
        for earlier in sources[:i]:
            kept &= ~overlapping(earlier, source)
        found.append(kept)
    return found


def pooled(
    sources: Sequence[Source], kept: Sequence[Bools], names: dict[str, list[str]]
) -> tuple[dict[str, Floats], Ints]:
    """Each view's values of the labelled training accounts, ranked within their own source."""
    parts: dict[str, list[Floats]] = {view: [] for view in names}
    labels = []
    for source, rows in zip(sources, kept, strict=True):
        for view, values in views(source.features, names).items():
            parts[view].append(values[rows])
        labels.append(source.accounts.labels[rows])
    return {view: np.vstack(p) for view, p in parts.items()}, np.concatenate(labels)


class Table(NamedTuple):
    """The node tables of several graphs, one below the other."""

    values: npt.NDArray[np.float32]


def network(
    sources: Sequence[Source], kept: Sequence[Bools], own: Sequence[str], labels: Ints
) -> TrainedNet:
    """The graph network on the same accounts, without amounts and without neighbours' labels."""
    egos, features, offset = [], [], 0
    for source, rows in zip(sources, kept, strict=True):
        egos += [_moved(source.egos[i], offset) for i in np.flatnonzero(rows).tolist()]
        features.append(source.features.only(own).values[rows])
        offset += source.graph.index.n_nodes
    table = Table(np.vstack([source.graph.index.values for source in sources]))
    return fit_net(table, egos, np.vstack(features), labels, SEED, amounts=False)


def _moved(ego: Ego, offset: int) -> Ego:
    hops = tuple(replace(hop, peers=hop.peers + offset) for hop in ego.hops)
    return Ego(ego.centres + offset, hops)


def parity(
    models: dict[str, Boosted], net: TrainedNet, own: Sequence[str], grids: dict[str, Floats]
) -> dict[str, Any]:
    """Made inputs and what the trained models said of them: the served ones must agree."""
    rng = np.random.default_rng(SEED)
    found: dict[str, Any] = {}
    for view, model in models.items():
        grid = grids[view]
        values = np.take_along_axis(grid, rng.integers(0, len(grid), (16, grid.shape[1])), 0)
        values = ranks_within(values, grid) if view == CONTEXT else values
        values[rng.random(values.shape) < 0.1] = np.nan
        found[view] = values.astype(np.float32)
        found[f"{view}_margin"] = model.logits(found[view].astype(np.float64))
    index = PairIndex.of(parity_graph())
    egos = [sample(index, node) for node in range(8)]
    at = [SERVED_NAMES.index(name) for name in own]
    features = np.stack([describe(index, node, amounts=False)[at] for node in range(8)])
    found["network"] = net.logits(index, egos, features)
    return found


def calibrated(crossings: Sequence[tuple[Source, Source, list[Carried]]]) -> dict[str, float]:
    """Slope and offset from log-odds to log-odds that hold on unseen sources.

    Both crossings weigh the same, and so do their honest and illicit accounts: as if every second
    account asked about were illicit. Among customers far fewer are.
    """
    logits, labels, weights = [], [], []
    for train, test, runs in crossings:
        use = (test.accounts.labels >= 0) & ~overlapping(train, test)
        truth = test.accounts.labels[use]
        logits.append(np.mean([run.log_odds[use] for run in runs], axis=0))
        labels.append(truth)
        weights.append(np.where(truth == 1, 1 / (truth == 1).sum(), 1 / (truth == 0).sum()))
    model = LogisticRegression(C=1e6).fit(
        np.concatenate(logits)[:, None],
        np.concatenate(labels),
        np.concatenate(weights) * sum(map(len, labels)) / 4,
    )
    return {"slope": float(model.coef_[0, 0]), "offset": float(model.intercept_[0])}


def train(sources: dict[str, Source], seeds: int, folder: Path) -> dict[str, Any]:
    """Train, judge, export; returns the manifest's text about the model."""
    crossings, figures = [], {}
    for one, other in ((a, b) for a in sources for b in sources if a != b):
        report, runs = transfer_report(sources[one], sources[other], seeds)
        crossings.append((sources[one], sources[other], runs))
        figures[f"{one} to {other}"] = report
    both = list(sources.values())
    names = view_names(shared_names(both))
    kept = learned_from(both)
    values, labels = pooled(both, kept, names)
    own = selected(shared_names(both), amounts=False, own_only=True)
    net = network(both, kept, own, labels)
    models = {view: Boosted.fit(values[view], labels, SEED, BAG, ROUNDS) for view in names}
    about: dict[str, Any] = {
        "views": names,
        "network": own,
        "review_log_odds": REVIEW_LOG_ODDS,
        "pairs_min": PAIRS_MIN,
        "pairs_max": PAIRS_MAX,
        "calibration": calibrated(crossings),
        "accounts": {"licit": int((labels == 0).sum()), "illicit": int((labels == 1).sum())},
        "figures": figures,
    }
    grids = {
        view: grid_of(np.vstack([source.features.only(wanted).values for source in both]))
        for view, wanted in names.items()
    }
    arrays = {
        f"{view}.{f.name}": getattr(forest, f.name)
        for view, forest in ((view, forest_of(model)) for view, model in models.items())
        for f in fields(Forest)
    }
    onnx = onnx_forests({view: (model, len(names[view])) for view, model in models.items()})
    files = {
        TREES: onnx.SerializeToString(),
        EXPLAINED: packed(arrays),
        GRIDS: packed(grids | scales_of(net)),
        NETWORK: onnx_net(net),
        PARITY: packed(parity(models, net, own, grids)),
        "MODEL_CARD.md": card(about).encode(),
    }
    about["version"] = save(folder, about, files)
    return about


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with wallets/")
    parser.add_argument("--seeds", type=int, default=3, help="for the figures")
    parser.add_argument("--out", type=Path, default=FOLDER)
    asked = parser.parse_args(argv)
    sources = {
        name: read_source(
            asked.data / "wallets" / edges, asked.data / "wallets" / labels, True, False
        )
        for name, (edges, labels) in FILES.items()
    }
    about = train(sources, asked.seeds, asked.out)
    print(
        json.dumps(
            {k: about[k] for k in ("version", "calibration", "accounts", "figures")}, indent=1
        )
    )


if __name__ == "__main__":
    main()
