"""All lists as of now, from files and from the store, ready to be asked.

Read again as soon as any of them changes, so that an address that is listed between the
authorisation and the capture is caught by the second look.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from compliance_graph.lists.addresses import normal_form
from compliance_graph.lists.files import AddressLists, read_lists
from compliance_graph.lists.lookalike import Ends
from settlement.errors import ScreeningUnavailable
from settlement.ids import TenantId
from settlement.ports.lists import (
    EVERYBODY,
    Action,
    Entry,
    Listing,
    ListSource,
    StoredLists,
)
from settlement.ports.notification import Log, NullLog

_NOBODY = StoredLists(0)
VETOES_LOST_MIN, VETOES_LOST_PERCENT = 10, 20
"""Files may always lose this many vetoes between two readings, and beyond that this part."""


class ListBook:
    """One reading of all lists. Frozen: what was judged by it can be named by its versions."""

    def __init__(self, files: AddressLists, stored: StoredLists) -> None:
        self._files, self._stored = files, stored
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        for entry in (*files.entries, *stored.entries):
            self._entries[entry.address].append(entry)
        self._ends: Ends | None = None

    def of(
        self, network: str, address: str, at: datetime, tenant_id: TenantId = EVERYBODY
    ) -> tuple[Listing, ...]:
        """Everything that is said of the address at that moment, for that tenant.

        ``network`` decides nothing: whoever holds the key of a listed address holds it everywhere.
        """
        del network
        entries = self._entries.get(normal_form(address), ())
        seen = {
            entry.listing: None
            for entry in entries
            if entry.counts(at) and entry.tenant_id in (EVERYBODY, tenant_id)
        }
        return tuple(seen)

    def versions(self, tenant_id: TenantId = EVERYBODY) -> dict[str, str]:
        """List → version, of every list that the tenant's screenings ask."""
        stored = {
            state.name: state.label
            for state in self._stored.states
            if state.tenant_id in (EVERYBODY, tenant_id)
        }
        return {**self._files.versions, **stored}

    def resembled(self, address: str) -> tuple[str, ...]:
        """Listed addresses that this one could be mistaken for."""
        if self._ends is None:
            self._ends = Ends(self._entries)
        return self._ends.resembled(normal_form(address))

    def labelled(self) -> Iterable[tuple[str, Listing]]:
        """Every address with a category that counts for everybody, for the rules' exposures."""
        for address, entries in self._entries.items():
            for entry in entries:
                if entry.tenant_id == EVERYBODY and entry.listing.category:
                    yield address, entry.listing

    def blocked(self, at: datetime) -> Iterable[str]:
        """Every address that a veto counts for, for everybody, at that moment."""
        for address, entries in self._entries.items():
            counting = (e for e in entries if e.counts(at) and e.tenant_id == EVERYBODY)
            if any(entry.listing.action is Action.BLOCK for entry in counting):
                yield address

    @property
    def has_vetoes(self) -> bool:
        """Whether anybody at all is blocked for everybody, at some time."""
        return any(
            entry.listing.action is Action.BLOCK and entry.tenant_id == EVERYBODY
            for entry in (*self._files.entries, *self._stored.entries)
        )

    @property
    def revision(self) -> tuple[object, ...]:
        """Differs whenever anything in the book does."""
        return (self._stored.revision, *sorted(self._files.versions.items()))


class Lists:
    """Keeps the newest :class:`ListBook`. Files that lose far more vetoes than lists do in a day
    are taken for torn: what was read before counts until a restart."""

    def __init__(
        self, paths: Sequence[Path], source: ListSource | None = None, log: Log | None = None
    ) -> None:
        self._paths, self._source = tuple(paths), source
        self._log = log or NullLog()
        self._stamp: tuple[object, ...] | None = None
        self._files: AddressLists = AddressLists((), {})
        self._stored = _NOBODY
        self._book: ListBook | None = None

    async def book(self) -> ListBook:
        """Raises :class:`~settlement.errors.ScreeningUnavailable`: then nobody is cleared."""
        stamp = self._file_stamp()
        revision = 0 if self._source is None else await self._source.list_revision()
        if self._book is None or stamp != self._stamp or revision != self._stored.revision:
            if stamp != self._stamp:
                self._files = self._believable(read_lists(self._paths))
            stored = _NOBODY if self._source is None else await self._source.stored_lists()
            book = ListBook(self._files, stored)
            if not book.has_vetoes:
                raise ScreeningUnavailable("no address list blocks anybody; nobody can be cleared")
            self._book, self._stamp, self._stored = book, stamp, stored
        return self._book

    def _believable(self, read: AddressLists) -> AddressLists:
        """What was read, or what was read before if that lost too many vetoes."""
        before, after = _vetoes(self._files), _vetoes(read)
        lost = len(before - after)
        if lost <= max(VETOES_LOST_MIN, len(before) * VETOES_LOST_PERCENT // 100):
            return read
        self._log.error("lists_lost_vetoes", lost=lost, before=len(before), kept="until a restart")
        return self._files

    def _file_stamp(self) -> tuple[object, ...]:
        try:
            stats = [path.stat() for path in self._paths]
        except OSError as error:
            raise ScreeningUnavailable(f"a list is missing: {error}") from error
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)


def _vetoes(lists: AddressLists) -> set[tuple[str, str]]:
    """Each with its list."""
    return {
        (entry.listing.source, entry.address)
        for entry in lists.entries
        if entry.listing.action is Action.BLOCK
    }


def is_vetoed(listings: Iterable[Listing]) -> bool:
    return any(listing.action is Action.BLOCK for listing in listings)
