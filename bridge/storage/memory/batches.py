"""Batches and requested calls in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bridge.storage.batches import DECIDED, batch_moves, bound, completed_all, same_nonce
from bridge.storage.lanes import stale
from bridge.storage.memory.lanes import LanePart
from bridge.storage.memory.state import CallRow
from settlement.batch import OPEN, Attempt, Batch, BatchStatus, Lane, RequestedCall
from settlement.errors import InvariantBroken
from settlement.ledger.accounts import PLATFORM
from settlement.ports.chain import SignedTransaction
from settlement.ports.store import BatchChange
from settlement.transitions import COMPLETABLE, Advance, Change, Completion, completed

_B = BatchStatus
_SIGNABLE = frozenset({_B.PLANNED, _B.SIGNED, _B.SENT})
_SENDABLE = frozenset({_B.SIGNED, _B.SENT, _B.MINED})


class BatchPart(LanePart):
    """Implements the rest of :class:`settlement.ports.store.BatchStore`."""

    async def new_batch_id(self) -> int:
        self.batch_ids += 1
        return self.batch_ids

    async def plan(self, lane: Lane, batch: Batch, orders: Sequence[Change]) -> None:
        changes = bound(batch, orders)
        with self.transaction() as tables:
            row = self.held(lane)
            moved = row.lane.next_nonce != batch.nonce or batch.lane_id != lane.id
            if moved or not self.may_plan(row):
                raise stale(f"lane {lane.address}")
            if batch.id in tables.batches:
                raise InvariantBroken(f"batch {batch.id} exists")
            taken = replace(row.lane, next_nonce=row.lane.next_nonce + 1)
            tables.lanes[lane.id] = replace(row, lane=taken)
            tables.batches[batch.id] = replace(batch, lane_address=row.lane.address)
            if batch.requested is not None:
                self._plan_call(batch.requested.id, batch.id)
            tables.batch_instances[batch.id] = row.instance
            self._all_or_nothing(changes, self._clock.now())

    async def open_batches(self, lane: Lane) -> list[Batch]:
        batches = self.tables.batches.values()
        mine = [batch for batch in batches if batch.lane_id == lane.id and batch.status in OPEN]
        return sorted(mine, key=lambda batch: (batch.nonce, batch.id))

    async def store_attempt(
        self,
        lane: Lane,
        batch: Batch,
        transaction: SignedTransaction,
        now: datetime,
        *,
        cancels: bool = False,
    ) -> None:
        same_nonce(batch, transaction)
        self.held(lane)
        stored = self._in(batch, lane, _SIGNABLE)
        stopped = self.tables.networks[lane.network].stop_reason is not None
        if stopped or (stored.cancel_asked_at is not None) is not cancels:
            raise stale(f"batch {batch.id}")
        status = _B.SIGNED if stored.status is _B.PLANNED else stored.status
        attempts = stored.attempts
        if transaction.ref not in [attempt.transaction.ref for attempt in attempts]:
            attempts = (*attempts, Attempt(transaction, now, None, cancels))
        self.tables.batches[batch.id] = replace(stored, status=status, attempts=attempts)

    async def mark_sent(
        self, lane: Lane, batch: Batch, transaction: SignedTransaction, now: datetime
    ) -> None:
        self.held(lane)
        stored = self._in(batch, lane, _SENDABLE)
        if transaction.ref not in [attempt.transaction.ref for attempt in stored.attempts]:
            raise InvariantBroken(f"batch {batch.id}: sent bytes that were never stored")
        attempts = tuple(
            replace(attempt, sent_at=attempt.sent_at or now)
            if attempt.transaction.ref == transaction.ref
            else attempt
            for attempt in stored.attempts
        )
        status = _B.SENT if stored.status is _B.SIGNED else stored.status
        self.tables.batches[batch.id] = replace(
            stored, status=status, attempts=attempts, reminded_at=now
        )

    async def request_call(self, requested: RequestedCall, now: datetime) -> bool:
        if requested.id in self.tables.calls:
            return False
        self.tables.calls[requested.id] = CallRow(requested, now)
        return True

    async def requested_calls(self, lane: Lane, *, limit: int) -> list[RequestedCall]:
        mine = [
            row
            for row in self.tables.calls.values()
            if (row.requested.network, row.requested.sender) == (lane.network, lane.address)
            and row.waits
        ]
        mine.sort(key=lambda row: (row.created_at, row.requested.id))
        return [row.requested for row in mine[:limit]]

    async def refuse_call(self, lane: Lane, call_id: str, reason: str, now: datetime) -> None:
        self.held(lane)
        row = self.tables.calls[call_id]
        if row.waits:
            self.tables.calls[call_id] = replace(row, refused_at=now, refused_reason=reason)

    def _give_back_call(self, batch_id: int) -> None:
        """A call whose batch was cancelled is still wanted."""
        for key, row in self.tables.calls.items():
            if row.batch_id == batch_id:
                self.tables.calls[key] = replace(row, batch_id=None)

    def _plan_call(self, call_id: str, batch_id: int) -> None:
        row = self.tables.calls.get(call_id)
        if row is None or not row.waits:
            raise stale(f"call {call_id}")
        self.tables.calls[call_id] = replace(row, batch_id=batch_id)

    async def ask(
        self, batch_id: int, now: datetime, *, cancel: bool, lane: Lane | None = None
    ) -> bool:
        if lane is not None:
            self.held(lane)
        batch = self.tables.batches.get(batch_id)
        if batch is None or batch.status not in OPEN:
            return False
        asked = (
            replace(batch, cancel_asked_at=batch.cancel_asked_at or now)
            if cancel
            else replace(batch, bump_asked_at=now)
        )
        self.tables.batches[batch_id] = asked
        return True

    async def ask_again(self, batch_id: int) -> bool:
        batch = self.tables.batches.get(batch_id)
        if batch is None or batch.status not in OPEN:
            return False
        self.tables.batches[batch_id] = replace(batch, reminded_at=None)
        return True

    async def apply_batch(self, lane: Lane, change: BatchChange, now: datetime) -> None:
        after = batch_moves(change)
        with self.transaction() as tables:
            self.held(lane)
            stored = self._in(change.batch, lane, frozenset({change.batch.status}))
            tables.batches[after.id] = replace(
                after,
                attempts=stored.attempts,
                cancel_asked_at=stored.cancel_asked_at,
                bump_asked_at=stored.bump_asked_at,
                reminded_at=stored.reminded_at,
            )
            if change.to is _B.CANCELLED:
                self._give_back_call(after.id)
            self._all_or_nothing(change.orders, now)
            match change.step:
                case Advance() as step:
                    self._advance(after.id, step, now)
                case Completion() as step:
                    self._complete(after.id, step, now)
            self.write_bookings(PLATFORM, f"batch:{after.id}", change.platform_bookings)
            self.check_guards()
            if change.to in DECIDED and after.block_number is not None:
                self._anchor(after)

    def _advance(self, batch_id: int, step: Advance, now: datetime) -> None:
        for order in list(self.tables.orders.values()):
            if order.batch_id == batch_id and order.status is step.was:
                self.tables.orders[order.id] = replace(
                    order, status=step.to, due_at=now, attempts=0, epoch=order.epoch + 1
                )
                self.tell(order.id, (step.event,), now)

    def _complete(self, batch_id: int, whole: Completion, now: datetime) -> None:
        orders = [
            order
            for order in self.tables.orders.values()
            if order.batch_id == batch_id and order.status in COMPLETABLE
        ]
        completed_all(batch_id, whole, len(orders))
        self._all_or_nothing([completed(order, now) for order in orders], now)

    def _in(self, batch: Batch, lane: Lane, statuses: frozenset[BatchStatus]) -> Batch:
        stored = self.tables.batches.get(batch.id)
        if stored is None or stored.lane_id != lane.id or stored.status not in statuses:
            raise stale(f"batch {batch.id}")
        return stored

    def _all_or_nothing(self, changes: Sequence[Change], now: datetime) -> None:
        unmatched = self.apply_all(changes, now)
        if unmatched:
            raise stale(", ".join(change.order.id for change in unmatched))

    def _anchor(self, batch: Batch) -> None:
        network = self.tables.networks[batch.network]
        assert batch.block_number is not None  # the caller looked
        same_chain = network.instance == self.tables.batch_instances[batch.id]
        if same_chain and (network.anchor_number or 0) <= batch.block_number:
            self.tables.networks[batch.network] = replace(
                network, anchor_number=batch.block_number, anchor_hash=batch.block_hash
            )
