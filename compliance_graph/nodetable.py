"""A few numbers for every node of the graph, computed for all of them in one sweep.

An account is judged by the company it keeps. Its neighbours' statistics come from this table, and
their neighbours' from sums over it, so that a score gathers rows instead of walking the graph.
Everything refers to pairs (one row per ordered pair of accounts).
"""

from dataclasses import dataclass

import numpy as np

from compliance_graph.graph import Floats, Ints, TransferGraph
from compliance_graph.sequences import log_seconds

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


@dataclass(frozen=True, slots=True)
class NodeTable:
    """``values`` (n_nodes, len(COLUMNS)), NaN where a node has nothing to say.

    ``first_s`` and ``last_s`` (n_nodes,) are absolute and never a feature by themselves.
    ``in_sums``, ``out_sums`` (n_nodes, len(COLUMNS)) add the rows of a node's senders and
    receivers; ``in_known``, ``out_known`` count how many of those were no NaN.
    """

    values: Floats
    first_s: Ints
    last_s: Ints
    in_sums: Floats
    out_sums: Floats
    in_known: Floats
    out_known: Floats

    @staticmethod
    def of(pairs: TransferGraph) -> "NodeTable":
        values, first, last = _values(pairs)
        rows, n = pairs.rows, pairs.n_nodes
        known = np.isfinite(values).astype(np.float64)
        filled = np.where(known > 0, values, 0.0)

        def summed(of: Floats, to: Ints, ends: Ints) -> Floats:
            columns = [np.bincount(to, weights=of[ends, c], minlength=n) for c in range(width)]
            return np.stack(columns, 1).astype(np.float64)

        width = values.shape[1]
        return NodeTable(
            values,
            first,
            last,
            summed(filled, rows.dst, rows.src),
            summed(filled, rows.src, rows.dst),
            summed(known, rows.dst, rows.src),
            summed(known, rows.src, rows.dst),
        )


def _values(pairs: TransferGraph) -> tuple[Floats, Ints, Ints]:
    rows, n = pairs.rows, pairs.n_nodes
    times = rows.time_s.astype(np.float64)
    sides = {}
    for side, ends in (("in", rows.dst), ("out", rows.src)):
        degree = np.bincount(ends, minlength=n).astype(np.float64)
        first, last = np.full(n, np.inf), np.full(n, -np.inf)
        np.minimum.at(first, ends, times)
        np.maximum.at(last, ends, times)
        sides[side] = {
            "n": degree,
            "count": np.bincount(ends, weights=rows.count, minlength=n),
            "sum": np.bincount(ends, weights=rows.amount, minlength=n),
            "repeat": np.bincount(ends, weights=rows.count > 1, minlength=n),
            "first": first,
            "last": last,
        }
    a, b = sides["in"], sides["out"]
    first = np.minimum(a["first"], b["first"])
    last = np.maximum(a["last"], b["last"])
    lonely = ~np.isfinite(first)
    first, last = np.where(lonely, 0, first), np.where(lonely, 0, last)
    both = a["n"] + b["n"]
    for s, ends in ((a, rows.dst), (b, rows.src)):
        sum_of_ages = np.bincount(ends, weights=times - first[ends], minlength=n).astype(float)
        s["centre"] = _ratio(_ratio(sum_of_ages, s["n"]), last - first)
    with np.errstate(invalid="ignore"):
        turn = b["first"] - a["first"]
        columns = [
            np.log1p(a["n"]),
            np.log1p(b["n"]),
            np.log1p(a["count"]),
            np.log1p(b["count"]),
            _ratio(a["n"], both),
            _ratio(a["repeat"] + b["repeat"], both),
            log_seconds(np.where(both > 1, last - first, np.nan)),
            log_seconds(_ratio(last - first, both - 1)),
            log_seconds(np.where(a["n"] > 1, a["last"] - a["first"], np.nan)),
            log_seconds(np.where(b["n"] > 1, b["last"] - b["first"], np.nan)),
            log_seconds(np.where(np.isfinite(turn), turn, np.nan)),
            a["centre"],
            b["centre"],
            _ratio(a["sum"] - b["sum"], a["sum"] + b["sum"]),
            np.log1p(a["sum"]),
            np.log1p(b["sum"]),
            np.log1p(_ratio(a["sum"], a["n"])),
            np.log1p(_ratio(b["sum"], b["n"])),
        ]
    return np.stack(columns, 1), first.astype(np.int64), last.astype(np.int64)


def _ratio(over: Floats, under: Floats) -> Floats:
    """NaN where nothing is divided by nothing."""
    out: Floats = np.where(under > 0, over / np.where(under > 0, under, 1.0), np.nan)
    return out
