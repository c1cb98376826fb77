"""Who is known to be what: label files and veto lists, as one number per account.

A label file is a CSV with a column ``address`` and any of ``labels`` (joined by bars), ``category``
and ``source`` (its last part counts). The policy says which words make which category. Words that
it does not name mean nothing: ``take-action``, for example, marks the victims of a hack.
"""

import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compliance_graph.addressbook import AddressBook
from compliance_graph.lists.addresses import normal_form
from compliance_graph.policy import SANCTIONED, Policy
from settlement.errors import ScreeningUnavailable
from settlement.ports.lists import Listing

Kinds = npt.NDArray[np.int8]
NOBODY, SERVICE = 0, -1
"""Besides these a kind is a category's number."""


@dataclass(frozen=True, slots=True)
class Labels:
    """``kinds`` maps an address (normal form) to its kind; ``versions`` a file to its digest."""

    kinds: Mapping[str, int]
    versions: Mapping[str, str]

    def with_sanctioned(self, addresses: Iterable[str], policy: Policy) -> "Labels":
        """What the veto lists block counts before any label."""
        number = next((c.number for c in policy.categories if c.name == SANCTIONED), None)
        if number is None:
            return self
        blocked = dict.fromkeys(map(normal_form, addresses), number)
        return Labels({**self.kinds, **blocked}, self.versions)

    def with_services(self, addresses: Iterable[str]) -> "Labels":
        """What is our own: everybody's money, by design."""
        own = dict.fromkeys(map(normal_form, addresses), SERVICE)
        return Labels({**self.kinds, **own}, self.versions)

    def with_listed(self, listed: Iterable[tuple[str, Listing]], policy: Policy) -> "Labels":
        """What address lists say of an account's category."""
        kinds = dict(self.kinds)
        for address, listing in listed:
            kind = _kind({"labels": listing.category}, policy)
            if kind != NOBODY:
                kinds.setdefault(address, kind)
        return Labels(kinds, self.versions)

    def of_accounts(self, book: AddressBook, size: int) -> Kinds:
        """The kind of every account up to ``size``. Shape (size,)."""
        kinds = np.zeros(size, dtype=np.int8)
        for address, kind in self.kinds.items():
            number = book.number(address)
            if number is not None and number < size:
                kinds[number] = kind
        return kinds


def read_entities(paths: Iterable[Path], policy: Policy) -> Labels:
    """Raises :class:`~settlement.errors.ScreeningUnavailable` for a file that cannot be read."""
    kinds: dict[str, int] = {}
    versions = {}
    order = _order(policy)
    for path in paths:
        try:
            content = path.read_bytes()
            reader = csv.DictReader(StringIO(content.decode("utf-8-sig")))
            if "address" not in (reader.fieldnames or ()):
                raise ValueError("no column named address")
            for row in reader:
                kind = _kind(row, policy)
                address = normal_form(row["address"])
                if kind != NOBODY and order[kind] < order[kinds.get(address, NOBODY)]:
                    kinds[address] = kind
        except (OSError, ValueError) as error:
            raise ScreeningUnavailable(f"labels {path.name} cannot be read: {error!r}") from error
        versions[path.stem] = hashlib.sha256(content).hexdigest()[:16]
    return Labels(kinds, versions)


def _kind(row: Mapping[str, str | None], policy: Policy) -> int:
    words = set((row.get("labels") or "").split("|")) | {row.get("category") or ""}
    words.add((row.get("source") or "").rpartition("/")[2])
    if "burn" in words:
        return SERVICE  # issuers freeze these, too
    for category in policy.categories:
        if words & category.words:
            return category.number
    return SERVICE if words & policy.services else NOBODY


def _order(policy: Policy) -> dict[int, int]:
    """Categories before services before nobody."""
    last = len(policy.categories) + 1
    return {**{c.number: c.number for c in policy.categories}, SERVICE: last, NOBODY: last + 1}
