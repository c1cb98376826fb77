"""The served score: features from the index, trees in ONNX, two views that must agree.

*Ego* reads the account's own rhythm and the ages of its counterparties; *context* reads the wider
surroundings as ranks among the accounts of its own source, for what is many here is few there. An
account is as suspect as the more lenient view says: honest people of a source that training has
not seen are taken for illicit by one view or the other, seldom by both.

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

from compliance_graph.artifact import FOLDER, VERSION_DIGITS, Artifact, load
from compliance_graph.features import (
    SERVED_NAMES,
    Rows,
    describe,
    grid_of,
    ranks_within,
    served_rows,
)
from compliance_graph.graph import Floats, Ints
from compliance_graph.pairs import PairIndex
from compliance_graph.secondopinion import Network

PAIRS_MIN, PAIRS_MAX = 5, 5000
REFERENCE_PAIRS_MIN = 20
REFERENCE_MIN, REFERENCE_MAX = 200, 800
EGO, CONTEXT = "ego", "context"


@dataclass(frozen=True, slots=True)
class Score:
    """``probability`` is ``None`` where the model ``abstained``, which says why.

    ``log_odds`` are the deciding view's, as trained; ``probability`` is calibrated on sources
    that training had not seen. ``views`` holds each view's log-odds.
    """

    probability: float | None
    abstained: str | None
    log_odds: float | None
    review: bool
    views: dict[str, float]
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
        self.grid = artifact.grids[CONTEXT] if grid is None else grid
        own = hashlib.sha256(self.grid.tobytes()).hexdigest()[:VERSION_DIGITS]
        self.version = artifact.version if grid is None else f"{artifact.version}.{own}"
        self.has_own_grid = grid is not None
        self.review_log_odds = float(artifact.about["review_log_odds"])
        self._slope = float(artifact.about["calibration"]["slope"])
        self._offset = float(artifact.about["calibration"]["offset"])
        at = {name: i for i, name in enumerate(SERVED_NAMES)}
        self._columns: dict[str, Ints] = {
            name: np.array([at[n] for n in view.names]) for name, view in artifact.views.items()
        }
        self._read = np.unique(np.concatenate(list(self._columns.values())))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            artifact.onnx, options, providers=["CPUExecutionProvider"]
        )
        self.network = Network(artifact.network, artifact.grids, artifact.about["network"])
        self.margins(self.rows(np.full((1, len(SERVED_NAMES)), np.nan)))

    @staticmethod
    def load(folder: Path = FOLDER) -> "Scorer":
        """Raises :class:`~compliance_graph.artifact.ArtifactRefused` for any changed byte."""
        return Scorer(load(folder))

    def ranked_within(self, index: PairIndex) -> "Scorer":
        """The same model, with ranks among this graph's accounts of some history.

        Where they are too few, the training accounts stay the measure. The version says which.
        """
        degrees = index.incoming.size + index.outgoing.size
        known = np.flatnonzero(degrees >= REFERENCE_PAIRS_MIN)
        if len(known) < REFERENCE_MIN:
            return self
        most = min(len(known), REFERENCE_MAX)
        chosen = known[np.linspace(0, len(known) - 1, most).astype(np.int64)]
        values = np.stack([describe(index, int(node), amounts=False) for node in chosen])
        return Scorer(self.artifact, grid_of(values[:, self._columns[CONTEXT]]))

    def score(self, index: PairIndex, node: int) -> Score:
        return self.scored(index, node)[0]

    def scored(self, index: PairIndex, node: int) -> tuple[Score, Floats | None]:
        """The score and the features that it comes from: those of :data:`SERVED_NAMES` that some
        view reads, in their order; ``None`` where the model abstains."""
        if not is_known(index, node):
            return self._abstained(index, node), None
        values = describe(index, node, amounts=False)[None, :]
        return self.judged(self.margins(self.rows(values))[0]), values[0, self._read]

    def judged_row(self, read: Floats) -> Score:
        """The score of the features that :meth:`scored` gave. Raises :class:`ValueError` for
        another number of them."""
        values = np.full((1, len(SERVED_NAMES)), np.nan)
        values[0, self._read] = read
        return self.judged(self.margins(self.rows(values))[0])

    def score_many(self, index: PairIndex, nodes: Sequence[int]) -> list[Score]:
        """Scores of accounts by their numbers in the index."""
        enough = [node for node in nodes if is_known(index, node)]
        if not enough:
            return [self._abstained(index, node) for node in nodes]
        values = np.stack([describe(index, node, amounts=False) for node in enough])
        margins = self.margins(self.rows(values))
        found = {node: self.judged(row) for node, row in zip(enough, margins, strict=True)}
        return [found.get(node) or self._abstained(index, node) for node in nodes]

    def rows(self, values: Floats) -> dict[str, Rows]:
        """What each view reads, from features as :data:`SERVED_NAMES` lists them."""
        columns = self._columns[EGO], self._columns[CONTEXT]
        ego, context = served_rows(values, *columns, self.grid)
        return {EGO: ego, CONTEXT: context}

    def usual(self, view: str) -> Floats:
        """The middle of the accounts that a view's features are compared with."""
        grid = self.grid if view == CONTEXT else self.artifact.grids[view]
        middle: Floats = grid[len(grid) // 2]
        return middle

    def usual_row(self, view: str) -> Rows:
        """The same as the view's trees read it."""
        middle = self.usual(view)[None, :]
        row = ranks_within(middle, self.grid) if view == CONTEXT else middle
        read: Rows = row[0].astype(np.float32)
        return read

    def margins(self, rows: dict[str, Rows]) -> Floats:
        """Log-odds (accounts, views)."""
        found = self._session.run([f"{name}_margin" for name in rows], dict(rows))
        out: Floats = np.hstack(found).astype(np.float64)
        return out

    def judged(self, margins: Floats) -> Score:
        log_odds = float(margins.min())
        views = {EGO: float(margins[0]), CONTEXT: float(margins[1])}
        review = log_odds > self.review_log_odds
        return Score(self.probability(log_odds), None, log_odds, review, views, self.version)

    def probability(self, log_odds: float) -> float:
        return 1.0 / (1.0 + math.exp(-(self._slope * log_odds + self._offset)))

    def _abstained(self, index: PairIndex, node: int) -> Score:
        pairs = index.degree(node)
        limit = f"{PAIRS_MIN} are needed" if pairs < PAIRS_MIN else f"{PAIRS_MAX} are the most"
        why = f"{pairs} counterparties are known, {limit} to judge by"
        return Score(None, why, None, False, {}, self.version)
