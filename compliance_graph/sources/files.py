"""Transfers from CSV (plain or gzipped) and Parquet files, row by row, so that any size fits.

Columns are found by name: ``src``, ``dst``, ``value_eth`` (or ``amount``, ``value``), ``timestamp``
and, where there are any, ``n_transactions``, ``block``, ``asset``, ``tx_hash`` and ``log_index``.
Rows without a transaction's hash are known by the file's content and their number in it: the same
file read twice adds nothing, but the same transfer in two such files counts twice.
"""

import csv
import gzip
import hashlib
import importlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

from compliance_graph.lists import normal_form
from compliance_graph.sources import Arrival, transfer_key
from settlement.errors import InvalidInput

AMOUNT_COLUMNS = ("value_eth", "amount", "value")
CHUNK_ROWS = 50_000


class SourceError(InvalidInput):
    """A source cannot be read as what it claims to be; the message says where and why."""


@dataclass(frozen=True, slots=True)
class TransferFile:
    """``asset`` is what is meant where the file has no such column."""

    path: Path
    network: str
    asset: str

    @property
    def name(self) -> str:
        return f"file:{self.path.name}:{self.digest()[:16]}"

    def digest(self) -> str:
        """SHA-256 of the content."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def chunks(self, first_row: int = 0) -> Iterator[list[Arrival]]:
        """From that row on (counted from 0), some at a time.

        Raises :class:`SourceError` for missing columns, and for values that make no sense.
        """
        digest = self.digest()[:16]
        rows = enumerate(islice(self._rows(), first_row, None), first_row)
        while chunk := list(islice(rows, CHUNK_ROWS)):
            yield [self._arrival(digest, number, row) for number, row in chunk]

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        return _parquet(self.path) if self.path.suffix == ".parquet" else _csv(self.path)

    def _arrival(self, digest: str, number: int, row: Mapping[str, Any]) -> Arrival:
        try:
            src, dst = normal_form(str(row["src"])), normal_form(str(row["dst"]))
            amount = float(next(row[name] for name in AMOUNT_COLUMNS if name in row))
            time_s, count = int(float(row["timestamp"])), int(row.get("n_transactions") or 1)
            if not (src and dst and math.isfinite(amount) and amount >= 0 and count > 0):
                raise ValueError("an end is empty, or a number is below zero or none")
        except (KeyError, StopIteration) as error:
            raise SourceError(
                f"{self.path.name} needs the columns src, dst, value_eth and timestamp"
            ) from error
        except (TypeError, ValueError) as error:
            raise SourceError(f"{self.path.name}, row {number + 1}: {error}") from error
        asset = str(row.get("asset") or self.asset)
        tx = str(row.get("tx_hash") or "").lower() or f"{digest}:{number}"
        ordinal = int(row.get("log_index") or 0)
        key = transfer_key(self.network, tx, asset, src, dst, amount, ordinal)
        return Arrival(key, number, tx, asset, src, dst, amount, count, time_s)


def _csv(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as raw:
        yield from csv.DictReader(TextIOWrapper(raw, "utf-8-sig", newline=""))


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise SourceError(
            f"{path.name}: Parquet files need pyarrow; install tidegate[parquet]"
        ) from error
    for batch in parquet.ParquetFile(path).iter_batches(batch_size=CHUNK_ROWS):
        yield from batch.to_pylist()
