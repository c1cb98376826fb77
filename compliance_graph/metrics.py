"""The figures by which a screening is judged, and how sure they are."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from compliance_graph.graph import Bools, Floats, Ints

FALSE_POSITIVE_RATE = 0.01


def judged(labels: Ints, scores: Floats, predicted: Bools) -> dict[str, float]:
    """Accuracy, AUC, average precision, precision, recall, F1, recall at 1% false positives."""
    hit = float((predicted & (labels == 1)).sum())
    precision = hit / max(1.0, float(predicted.sum()))
    recall = hit / max(1.0, float((labels == 1).sum()))
    licit = max(1.0, float((labels == 0).sum()))
    found = {
        "accuracy": float((predicted == (labels == 1)).mean()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(1e-12, precision + recall),
        "false_positive_rate": float((predicted & (labels == 0)).sum()) / licit,
    }
    if len(np.unique(labels)) == 2:
        rates, recalls, precisions = _curve(labels, scores)
        found["auc"] = _area(rates, recalls)
        found["average_precision"] = float((np.diff(recalls) * precisions).sum())
        found["recall_at_1pct_fpr"] = float(recalls[rates <= FALSE_POSITIVE_RATE].max())
    return found


def auc(labels: Ints, scores: Floats) -> float:
    """Area under the receiver operating characteristic, equal scores counting half."""
    rates, recalls, _ = _curve(labels, scores)
    return _area(rates, recalls)


def _curve(labels: Ints, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """False positive rates and recalls from nobody flagged on, and the precisions after that,
    as the limit goes down past each score that occurs."""
    order = np.argsort(-scores, kind="stable")
    last_of_equal = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(labels[order] == 1)[last_of_equal]
    flagged = np.flatnonzero(last_of_equal) + 1
    licit = flagged - hits
    rates, recalls = (np.append(0.0, n / n[-1]) for n in (licit, hits))
    return rates, recalls, hits / flagged


def _area(rates: Floats, recalls: Floats) -> float:
    return float(np.trapezoid(recalls, rates))


def best_threshold(labels: Ints, scores: Floats, weights: Floats | None = None) -> float:
    """The score from which on flagging gives the highest F1, halfway to the next lower score."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    weight = np.ones(len(scores)) if weights is None else weights[order]
    hits = np.cumsum(weight * (labels[order] == 1))
    flagged = np.cumsum(weight)
    f1 = 2 * hits / (flagged + hits[-1])
    last_of_equal = np.append(sorted_scores[1:] != sorted_scores[:-1], True)
    smooth = np.where(last_of_equal, _smoothed(f1), -1.0)
    best = int(np.argmax(smooth))
    lower = sorted_scores[best + 1] if best + 1 < len(scores) else sorted_scores[best] - 1e-9
    return float((sorted_scores[best] + lower) / 2)


def _smoothed(f1: Floats) -> Floats:
    """A running mean over a fiftieth of the ranks, so that one lucky account decides nothing."""
    half = max(1, len(f1) // 100)
    padded = np.concatenate((np.full(half, f1[0]), f1, np.full(half, f1[-1])))
    kernel = np.ones(2 * half + 1) / (2 * half + 1)
    out: Floats = np.convolve(padded, kernel, mode="valid")
    return out


def summary(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """``*_mean`` and ``*_sd`` over the seeds."""
    keys = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    found = {}
    for key in keys:
        values = np.array([run[key] for run in runs])
        found[f"{key}_mean"] = float(values.mean())
        found[f"{key}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return found


def bootstrap_errors(
    labels: Ints, scores: npt.NDArray[np.float64], predicted: Bools, draws: int = 200, seed: int = 0
) -> dict[str, float]:
    """``*_bootstrap_se``: deviation of the seeds' mean when the accounts are drawn again.

    ``scores`` and ``predicted`` have shape (n_seeds, n_accounts).
    """
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(draws):
        at = rng.integers(len(labels), size=len(labels))
        if len(np.unique(labels[at])) < 2:
            continue
        runs = [judged(labels[at], s[at], p[at]) for s, p in zip(scores, predicted, strict=True)]
        means.append({k: float(np.mean([run[k] for run in runs])) for k in runs[0]})
    keys = means[0] if means else {}
    return {f"{k}_bootstrap_se": float(np.std([m[k] for m in means], ddof=1)) for k in keys}


def paired(
    labels: Ints, first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], seed: int = 0
) -> dict[str, float]:
    """AUC of ``first`` less that of ``second`` (seed means), with a paired bootstrap error."""
    rng = np.random.default_rng(seed)

    def gap(at: npt.NDArray[np.int64]) -> float:
        pairs = zip(first, second, strict=True)
        gaps = [auc(labels[at], a[at]) - auc(labels[at], b[at]) for a, b in pairs]
        return float(np.mean(gaps))

    draws = [rng.integers(len(labels), size=len(labels)) for _ in range(200)]
    gaps = [gap(at) for at in draws if len(np.unique(labels[at])) == 2]
    return {"auc_gap": gap(np.arange(len(labels))), "auc_gap_se": float(np.std(gaps, ddof=1))}
