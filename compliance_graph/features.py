"""All features of an account: its own transfers, its neighbours, two hops, and small patterns.

Names tell what a feature needs: ``own`` against ``peer``, ``hop2``, ``motif`` (the graph around);
``.amt.`` absolute amounts, ``.rel.`` amounts without a unit, ``.time.`` differences of times,
``.shape.`` counts. :func:`selected` picks by these words. No feature moves when every time moves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from compliance_graph.graph import Floats, Ints, TransferGraph, Transfers
from compliance_graph.nodetable import COLUMNS, NodeTable
from compliance_graph.sequences import NAN, Features, log_seconds, own_features, spread

PEERS_MAX = 512
MOTIF_PEERS_MAX = 64
MOTIF_ROWS_MAX = 256


@dataclass(frozen=True, slots=True)
class FeatureGraph:
    """What scoring needs at hand: raw transfers, pairs, and the table over the pairs."""

    raw: TransferGraph
    pairs: TransferGraph
    table: NodeTable

    @staticmethod
    def of(graph: TransferGraph) -> "FeatureGraph":
        pairs = graph.pairs()
        return FeatureGraph(graph, pairs, NodeTable.of(pairs))

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


def describe(source: FeatureGraph, node: int, raw: bool | None = None) -> Features:
    """Every feature of one account; ``raw`` adds those of single transfers."""
    received, sent = source.pairs.received(node), source.pairs.sent(node)
    found = own_features(received, sent)
    if source.has_raw if raw is None else raw:
        found.update(own_features(source.raw.received(node), source.raw.sent(node), "raw"))
    received, sent = _capped(received), _capped(sent)
    found.update(_peers(source.table, node, received.src, received, "peer.in"))
    found.update(_peers(source.table, node, sent.dst, sent, "peer.out"))
    found.update(_hop2(source.table, node, received.src, sent.dst))
    found.update(_motifs(source.pairs, node, received, sent))
    return found


def matrix(source: FeatureGraph, nodes: Sequence[int], raw: bool | None = None) -> Matrix:
    """Features of many accounts; columns in order of first appearance, then sorted by name."""
    rows = [describe(source, node, raw) for node in nodes]
    names = tuple(sorted({name for row in rows for name in row}))
    values = np.array([[row.get(name, NAN) for name in names] for row in rows], dtype=np.float64)
    return Matrix(names, values.reshape(len(rows), len(names)))


def ranked(values: Floats, reference: Floats) -> Floats:
    """Each value's rank (0 to 1) among the reference accounts of the same source; NaN stays."""
    out = np.full(values.shape, np.nan)
    for c in range(values.shape[1]):
        known = np.sort(reference[np.isfinite(reference[:, c]), c])
        if len(known):
            low = np.searchsorted(known, values[:, c], side="left")
            high = np.searchsorted(known, values[:, c], side="right")
            out[:, c] = np.where(np.isfinite(values[:, c]), (low + high) / (2 * len(known)), np.nan)
    return out


def _capped(rows: Transfers) -> Transfers:
    """The latest rows, evenly thinned: a hub costs no more than ``PEERS_MAX``."""
    if len(rows) <= PEERS_MAX:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, PEERS_MAX).astype(np.int64))


def _peers(table: NodeTable, node: int, peers: Ints, rows: Transfers, name: str) -> Features:
    found: Features = {}
    values = table.values[peers]
    for c, column in enumerate(COLUMNS):
        found.update(_brief(values[:, c], f"{name}.{column}"))
    if not len(peers):
        return found
    first, last = table.first_s[peers], table.last_s[peers]
    for label, seconds in (
        ("age", rows.time_s - first),
        ("rest", last - rows.time_s),
        ("older", table.first_s[node] - first),
        ("outlives", last - table.last_s[node]),
    ):
        found.update(spread(log_seconds(seconds), f"{name}.time.{label}"))
    found[f"{name}.time.fresh"] = float((rows.time_s == first).mean())
    found[f"{name}.time.final"] = float((rows.time_s == last).mean())
    degree = np.expm1(values[:, 0]) + np.expm1(values[:, 1])
    found[f"{name}.shape.leaf"] = float((degree < 1.5).mean())
    found[f"{name}.shape.hub"] = float((degree > 50).mean())
    weights = rows.amount / max(float(rows.amount.sum()), 1e-12)
    for c in (0, 1, 4, 6, 7):
        known = np.isfinite(values[:, c])
        total = float(weights[known].sum())
        mean = float((weights[known] * values[known, c]).sum() / total) if total else NAN
        found[f"{name}.rel.weighted.{COLUMNS[c]}"] = mean
    top = int(np.argmax(rows.amount))
    for c, column in enumerate(COLUMNS):
        found[f"{name}.rel.top.{column}"] = float(values[top, c])
    for end, at in (("head", 0), ("tail", -1)):
        for c, column in enumerate(COLUMNS[:9]):
            found[f"{name}.{end}.{column}"] = float(values[at, c])
    return found


def _brief(values: Floats, name: str) -> Features:
    kept = np.sort(values[np.isfinite(values)])
    if not len(kept):
        return {}
    last = len(kept) - 1
    return {
        f"{name}.mean": float(kept.mean()),
        f"{name}.sd": float(kept.std()),
        f"{name}.min": float(kept[0]),
        f"{name}.q25": float(kept[round(0.25 * last)]),
        f"{name}.q50": float(kept[round(0.5 * last)]),
        f"{name}.q75": float(kept[round(0.75 * last)]),
        f"{name}.max": float(kept[-1]),
    }


def _hop2(table: NodeTable, node: int, senders: Ints, receivers: Ints) -> Features:
    """Means over the peers' other peers; the account itself is taken out of its peers' sums."""
    own = np.where(np.isfinite(table.values[node]), table.values[node], 0.0)
    own_known = np.isfinite(table.values[node]).astype(np.float64)
    found: Features = {}
    for way, peers, sums, known, holds_own in (
        ("in_in", senders, table.in_sums, table.in_known, 0.0),
        ("in_out", senders, table.out_sums, table.out_known, 1.0),
        ("out_in", receivers, table.in_sums, table.in_known, 1.0),
        ("out_out", receivers, table.out_sums, table.out_known, 0.0),
    ):
        if not len(peers):
            continue
        n = known[peers] - holds_own * own_known
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(n > 0.5, (sums[peers] - holds_own * own) / n, np.nan)
        seen = np.isfinite(means)
        n_seen = seen.sum(axis=0)
        filled = np.where(seen, means, 0.0)
        average = filled.sum(axis=0) / np.maximum(n_seen, 1)
        squares = (filled**2).sum(axis=0) / np.maximum(n_seen, 1)
        for c, column in enumerate(COLUMNS):
            if n_seen[c]:
                found[f"hop2.{way}.{column}.mean"] = float(average[c])
                deviation = np.sqrt(max(0.0, squares[c] - average[c] ** 2))
                found[f"hop2.{way}.{column}.sd"] = float(deviation)
        found[f"hop2.{way}.shape.reach"] = float(np.log1p(np.maximum(n[:, 0], 0).sum()))
    return found


def _motifs(pairs: TransferGraph, node: int, received: Transfers, sent: Transfers) -> Features:
    """Triangles, two-way ties, cycles of three, and chains through the peers."""
    senders, receivers = received.src, sent.dst
    both = np.intersect1d(senders, receivers)
    either = np.union1d(senders, receivers)
    found: Features = {
        "motif.shape.two_way": len(both) / max(1, len(either)),
        "motif.shape.self": float((senders == node).any()),
    }
    counted = {"in_in": 0, "in_out": 0, "out_in": 0, "out_out": 0}
    walked = {"in": 0, "out": 0}
    onward: list[Ints] = []
    for side, peers in (("in", senders[-MOTIF_PEERS_MAX:]), ("out", receivers[-MOTIF_PEERS_MAX:])):
        for peer in peers.tolist():
            start, end = int(pairs.out_start[peer]), int(pairs.out_start[peer + 1])
            targets = pairs.rows.dst[start : min(end, start + MOTIF_ROWS_MAX)]
            walked[side] += 1
            counted[f"{side}_in"] += int(np.isin(targets, senders).sum())
            counted[f"{side}_out"] += int(np.isin(targets, receivers).sum())
            if side == "out":
                onward.append(targets)
    for way, n in counted.items():
        side = way.split("_")[0]
        found[f"motif.shape.tie_{way}"] = n / walked[side] if walked[side] else NAN
        found[f"motif.shape.ties_{way}"] = float(np.log1p(n))
    if onward:
        targets = np.concatenate(onward)
        distinct = len(np.unique(targets))
        found["motif.shape.converge"] = distinct / len(targets) if len(targets) else NAN
        found["motif.shape.onward"] = float(np.log1p(len(targets)))
    return found
