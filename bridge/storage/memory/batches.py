"""Batches, lanes and networks in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bridge.storage.batches import DECIDED, batch_moves, bound, same_nonce, stale
from bridge.storage.memory.orders import OrderPart
from bridge.storage.memory.state import CallRow, LaneRow, after_ms
from settlement.batch import OPEN, Attempt, Batch, BatchStatus, Lane, RequestedCall
from settlement.errors import InvariantBroken
from settlement.ledger.accounts import PLATFORM
from settlement.ports.chain import ChainIdentity, SignedTransaction
from settlement.ports.store import BatchChange, NetworkState
from settlement.transitions import Change

_B = BatchStatus
_SIGNABLE = frozenset({_B.PLANNED, _B.SIGNED, _B.SENT})
_SENDABLE = frozenset({_B.SIGNED, _B.SENT, _B.MINED})


class BatchPart(OrderPart):
    """Implements ``BatchStore`` and ``NetworkStore`` of :mod:`settlement.ports.store`."""

    async def claim_lane(self, network: str, now: datetime, *, lease_ms: int) -> Lane | None:
        free = [
            row
            for row in self.tables.lanes.values()
            if row.lane.network == network and (row.leased_until is None or row.leased_until <= now)
        ]
        if not free:
            return None
        row = min(free, key=lambda r: (r.leased_until is not None, r.leased_until, r.lane.id))
        lane = replace(row.lane, epoch=row.lane.epoch + 1)
        until = after_ms(now, lease_ms)
        self.tables.lanes[lane.id] = replace(row, lane=lane, leased_until=until)
        return lane

    async def release_lane(self, lane: Lane) -> None:
        row = self.tables.lanes.get(lane.id)
        if row is not None and row.lane.epoch == lane.epoch:
            self.tables.lanes[lane.id] = replace(row, leased_until=None)

    async def new_batch_id(self) -> int:
        self._batch_ids += 1
        return self._batch_ids

    async def plan(self, lane: Lane, batch: Batch, orders: Sequence[Change]) -> None:
        changes = bound(batch, orders)
        with self.transaction() as tables:
            row = self._hold(lane)
            if row.lane.next_nonce != batch.nonce or batch.lane_id != lane.id:
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
        self._hold(lane)
        stored = self._in(batch, lane, _SIGNABLE)
        if (stored.cancel_asked_at is not None) is not cancels:
            raise stale(f"batch {batch.id}")
        status = _B.SIGNED if stored.status is _B.PLANNED else stored.status
        attempts = stored.attempts
        if transaction.ref not in [attempt.transaction.ref for attempt in attempts]:
            attempts = (*attempts, Attempt(transaction, now, None, cancels))
        self.tables.batches[batch.id] = replace(stored, status=status, attempts=attempts)

    async def mark_sent(
        self, lane: Lane, batch: Batch, transaction: SignedTransaction, now: datetime
    ) -> None:
        self._hold(lane)
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
        self.tables.batches[batch.id] = replace(stored, status=status, attempts=attempts)

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

    async def refuse_call(self, call_id: str, reason: str, now: datetime) -> None:
        row = self.tables.calls[call_id]
        if row.waits:
            self.tables.calls[call_id] = replace(row, refused_at=now, refused_reason=reason)

    def _plan_call(self, call_id: str, batch_id: int) -> None:
        row = self.tables.calls.get(call_id)
        if row is None or not row.waits:
            raise stale(f"call {call_id}")
        self.tables.calls[call_id] = replace(row, batch_id=batch_id)

    async def ask(self, batch_id: int, now: datetime, *, cancel: bool) -> bool:
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

    async def apply_batch(self, lane: Lane, change: BatchChange, now: datetime) -> None:
        after = batch_moves(change)
        with self.transaction() as tables:
            self._hold(lane)
            stored = self._in(change.batch, lane, frozenset({change.batch.status}))
            tables.batches[after.id] = replace(
                after,
                attempts=stored.attempts,
                cancel_asked_at=stored.cancel_asked_at,
                bump_asked_at=stored.bump_asked_at,
            )
            self._all_or_nothing(change.orders, now)
            self.write_bookings(PLATFORM, f"batch:{after.id}", change.platform_bookings)
            self.check_guards()
            if change.to in DECIDED and after.block_number is not None:
                self._anchor(after)

    def _hold(self, lane: Lane) -> LaneRow:
        row = self.tables.lanes.get(lane.id)
        if row is None or row.lane.epoch != lane.epoch:
            raise stale(f"lane {lane.address}")
        return row

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

    async def network(self, name: str) -> NetworkState | None:
        return self.tables.networks.get(name)

    async def register_network(self, name: str, identity: ChainIdentity, now: datetime) -> None:  # noqa: ARG002
        known = self.tables.networks.get(name)
        instance = 1 if known is None else known.instance + 1
        for batch in self.tables.batches.values():
            if batch.network == name and batch.status in OPEN:
                self.tables.batches[batch.id] = replace(batch, status=_B.CANCELLED)
        self.tables.networks[name] = NetworkState(name, instance, identity, None, None, None)

    async def register_lane(self, name: str, address: str, next_nonce: int) -> None:
        network = self.tables.networks.get(name)
        if network is None:
            raise InvariantBroken(f"{name} is not registered, so it has no lanes")
        for row in self.tables.lanes.values():
            if (row.lane.network, row.lane.address) == (name, address):
                if row.instance != network.instance:
                    epoch = row.lane.epoch + 1
                    lane = replace(row.lane, next_nonce=next_nonce, epoch=epoch)
                    self.tables.lanes[lane.id] = LaneRow(lane, network.instance)
                return
        lane = Lane(len(self.tables.lanes) + 1, name, address, next_nonce, 0)
        self.tables.lanes[lane.id] = LaneRow(lane, network.instance)

    async def stop_network(self, name: str, reason: str, now: datetime) -> None:  # noqa: ARG002
        network = self.tables.networks.get(name)
        if network is not None and network.stop_reason is None:
            self.tables.networks[name] = replace(network, stop_reason=reason)
