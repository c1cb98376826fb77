"""Rows, seen from the core: claim many, decide, apply many.

Two implementations ship in ``bridge.storage``: set-based SQL on PostgreSQL, and an in-memory
one for property tests; ``tests/conformance`` runs over both. Every ``apply`` is one transaction:
the guarded update, its ledger entries and its events, or none of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from settlement.batch import Batch, BatchStatus, Lane, RequestedCall
from settlement.events import StoredEvent
from settlement.ids import OrderId, TenantId
from settlement.ledger.accounts import Account
from settlement.ledger.entry import Booking
from settlement.money import Asset
from settlement.order import Order, Status
from settlement.ports.chain import ChainIdentity, Head, Payout, SignedTransaction
from settlement.ports.escrow_store import EscrowStore
from settlement.ports.payment import ProviderEvent
from settlement.ports.screening import Subject, Verdict
from settlement.transitions import Advance, Change, Completion


class OrderStore(Protocol):
    async def claim(
        self, status: Status, now: datetime, *, limit: int, lease_ms: int
    ) -> list[Order]:
        """Take up to ``limit`` due orders (oldest due first): ``epoch + 1``, due after the lease.

        Rows that another claim holds are passed over, not waited for.
        """
        ...

    async def claim_for_batch(
        self, network: str, now: datetime, *, limit: int, lease_ms: int
    ) -> list[Order]:
        """Like :meth:`claim`, for orders that a batch may pay.

        These are captured orders of ``network``, and submitted or confirming ones whose batch
        ended without paying them (``batch_id`` is null). Orders held for ``review``,
        ``sanctions``, ``refunded`` or ``disputed`` are passed over.
        """
        ...

    async def apply_many(self, changes: Sequence[Change]) -> list[Change]:
        """Apply in one transaction those changes whose guard matches; return the others.

        Raises :class:`~settlement.errors.InsufficientInventory` (nothing applied) when a guarded
        account would run dry.
        """
        ...

    async def get(self, order_id: OrderId) -> Order | None: ...

    async def find(
        self, *, order_id: OrderId | None = None, intent_id: str | None = None
    ) -> Order | None:
        """By payment intent, which the provider vouches for, else by order id."""
        ...

    async def nudge(self, order_ids: Collection[OrderId], now: datetime) -> None:
        """Make orders due now, unless they are final; never touches a status or an epoch."""
        ...

    async def in_batch(self, batch_id: int) -> list[Order]:
        """The batch's orders by ``batch_index``."""
        ...

    async def payouts(self, batch_id: int) -> list[Payout]:
        """What the batch's orders ask for, by ``batch_index``."""
        ...

    async def unfinished(self, network: str, statuses: Collection[Status]) -> list[Order]:
        """Every order of ``network`` in one of ``statuses`` (for repairs, not for the hot path)."""
        ...

    async def save_screening(self, subject: Subject, verdict: Verdict, now: datetime) -> str:
        """Record a verdict with all that it was made from; returns its id."""
        ...

    async def events(self, order_id: OrderId, after_id: int = 0) -> list[StoredEvent]:
        """The order's history after ``after_id``, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class BatchChange:
    """What one decision does to a batch and, in the same transaction, to its orders.

    ``patch`` holds new values of :class:`~settlement.batch.Batch` fields. ``orders`` change one by
    one, or all of them take one ``step`` together. ``platform_bookings`` go to the platform's books
    (gas), keyed by batch.
    """

    batch: Batch
    to: BatchStatus
    patch: Mapping[str, Any] = field(default_factory=dict)
    orders: tuple[Change, ...] = ()
    platform_bookings: tuple[Booking, ...] = ()
    step: Advance | Completion | None = None


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane as operators see it. ``leased_until``: in the past, or ``None``, when it is free."""

    lane: Lane
    holder: str | None
    leased_until: datetime | None
    paused_by: str | None


class LaneStore(Protocol):
    async def claim_lanes(
        self,
        network: str,
        now: datetime,
        *,
        lease_ms: int,
        worker: str,
        among: Collection[str] | None = None,
    ) -> list[Lane]:
        """Take ``worker``'s share of the network's free lanes, each with ``epoch + 1``.

        All workers seen within ``lease_ms`` have an equal part, rounded up; what one of them
        holds already counts. ``among``: the addresses that it can sign for (``None``: all).
        """
        ...

    async def renew_lane(self, lane: Lane, now: datetime, *, lease_ms: int) -> bool:
        """Prolong the lease; ``False``: the epoch is stale, somebody else works the lane."""
        ...

    async def release_lane(self, lane: Lane) -> None:
        """Give the lane back before its lease ends; no effect under a stale epoch."""
        ...

    async def leave_lanes(self, worker: str) -> None:
        """The worker ends: the others' shares grow at once."""
        ...

    async def lanes(self, network: str) -> list[LaneState]:
        """All lanes of the network, oldest first."""
        ...

    async def taken_nonces(self, lane: Lane, since: int) -> list[int]:
        """Nonces from ``since`` on that a batch of this chain holds or has used up, ascending.

        A batch that was cancelled without a block has used up nothing.
        """
        ...

    async def count_from(self, lane: Lane, nonce: int) -> None:
        """Give out ``nonce`` next; ``lane.next_nonce`` is what was read.

        Raises :class:`~settlement.errors.StaleLease` when epoch or count have moved, and
        :class:`~settlement.errors.InvariantBroken` when a batch has taken that nonce or a later
        one.
        """
        ...

    async def fill_gap(self, lane: Lane, batch: Batch) -> None:
        """Store a batch that pays nobody at a nonce below ``next_nonce`` that no batch has taken.

        It is to be cancelled from the start. Raises :class:`~settlement.errors.StaleLease`.
        """
        ...

    async def mark_low(self, lane: Lane, low: bool, now: datetime) -> bool:
        """Whether the lane's account can pay for another transaction; ``True``: that is news.

        When it can again, orders held for ``liquidity`` are due at once. No effect under a stale
        epoch.
        """
        ...

    async def pause_lane(self, network: str, address: str, now: datetime, *, by: str) -> bool:
        """Plan nothing new on the lane; what was sent is followed. ``False``: was paused already,
        or there is no such lane."""
        ...

    async def resume_lane(self, network: str, address: str, now: datetime) -> bool: ...


class BatchStore(LaneStore, Protocol):
    async def new_batch_id(self) -> int:
        """From a database sequence: never reused, gaps are fine."""
        ...

    async def plan(self, lane: Lane, batch: Batch, orders: Sequence[Change]) -> None:
        """Store a planned batch, take the lane's next nonce and bind the orders: all or nothing.

        Raises :class:`~settlement.errors.StaleLease` when the lane's epoch or nonce, or any
        order's guard, no longer matches, and when network or lane were stopped or paused.
        """
        ...

    async def open_batches(self, lane: Lane) -> list[Batch]:
        """Planned, signed, sent and mined batches of the lane, by nonce."""
        ...

    async def store_attempt(
        self,
        lane: Lane,
        batch: Batch,
        transaction: SignedTransaction,
        now: datetime,
        *,
        cancels: bool = False,
    ) -> None:
        """Store signed bytes before they are sent; ``planned`` becomes ``signed``.

        Raises :class:`~settlement.errors.StaleLease`: also when the network was stopped, and when
        the batch is to be cancelled and these bytes do not, since that was asked for after it was
        read.
        """
        ...

    async def mark_sent(
        self, lane: Lane, batch: Batch, transaction: SignedTransaction, now: datetime
    ) -> None:
        """The bytes were handed over; ``signed`` becomes ``sent``. Raises ``StaleLease``."""
        ...

    async def request_call(self, requested: RequestedCall, now: datetime) -> bool:
        """Store a call for the lane of its sender, once per id; ``False``: known already."""
        ...

    async def requested_calls(self, lane: Lane, *, limit: int) -> list[RequestedCall]:
        """Calls of the lane's account that are in no batch and were not refused, oldest first."""
        ...

    async def refuse_call(self, lane: Lane, call_id: str, reason: str, now: datetime) -> None:
        """The chain would never take it; it is not planned any more. Raises ``StaleLease``."""
        ...

    async def ask(
        self, batch_id: int, now: datetime, *, cancel: bool, lane: Lane | None = None
    ) -> bool:
        """Ask for a cancellation, or else for a higher bid; ``False``: the batch is not open.

        People ask at any time; a worker that asks says under which ``lane``'s lease
        (raises :class:`~settlement.errors.StaleLease`).
        """
        ...

    async def ask_again(self, batch_id: int) -> bool:
        """Ask that the stored bytes be said at once; ``False``: the batch is not open."""
        ...

    async def apply_batch(self, lane: Lane, change: BatchChange, now: datetime) -> None:
        """Apply all of it in one transaction.

        Raises :class:`~settlement.errors.StaleLease` when the lane's epoch, the batch's status
        or any order's guard does not match; nothing is then written.
        """
        ...


@dataclass(frozen=True, slots=True)
class InboxItem:
    """A stored provider event on its way to having its effect."""

    event: ProviderEvent
    attempts: int


class InboxStore(Protocol):
    async def receive(self, events: Sequence[ProviderEvent], now: datetime) -> int:
        """Store by event id, ignoring known ones; returns how many were new."""
        ...

    async def claim_inbox(self, now: datetime, *, limit: int, lease_ms: int) -> list[InboxItem]: ...

    async def settle_inbox(self, event_ids: Collection[str], now: datetime) -> None:
        """Their effect is stored."""
        ...

    async def defer_inbox(
        self, event_id: str, due_at: datetime, *, error: str | None, dead: bool = False
    ) -> None:
        """Try again at ``due_at``; ``error`` counts as an attempt; ``dead`` waits for a person."""
        ...

    async def newest_event_at(self) -> datetime | None:
        """Creation time of the newest event ever received."""
        ...


@dataclass(frozen=True, slots=True)
class NetworkState:
    """What we know about a network. ``stop_reason`` set: nothing is signed until a person acts.
    ``paused_at`` set: a person wants nothing new planned; what was sent is followed.

    ``anchor_*`` is the newest final block that decided a batch: a chain that no longer has it is
    not the chain that was paid on. ``head_number`` and ``final_number`` are the newest block and
    the newest final one that a worker saw, ``head_at`` when they last changed: for people to look
    at, nothing is decided by them.
    """

    name: str
    instance: int
    identity: ChainIdentity
    stop_reason: str | None
    anchor_number: int | None
    anchor_hash: str | None
    paused_at: datetime | None = None
    paused_by: str | None = None
    head_number: int | None = None
    final_number: int | None = None
    head_at: datetime | None = None


class NetworkStore(Protocol):
    async def network(self, name: str) -> NetworkState | None: ...

    async def register_network(self, name: str, identity: ChainIdentity, now: datetime) -> None:
        """First sight, or a replaced demo chain: a new instance, running, without an anchor.

        Batches that are still open belong to the chain that is gone: they become ``cancelled``.
        """
        ...

    async def register_lane(self, name: str, address: str, next_nonce: int) -> None:
        """Add a lane, or reset its nonce for a new chain instance."""
        ...

    async def stop_network(
        self, name: str, reason: str, now: datetime, *, lane: Lane | None = None
    ) -> None:
        """Nothing is signed any more until a person acts; the first reason stays.

        What was found out while working a ``lane`` counts only under its lease: somebody who
        woke late compares the chain with what we knew long ago. Raises
        :class:`~settlement.errors.StaleLease`.
        """
        ...

    async def start_network(self, name: str, reason: str) -> bool:
        """Take back a stop that a person has understood; ``False``: it is not, or no longer,
        stopped for ``reason``."""
        ...

    async def note_head(
        self, name: str, head: Head, now: datetime, *, lane: Lane | None = None
    ) -> None:
        """What a worker sees of the chain; writes nothing when that is known.

        No effect under a stale epoch of the ``lane`` that the worker holds.
        """
        ...

    async def pause_network(self, name: str, now: datetime, *, by: str) -> bool:
        """Plan nothing new; what was sent is followed. ``False``: was paused already, or there is
        no such network."""
        ...

    async def resume_network(self, name: str, now: datetime) -> bool:
        """Orders that were held for it are due at once."""
        ...


@dataclass(frozen=True, slots=True)
class Balance:
    """One account's totals in one asset's minor units (never negative, never netted)."""

    account: Account
    asset: Asset
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int


class LedgerStore(Protocol):
    async def available(
        self, pairs: Collection[tuple[TenantId, Asset]]
    ) -> dict[tuple[TenantId, Asset], int]:
        """Vault inventory that is neither paid out nor reserved, per tenant and asset."""
        ...

    async def book(self, tenant_id: TenantId, key: str, booking: Booking, now: datetime) -> bool:
        """Book something that belongs to no order, once per ``key``; ``False``: known already."""
        ...

    async def balances(self, tenant_id: TenantId) -> list[Balance]: ...

    async def totals(self, account: Account, asset: Asset) -> int:
        """Posted debits minus posted credits over all tenants."""
        ...


class Store(OrderStore, BatchStore, InboxStore, NetworkStore, LedgerStore, EscrowStore, Protocol):
    """Everything; stages take only the part that they use."""
