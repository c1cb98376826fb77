"""Lists in files: CSV, versioned by content, never by name.

A list is a CSV file with a header and the columns ``asset`` (or ``network``), ``address`` and,
optionally, ``action`` (``block``, the default, ``review`` or ``label``), ``category`` and
``name``. This is the form in which the addresses of OFAC's Specially Designated Nationals list
circulate. Files of entity labels (``address,name,labels``) and of malicious accounts
(``address,tag,category,source``) are read as well. An address counts on every network of its
form: the same key controls it everywhere.
"""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compliance_graph.lists.addresses import checked_form, normal_form
from settlement.errors import InvalidAddress, ScreeningUnavailable
from settlement.ports.lists import Action, Entry, Listing, Publication


@dataclass(frozen=True, slots=True)
class AddressLists:
    """All files as of one moment; ``versions`` maps each list to the digest of its content."""

    entries: tuple[Entry, ...]
    versions: dict[str, str]


def read_lists(paths: Iterable[Path]) -> AddressLists:
    """Read every file. Raises :class:`ScreeningUnavailable` if any cannot be read whole.

    A list that is missing, or a file that somebody emptied, is not an empty list (which still
    has its header): then nobody is cleared.
    """
    entries: list[Entry] = []
    versions = {}
    for path in paths:
        try:
            content = path.read_bytes()
            if not content.endswith(b"\n"):
                raise ValueError("the last line has no end: the file may be torn")
            entries += [
                Entry(normal_form(row["address"]), _asset(row), _listing(path.stem, row))
                for row in _rows(content)
            ]
            if any(entry.listing.action is Action.ALLOW for entry in entries):
                raise ValueError("it allows; only officers do")
        except (OSError, ValueError, KeyError) as error:
            raise ScreeningUnavailable(f"list {path.name} cannot be read: {error!r}") from error
        versions[path.stem] = hashlib.sha256(content).hexdigest()[:16]
    return AddressLists(tuple(entries), versions)


def read_publication(name: str, content: bytes) -> Publication:
    """The same form as a publication to be stored, its addresses checked.

    Raises :class:`ValueError` for a file that is not whole or not such a list.
    """
    if not content.endswith(b"\n"):
        raise ValueError("the last line has no end: the file may be torn")
    entries, unreadable = [], []
    for row in _rows(content):
        asset = _asset(row)
        try:
            address = checked_form(asset, row["address"])
        except InvalidAddress:
            unreadable.append(row["address"])
            address = normal_form(row["address"])  # named all the same, whatever it is
        entries.append(Entry(address, asset, _listing(name, row)))
    digest = hashlib.sha256(content).hexdigest()
    return Publication("csv", digest, tuple(entries), unreadable=tuple(unreadable))


def _rows(content: bytes) -> Sequence[Mapping[str, str]]:
    reader = csv.DictReader(content.decode("utf-8-sig").splitlines())
    columns = reader.fieldnames or ()
    if "address" not in columns:
        raise ValueError("no header with a column named address")
    rows = list(reader)
    if not all(row["address"] for row in rows):
        raise ValueError("a row without an address")
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a row with more or fewer fields than the header")
    return rows


def _asset(row: Mapping[str, str]) -> str:
    return (row.get("asset") or row.get("network") or "").strip().upper()


def _listing(source: str, row: Mapping[str, str]) -> Listing:
    labels = "labels" in row or "tag" in row
    default = Action.LABEL if labels else Action.BLOCK
    return Listing(
        source,
        Action((row.get("action") or default).strip()),
        (row.get("category") or row.get("labels") or ("" if labels else "sanctions")).strip(),
        (row.get("name") or row.get("tag") or "").strip(),
    )
