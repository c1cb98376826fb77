"""A few numbers for every node of the graph: an account is judged by the company it keeps.

Its neighbours' statistics come from this table, and their neighbours' from sums over it
(:class:`SecondHop`, for research alone), so that a score gathers rows instead of walking the
graph. Everything refers to pairs (one row per ordered pair of accounts).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from compliance_graph.graph import Floats, Ints, TransferGraph
from compliance_graph.kernels import inner, log_second

SHAPE_COLUMNS = ("in", "out", "count_in", "count_out", "in_share", "repeat")
TIME_COLUMNS = ("span", "gap", "in_span", "out_span", "turn", "in_centre", "out_centre")
REL_COLUMNS = ("kept",)
AMT_COLUMNS = ("sum_in", "sum_out", "mean_in", "mean_out")
COLUMNS = (
    *(f"shape.{c}" for c in SHAPE_COLUMNS),
    *(f"time.{c}" for c in TIME_COLUMNS),
    *(f"rel.{c}" for c in REL_COLUMNS),
    *(f"amt.{c}" for c in AMT_COLUMNS),
)
PLAIN_COLUMNS = len(SHAPE_COLUMNS) + len(TIME_COLUMNS)
"""The first so many columns need no amounts."""


@inner
def node_into(
    c_in: Any, a_in: Any, t_in: Any, c_out: Any, a_out: Any, t_out: Any,
    values: Any, first_s: Any, last_s: Any, node: int,
) -> None:  # fmt: skip
    """Fill the node's row; each side's columns are ordered by time. NaN where nothing is known."""
    row = values[node]
    row[:] = np.nan
    n_in, n_out = len(t_in), len(t_out)
    both = n_in + n_out
    first, last = 0, 0
    if n_in and n_out:
        first, last = min(t_in[0], t_out[0]), max(t_in[-1], t_out[-1])
        row[10] = log_second(t_out[0] - t_in[0])
    elif both:
        times = t_in if n_in else t_out
        first, last = times[0], times[-1]
    first_s[node], last_s[node] = first, last
    repeats = (c_in > 1).sum() + (c_out > 1).sum()
    row[0], row[1] = math.log1p(n_in), math.log1p(n_out)
    row[2], row[3] = math.log1p(c_in.sum()), math.log1p(c_out.sum())
    if both:
        row[4] = n_in / both
        row[5] = repeats / both
    if both > 1:
        row[6] = log_second(last - first)
        row[7] = log_second((last - first) / (both - 1))
    if n_in > 1:
        row[8] = log_second(t_in[-1] - t_in[0])
    if n_out > 1:
        row[9] = log_second(t_out[-1] - t_out[0])
    if last > first and n_in:
        row[11] = (t_in - first).sum() / n_in / (last - first)
    if last > first and n_out:
        row[12] = (t_out - first).sum() / n_out / (last - first)
    into, gone = a_in.sum(), a_out.sum()
    if into + gone > 0:
        row[13] = (into - gone) / (into + gone)
    row[14], row[15] = math.log1p(into), math.log1p(gone)
    if n_in:
        row[16] = math.log1p(into / n_in)
    if n_out:
        row[17] = math.log1p(gone / n_out)


@dataclass(frozen=True, slots=True)
class SecondHop:
    """``in_sums``, ``out_sums`` (n_nodes, len(COLUMNS)) add the rows of a node's senders and
    receivers; ``in_known``, ``out_known`` count how many of those were no NaN."""

    in_sums: Floats
    out_sums: Floats
    in_known: Floats
    out_known: Floats

    @staticmethod
    def of(pairs: TransferGraph, values: Floats) -> "SecondHop":
        rows, n, width = pairs.rows, pairs.n_nodes, len(COLUMNS)
        known = np.isfinite(values).astype(np.float64)
        kept = np.where(known > 0, values, 0.0)

        def summed(of: Floats, to: Ints, ends: Ints) -> Floats:
            columns = [np.bincount(to, weights=of[ends, c], minlength=n) for c in range(width)]
            return np.stack(columns, 1).astype(np.float64)

        return SecondHop(
            summed(kept, rows.dst, rows.src),
            summed(kept, rows.src, rows.dst),
            summed(known, rows.dst, rows.src),
            summed(known, rows.src, rows.dst),
        )
