"""Addresses to the numbers of their accounts and back, for millions, mapped from disk.

A dictionary of three million addresses takes half a gigabyte and seconds to fill. Here the bulk is
flat arrays: all addresses one after the other, and their 64-bit digests in order, to be halved
into. What came since lies in a small dictionary above them.
"""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compliance_graph.graph import Ints

Digests = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
_FILES = ("letters", "ends", "digests", "numbers")


class AddressBook:
    """Numbers are dense: the i-th address that was added has number i."""

    def __init__(self, letters: Bytes, ends: Ints, digests: Digests, numbers: Ints) -> None:
        self._letters, self._ends = letters, ends
        self._digests, self._numbers = digests, numbers
        self._late: dict[str, int] = {}
        self._late_names: list[str] = []

    @staticmethod
    def of(names: Sequence[str]) -> "AddressBook":
        """Raises :class:`ValueError` when an address occurs twice."""
        encoded = [name.encode() for name in names]
        letters = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        ends = np.cumsum(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)))
        digests = np.fromiter(map(_digest, encoded), dtype=np.uint64, count=len(encoded))
        order = np.argsort(digests, kind="stable").astype(np.int64)
        if len(set(encoded)) != len(encoded):
            raise ValueError("an address occurs twice")
        return AddressBook(letters, ends.astype(np.int64), digests[order], order)

    def __len__(self) -> int:
        return len(self._ends) + len(self._late_names)

    @property
    def n_late(self) -> int:
        return len(self._late_names)

    def number(self, name: str) -> int | None:
        late = self._late.get(name)
        if late is not None:
            return late
        encoded = name.encode()
        digest = np.uint64(_digest(encoded))
        at = int(np.searchsorted(self._digests, digest))
        while at < len(self._digests) and self._digests[at] == digest:
            number = int(self._numbers[at])
            if self._encoded(number) == encoded:
                return number
            at += 1
        return None

    def name(self, number: int) -> str:
        """Raises :class:`IndexError` for a number that nobody has."""
        if number < len(self._ends):
            return self._encoded(number).decode()
        return self._late_names[number - len(self._ends)]

    def extend(self, names: Sequence[str]) -> None:
        for name in names:
            self._late[name] = len(self)
            self._late_names.append(name)

    def merged(self) -> "AddressBook":
        """A book with everything in the arrays: for the next save, off the hot path."""
        if not self._late_names:
            return self
        return AddressBook.of([self.name(i) for i in range(len(self))])

    def save(self, folder: Path) -> None:
        """What is in the arrays; call it on what :meth:`merged` gave."""
        columns: list[npt.NDArray[Any]] = [self._letters, self._ends, self._digests, self._numbers]
        for name, column in zip(_FILES, columns, strict=True):
            np.save(folder / f"{name}.npy", column)

    @staticmethod
    def load(folder: Path) -> "AddressBook":
        columns = [_mapped(folder / f"{name}.npy") for name in _FILES]
        return AddressBook(*columns)

    def _encoded(self, number: int) -> bytes:
        begin = int(self._ends[number - 1]) if number else 0
        return self._letters[begin : int(self._ends[number])].tobytes()


def _digest(encoded: bytes) -> int:
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "big")


def _mapped(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r")
    except ValueError:
        array = np.load(path)  # an empty file cannot be mapped
    return array.view(np.ndarray)  # the same memory without the mapping's slow element access
