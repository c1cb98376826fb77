"""What each network's fees do, what was decided by them, and what came of it. Reads alone.

The tables are written by :mod:`chain.gas.store`; amounts are wei.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.storage.conditions import PAYABLE
from bridge.storage.database import Part
from settlement.ids import TenantId
from settlement.ledger.accounts import PLATFORM
from settlement.quote import Speed
from settlement.schedule import Policy, blocks_left, deadline

_POLICY = Policy()
"""The engine's own times."""

_OUTLOOKS = "SELECT * FROM gas_outlooks WHERE $1::text IS NULL OR network = $1 ORDER BY network"
_BLOCKS = """
    SELECT number, time_s, base_fee_wei, gas_used, gas_limit, tips_wei FROM gas_blocks
    WHERE network = $1 ORDER BY number DESC LIMIT $2
"""
_DECISIONS = "SELECT * FROM gas_decisions WHERE network = $1 ORDER BY id DESC LIMIT $2"
_HINDSIGHT = """
    SELECT coalesce(sum(sent), 0) AS orders,
           coalesce(sum(sent * at_once_wei::numeric), 0) AS at_once,
           coalesce(sum(sent * coalesce(paid_wei, fee_wei)::numeric), 0) AS paid,
           coalesce(sum(sent * best_wei::numeric), 0) AS best
    FROM gas_decisions
    WHERE network = $1 AND decided_at > $2 AND best_wei IS NOT NULL
"""
_BOOKED = f"""
    SELECT count(*) AS batches, coalesce(sum(e.amount_minor), 0) AS paid,
           coalesce(sum((SELECT sum(o.network_fee_wei) FROM orders o
                         WHERE o.batch_id = b.id AND o.status = 'completed')), 0) AS quoted
    FROM batches b
    JOIN ledger_entries e ON e.tenant_id = '{PLATFORM}' AND e.source = 'batch:' || b.id
                         AND e.event = 'gas_spent'
    WHERE b.network = $1 AND b.planned_at > $2
"""
# A batch's gas by its orders: a tenant is shown the part of its own alone.
_BOOKED_FOR = f"""
    SELECT count(*) AS batches, coalesce(sum(b.gas * own.orders / nullif(b.orders, 0)), 0) AS paid,
           coalesce(sum(own.quoted), 0) AS quoted
    FROM (
        SELECT b.id, b.order_count AS orders, sum(e.amount_minor) AS gas
        FROM batches b
        JOIN ledger_entries e ON e.tenant_id = '{PLATFORM}' AND e.source = 'batch:' || b.id
                             AND e.event = 'gas_spent'
        WHERE b.network = $1 AND b.planned_at > $2
        GROUP BY b.id
    ) b
    JOIN LATERAL (
        SELECT count(*) AS orders,
               coalesce(sum(network_fee_wei) FILTER (WHERE status = 'completed'), 0) AS quoted
        FROM orders WHERE batch_id = b.id AND tenant_id = $3
    ) own ON own.orders > 0
"""
_WAITING = f"""
    SELECT token AS asset, speed, count(*) AS orders,
           min(coalesce(authorized_at, created_at)) AS since, min(settle_by) AS settle_by
    FROM orders
    WHERE network = $1 AND {PAYABLE} AND ($2::text IS NULL OR tenant_id = $2)
    GROUP BY token, speed ORDER BY token, speed
"""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a worker thought after the newest head; ``content`` as it was reported."""

    network: str
    head_number: int
    seen_at: datetime
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FeeReport:
    """What was paid since some moment. ``quoted_wei`` and ``paid_wei`` are of whole batches: what
    customers were quoted for the network, and what the ledger booked. The others are sums over
    orders per unit of gas: at once, as paid, and at the best block before each one's deadline."""

    batches: int
    quoted_wei: int
    paid_wei: int
    orders: int
    at_once_wei: int
    decided_wei: int
    best_wei: int

    @property
    def captured_millionths(self) -> int | None:
        """The share of perfect foresight's saving; ``None`` where there was nothing to save."""
        possible = self.at_once_wei - self.best_wei
        if possible <= 0:
            return None
        return (self.at_once_wei - self.decided_wei) * 1_000_000 // possible


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """Paid orders of one asset and speed that no batch has taken yet. ``created_at`` is since when
    the oldest waits; ``settle_by`` when the first of their escrows ends."""

    asset: str
    speed: Speed
    orders: int
    created_at: datetime
    settle_by: datetime | None = None
    authorized_at: datetime | None = None

    @property
    def until(self) -> datetime:
        """When the most urgent of them must be in a block."""
        return deadline(self, _POLICY)

    def below_wei(self, outlook: Outlook | None, block_ms: int, now: datetime) -> int | None:
        """At or below which base fee the most urgent leaves; ``None``: at any."""
        left = blocks_left(self, now, block_ms=block_ms, policy=_POLICY)
        if outlook is None or not outlook.content["waits"] or left == 0:
            return None
        # Among the horizons that were reported, the longest that still fits.
        fits: list[int | None] = [f for n, f in outlook.content["reservations"] if n <= left]
        return fits[-1] if fits else None


class FeeQueries(Part):
    """Reads of the API, the monitor and the console."""

    async def outlooks(self, network: str | None = None) -> list[Outlook]:
        rows = await self.pool.fetch(_OUTLOOKS, network)
        return [Outlook(r["network"], r["head_number"], r["seen_at"], r["content"]) for r in rows]

    async def fee_blocks(self, network: str, limit: int) -> list[dict[str, Any]]:
        """The newest blocks, rising."""
        rows = await self.pool.fetch(_BLOCKS, network, limit)
        return [dict(row) for row in reversed(rows)]

    async def fee_decisions(self, network: str, limit: int) -> list[dict[str, Any]]:
        """The newest decisions, newest first."""
        return [dict(row) for row in await self.pool.fetch(_DECISIONS, network, limit)]

    async def fee_report(
        self, network: str, since: datetime, tenant_id: TenantId | None = None
    ) -> FeeReport:
        """Of all tenants' orders, or of one's: its part of each batch's gas, rounded down in all.
        What was decided is decided for all together and told to nobody alone."""
        if tenant_id is not None:
            booked = await self.pool.fetchrow(_BOOKED_FOR, network, since, tenant_id)
            quoted, paid = int(booked["quoted"]), int(booked["paid"])
            return FeeReport(booked["batches"], quoted, paid, 0, 0, 0, 0)
        booked = await self.pool.fetchrow(_BOOKED, network, since)
        seen = await self.pool.fetchrow(_HINDSIGHT, network, since)
        return FeeReport(
            batches=booked["batches"],
            quoted_wei=int(booked["quoted"]),
            paid_wei=int(booked["paid"]),
            orders=seen["orders"],
            at_once_wei=int(seen["at_once"]),
            decided_wei=int(seen["paid"]),
            best_wei=int(seen["best"]),
        )

    async def waiting_for(
        self, network: str, tenant_id: TenantId | None = None
    ) -> list[WaitingFor]:
        """Of all tenants, or of one."""
        rows = await self.pool.fetch(_WAITING, network, tenant_id)
        return [
            WaitingFor(r["asset"], Speed(r["speed"]), r["orders"], r["since"], r["settle_by"])
            for r in rows
        ]
