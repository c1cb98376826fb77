"""Makes the model that is shipped: ``python -m compliance_graph.train_shipped --data FOLDER``.

It is the model of :mod:`compliance_graph.transfer`, trained on the labelled training parts of both
public sources, an account that is in both taken once. Its figures are those of the two crossings
(trained on one source alone, judged on the other as it would be served there), and its
probabilities are calibrated on them: what a model says of its own source is no measure of what it
will say of a deployment's.
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

from compliance_graph.artifact import (
    EXPLAINED,
    FOLDER,
    GRIDS,
    NETWORK,
    PARITY,
    RANKS,
    TREES,
    packed,
    save,
)
from compliance_graph.card import card
from compliance_graph.export import forest_of
from compliance_graph.features import SERVED_NAMES, describe, selected
from compliance_graph.forest import Forest
from compliance_graph.graph import Bools, Ints
from compliance_graph.metrics import judged
from compliance_graph.netexport import onnx_net, scales_of
from compliance_graph.nettrain import TrainedNet, fit_net
from compliance_graph.pairs import PairIndex
from compliance_graph.problem import Source, read_source
from compliance_graph.sampler import Ego, sample
from compliance_graph.scoring import (
    INPUT,
    MARGIN,
    PAIRS_MAX,
    PAIRS_MIN,
    REFERENCE_MAX,
    REFERENCE_MIN,
)
from compliance_graph.secondopinion import parity_graph
from compliance_graph.transfer import (
    BAG,
    REVIEW_LOG_ODDS,
    ROUNDS,
    Carried,
    Trees,
    asked_about,
    fitted,
    known_labels,
    overlapping,
    transfer_report,
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


class Table(NamedTuple):
    """The node tables of several graphs, one below the other."""

    values: npt.NDArray[np.float32]


def learned_labels(sources: Sequence[Source], kept: Sequence[Bools]) -> list[Ints]:
    """The labels of the accounts that are learned from, -1 elsewhere."""
    return [np.where(k, s.accounts.labels, -1) for s, k in zip(sources, kept, strict=True)]


def network(sources: Sequence[Source], kept: Sequence[Bools], own: Sequence[str]) -> TrainedNet:
    """The graph network on the same accounts, without amounts and without neighbours' labels."""
    egos, features, offset = [], [], 0
    for source, rows in zip(sources, kept, strict=True):
        egos += [_moved(source.egos[i], offset) for i in np.flatnonzero(rows).tolist()]
        features.append(source.features.only(own).values[rows])
        offset += source.graph.index.n_nodes
    table = Table(np.vstack([source.graph.index.values for source in sources]))
    labels = np.concatenate([s.accounts.labels[k] for s, k in zip(sources, kept, strict=True)])
    return fit_net(table, egos, np.vstack(features), labels, SEED, amounts=False)


def _moved(ego: Ego, offset: int) -> Ego:
    hops = tuple(replace(hop, peers=hop.peers + offset) for hop in ego.hops)
    return Ego(ego.centres + offset, hops)


def network_crossing(
    train: Source, test: Source, run: Carried, own: Sequence[str]
) -> dict[str, Any]:
    """How the network would have judged the scored accounts of the other source, one seed."""
    use = asked_about(train, test) & run.served.scored
    trained = network([train], [known_labels(train) >= 0], own)
    egos = [test.egos[i] for i in np.flatnonzero(use).tolist()]
    features = test.features.only(own).values[use]
    logits = trained.logits(test.graph.index, egos, features)
    truth = test.accounts.labels[use]
    return {"seeds": 1} | judged(truth, logits, logits > REVIEW_LOG_ODDS)


def parity(trees: Trees, net: TrainedNet, own: Sequence[str]) -> dict[str, Any]:
    """Made inputs and what the trained models said of them: the served ones must agree."""
    rng = np.random.default_rng(SEED)
    places = rng.integers(0, 2 * len(trees.grid) + 1, (16, len(trees.names))).astype(np.float32)
    places[rng.random(places.shape) < 0.1] = np.nan
    found: dict[str, Any] = {INPUT: places, MARGIN: trees.model.logits(places.astype(np.float64))}
    index = PairIndex.of(parity_graph())
    egos = [sample(index, node) for node in range(8)]
    at = [SERVED_NAMES.index(name) for name in own]
    features = np.stack([describe(index, node, amounts=False)[at] for node in range(8)])
    found["network"] = net.logits(index, egos, features)
    return found


def calibrated(crossings: Sequence[tuple[Source, Source, list[Carried]]]) -> dict[str, float]:
    """Slope and offset from log-odds to log-odds that hold on unseen sources.

    Fitted on the log-odds as served, of scored accounts, each seed's for itself, as one model
    serves. Both crossings weigh the same, and so do their honest and illicit accounts: as if every
    second account asked about were illicit. Among customers far fewer are.
    """
    logits, labels, weights = [], [], []
    for train, test, runs in crossings:
        for run in runs:
            use = asked_about(train, test) & run.served.scored
            truth = test.accounts.labels[use]
            logits.append(run.served.log_odds[use])
            labels.append(truth)
            share = np.where(truth == 1, 1 / (truth == 1).sum(), 1 / (truth == 0).sum())
            weights.append(share / len(runs))
    model = LogisticRegression(C=1e6).fit(
        np.concatenate(logits)[:, None],
        np.concatenate(labels),
        np.concatenate(weights) * sum(map(len, labels)) / (2 * len(crossings)),
    )
    return {"slope": float(model.coef_[0, 0]), "offset": float(model.intercept_[0])}


def told_of(sources: dict[str, Source], kept: Sequence[Bools]) -> dict[str, Any]:
    """What the card says of the data: how many accounts of each kind, and their pairs."""
    each = list(sources.values())
    labels = np.concatenate([s.accounts.labels[k] for s, k in zip(each, kept, strict=True)])
    pairs = np.array(
        [
            s.graph.index.degree(node)
            for s, k in zip(each, kept, strict=True)
            for node in s.accounts.nodes[k].tolist()
        ]
    )
    return {
        "sources": {name: len(source.accounts.nodes) for name, source in sources.items()},
        "accounts": _counted(labels),
        "accounts_below_pairs_min": _counted(labels[pairs < PAIRS_MIN]),
        "pairs_learned_max": int(pairs.max()),
    }


def _counted(labels: Ints) -> dict[str, int]:
    return {"licit": int((labels == 0).sum()), "illicit": int((labels == 1).sum())}


def train(sources: dict[str, Source], seeds: int, folder: Path) -> dict[str, Any]:
    """Train, judge, export; returns the manifest's text about the model."""
    both = list(sources.values())
    own = selected(shared_names(both), amounts=False, own_only=True)
    crossings, figures = [], {}
    for one, other in ((a, b) for a in sources for b in sources if a != b):
        report, runs = transfer_report(sources[one], sources[other], seeds)
        crossings.append((sources[one], sources[other], runs))
        report["network"] = network_crossing(sources[one], sources[other], runs[0], own)
        figures[f"{one} to {other}"] = report
    kept = learned_from(both)
    labels = learned_labels(both, kept)
    trees = fitted([(s.features, known) for s, known in zip(both, labels, strict=True)], SEED)
    net = network(both, kept, own)
    about: dict[str, Any] = {
        "features": trees.names,
        "network": own,
        "forests": {"bag": BAG, "rounds": ROUNDS},
        "review_log_odds": REVIEW_LOG_ODDS,
        "pairs_min": PAIRS_MIN,
        "pairs_max": PAIRS_MAX,
        "reference_min": REFERENCE_MIN,
        "reference_max": REFERENCE_MAX,
        "calibration": calibrated(crossings),
        "figures": figures,
    } | told_of(sources, kept)
    forest = forest_of(trees.model)
    files = {
        TREES: trees.onnx(),
        EXPLAINED: packed({f.name: getattr(forest, f.name) for f in fields(Forest)}),
        GRIDS: packed({RANKS: trees.grid} | scales_of(net)),
        NETWORK: onnx_net(net),
        PARITY: packed(parity(trees, net, own)),
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
