"""Makes the model that is shipped: ``python -m compliance_graph.train_shipped --data FOLDER``.

It is the model of :mod:`compliance_graph.transfer`, trained on the labelled training parts of both
public sources, an account that is in both taken once. Its figures are those of the two crossings
(trained on one source alone, judged on the other), and its probabilities are calibrated on them:
what a model says of its own source is no measure of what it will say of a deployment's.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from compliance_graph.artifact import EXPLAINED, FOLDER, GRIDS, TREES, packed, save
from compliance_graph.boosting import Boosted
from compliance_graph.card import card
from compliance_graph.export import forest_of, onnx_forests
from compliance_graph.features import SERVED_NAMES, grid_of
from compliance_graph.forest import Forest
from compliance_graph.graph import Floats, Ints
from compliance_graph.problem import Source, read_source
from compliance_graph.scoring import PAIRS_MIN
from compliance_graph.transfer import (
    REVIEW_LOG_ODDS,
    ROUNDS,
    Carried,
    overlapping,
    transfer_report,
    view_names,
    views,
)

BAG = 3
SEED = 0
FILES = {
    "T-EDGE": ("tedge_edges.csv.gz", "tedge_labels.csv"),
    "TSGN": ("tsgn_transfers.csv.gz", "tsgn_labels.csv"),
}


def shared_names(sources: Sequence[Source]) -> list[str]:
    """Served features that every source can give, without amounts."""
    known = set.intersection(*(set(s.features.names) for s in sources))
    return [n for n in SERVED_NAMES if n in known]


def pooled(
    sources: Sequence[Source], names: dict[str, list[str]]
) -> tuple[dict[str, Floats], Ints]:
    """Each view's values of the labelled training accounts, ranked within their own source."""
    parts: dict[str, list[Floats]] = {view: [] for view in names}
    labels = []
    for i, source in enumerate(sources):
        kept = source.accounts.is_train.copy()
        for earlier in sources[:i]:
            kept &= ~overlapping(earlier, source)
        for view, values in views(source.features, names).items():
            parts[view].append(values[kept])
        labels.append(source.accounts.labels[kept])
    return {view: np.vstack(p) for view, p in parts.items()}, np.concatenate(labels)


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
    values, labels = pooled(both, names)
    models = {
        view: Boosted.fit(values[view], labels, SEED, bag=BAG, rounds=ROUNDS) for view in names
    }
    about: dict[str, Any] = {
        "views": names,
        "review_log_odds": REVIEW_LOG_ODDS,
        "pairs_min": PAIRS_MIN,
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
        GRIDS: packed(grids),
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
        name: read_source(*(asked.data / "wallets" / file for file in files), True, False)
        for name, files in FILES.items()
    }
    about = train(sources, asked.seeds, asked.out)
    print(
        json.dumps(
            {k: about[k] for k in ("version", "calibration", "accounts", "figures")}, indent=1
        )
    )


if __name__ == "__main__":
    main()
