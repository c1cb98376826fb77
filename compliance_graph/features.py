"""All features of an account: its own transfers, its neighbours, two hops, and small patterns.

Names tell what a feature needs: ``own`` against ``peer``, ``hop2``, ``motif`` (the graph around);
``.amt.`` absolute amounts, ``.rel.`` amounts without a unit, ``.time.`` differences of times,
``.shape.`` counts. :func:`selected` picks by these words. No feature moves when every time moves.

:func:`describe` is what both training and serving read. Research adds two hops and, for sources
that publish single transfers, the same own features over these (:func:`matrix`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compliance_graph.amounts import amounts_into
from compliance_graph.graph import Floats, Ints, TransferGraph
from compliance_graph.kernels import compiled, inner, thinned
from compliance_graph.nodetable import COLUMNS, SecondHop
from compliance_graph.pairs import PairIndex
from compliance_graph.sequences import ROWS_MAX, own_names, own_values, rhythm_into, rhythm_names
from compliance_graph.surroundings import (
    PEERS_MAX,
    around_into,
    motif_names,
    peer_names,
)

Rows = npt.NDArray[np.float32]
_RHYTHM, _OWN = len(rhythm_names("own")), len(own_names("own"))
GRID = 65
SERVED_NAMES = (*own_names("own"), *motif_names(), *peer_names("peer.in"), *peer_names("peer.out"))
_HOP2_WAYS = ("in_in", "in_out", "out_in", "out_out")
_HOP2_NAMES = tuple(
    f"hop2.{way}.{kind}"
    for way in _HOP2_WAYS
    for kind in (*(f"{c}.{k}" for c in COLUMNS for k in ("mean", "sd")), "shape.reach")
)


@dataclass(frozen=True, slots=True)
class FeatureGraph:
    """What learning needs at hand: raw transfers, pairs, and the index over the pairs."""

    raw: TransferGraph
    pairs: TransferGraph
    index: PairIndex

    @staticmethod
    def of(graph: TransferGraph) -> "FeatureGraph":
        pairs = graph.pairs()
        return FeatureGraph(graph, pairs, PairIndex.of(pairs))

    @property
    def has_raw(self) -> bool:
        """False for sources that publish one row per pair: raw and pairs are then the same."""
        return len(self.raw.rows) > len(self.pairs.rows)


@dataclass(frozen=True, slots=True)
class Matrix:
    """``values`` (n_accounts, n_features), with the features' names in order."""

    names: tuple[str, ...]
    values: Floats

    def only(self, names: Sequence[str]) -> "Matrix":
        """The columns named, NaN for those this source cannot give."""
        at = {name: i for i, name in enumerate(self.names)}
        empty = np.full(len(self.values), np.nan)
        columns = [self.values[:, at[n]] if n in at else empty for n in names]
        return Matrix(tuple(names), np.stack(columns, 1) if columns else self.values[:, :0])

    def beside(self, other: "Matrix") -> "Matrix":
        return Matrix(self.names + other.names, np.hstack((self.values, other.values)))


def selected(
    names: Iterable[str], amounts: bool = True, scale_free: bool = False, own_only: bool = False
) -> list[str]:
    """Names that need no more than is allowed."""
    kept = []
    for name in names:
        words = name.split(".")
        if not amounts and ("amt" in words or "rel" in words):
            continue
        if scale_free and "amt" in words:
            continue
        if own_only and words[0] not in ("own", "raw"):
            continue
        kept.append(name)
    return kept


def describe(index: PairIndex, node: int, amounts: bool = True) -> Floats:
    """The features that :data:`SERVED_NAMES` lists; without ``amounts`` those stay NaN."""
    out = np.full(len(SERVED_NAMES), np.nan)
    _, c_in, a_in, t_in = index.incoming.rows(node)
    _, c_out, a_out, t_out = index.outgoing.rows(node)
    rhythm_into(t_in, c_in, t_out, c_out, out, 0)
    if amounts:
        amounts_into(t_in, a_in, t_out, a_out, ROWS_MAX, out, _RHYTHM)
    around_into(node, amounts, *index.arrays, out, _OWN)
    return out


def matrix(source: FeatureGraph, nodes: Sequence[int], raw: bool | None = None) -> Matrix:
    """All features of many accounts, columns sorted by name; ``raw`` adds single transfers'."""
    values = [np.stack([describe(source.index, node) for node in nodes])]
    names = [*SERVED_NAMES, *_HOP2_NAMES]
    second = SecondHop.of(source.pairs, source.index.values.astype(np.float64))
    values.append(np.stack([_hop2(source, second, node) for node in nodes]))
    if source.has_raw if raw is None else raw:
        names += own_names("raw")
        whole = source.raw
        values.append(np.stack([own_values(whole.received(n), whole.sent(n)) for n in nodes]))
    return Matrix(tuple(names), np.hstack(values)).only(sorted(names))


def grid_of(values: Floats) -> Floats:
    """Each column's quantiles (:data:`GRID`, n_columns): a small stand-in for all accounts."""
    grid = np.full((GRID, values.shape[1]), np.nan)
    for c in range(values.shape[1]):
        known = np.sort(values[np.isfinite(values[:, c]), c])
        if len(known):
            grid[:, c] = known[np.linspace(0, len(known) - 1, GRID).round().astype(np.int64)]
    return grid


def served_rows(values: Floats, columns: Ints, grid: Floats) -> Rows:
    """What the served trees read: of the chosen columns the places in the grid.

    Places are whole numbers up to twice the grid's length, so that single precision loses nothing:
    a value that lies right on a tree's threshold goes where it went in training.
    """
    places = np.empty((len(values), len(columns)), np.float32)
    served_into(values, columns, grid, places)
    return places


@compiled
def served_into(values: Any, columns: Any, grid: Any, places: Any) -> None:
    for r in range(len(values)):
        for c in range(len(columns)):
            places[r, c] = place_in(grid, c, values[r, columns[c]])


def ranks_within(values: Floats, grid: Floats) -> Floats:
    """Each value's rank (0 to 1) among the accounts that the grid stands for; unknown stays NaN."""
    out = np.full(values.shape, np.nan)
    ranks_into(np.ascontiguousarray(values, dtype=np.float64), grid, out)
    return out


@compiled
def ranks_into(values: Any, grid: Any, out: Any) -> None:
    """Halfway between the shares of the grid that are below, and not above, the value."""
    for c in range(grid.shape[1]):
        for r in range(len(values)):
            out[r, c] = rank_in(grid, c, values[r, c])


@inner
def rank_in(grid: Any, column: int, value: float) -> float:
    return float(place_in(grid, column, value) / (2 * len(grid)))


@inner
def place_in(grid: Any, column: int, value: float) -> float:
    """How many of the grid are below, and how many not above, both counted."""
    if value != value or grid[0, column] != grid[0, column]:
        return math.nan
    low = _below(grid, column, value, False)
    return float(low + _below(grid, column, value, True))


@inner
def _below(grid: Any, column: int, value: float, or_equal: bool) -> int:
    """How many of the column's ascending numbers are below the value."""
    low, high = 0, len(grid)
    while low < high:
        middle = (low + high) // 2
        number = grid[middle, column]
        if number < value or (or_equal and number == value):
            low = middle + 1
        else:
            high = middle
    return low


def _hop2(source: FeatureGraph, second: SecondHop, node: int) -> Floats:
    """Means over the peers' other peers; the account itself is taken out of its peers' sums."""
    index, width = source.index, len(COLUMNS)
    own = np.nan_to_num(index.values[node].astype(np.float64))
    own_known = np.isfinite(index.values[node]).astype(np.float64)
    senders, receivers = (
        side.rows(node)[0][thinned(int(side.size[node]), PEERS_MAX)]
        for side in (index.incoming, index.outgoing)
    )
    out = np.full((len(_HOP2_WAYS), 2 * width + 1), np.nan)
    for way, (peers, sums, known, holds_own) in enumerate((
        (senders, second.in_sums, second.in_known, 0.0),
        (senders, second.out_sums, second.out_known, 1.0),
        (receivers, second.in_sums, second.in_known, 1.0),
        (receivers, second.out_sums, second.out_known, 0.0),
    )):  # fmt: skip
        if not len(peers):
            continue
        n = known[peers] - holds_own * own_known
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(n > 0.5, (sums[peers] - holds_own * own) / n, np.nan)
            seen = np.isfinite(means)
            average = np.where(seen, means, 0.0).sum(axis=0) / seen.sum(axis=0)
            squares = (np.where(seen, means, 0.0) ** 2).sum(axis=0) / seen.sum(axis=0)
        out[way, : 2 * width : 2] = average
        out[way, 1 : 2 * width : 2] = np.sqrt(np.maximum(0.0, squares - average**2))
        out[way, -1] = np.log1p(np.maximum(n[:, 0], 0).sum())
    flat: Floats = out.ravel()
    return flat
