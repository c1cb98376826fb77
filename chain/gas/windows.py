"""Files of consecutive blocks: what a backtest walks and training learns from."""

import csv
import gzip
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chain.gas.features import Array
from chain.gas.recurrence import Block, next_base_fee_wei

_FEE_COLUMNS = (
    ("base_fee_wei", 1.0),
    ("base_fee_per_gas_wei", 1.0),
    ("base_fee_gwei_recon", 1e9),
    ("base_fee_gwei", 1e9),
    ("base_fee_gwei_rounded", 1e9),
)
_NUMBER_COLUMNS = ("number", "block_number")
_TIME_COLUMNS = ("timestamp", "timestamp_est", "timestamp_unix")
_START_WEI = 10**9


class MalformedFile(ValueError):
    """A file that is not blocks; the message names the file, the line and the fault."""


@dataclass(frozen=True, slots=True)
class BlockWindow:
    """Blocks in rising order; ``fees`` in wei, as floats since gwei columns are decimal."""

    name: str
    numbers: NDArray[np.int64]
    times: Array | None
    fees: Array
    gas_used: NDArray[np.int64] | None
    gas_limit: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.fees)


def read(path: Path) -> BlockWindow:
    """A ``.csv`` or ``.csv.gz`` of blocks. Raises :class:`MalformedFile`."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise MalformedFile(f"{path}: cannot be read: {error}") from error
    reader = csv.DictReader(io.StringIO(text))
    header = reader.fieldnames or []
    rows = list(reader)
    if not rows:
        raise MalformedFile(f"{path}: holds no blocks")
    number = _column(path, header, _NUMBER_COLUMNS, "a block number")
    numbers = np.array(_integers(path, rows, number), np.int64)
    for line, step in enumerate(np.diff(numbers), start=3):
        if step <= 0:
            raise MalformedFile(f"{path}: line {line}: block numbers do not rise")
    gas = all(row.get("gas_used") and row.get("gas_limit") for row in rows)
    used = np.array(_integers(path, rows, "gas_used"), np.int64) if gas else None
    limit = np.array(_integers(path, rows, "gas_limit"), np.int64) if gas else None
    fees = _fees(path, header, rows, used, limit)
    return BlockWindow(path.name, numbers, _times(path, header, rows), fees, used, limit)


def _times(path: Path, header: Sequence[str], rows: Sequence[dict[str, str]]) -> Array | None:
    """Seconds since 1970, written as a number or by ISO 8601 (UTC where it names no zone);
    ``None`` without such a column, or where a cell of it is empty."""
    name = next((name for name in _TIME_COLUMNS if name in header), None)
    if name is None or not all(row[name] for row in rows):
        return None
    values: list[float] = []
    for line, row in enumerate(rows, start=2):
        try:
            values.append(_seconds(row[name]))
        except ValueError as error:
            raise MalformedFile(f"{path}: line {line}: {name} is not a time") from error
    return np.array(values, np.float64)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise ValueError("not a moment")
    return seconds


def _fees(
    path: Path,
    header: Sequence[str],
    rows: Sequence[dict[str, str]],
    used: NDArray[np.int64] | None,
    limit: NDArray[np.int64] | None,
) -> Array:
    for name, scale in _FEE_COLUMNS:
        if name in header:
            fees = np.array(_decimals(path, rows, name), np.float64) * scale
            for line in np.flatnonzero(~(np.isfinite(fees) & (fees > 0))):
                raise MalformedFile(f"{path}: line {line + 2}: {name} is not a positive number")
            return fees
    if used is None or limit is None:
        raise MalformedFile(
            f"{path}: has no column of base fees, nor gas used and limit in every row"
        )
    return _path_of_fees(path, used, limit)


def _path_of_fees(path: Path, used: NDArray[np.int64], limit: NDArray[np.int64]) -> Array:
    """Gas used alone tells the fees up to one factor, through the recurrence."""
    fees = [_START_WEI]
    for line, (gas_used, gas_limit) in enumerate(zip(used, limit, strict=True), start=2):
        try:
            fees.append(next_base_fee_wei(Block(fees[-1], int(gas_used), int(gas_limit))))
        except ValueError as error:
            raise MalformedFile(f"{path}: line {line}: {error}") from error
    return np.array(fees[:-1], np.float64)


def _column(path: Path, header: Sequence[str], names: Sequence[str], what: str) -> str:
    for name in names:
        if name in header:
            return name
    raise MalformedFile(f"{path}: has no column of {what} ({' or '.join(names)})")


def _integers(path: Path, rows: Sequence[dict[str, str]], name: str) -> list[int]:
    values: list[int] = []
    for line, row in enumerate(rows, start=2):
        try:
            value = int(row[name].removesuffix(".0"))  # a column that once had gaps
        except (AttributeError, ValueError) as error:
            raise MalformedFile(f"{path}: line {line}: {name} is not an integer") from error
        if not 0 <= value < 1 << 62:
            raise MalformedFile(f"{path}: line {line}: {name} is out of range")
        values.append(value)
    return values


def _decimals(path: Path, rows: Sequence[dict[str, str]], name: str) -> list[float]:
    values: list[float] = []
    for line, row in enumerate(rows, start=2):
        try:
            values.append(float(row[name]))
        except (TypeError, ValueError) as error:
            raise MalformedFile(f"{path}: line {line}: {name} is not a number") from error
    return values
