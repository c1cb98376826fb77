"""Address lists as the rest of the machine sees them: who is named, by which list, from when on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from settlement.ids import TenantId

EVERYBODY: TenantId = ""
"""Whose lists count for every tenant."""

OWN_BLOCK = "own_block"
OWN_ALLOW = "own_allow"
OWN_LISTS = (OWN_BLOCK, OWN_ALLOW)
"""Lists that a tenant's officers write themselves, one pair per tenant."""


class Action(StrEnum):
    """What a list wants for an address that it names.

    ``block`` vetoes; ``review`` asks an officer; ``allow`` spares the address rules, model and
    other lists' reviews up to a limit, never a veto or an exposure to sanctioned addresses;
    ``label`` only says who it is.
    """

    BLOCK = "block"
    REVIEW = "review"
    ALLOW = "allow"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Listing:
    """One address on one list. ``category`` is a kind of account (``sanctions``, ``mixer``),
    ``name`` whom it belongs to, ``reference`` the list's own id of that party."""

    source: str
    action: Action
    category: str = ""
    name: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A listing of ``address`` (in normal form). It counts from ``since`` until before ``until``
    (``None``: open on that side)."""

    address: str
    asset: str
    listing: Listing
    since: datetime | None = None
    until: datetime | None = None
    tenant_id: TenantId = EVERYBODY

    def counts(self, at: datetime) -> bool:
        begun = self.since is None or self.since <= at
        return begun and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class ListState:
    """A list as of its newest version. ``digest`` seals the content of that version."""

    name: str
    tenant_id: TenantId
    version: int
    digest: str
    published_on: date | None = None
    refreshed_at: datetime | None = None
    entries: int = 0

    @property
    def label(self) -> str:
        """How a verdict names the version."""
        return f"{self.version}:{self.digest[:16]}"


@dataclass(frozen=True, slots=True)
class Publication:
    """What one file of a list's publisher says, read whole.

    ``unreadable`` are texts that the publisher gives as addresses and that are none.
    """

    format: str
    digest: str
    entries: tuple[Entry, ...]
    published_on: date | None = None
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What taking a publication over did. ``version`` is unchanged when nothing differed."""

    version: int
    added: int
    removed: int
    entries: int


@dataclass(frozen=True, slots=True)
class StoredLists:
    """All that is stored now: entries that count, or will."""

    revision: int
    states: tuple[ListState, ...] = ()
    entries: tuple[Entry, ...] = field(default=())


class ListSource(Protocol):
    """Lists that are kept in versions. Raises
    :class:`~settlement.errors.ScreeningUnavailable`: then nobody is cleared."""

    async def list_revision(self) -> int:
        """Grows with every change of any list."""
        ...

    async def stored_lists(self) -> StoredLists: ...


class WalletHistory(Protocol):
    async def used_wallets(self, tenant_id: TenantId, customer: str) -> Sequence[str]:
        """Addresses that the customer's orders have paid, newest first, some hundred at most."""
        ...
