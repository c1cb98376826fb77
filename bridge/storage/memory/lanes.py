"""Lanes and networks in memory."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from bridge.storage.lanes import stale
from bridge.storage.memory.orders import PAYABLE, OrderPart
from bridge.storage.memory.state import LaneRow, after_ms
from settlement.batch import OPEN, Batch, BatchStatus, Lane
from settlement.errors import InvariantBroken
from settlement.order import HoldReason
from settlement.ports.chain import ChainIdentity, Head
from settlement.ports.store import LaneState, NetworkState


class LanePart(OrderPart):
    """Implements ``LaneStore`` and ``NetworkStore`` of :mod:`settlement.ports.store`."""

    async def claim_lanes(
        self,
        network: str,
        now: datetime,
        *,
        lease_ms: int,
        worker: str,
        among: Collection[str] | None = None,
    ) -> list[Lane]:
        if network not in self.tables.networks:
            return []
        rows = [row for row in self.tables.lanes.values() if row.lane.network == network]
        mine = [row for row in rows if row.holder == worker and not _is_free(row, now)]
        share = -(-len(rows) // (1 + self._others(network, worker, now, lease_ms))) - len(mine)
        free = [row for row in rows if _is_free(row, now)]
        if among is not None:
            free = [row for row in free if row.lane.address in among]
        free.sort(key=lambda r: (r.lane.epoch, r.lane.id))
        taken = []
        for row in free[: max(share, 0)]:
            lane = replace(row.lane, epoch=row.lane.epoch + 1)
            until = after_ms(now, lease_ms)
            self.tables.lanes[lane.id] = replace(row, lane=lane, leased_until=until, holder=worker)
            taken.append(lane)
        return taken

    def _others(self, network: str, worker: str, now: datetime, lease_ms: int) -> int:
        """Workers seen within a lease, beside this one, which is seen now."""
        last = now - timedelta(milliseconds=lease_ms)
        seen = {key: at for key, at in self.tables.lane_workers.items() if key[0] == network}
        for key, at in seen.items():
            if at <= last:
                del self.tables.lane_workers[key]
        self.tables.lane_workers[network, worker] = now
        return sum(at > last and key[1] != worker for key, at in seen.items())

    async def renew_lane(self, lane: Lane, now: datetime, *, lease_ms: int) -> bool:
        row = self.tables.lanes.get(lane.id)
        if row is None or row.lane.epoch != lane.epoch:
            return False
        self.tables.lanes[lane.id] = replace(row, leased_until=after_ms(now, lease_ms))
        return True

    async def release_lane(self, lane: Lane) -> None:
        row = self.tables.lanes.get(lane.id)
        if row is not None and row.lane.epoch == lane.epoch:
            self.tables.lanes[lane.id] = replace(row, leased_until=None)

    async def leave_lanes(self, worker: str) -> None:
        for key in [key for key in self.tables.lane_workers if key[1] == worker]:
            del self.tables.lane_workers[key]

    async def lanes(self, network: str) -> list[LaneState]:
        return [
            LaneState(row.lane, row.holder, row.leased_until, row.paused_by)
            for row in self.tables.lanes.values()
            if row.lane.network == network
        ]

    async def taken_nonces(self, lane: Lane, since: int) -> list[int]:
        instance = self.tables.lanes[lane.id].instance
        return sorted(
            {
                batch.nonce
                for batch in self.tables.batches.values()
                if batch.lane_id == lane.id
                and self.tables.batch_instances[batch.id] == instance
                and batch.nonce >= since
                and (batch.status is not BatchStatus.CANCELLED or batch.block_number is not None)
            }
        )

    async def count_from(self, lane: Lane, nonce: int) -> None:
        row = self.held(lane)
        if await self.taken_nonces(lane, nonce):
            raise InvariantBroken(f"lane {lane.address}: nonce {nonce} or a later one is taken")
        if row.lane.next_nonce != lane.next_nonce or nonce < row.lane.first_nonce:
            raise stale(f"the nonce of lane {lane.address}")
        self.tables.lanes[lane.id] = replace(row, lane=replace(row.lane, next_nonce=nonce))

    async def fill_gap(self, lane: Lane, batch: Batch) -> None:
        row = self.held(lane)
        if batch.nonce >= row.lane.next_nonce:
            raise InvariantBroken(f"nonce {batch.nonce} was never given out: no gap")
        if batch.nonce in await self.taken_nonces(lane, batch.nonce):
            raise stale(f"nonce {batch.nonce} of lane {lane.address}")
        asked = replace(batch, cancel_asked_at=batch.planned_at, lane_address=lane.address)
        self.tables.batches[batch.id] = asked
        self.tables.batch_instances[batch.id] = row.instance

    async def mark_low(self, lane: Lane, low: bool, now: datetime) -> bool:
        row = self.tables.lanes[lane.id]
        if row.lane.epoch != lane.epoch or (row.lane.low_since is not None) is low:
            return False
        marked = replace(row.lane, low_since=now if low else None)
        self.tables.lanes[lane.id] = replace(row, lane=marked)
        if not low:
            self._wake_held(lane.network, HoldReason.LIQUIDITY, now)
        return True

    async def pause_lane(self, network: str, address: str, now: datetime, *, by: str) -> bool:
        row = self._lane_at(network, address)
        if row is None or row.lane.paused_at is not None:
            return False
        paused = replace(row, lane=replace(row.lane, paused_at=now), paused_by=by)
        self.tables.lanes[row.lane.id] = paused
        return True

    async def resume_lane(self, network: str, address: str, now: datetime) -> bool:
        row = self._lane_at(network, address)
        if row is None or row.lane.paused_at is None:
            return False
        resumed = replace(row, lane=replace(row.lane, paused_at=None), paused_by=None)
        self.tables.lanes[row.lane.id] = resumed
        self._wake_held(network, HoldReason.PAUSED, now)
        return True

    def held(self, lane: Lane) -> LaneRow:
        """The lane's row; raises ``StaleLease`` under another epoch."""
        row = self.tables.lanes.get(lane.id)
        if row is None or row.lane.epoch != lane.epoch:
            raise stale(f"lane {lane.address}")
        return row

    def may_plan(self, row: LaneRow) -> bool:
        """Neither stopped nor paused, the network or the lane."""
        network = self.tables.networks[row.lane.network]
        stands = network.stop_reason is None and network.paused_at is None
        return stands and row.lane.paused_at is None

    def _lane_at(self, network: str, address: str) -> LaneRow | None:
        for row in self.tables.lanes.values():
            if (row.lane.network, row.lane.address) == (network, address):
                return row
        return None

    def _wake_held(self, network: str, reason: HoldReason, now: datetime) -> None:
        for order in self.tables.orders.values():
            waits = order.status in PAYABLE and order.batch_id is None and order.due_at > now
            if waits and order.network == network and order.hold_reason is reason:
                self.tables.orders[order.id] = replace(order, due_at=now)

    async def network(self, name: str) -> NetworkState | None:
        return self.tables.networks.get(name)

    async def register_network(self, name: str, identity: ChainIdentity, now: datetime) -> None:  # noqa: ARG002
        known = self.tables.networks.get(name)
        instance = 1 if known is None else known.instance + 1
        for batch in self.tables.batches.values():
            if batch.network == name and batch.status in OPEN:
                gone = replace(batch, status=BatchStatus.CANCELLED)
                self.tables.batches[batch.id] = gone
        fresh = NetworkState(name, instance, identity, None, None, None)
        if known is not None:
            fresh = replace(fresh, paused_at=known.paused_at, paused_by=known.paused_by)
        self.tables.networks[name] = fresh

    async def register_lane(self, name: str, address: str, next_nonce: int) -> None:
        network = self.tables.networks.get(name)
        if network is None:
            raise InvariantBroken(f"{name} is not registered, so it has no lanes")
        row = self._lane_at(name, address)
        if row is None:
            number = len(self.tables.lanes) + 1
            lane = Lane(number, name, address, next_nonce, 0, first_nonce=next_nonce)
            self.tables.lanes[number] = LaneRow(lane, network.instance)
        elif row.instance != network.instance:
            lane = replace(
                row.lane,
                next_nonce=next_nonce,
                first_nonce=next_nonce,
                epoch=row.lane.epoch + 1,
                low_since=None,
            )
            self.tables.lanes[lane.id] = replace(
                row, lane=lane, instance=network.instance, leased_until=None
            )

    async def stop_network(
        self,
        name: str,
        reason: str,
        now: datetime,  # noqa: ARG002
        *,
        lane: Lane | None = None,
    ) -> None:
        if lane is not None:
            self.held(lane)
        network = self.tables.networks.get(name)
        if network is not None and network.stop_reason is None:
            self.tables.networks[name] = replace(network, stop_reason=reason)

    async def start_network(self, name: str, reason: str) -> bool:
        network = self.tables.networks.get(name)
        if network is None or network.stop_reason != reason:
            return False
        self.tables.networks[name] = replace(network, stop_reason=None)
        return True

    async def note_head(
        self, name: str, head: Head, now: datetime, *, lane: Lane | None = None
    ) -> None:
        if lane is not None and self.tables.lanes[lane.id].lane.epoch != lane.epoch:
            return
        network = self.tables.networks.get(name)
        seen = (head.number, head.final_number)
        if network is None or (network.head_number, network.final_number) == seen:
            return
        self.tables.networks[name] = replace(
            network, head_number=head.number, final_number=head.final_number, head_at=now
        )

    async def pause_network(self, name: str, now: datetime, *, by: str) -> bool:
        network = self.tables.networks.get(name)
        if network is None or network.paused_at is not None:
            return False
        self.tables.networks[name] = replace(network, paused_at=now, paused_by=by)
        return True

    async def resume_network(self, name: str, now: datetime) -> bool:
        network = self.tables.networks.get(name)
        if network is None or network.paused_at is None:
            return False
        self.tables.networks[name] = replace(network, paused_at=None, paused_by=None)
        self._wake_held(name, HoldReason.PAUSED, now)
        return True


def _is_free(row: LaneRow, now: datetime) -> bool:
    return row.leased_until is None or row.leased_until <= now
