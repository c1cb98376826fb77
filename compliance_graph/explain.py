"""Why an account is under review: features, counterparties, and what would change it.

Features: exact Shapley values of the trees, in log-odds; with the base they add up to the score.
Counterparties: each is taken out of the account's history in turn and the account scored again;
what is missing then is its part. What would change it: the fewest of these that bring the score
below the limit, and the fewest features that would if they were as usual.
Nothing here is drawn at random: the same graph and model give the same explanation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compliance_graph.features import SERVED_NAMES, Rows, describe
from compliance_graph.graph import Floats
from compliance_graph.kernels import thinned
from compliance_graph.pairs import PairIndex
from compliance_graph.scoring import Score, Scorer, is_known
from compliance_graph.secondopinion import PaymentPart

FEATURES_SHOWN = 12
COUNTERPARTIES_ASKED = 24
COUNTERPARTIES_SHOWN = 8
CHANGES_MAX = 6
FORMAT = 2


@dataclass(frozen=True, slots=True)
class FeaturePart:
    """``value`` is ``None`` where unknown; ``usual`` the middle of the accounts compared with."""

    name: str
    value: float | None
    usual: float | None
    log_odds: float


@dataclass(frozen=True, slots=True)
class CounterpartyPart:
    """``direction`` is ``in``, ``out`` or ``both``; ``log_odds`` what the score would lose.

    ``amount`` and ``last_time_s`` are of the account's transfers with it, all summed.
    """

    node: int
    direction: str
    transfers: int
    amount: float
    last_time_s: int
    log_odds: float


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed (names of features, numbers of counterparties) and the score thereafter."""

    changed: tuple[str | int, ...]
    probability: float
    is_enough: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """``base`` is the log-odds of nobody in particular; the network may be missing."""

    score: Score
    base: float
    features: tuple[FeaturePart, ...]
    other_features: float
    counterparties: tuple[CounterpartyPart, ...]
    without_counterparties: Change | None
    with_usual_features: Change | None
    network_log_odds: float | None
    network_payments: tuple[PaymentPart, ...]

    def as_json(self, name_of: Callable[[int], str] = str) -> dict[str, Any]:
        """For the case's record; numbers are rounded, accounts called by ``name_of``."""
        return {
            "format": FORMAT,
            "model": self.score.model_version,
            "probability": _rounded(self.score.probability),
            "log_odds": _rounded(self.score.log_odds),
            "base_log_odds": _rounded(self.base),
            "features": [
                {
                    "name": part.name,
                    "value": _rounded(part.value),
                    "usual": _rounded(part.usual),
                    "log_odds": _rounded(part.log_odds),
                }
                for part in self.features
            ],
            "other_features_log_odds": _rounded(self.other_features),
            "counterparties": [
                {
                    "account": name_of(part.node),
                    "direction": part.direction,
                    "transfers": part.transfers,
                    "amount": _rounded(part.amount),
                    "last_time_s": part.last_time_s,
                    "log_odds": _rounded(part.log_odds),
                }
                for part in self.counterparties
            ],
            "second_opinion": {
                "model": "graph network, no vote",
                "log_odds": _rounded(self.network_log_odds),
                "payments": [
                    {
                        "account": name_of(part.node),
                        "direction": part.direction,
                        "log_odds": _rounded(part.log_odds),
                    }
                    for part in self.network_payments
                ],
            },
            "would_change": {
                "without_counterparties": _change(self.without_counterparties, name_of),
                "with_usual_features": _change(self.with_usual_features, name_of),
            },
        }


def explain(scorer: Scorer, index: PairIndex, node: int) -> Explanation | None:
    """``None`` where the model abstains: there is nothing to explain."""
    if not is_known(index, node):
        return None
    values = describe(index, node, amounts=False)[None, :]
    rows = scorer.rows(values)
    score = scorer.judged(float(scorer.margins(rows)[0]))
    names = scorer.artifact.names
    parts, base = scorer.artifact.forest.contributions(rows[0])
    order = np.argsort(-np.abs(parts), kind="stable")
    seen = dict(zip(SERVED_NAMES, values[0].tolist(), strict=True))
    usual = dict(zip(names, scorer.usual().tolist(), strict=True))
    shown = [
        FeaturePart(name, _known(seen[name]), _known(usual[name]), float(parts[i]))
        for i, name in ((i, names[i]) for i in order[:FEATURES_SHOWN].tolist())
    ]
    asked = _asked(index, node)
    found = _counterparties(scorer, index, node, score, asked)
    network: tuple[float | None, list[PaymentPart]] = (None, [])
    if scorer.network is not None:
        network = scorer.network.parts(index, node, COUNTERPARTIES_SHOWN)
    return Explanation(
        score, base, tuple(shown),
        float(parts[order[FEATURES_SHOWN:]].sum()),
        tuple(found[:COUNTERPARTIES_SHOWN]),
        _without(scorer, index, node, score, found),
        _as_usual(scorer, rows, score, parts),
        network[0], tuple(network[1]),
    )  # fmt: skip


def _asked(index: PairIndex, node: int) -> list[int]:
    """The counterparties that are taken out in turn: all, or an even choice over the history."""
    half = COUNTERPARTIES_ASKED // 2
    found: list[int] = []
    for side in (index.incoming, index.outgoing):
        peers = side.rows(node)[0]
        found += peers[thinned(len(peers), half)].tolist()
    return sorted(set(found))


def _counterparties(
    scorer: Scorer, index: PairIndex, node: int, score: Score, asked: Sequence[int]
) -> list[CounterpartyPart]:
    """Each one's part, the largest first."""
    values = np.stack([index.without(node, {peer}, _served) for peer in asked])
    left = scorer.margins(scorer.rows(values))
    lost = [(score.log_odds or 0.0) - log_odds for log_odds in left.tolist()]
    parts = [_part(index, node, peer, part) for peer, part in zip(asked, lost, strict=True)]
    return sorted(parts, key=lambda part: (-part.log_odds, part.node))


def _part(index: PairIndex, node: int, peer: int, log_odds: float) -> CounterpartyPart:
    """What the account and the counterparty sent each other."""
    transfers, amount, last_s, ways = 0, 0.0, 0, []
    for way, side in (("in", index.incoming), ("out", index.outgoing)):
        peers, counts, amounts, times = side.rows(node)
        for row in np.flatnonzero(peers == peer).tolist():
            transfers += int(counts[row])
            amount += float(amounts[row])
            last_s = max(last_s, int(times[row]))
            ways.append(way)
    direction = ways[0] if len(ways) == 1 else "both"
    return CounterpartyPart(peer, direction, transfers, amount, last_s, log_odds)


def _served(index: PairIndex, node: int) -> Floats:
    return describe(index, node, amounts=False)


def _without(
    scorer: Scorer, index: PairIndex, node: int, score: Score, found: Sequence[CounterpartyPart]
) -> Change | None:
    """The weightiest counterparties taken out together, one more each time."""
    if not score.review:
        return None
    helping = [part.node for part in found if part.log_odds > 0][:CHANGES_MAX]
    sets = [helping[: n + 1] for n in range(len(helping))]
    if not sets:
        return None
    values = np.stack([index.without(node, set(gone), _served) for gone in sets])
    return _first_enough(scorer, sets, scorer.margins(scorer.rows(values)))


def _as_usual(scorer: Scorer, rows: Rows, score: Score, parts: Floats) -> Change | None:
    """The weightiest features set to the usual, one more each time."""
    if not score.review:
        return None
    chosen = np.argsort(-parts, kind="stable")[:CHANGES_MAX]
    usual = scorer.usual_row()
    tried = np.repeat(rows, len(chosen), axis=0)
    for n in range(len(chosen)):
        tried[n, chosen[: n + 1]] = usual[chosen[: n + 1]]
    names = [scorer.artifact.names[i] for i in chosen.tolist()]
    left = scorer.margins(tried)
    return _first_enough(scorer, [names[: n + 1] for n in range(len(names))], left)


def _first_enough(scorer: Scorer, tried: Sequence[Sequence[Any]], log_odds: Floats) -> Change:
    """The first that brings the score below the limit, or else the one that goes furthest."""
    below = np.flatnonzero(log_odds <= scorer.review_log_odds)
    at = int(below[0]) if len(below) else int(np.argmin(log_odds))
    probability = scorer.probability(float(log_odds[at]))
    return Change(tuple(tried[at]), probability, len(below) > 0)


def _known(value: float) -> float | None:
    return None if value != value else value


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _change(change: Change | None, name_of: Callable[[int], str]) -> dict[str, Any] | None:
    if change is None:
        return None
    changed = [name_of(c) if isinstance(c, int) else c for c in change.changed]
    return {
        "changed": changed,
        "probability": _rounded(change.probability),
        "is_enough": change.is_enough,
    }
