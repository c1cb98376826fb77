"""Everything that the in-memory store knows, and a transaction over it.

Rows are frozen and only ever replaced, so a shallow copy of the tables is a snapshot. One event
loop, and no ``await`` inside a transaction: nobody else sees it half done.
"""

import contextlib
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta

from settlement.batch import Batch, Lane, RequestedCall
from settlement.case import Case, CaseId
from settlement.escrow import Escrow, EscrowId
from settlement.events import Event, StoredEvent
from settlement.ids import OrderId, TenantId
from settlement.ledger.accounts import Account
from settlement.ledger.entry import Entry
from settlement.money import Asset
from settlement.order import Order
from settlement.ports.clock import Clock, SystemClock
from settlement.ports.payment import ProviderEvent
from settlement.ports.screening import Subject, Verdict
from settlement.ports.store import Balance, NetworkState
from settlement.quote import Quote


@dataclass(frozen=True)
class KeyRow:
    fingerprint: str
    resource_id: str
    response: Order | None = None


@dataclass(frozen=True)
class CallRow:
    requested: RequestedCall
    created_at: datetime
    batch_id: int | None = None
    refused_at: datetime | None = None
    refused_reason: str | None = None

    @property
    def waits(self) -> bool:
        return self.batch_id is None and self.refused_at is None


@dataclass(frozen=True)
class LaneRow:
    lane: Lane
    instance: int
    leased_until: datetime | None = None
    holder: str | None = None
    paused_by: str | None = None


@dataclass(frozen=True)
class EscrowRow:
    escrow: Escrow
    told: int = 0
    note_due_at: datetime | None = None


@dataclass(frozen=True)
class InboxRow:
    event: ProviderEvent
    due_at: datetime
    state: str = "pending"
    attempts: int = 0
    error: str | None = None


@dataclass
class Tables:
    """One field per table, keyed as the primary key is."""

    quotes: dict[str, Quote] = field(default_factory=dict)
    orders: dict[OrderId, Order] = field(default_factory=dict)
    events: list[StoredEvent] = field(default_factory=list)
    keys: dict[tuple[TenantId, str], KeyRow] = field(default_factory=dict)
    used: dict[tuple[TenantId, str, str, date], int] = field(default_factory=dict)
    screenings: dict[str, tuple[Subject, Verdict]] = field(default_factory=dict)
    cases: dict[CaseId, Case] = field(default_factory=dict)
    entries: dict[tuple[TenantId, str, str, int], Entry] = field(default_factory=dict)
    balances: dict[tuple[TenantId, Account, Asset], Balance] = field(default_factory=dict)
    networks: dict[str, NetworkState] = field(default_factory=dict)
    lanes: dict[int, LaneRow] = field(default_factory=dict)
    lane_workers: dict[tuple[str, str], datetime] = field(default_factory=dict)
    calls: dict[str, CallRow] = field(default_factory=dict)
    batches: dict[int, Batch] = field(default_factory=dict)
    batch_instances: dict[int, int] = field(default_factory=dict)
    inbox: dict[str, InboxRow] = field(default_factory=dict)
    escrows: dict[EscrowId, EscrowRow] = field(default_factory=dict)


class Part:
    """One topic of the store; all parts share the tables and the clock."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.tables = Tables()
        self._clock = clock or SystemClock()
        self.batch_ids = 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Tables]:
        """All of it, or none of it."""
        before = {item.name: copy(getattr(self.tables, item.name)) for item in fields(Tables)}
        try:
            yield self.tables
        except BaseException:
            self.tables = Tables(**before)
            raise

    def tell(self, order_id: OrderId, events: tuple[Event, ...], now: datetime) -> None:
        """Append to the order's history."""
        for event in events:
            number = len(self.tables.events) + 1
            stored = StoredEvent(number, order_id, event.type, dict(event.data), now)
            self.tables.events.append(stored)


def after_ms(now: datetime, lease_ms: int) -> datetime:
    return now + timedelta(milliseconds=lease_ms)
