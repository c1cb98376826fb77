"""The transfer graph as flat arrays: small enough to hold in memory, cheap to map from disk.

A compact sparse row layout (CSR) keeps every transfer once, ordered by sender and time; a second
pointer array orders the same rows by receiver and time. A node's transfers in either direction are
thus one slice, whatever the size of the graph. :class:`TransferGraph` never changes;
:class:`GrowingGraph` lays an append-only delta over one, so that a new block costs its own length
and not a rebuild, and so that a reorganised block can be taken back.

Amounts are floats here on purpose: they are evidence to be weighed, never money to be moved.
"""

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Transfers:
    """Rows of transfers, column by column; ``count`` transfers share one row's peer and sum.

    ``amount`` is in whole units of the asset, ``time_s`` in seconds since 1970.
    """

    src: Ints
    dst: Ints
    amount: Floats
    count: Ints
    time_s: Ints

    def __len__(self) -> int:
        return len(self.src)

    def take(self, rows: npt.NDArray[Any] | slice) -> "Transfers":
        return Transfers(*(getattr(self, f.name)[rows] for f in fields(self)))

    @staticmethod
    def of(rows: Iterable[tuple[int, int, float, int, int]]) -> "Transfers":
        """From tuples ``(src, dst, amount, count, time_s)``."""
        columns = list(zip(*rows, strict=True)) or [()] * 5
        src, dst, amount, count, time_s = columns
        ints = [np.array(column, dtype=np.int64) for column in (src, dst, count, time_s)]
        return Transfers(ints[0], ints[1], np.array(amount, dtype=np.float64), ints[2], ints[3])

    @staticmethod
    def join(parts: Sequence["Transfers"]) -> "Transfers":
        return Transfers(
            *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Transfers))
        )


class TransferSource(Protocol):
    """What features and samplers ask of a graph, be it fixed or growing."""

    @property
    def n_nodes(self) -> int: ...

    def sent(self, node: int) -> Transfers:
        """The node's outgoing transfers, oldest first."""
        ...

    def received(self, node: int) -> Transfers:
        """The node's incoming transfers, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class TransferGraph:
    """``rows`` ordered by (src, time); ``in_rows`` orders their numbers by (dst, time).

    Shapes: ``out_start`` and ``in_start`` (n_nodes + 1,), ``in_rows`` (n_rows,).
    """

    rows: Transfers
    out_start: Ints
    in_start: Ints
    in_rows: Ints

    @property
    def n_nodes(self) -> int:
        return len(self.out_start) - 1

    @staticmethod
    def build(rows: Transfers, n_nodes: int | None = None) -> "TransferGraph":
        """Sort once. Raises :class:`ValueError` for negative nodes or more than ``n_nodes``."""
        highest = int(max(rows.src.max(), rows.dst.max())) if len(rows) else -1
        size = highest + 1 if n_nodes is None else n_nodes
        if highest >= size or (len(rows) and min(rows.src.min(), rows.dst.min()) < 0):
            raise ValueError(f"node numbers must lie in 0..{size - 1}")
        ordered = rows.take(np.lexsort((rows.time_s, rows.src)))
        in_rows = np.lexsort((ordered.time_s, ordered.dst)).astype(np.int64)
        return TransferGraph(
            ordered, _starts(ordered.src, size), _starts(ordered.dst, size), in_rows
        )

    def sent(self, node: int) -> Transfers:
        return self.rows.take(slice(int(self.out_start[node]), int(self.out_start[node + 1])))

    def received(self, node: int) -> Transfers:
        return self.rows.take(self.in_rows[self.in_start[node] : self.in_start[node + 1]])

    def until(self, time_s: int) -> "TransferGraph":
        """The graph as it was known at that moment."""
        return TransferGraph.build(self.rows.take(self.rows.time_s <= time_s), self.n_nodes)

    def pairs(self) -> "TransferGraph":
        """One row for each ordered pair: sums, counts and the time of the latest transfer.

        Two transfers of one pair become one row, so sources that publish raw transfers and
        sources that publish pairs look alike.
        """
        rows = self.rows
        order = np.lexsort((rows.time_s, rows.dst, rows.src))
        src, dst = rows.src[order], rows.dst[order]
        fresh = np.ones(len(src), dtype=bool)
        fresh[1:] = (src[1:] != src[:-1]) | (dst[1:] != dst[:-1])
        first = np.flatnonzero(fresh)
        last = np.append(first[1:], len(src)) - 1 if len(first) else first
        merged = Transfers(
            src[first],
            dst[first],
            _sums(rows.amount[order], first),
            _sums(rows.count[order], first),
            rows.time_s[order][last],
        )
        return TransferGraph.build(merged, self.n_nodes)

    def save(self, folder: Path) -> None:
        """One plain array file per column, so that :meth:`load` can map instead of read."""
        folder.mkdir(parents=True, exist_ok=True)
        for f in fields(Transfers):
            np.save(folder / f"{f.name}.npy", getattr(self.rows, f.name))
        for name in ("out_start", "in_start", "in_rows"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        about = {"format": FORMAT, "nodes": self.n_nodes, "rows": len(self.rows)}
        (folder / "graph.json").write_text(json.dumps(about))

    @staticmethod
    def load(folder: Path, mapped: bool = True) -> "TransferGraph":
        """Raises :class:`ValueError` when the folder is torn or of another format."""
        about = json.loads((folder / "graph.json").read_text())
        if about.get("format") != FORMAT:
            raise ValueError(f"graph format {about.get('format')} is not {FORMAT}")
        mode: Literal["r"] | None = "r" if mapped and about["rows"] else None

        def column(name: str) -> npt.NDArray[Any]:
            array: npt.NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode=mode)
            return array

        rows = Transfers(*(column(f.name) for f in fields(Transfers)))
        graph = TransferGraph(rows, column("out_start"), column("in_start"), column("in_rows"))
        sizes = {len(getattr(rows, f.name)) for f in fields(Transfers)} | {len(graph.in_rows)}
        if sizes != {about["rows"]} or graph.n_nodes != about["nodes"]:
            raise ValueError(f"graph in {folder.name} is torn: columns of different lengths")
        return graph


class GrowingGraph:
    """A fixed graph and what came after it. Appending n transfers costs n, not the graph."""

    def __init__(self, base: TransferGraph) -> None:
        self.base = base
        self._late: list[tuple[int, int, float, int, int]] = []
        self._out: dict[int, list[int]] = defaultdict(list)
        self._in: dict[int, list[int]] = defaultdict(list)
        self._n_nodes = base.n_nodes

    @property
    def n_nodes(self) -> int:
        return self._n_nodes

    @property
    def mark(self) -> int:
        """How many transfers the delta holds: remember it per block, to :meth:`rewind` to it."""
        return len(self._late)

    @property
    def late(self) -> Sequence[tuple[int, int, float, int, int]]:
        """The delta's rows, oldest first; the same objects for as long as they are not rewound."""
        return self._late

    def append(self, rows: Transfers) -> None:
        """Raises :class:`ValueError` for negative nodes, before anything is taken in."""
        if len(rows) and min(rows.src.min(), rows.dst.min()) < 0:
            raise ValueError("node numbers must not be negative")
        columns = (getattr(rows, f.name).tolist() for f in fields(Transfers))
        for row in zip(*columns, strict=True):
            at = len(self._late)
            self._late.append(row)
            self._out[row[0]].append(at)
            self._in[row[1]].append(at)
            self._n_nodes = max(self._n_nodes, row[0] + 1, row[1] + 1)

    def rewind(self, mark: int) -> None:
        """Forget what was appended after ``mark``, as after a reorganisation of the chain."""
        while len(self._late) > mark:
            src, dst, *_ = self._late.pop()
            for ends, node in ((self._out, src), (self._in, dst)):
                ends[node].pop()
                if not ends[node]:
                    del ends[node]
        late = max((max(r[0], r[1]) + 1 for r in self._late), default=0)
        self._n_nodes = max(self.base.n_nodes, late)

    def sent(self, node: int) -> Transfers:
        base = self.base.sent(node) if node < self.base.n_nodes else None
        return self._with_late(base, self._out.get(node))

    def received(self, node: int) -> Transfers:
        base = self.base.received(node) if node < self.base.n_nodes else None
        return self._with_late(base, self._in.get(node))

    def late_of(self, node: int, outgoing: bool) -> list[tuple[int, int, float, int, int]]:
        """What the delta holds of the node in one direction, in the order of appending."""
        at = (self._out if outgoing else self._in).get(node, ())
        return [self._late[i] for i in at]

    def has_late(self, node: int, outgoing: bool) -> bool:
        return node in (self._out if outgoing else self._in)

    def merged(self) -> TransferGraph:
        """A new fixed graph with the delta inside: for the next save, off the hot path."""
        return TransferGraph.build(
            Transfers.join([self.base.rows, Transfers.of(self._late)]), self._n_nodes
        )

    def _with_late(self, base: Transfers | None, late: list[int] | None) -> Transfers:
        if not late:
            return base if base is not None else Transfers.of(())
        added = Transfers.of(self._late[i] for i in late)
        joined = added if base is None else Transfers.join([base, added])
        return joined.take(np.argsort(joined.time_s, kind="stable"))


class Names:
    """External names of nodes (addresses, numbers of a data set) to 0, 1, 2, … and back."""

    def __init__(self, names: Iterable[Hashable] = ()) -> None:
        self.names: list[Hashable] = list(names)
        self._numbers = {name: i for i, name in enumerate(self.names)}
        if len(self._numbers) != len(self.names):
            raise ValueError("a name occurs twice")

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: Hashable) -> int | None:
        return self._numbers.get(name)

    def add(self, name: Hashable) -> int:
        """The name's number, a new one if it has none."""
        number = self._numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number


def _starts(sorted_or_not: Ints, size: int) -> Ints:
    counts = np.bincount(sorted_or_not, minlength=size)
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def _sums(values: npt.NDArray[Any], first: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.add.reduceat(values, first) if len(first) else values[:0]
