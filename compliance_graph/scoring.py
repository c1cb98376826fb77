"""The served score: features from the index, ranked within the graph, trees in ONNX.

What is many here is few there, so no feature counts by its value: each is a place among the
accounts of the same graph that the model would judge (:meth:`Scorer.ranked_within`). How well that
holds on a source that training has not seen is measured through this very code
(:mod:`compliance_graph.transfer`).

With too few pairs the model abstains: among the training accounts with fewer than
:data:`PAIRS_MIN` pairs only one in fourteen is illicit (elsewhere nearly one in two), so that
nothing was learned there but that short histories are usually honest. It abstains above
:data:`PAIRS_MAX`, too: no account that it learned from has more than 1,874 pairs.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from compliance_graph.artifact import FOLDER, RANKS, VERSION_DIGITS, Artifact, load
from compliance_graph.features import (
    SERVED_NAMES,
    Rows,
    describe,
    grid_of,
    served_rows,
)
from compliance_graph.graph import Floats, Ints
from compliance_graph.pairs import PairIndex
from compliance_graph.secondopinion import Network

PAIRS_MIN, PAIRS_MAX = 5, 5000
REFERENCE_MIN, REFERENCE_MAX = 200, 4000
"""Ranks move with the choice of a few hundred accounts by as much as decides (see decision 15)."""
INPUT, MARGIN = "ranks", "ranks_margin"
"""Of the exported trees."""


@dataclass(frozen=True, slots=True)
class Score:
    """``probability`` is ``None`` where the model ``abstained``, which says why.

    ``log_odds`` are as trained; ``probability`` is calibrated on sources that training had not
    seen.
    """

    probability: float | None
    abstained: str | None
    log_odds: float | None
    review: bool
    model_version: str

    @property
    def probability_ppm(self) -> int | None:
        return None if self.probability is None else round(self.probability * 1_000_000)


def is_known(index: PairIndex, node: int) -> bool:
    """Is the account of a kind that the model has learned from?"""
    return PAIRS_MIN <= index.degree(node) <= PAIRS_MAX


class Scorer:
    """Loaded once, warm from the start; one thread."""

    def __init__(self, artifact: Artifact, grid: Floats | None = None) -> None:
        self.artifact = artifact
        self.grid = artifact.grids[RANKS] if grid is None else grid
        own = hashlib.sha256(self.grid.tobytes()).hexdigest()[:VERSION_DIGITS]
        self.version = artifact.version if grid is None else f"{artifact.version}.{own}"
        self.has_own_grid = grid is not None
        self.review_log_odds = float(artifact.about["review_log_odds"])
        self._slope = float(artifact.about["calibration"]["slope"])
        self._offset = float(artifact.about["calibration"]["offset"])
        at = {name: i for i, name in enumerate(SERVED_NAMES)}
        self._columns: Ints = np.array([at[name] for name in artifact.names])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            artifact.onnx, options, providers=["CPUExecutionProvider"]
        )
        self.network = None
        if artifact.network:
            self.network = Network(artifact.network, artifact.grids, artifact.about["network"])
        self.margins(self.rows(np.full((1, len(SERVED_NAMES)), np.nan)))

    @staticmethod
    def load(folder: Path = FOLDER) -> "Scorer":
        """Raises :class:`~compliance_graph.artifact.ArtifactRefused` for any changed byte."""
        return Scorer(load(folder))

    def ranked_within(self, index: PairIndex) -> "Scorer":
        """The same model, with ranks among this graph's accounts that it would judge.

        Of more than :data:`REFERENCE_MAX` an even choice by number; where they are fewer than
        :data:`REFERENCE_MIN`, the training accounts stay the measure. The version says which.
        """
        degrees = index.incoming.size + index.outgoing.size
        known = np.flatnonzero((degrees >= PAIRS_MIN) & (degrees <= PAIRS_MAX))
        if len(known) < REFERENCE_MIN:
            return self
        most = min(len(known), REFERENCE_MAX)
        chosen = known[np.linspace(0, len(known) - 1, most).astype(np.int64)]
        values = np.stack([describe(index, int(node), amounts=False) for node in chosen])
        return Scorer(self.artifact, grid_of(values[:, self._columns]))

    def score(self, index: PairIndex, node: int) -> Score:
        return self.scored(index, node)[0]

    def scored(self, index: PairIndex, node: int) -> tuple[Score, Floats | None]:
        """The score and the features that it comes from: those that the trees read, in
        their order and not yet ranked; ``None`` where the model abstains."""
        if not is_known(index, node):
            return self._abstained(index, node), None
        values = describe(index, node, amounts=False)[None, :]
        found = self.judged(float(self.margins(self.rows(values))[0]))
        return found, values[0, self._columns]

    def judged_row(self, read: Floats) -> Score:
        """The score of the features that :meth:`scored` gave. Raises :class:`ValueError` for
        another number of them."""
        values = np.full((1, len(SERVED_NAMES)), np.nan)
        values[0, self._columns] = read
        return self.judged(float(self.margins(self.rows(values))[0]))

    def score_many(self, index: PairIndex, nodes: Sequence[int]) -> list[Score]:
        """Scores of accounts by their numbers in the index."""
        enough = [node for node in nodes if is_known(index, node)]
        if not enough:
            return [self._abstained(index, node) for node in nodes]
        values = np.stack([describe(index, node, amounts=False) for node in enough])
        margins = self.margins(self.rows(values))
        found = {n: self.judged(m) for n, m in zip(enough, margins.tolist(), strict=True)}
        return [found.get(node) or self._abstained(index, node) for node in nodes]

    def rows(self, values: Floats) -> Rows:
        """What the trees read, from features as :data:`SERVED_NAMES` lists them."""
        return served_rows(values, self._columns, self.grid)

    def usual(self) -> Floats:
        """The middle of the accounts that features are compared with."""
        middle: Floats = self.grid[len(self.grid) // 2]
        return middle

    def usual_row(self) -> Rows:
        """The same as the trees read it."""
        usual = self.usual()[None, :]
        row: Rows = served_rows(usual, np.arange(usual.shape[1]), self.grid)[0]
        return row

    def margins(self, rows: Rows) -> Floats:
        """Log-odds (accounts,)."""
        found: Floats = self._session.run([MARGIN], {INPUT: rows})[0][:, 0].astype(np.float64)
        return found

    def judged(self, log_odds: float) -> Score:
        review = log_odds > self.review_log_odds
        return Score(self.probability(log_odds), None, log_odds, review, self.version)

    def probability(self, log_odds: float) -> float:
        return 1.0 / (1.0 + math.exp(-(self._slope * log_odds + self._offset)))

    def _abstained(self, index: PairIndex, node: int) -> Score:
        pairs = index.degree(node)
        limit = f"{PAIRS_MIN} are needed" if pairs < PAIRS_MIN else f"{PAIRS_MAX} are the most"
        why = f"{pairs} counterparties are known, {limit} to judge by"
        return Score(None, why, None, False, self.version)
