"""Reads transfer and label tables (CSV, plain or gzipped) into graphs, fast and strictly.

Columns are found by name: ``src``, ``dst``, ``value_eth`` (or ``amount``), ``timestamp`` and,
optionally, ``n_transactions``; labels have ``node``, ``label``, ``split`` and optionally
``first_seen``. Nodes may be numbers or any text, such as addresses.
"""

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compliance_graph.graph import Names, TransferGraph, Transfers

AMOUNT_COLUMNS = ("value_eth", "amount", "value")
LABELS = {"illicit": 1, "licit": 0, "1": 1, "0": 0, "": None}


@dataclass(frozen=True, slots=True)
class LabelRow:
    """``label`` is 1 for illicit, 0 for licit, None where it is withheld."""

    node: str
    label: int | None
    split: str
    first_seen_s: int | None = None


@dataclass(frozen=True, slots=True)
class NamedGraph:
    graph: TransferGraph
    names: Names


def _text(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")


def read_transfers(path: Path) -> NamedGraph:
    """Raises :class:`ValueError` for missing columns, torn rows or numbers that are none."""
    text = _text(path)
    header = [name.strip() for name in text[: text.index("\n")].split(",")]
    amount = next((n for n in AMOUNT_COLUMNS if n in header), None)
    if amount is None or not {"src", "dst", "timestamp"} <= set(header):
        raise ValueError(f"{path.name} needs the columns src, dst, value_eth and timestamp")
    wanted = [header.index(n) for n in ("src", "dst")]
    ends = _column(text, wanted, np.dtype("U64"))
    names, numbers = np.unique(ends, return_inverse=True)
    numbers = numbers.reshape(ends.shape).astype(np.int64)
    amounts = _column(text, [header.index(amount)], np.dtype(np.float64))[:, 0]
    times = _column(text, [header.index("timestamp")], np.dtype(np.float64))[:, 0]
    counts = np.ones(len(times), dtype=np.int64)
    if "n_transactions" in header:
        counts = _column(text, [header.index("n_transactions")], np.dtype(np.float64))[:, 0]
    if not (np.isfinite(amounts).all() and np.isfinite(times).all() and (amounts >= 0).all()):
        raise ValueError(f"{path.name} has an amount or a time that is no number or below zero")
    rows = Transfers(
        numbers[:, 0], numbers[:, 1], amounts, counts.astype(np.int64), times.astype(np.int64)
    )
    return NamedGraph(TransferGraph.build(rows, len(names)), Names(str(n) for n in names))


def _column(text: str, columns: Sequence[int], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.loadtxt(
        io.StringIO(text), delimiter=",", skiprows=1, usecols=columns, dtype=kind, ndmin=2
    )
    return array


def read_labels(path: Path) -> list[LabelRow]:
    """Raises :class:`ValueError` for a missing column, an unknown label or a node given twice."""
    reader = csv.DictReader(io.StringIO(_text(path)))
    if not {"node", "label", "split"} <= set(reader.fieldnames or ()):
        raise ValueError(f"{path.name} needs the columns node, label and split")
    rows = []
    for row in reader:
        if row["label"] not in LABELS:
            raise ValueError(f"{path.name}: unknown label {row['label']!r}")
        seen = row.get("first_seen")
        rows.append(
            LabelRow(row["node"], LABELS[row["label"]], row["split"], int(seen) if seen else None)
        )
    if len({row.node for row in rows}) != len(rows):
        raise ValueError(f"{path.name} names a node twice")
    return rows
