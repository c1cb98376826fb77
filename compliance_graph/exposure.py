"""How much of what an account got and gave is bad money, followed through the whole graph.

Every account mixes what it received (haircut, Möser, Böhme and Breuker 2014): if a tenth of its
inflow is stolen, a tenth of each of its payments is. The share of account v in category c within
h hops is the average over its incoming worth w(u, v)

    x_h(v, c) = sum_u w(u, v) · y(u, c) / W(v)
    y(u, c)   = 1 if u is of c, 0 if u is of another kind, else x_{h-1}(u, c)

so splitting a sum over fresh accounts, however many, leaves the share as it was, and cycles cannot
raise it. Outflow is the same with all arrows turned round. Transfers to oneself count nowhere.

All accounts of the fixed graph are computed in one sweep per hop when a snapshot is taken (kernels
compiled by numba, milliseconds per hundred thousand transfers). A screening reads one row and adds
what the delta holds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compliance_graph.addressbook import AddressBook
from compliance_graph.graph import Floats, GrowingGraph, Ints, TransferGraph
from compliance_graph.kernels import compiled, inner, plain, swept
from compliance_graph.labels import NOBODY, Kinds, Labels

Shares = npt.NDArray[np.float32]
LATE_ROWS_MAX = 2_000
"""Of the delta, per screening; a delta is folded long before one account's part is so long."""


@swept
def _sweep(start, peers, amount, kinds, before, after, totals):  # type: ignore[no-untyped-def]
    """One hop for all accounts."""
    for node in range(len(start) - 1):
        total = 0.0
        for row in range(start[node], start[node + 1]):
            peer = peers[row]
            worth = amount[row]
            if peer == node or worth <= 0.0:
                continue
            total += worth
            kind = kinds[peer]
            if kind > 0:
                after[node, kind - 1] += worth
            elif kind == 0:
                for c in range(after.shape[1]):
                    after[node, c] += worth * before[peer, c]
        totals[node] = total
        if total > 0.0:
            for c in range(after.shape[1]):
                after[node, c] /= total


@inner
def _mark(start, peers, amount, node, least, most, marks, mark, sets):  # type: ignore[no-untyped-def]
    """The latest ``most`` peers of the account, by payments of at least ``least``: marks them, or
    tells whether one is marked."""
    row = start[node + 1]
    while row > start[node] and most > 0:
        row -= 1
        if peers[row] == node or amount[row] < least:
            continue
        most -= 1
        if sets:
            marks[peers[row]] = mark
        elif marks[peers[row]] == mark:
            return True
    return False


@compiled
def _met(  # type: ignore[no-untyped-def]
    start, peers, amount, to_start, to_peers, to_amount,
    begins, ends, least, most, marks, mark,
):  # fmt: skip
    """Which of ``ends`` are among the marked or have one among their peers; a second look takes
    in ways through the ends themselves."""
    for node in begins:
        marks[node] = mark
        if node < len(start) - 1:
            _mark(start, peers, amount, node, least, most, marks, mark, True)
    met = np.zeros(len(ends), dtype=np.bool_)
    for _ in range(2):
        for i in range(len(ends)):
            node = ends[i]
            met[i] = met[i] or marks[node] == mark
            if not met[i] and node < len(to_start) - 1:
                met[i] = _mark(to_start, to_peers, to_amount, node, least, most, marks, mark, False)
        for i in range(len(ends)):
            if met[i]:
                marks[ends[i]] = mark
    return met


@dataclass(frozen=True, slots=True)
class Side:
    """One direction of the fixed graph: ``shares`` (n_nodes, categories), ``totals`` (n_nodes,).

    ``peers``, ``amount`` and ``time_s`` are the graph's columns as compiled code wants them, one
    account's rows next to each other: a hub's thousand payments are read as one piece of memory.
    So are one category's ``shares``, of which a hub's thousand peers are looked up.
    """

    start: npt.NDArray[Any]
    peers: npt.NDArray[Any]
    amount: npt.NDArray[Any]
    time_s: npt.NDArray[Any]
    shares: Shares
    totals: Floats

    @staticmethod
    def of(base: TransferGraph, kinds: Kinds, hops: int, categories: int, outgoing: bool) -> "Side":
        rows = base.rows
        found: list[npt.NDArray[Any]] = [rows.dst, rows.amount, rows.time_s]
        if not outgoing:
            found = [column[base.in_rows] for column in (rows.src, rows.amount, rows.time_s)]
        start = plain(base.out_start if outgoing else base.in_start)
        peers, amount, time_s = (plain(column) for column in found)
        kinds = plain(kinds)
        totals = np.zeros(base.n_nodes)
        before = np.zeros((base.n_nodes, categories), dtype=np.float32)
        for _ in range(hops):
            after = np.zeros((base.n_nodes, categories), dtype=np.float64)
            _sweep(start, peers, amount, kinds, plain(before), after, totals)
            before = after.astype(np.float32)
        return Side(start, peers, amount, time_s, np.asfortranarray(before), totals)


class Exposures:
    """Shares of every account of ``graph``; made anew for a new snapshot or new labels."""

    def __init__(
        self, graph: GrowingGraph, book: AddressBook, labels: Labels, hops: int, categories: int
    ) -> None:
        self._graph, self._book, self._labels = graph, book, labels
        self._hops, self._categories = hops, categories
        self.kinds = labels.of_accounts(book, graph.base.n_nodes)
        self.sides = {
            outgoing: Side.of(graph.base, self.kinds, hops, categories, outgoing)
            for outgoing in (False, True)
        }
        self._marks = np.zeros(graph.base.n_nodes, dtype=np.int64)
        self._asked = 0

    def kind(self, node: int) -> int:
        """The category's number, or that nobody knows the account, or that it is a service."""
        if node < len(self.kinds):
            return int(self.kinds[node])
        return self._labels.kinds.get(self._book.name(node), NOBODY)

    def met(
        self, begins: Ints, ends: Ints, outgoing: bool, least: float, most: int
    ) -> npt.NDArray[np.bool_]:
        """Which of ``ends`` value may have reached from ``begins`` (``outgoing``) over at most one
        more account, or come from; none is missed, some may be too many. Shape (len(ends),).

        Of each account the latest ``most`` payments of at least ``least`` are looked at.
        """
        if self._graph.n_nodes > len(self._marks):
            self._marks = np.zeros(2 * self._graph.n_nodes, dtype=np.int64)
        self._asked += 1
        for node in begins.tolist() if self._graph.mark else ():
            for src, dst, *_ in self._graph.late_of(node, outgoing):
                self._marks[dst if outgoing else src] = self._asked
        near, far = self.sides[outgoing], self.sides[not outgoing]
        met: npt.NDArray[np.bool_] = _met(
            *(near.start, near.peers, near.amount),
            *(far.start, far.peers, far.amount),
            *(begins, ends, least, most, self._marks, self._asked),
        )
        for i, node in enumerate(ends.tolist()) if self._graph.mark else ():
            met[i] |= self._graph.has_late(node, not outgoing)
        return met

    def kinds_of(self, nodes: Ints) -> Kinds:
        """Of many at once. Shape (n,)."""
        if not self._graph.mark:
            return self.kinds[nodes]
        known = nodes < len(self.kinds)
        kinds = np.zeros(len(nodes), dtype=np.int8)
        kinds[known] = self.kinds[nodes[known]]
        for at in np.flatnonzero(~known):
            kinds[at] = self.kind(int(nodes[at]))
        return kinds

    def late_shares(self, nodes: Ints, category: int, outgoing: bool) -> Floats:
        """How much of each account is of that category where the tables do not know it, for the
        delta touched it; else NaN. Shape (n,), or (0,) where the delta is empty."""
        if not self._graph.mark:
            return _EMPTY
        shares = np.full(len(nodes), np.nan)
        for at, node in enumerate(nodes.tolist()):
            if node >= len(self.kinds) or self._graph.has_late(node, outgoing):
                kind = self.kind(node)
                shares[at] = kind == category
                if kind == NOBODY:
                    shares[at] = self.of(node, outgoing)[0][category - 1]
        return shares

    def of(self, node: int, outgoing: bool) -> tuple[Floats, float]:
        """Shares by category (categories,) and the whole worth they are shares of."""
        return self._of(node, outgoing, self._hops, {}, [LATE_ROWS_MAX])

    def _of(
        self,
        node: int,
        outgoing: bool,
        depth: int,
        known: dict[int, tuple[Floats, float]],
        budget: list[int],
    ) -> tuple[Floats, float]:
        if node in known:
            return known[node]
        side = self.sides[outgoing]
        shares, total = np.zeros(self._categories), 0.0
        if node < len(side.totals):
            shares, total = side.shares[node].astype(np.float64), float(side.totals[node])
        known[node] = shares, total  # for whoever comes back here in a circle
        late = self._graph.late_of(node, outgoing)[-budget[0] :] if budget[0] else []
        if not late or depth == 0:
            return shares, total
        budget[0] -= len(late)
        sums = shares * total
        for src, dst, worth, _, _ in late:
            peer = dst if outgoing else src
            if peer == node or worth <= 0:
                continue
            total += worth
            kind = self.kind(peer)
            if kind > 0:
                sums[kind - 1] += worth
            elif kind == NOBODY:
                sums += worth * self._of(peer, outgoing, depth - 1, known, budget)[0]
        known[node] = sums / total if total else sums, total
        return known[node]


_EMPTY = np.zeros(0)
