"""The transfer graph as screening reads it: one row per ordered pair, and a few numbers per node.

Each direction is one pool of rows in which every node owns a stretch, ordered by time and then by
peer, with room to grow: a new transfer moves or adds one row on either side and renews the numbers
of its two ends, which costs their own length and not the graph. Training builds the same index
from a file that serving keeps up from blocks, so that both read the same features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from compliance_graph.graph import GrowingGraph, Ints, TransferGraph, Transfers
from compliance_graph.kernels import compiled, inner, plain, swept
from compliance_graph.nodetable import COLUMNS, node_into

Column = npt.NDArray[Any]
Result = TypeVar("Result")
Kinds = (np.int32, np.int64, np.float64, np.int64)
"""Types of a pool's columns: peer, count, amount, time."""


@dataclass(slots=True)
class Side:
    """``peer``, ``count``, ``amount``, ``time_s`` of all rows; node v owns ``size[v]`` of them
    from ``start[v]`` on and may take up to ``room[v]``."""

    start: Ints
    size: Ints
    room: Ints
    pool: tuple[Column, ...]
    used: int

    @staticmethod
    def of(start: Ints, peers: Ints, rows: Transfers) -> "Side":
        """``rows`` node by node from ``start`` on, oldest first; those with one peer are merged."""
        columns = (peers, rows.count, rows.amount, rows.time_s)
        pool = tuple(np.zeros(len(peers), kind) for kind in Kinds)
        own = np.zeros(len(start) - 1, dtype=np.int64)
        size = np.zeros(len(start) - 1, dtype=np.int64)
        used = _merge(*map(plain, (start, *columns)), *pool, own, size)
        if used < len(peers):
            pool = tuple(column[:used].copy() for column in pool)
        return Side(own, size, size.copy(), pool, used)

    @property
    def arrays(self) -> tuple[Column, ...]:
        """What the compiled functions take."""
        return (self.start, self.size, *self.pool)

    def rows(self, node: int) -> tuple[Column, ...]:
        """Peer, count, amount and time of the node's rows, oldest first."""
        begin = int(self.start[node])
        end = begin + int(self.size[node])
        return tuple(column[begin:end] for column in self.pool)

    def put(self, node: int, row: tuple[int, int, float, int]) -> None:
        """Add a transfer to the node's row with that peer, or begin one."""
        if self.size[node] == self.room[node]:
            self._make_room(node, int(self.size[node]) + 1)
        put(*self.arrays, node, *row)

    def replace(self, node: int, columns: tuple[Column, ...]) -> None:
        """Exchange all rows of the node; ``columns`` as in the pool, in order."""
        n = len(columns[0])
        if n > self.room[node]:
            self._make_room(node, n)
        begin = int(self.start[node])
        for mine, given in zip(self.pool, columns, strict=True):
            mine[begin : begin + n] = given
        self.size[node] = n

    def add_nodes(self, n: int) -> None:
        added = np.zeros(n, dtype=np.int64)
        self.start, self.size, self.room = (
            np.concatenate((a, added)) for a in (self.start, self.size, self.room)
        )

    def _make_room(self, node: int, wanted: int) -> None:
        """Move the node's rows to the end of the pool, with as much room again."""
        room, rows = 2 * wanted + 2, self.rows(node)
        if self.used + room > len(self.pool[0]):
            more = max(room, len(self.pool[0]) // 4)
            self.pool = tuple(np.concatenate((c, np.zeros(more, c.dtype))) for c in self.pool)
        for column, old in zip(self.pool, rows, strict=True):
            column[self.used : self.used + len(old)] = old
        self.start[node], self.room[node] = self.used, room
        self.used += room


@swept
def _merge(
    start: Any, ends: Any, n: Any, worth: Any, time_s: Any,
    peers: Any, counts: Any, amounts: Any, times: Any, own: Any, size: Any,
) -> int:  # fmt: skip
    """One row per peer of each node into the columns of a pool: sums, and the latest time. Nothing
    is sorted but what has one time: the last payments to each peer come in the rows' own order."""
    place = np.full(ends.max() + 1 if len(ends) else 0, -1)
    used = 0
    for node in range(len(start) - 1):
        begin = used
        for row in range(start[node + 1] - 1, start[node] - 1, -1):
            if place[ends[row]] < begin:
                place[ends[row]] = used
                peers[used], times[used] = ends[row], time_s[row]
                used += 1
        for at in range((used - begin) // 2):
            _exchange(peers, times, begin + at, used - 1 - at)
        _ordered(peers, times, begin, used)
        for at in range(begin, used):
            place[peers[at]] = at
        for row in range(start[node], start[node + 1]):
            counts[place[ends[row]]] += n[row]
            amounts[place[ends[row]]] += worth[row]
        own[node], size[node] = begin, used - begin
    return used


@inner
def _exchange(peers: Any, times: Any, one: int, other: int) -> None:
    peers[one], peers[other] = peers[other], peers[one]
    times[one], times[other] = times[other], times[one]


@inner
def _ordered(peers: Any, times: Any, begin: int, end: int) -> None:
    """By time, then by number; a Shell sort, for by time they nearly are in order."""
    gap = 1
    while 3 * gap + 1 < end - begin:
        gap = 3 * gap + 1
    while gap:
        for at in range(begin + gap, end):
            low = at - gap
            while low >= begin and (times[low], peers[low]) > (times[low + gap], peers[low + gap]):
                _exchange(peers, times, low, low + gap)
                low -= gap
        gap //= 3


@compiled
def put(
    start: Any, size: Any, peers: Any, counts: Any, amounts: Any, times: Any,
    node: int, peer: int, count: int, amount: float, time_s: int,
) -> None:  # fmt: skip
    """One more transfer with the peer: its row takes the later time and moves to its place."""
    begin, end = start[node], start[node] + size[node]
    hole = end
    for i in range(begin, end):
        if peers[i] == peer:
            hole, count, amount = i, count + counts[i], amount + amounts[i]
            time_s = max(time_s, times[i])
            break
    if hole == end:
        size[node] += 1
        while hole > begin and (
            times[hole - 1] > time_s or (times[hole - 1] == time_s and peers[hole - 1] > peer)
        ):
            _copy(peers, counts, amounts, times, hole - 1, hole)
            hole -= 1
    else:
        while hole + 1 < end and (
            times[hole + 1] < time_s or (times[hole + 1] == time_s and peers[hole + 1] < peer)
        ):
            _copy(peers, counts, amounts, times, hole + 1, hole)
            hole += 1
    peers[hole], counts[hole], amounts[hole], times[hole] = peer, count, amount, time_s


@inner
def _copy(peers: Any, counts: Any, amounts: Any, times: Any, source: int, to: int) -> None:
    peers[to], counts[to], amounts[to] = peers[source], counts[source], amounts[source]
    times[to] = times[source]


@swept
def _all_nodes(
    in_start: Any, in_size: Any, in_count: Any, in_amount: Any, in_time: Any,
    out_start: Any, out_size: Any, out_count: Any, out_amount: Any, out_time: Any,
    nodes: Any, values: Any, first: Any, last: Any,
) -> None:  # fmt: skip
    for node in nodes:
        a, b = in_start[node], in_start[node] + in_size[node]
        c, d = out_start[node], out_start[node] + out_size[node]
        node_into(
            in_count[a:b], in_amount[a:b], in_time[a:b],
            out_count[c:d], out_amount[c:d], out_time[c:d],
            values, first, last, node,
        )  # fmt: skip


class PairIndex:
    """Pairs of both directions and the node table of all nodes."""

    def __init__(self, incoming: Side, outgoing: Side) -> None:
        n = len(incoming.start)
        self.incoming, self.outgoing = incoming, outgoing
        self.values: npt.NDArray[np.float32] = np.zeros((n, len(COLUMNS)), dtype=np.float32)
        self.first_s: Ints = np.zeros(n, dtype=np.int64)
        self.last_s: Ints = np.zeros(n, dtype=np.int64)
        self._taken: list[tuple[int, int, float, int, int]] = []
        self._describe(np.arange(n))

    @staticmethod
    def of(graph: TransferGraph) -> "PairIndex":
        """From single transfers or from pairs (:meth:`TransferGraph.pairs`), with one result."""
        incoming = graph.rows.take(graph.in_rows)
        return PairIndex(
            Side.of(graph.in_start, incoming.src, incoming),
            Side.of(graph.out_start, graph.rows.dst, graph.rows),
        )

    @property
    def n_nodes(self) -> int:
        return len(self.first_s)

    @property
    def arrays(self) -> tuple[Column, ...]:
        """What the compiled features and samplers read."""
        sides = (*self.incoming.arrays, *self.outgoing.arrays)
        return (*sides, self.values, self.first_s, self.last_s)

    def degree(self, node: int) -> int:
        """Pairs in and out."""
        return int(self.incoming.size[node] + self.outgoing.size[node])

    def history(self, node: int) -> int:
        """Transfers in and out."""
        counts = (side.rows(node)[1].sum() for side in (self.incoming, self.outgoing))
        return int(sum(counts))

    def follow(self, graph: GrowingGraph) -> None:
        """Take in what the graph has gained since the last time, and give up what it lost."""
        late, taken = graph.late, self._taken
        lost: set[int] = set()
        while taken and (len(taken) > len(late) or taken[-1] is not late[len(taken) - 1]):
            src, dst, *_ = taken.pop()
            lost |= {src, dst}
        if len(taken) < len(late):
            added = late[len(taken) :]
            taken.extend(added)
            self._grow(graph.n_nodes)
            self._add(added, lost)
        for node in lost:
            self._read_again(graph, node)
        if lost:
            self._describe(np.array(sorted(lost)))

    def without(
        self, node: int, peers: set[int], read: Callable[["PairIndex", int], Result]
    ) -> Result:
        """What ``read`` finds when the account had never dealt with these counterparties."""
        gone = np.array(sorted(peers))
        sides = (self.incoming, self.outgoing)
        kept = [tuple(c.copy() for c in side.rows(node)) for side in sides]
        try:
            for side, rows in zip(sides, kept, strict=True):
                left = ~np.isin(rows[0], gone)
                side.replace(node, tuple(c[left] for c in rows))
            self._describe(np.array([node]))
            return read(self, node)
        finally:
            for side, rows in zip(sides, kept, strict=True):
                side.replace(node, rows)
            self._describe(np.array([node]))

    def _add(self, rows: Sequence[tuple[int, int, float, int, int]], lost: set[int]) -> None:
        """Nodes that lost something are read again as a whole afterwards."""
        touched = {end for row in rows for end in row[:2]} - lost
        for src, dst, amount, count, time_s in rows:
            if src in touched:
                self.outgoing.put(src, (dst, count, amount, time_s))
            if dst in touched:
                self.incoming.put(dst, (src, count, amount, time_s))
        if touched:
            self._describe(np.array(sorted(touched)))

    def _read_again(self, graph: GrowingGraph, node: int) -> None:
        """Both sides of the node anew: sums cannot be taken apart again."""
        for side, rows in (
            (self.incoming, graph.received(node)),
            (self.outgoing, graph.sent(node)),
        ):
            peers = rows.src if side is self.incoming else rows.dst
            named, place = np.unique(peers, return_inverse=True)
            last = np.zeros(len(named), dtype=np.int64)
            np.maximum.at(last, place, rows.time_s)
            counts = np.bincount(place, weights=rows.count, minlength=len(named))
            amounts = np.bincount(place, weights=rows.amount, minlength=len(named))
            order = np.argsort(last, kind="stable")
            side.replace(node, tuple(c[order] for c in (named, counts, amounts, last)))

    def _grow(self, n_nodes: int) -> None:
        added = n_nodes + n_nodes // 8 - self.n_nodes if n_nodes > self.n_nodes else 0
        if added:
            for side in (self.incoming, self.outgoing):
                side.add_nodes(added)
            old, none = self.n_nodes, np.zeros(added, dtype=np.int64)
            empty = np.zeros((added, len(COLUMNS)), dtype=np.float32)
            self.values = np.concatenate((self.values, empty))
            self.first_s = np.concatenate((self.first_s, none))
            self.last_s = np.concatenate((self.last_s, none))
            self._describe(np.arange(old, old + added))

    def _describe(self, nodes: Ints) -> None:
        _all_nodes(
            self.incoming.start, self.incoming.size, *self.incoming.pool[1:],
            self.outgoing.start, self.outgoing.size, *self.outgoing.pool[1:],
            nodes, self.values, self.first_s, self.last_s,
        )  # fmt: skip
