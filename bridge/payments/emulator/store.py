"""State in memory, journalled so that an answered effect survives a killed process.

Every request is one transaction: its changed rows become one line of the journal, written with a
single ``write`` before the answer leaves. A torn last line belongs to a request that nobody was
answered, so it is dropped when the journal is read. Start-up rewrites the journal as a snapshot,
put in place by an atomic rename.

Rows are replaced and never changed in place. That is what makes a rollback cheap, and what lets an
event keep the object as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Store:
    """Tables of JSON rows by id, in order of creation."""

    def __init__(self, path: Path | None = None) -> None:
        self._tables: dict[str, dict[str, Json]] = {}
        self._undo: dict[tuple[str, str], Json | None] = {}
        self._path = path
        self._file_descriptor: int | None = None
        if path is not None:
            self._load(path)
            self._open_compacted(path)

    def get(self, table: str, row_id: str) -> Json | None:
        """Return the row, which the caller must not change, or None."""
        return self._tables.get(table, {}).get(row_id)

    def put(self, table: str, row_id: str, row: Json) -> Json:
        """Insert or replace a row within the running transaction."""
        rows = self._tables.setdefault(table, {})
        self._undo.setdefault((table, row_id), rows.get(row_id))
        rows[row_id] = row
        return row

    def delete(self, table: str, row_id: str) -> None:
        """Remove a row within the running transaction."""
        rows = self._tables.setdefault(table, {})
        self._undo.setdefault((table, row_id), rows.get(row_id))
        rows.pop(row_id, None)

    def newest_first(self, table: str) -> Iterator[Json]:
        """Yield the rows of a table, latest creation first, as Stripe's lists do."""
        return reversed(self._tables.get(table, {}).values())

    def oldest_first(self, table: str) -> Iterator[Json]:
        """Yield the rows of a table in order of creation."""
        return iter(self._tables.get(table, {}).values())

    def commit(self) -> bool:
        """Write the transaction to the journal; return whether anything had changed."""
        if not self._undo:
            return False
        if self._file_descriptor is not None:
            changes = [[table, row_id, self.get(table, row_id)] for table, row_id in self._undo]
            _write_all(self._file_descriptor, _line(changes))
        self._undo.clear()
        return True

    def rollback(self) -> None:
        """Forget every change since the last commit."""
        for (table, row_id), before in self._undo.items():
            if before is None:
                self._tables[table].pop(row_id, None)
            else:
                self._tables[table][row_id] = before
        self._undo.clear()

    def clear(self) -> None:
        """Remove every row of every table within the running transaction."""
        for table in list(self._tables):
            for row_id in list(self._tables[table]):
                self.delete(table, row_id)

    def dump(self) -> dict[str, list[Json]]:
        """Return all rows by table, in order of creation."""
        return {table: list(rows.values()) for table, rows in self._tables.items()}

    def close(self) -> None:
        """Close the journal."""
        if self._file_descriptor is not None:
            os.close(self._file_descriptor)
            self._file_descriptor = None

    def _load(self, path: Path) -> None:
        if not path.exists():
            return
        for line in path.read_bytes().split(b"\n")[:-1]:
            for table, row_id, row in json.loads(line):
                if row is None:
                    self._tables.get(table, {}).pop(row_id, None)
                else:
                    self._tables.setdefault(table, {})[row_id] = row

    def _open_compacted(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # Secrets of webhook endpoints lie in it, so nobody else may read it.
        descriptor = os.open(beside, flags | os.O_TRUNC, 0o600)
        for table, rows in self._tables.items():
            _write_all(descriptor, _line([[table, row_id, row] for row_id, row in rows.items()]))
        os.fsync(descriptor)
        os.replace(beside, path)
        self._file_descriptor = descriptor


def _line(changes: list[list[Any]]) -> bytes:
    return json.dumps(changes, separators=(",", ":")).encode() + b"\n"


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
