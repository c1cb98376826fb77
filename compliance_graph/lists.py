"""Address lists with a veto: read from files, versioned by content, never by name.

A list is a CSV file with a header and the columns ``asset`` (or ``network``), ``address`` and,
optionally, ``action`` (``block``, the default, or ``review``). This is the form in which the
addresses of OFAC's Specially Designated Nationals list circulate
(https://sanctionslist.ofac.treas.gov). An address counts on every network of its form: the same
key controls it everywhere.
"""

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from settlement.errors import ScreeningUnavailable


class Action(StrEnum):
    BLOCK = "block"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Listing:
    """One address on one list."""

    source: str
    action: Action


@dataclass(frozen=True, slots=True)
class AddressLists:
    """All lists as of one moment; ``versions`` maps each list to the digest of its content."""

    listings: dict[str, tuple[Listing, ...]]
    versions: dict[str, str]

    def of(self, address: str) -> tuple[Listing, ...]:
        return self.listings.get(normal_form(address), ())


def normal_form(address: str) -> str:
    """Hex addresses compare without case (EIP-55 is only a checksum); others exactly."""
    text = address.strip()
    return text.lower() if text[:2] in ("0x", "0X") else text


def read_lists(paths: Iterable[Path]) -> AddressLists:
    """Read every file. Raises :class:`ScreeningUnavailable` if any cannot be read whole.

    A list that is missing, or a file that somebody emptied, is not an empty list (which still
    has its header): then nobody is cleared.
    """
    listings: dict[str, tuple[Listing, ...]] = {}
    versions = {}
    for path in paths:
        try:
            content = path.read_bytes()
            reader = csv.DictReader(content.decode("utf-8-sig").splitlines())
            if "address" not in (reader.fieldnames or ()):
                raise ValueError("no header with a column named address")
            for row in reader:
                if not row["address"]:
                    raise ValueError("a row without an address")
                address = normal_form(row["address"])
                entry = Listing(path.stem, Action(row.get("action") or Action.BLOCK))
                listings[address] = (*listings.get(address, ()), entry)
        except (OSError, ValueError, KeyError) as error:
            raise ScreeningUnavailable(f"list {path.name} cannot be read: {error!r}") from error
        versions[path.stem] = hashlib.sha256(content).hexdigest()[:16]
    return AddressLists(listings, versions)
