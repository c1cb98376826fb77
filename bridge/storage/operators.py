"""What operators look at: batches of every tenant, networks with their lanes, and what waits."""

from datetime import datetime, timedelta
from typing import Any

from bridge.storage.batches import with_attempts
from bridge.storage.codec import lane_from, network_from
from bridge.storage.conditions import IS_OPEN, NOT_FINAL, PAYABLE
from bridge.storage.fees import FeeQueries
from bridge.storage.listing import listed
from bridge.storage.pages import Listing, Page
from bridge.storage.records import (
    LaneRecord,
    ListAge,
    NetworkRecord,
    OpenBatches,
    Settlement,
    Standing,
    Waiting,
    lane_word,
    network_word,
)
from settlement.batch import BatchStatus
from settlement.events import REQUEUED
from settlement.ids import OrderId, TenantId
from settlement.order import HoldReason
from settlement.ports.store import LaneState

# A block number of a chain that was replaced says nothing about the head of its successor.
SETTLEMENT_ROWS = """
    SELECT b.*, l.address AS lane_address,
           l.paused_at AS lane_paused_at, l.low_since AS lane_low_since,
           n.stop_reason AS network_stop_reason, n.paused_at AS network_paused_at,
           CASE WHEN n.instance = b.instance THEN n.head_number END AS head_number
    FROM batches b
    JOIN lanes l ON l.id = b.lane_id
    JOIN networks n ON n.name = b.network
"""
# Its orders; those that a batch gave back when it ended without paying them, by their history.
_ORDER_IDS = f"""
    SELECT batch_id, id FROM (
        SELECT batch_id, batch_index, id, tenant_id FROM orders
        WHERE batch_id = ANY($1::bigint[])
        UNION ALL
        SELECT (e.data ->> 'batch_id')::bigint, NULL, o.id, o.tenant_id
        FROM order_events e JOIN orders o ON o.id = e.order_id
        WHERE e.type = '{REQUEUED}' AND e.data ->> 'batch_id' = ANY($1::bigint[]::text[])
    ) AS members
    WHERE $2::text IS NULL OR tenant_id = $2
    ORDER BY batch_id, batch_index, id
"""
OF_TENANT = f"""(
    EXISTS (SELECT FROM orders o WHERE o.batch_id = b.id AND o.tenant_id = {{0}})
    OR b.status IN ('reverted', 'cancelled') AND EXISTS (
        SELECT FROM order_events e JOIN orders o ON o.id = e.order_id
        WHERE e.type = '{REQUEUED}' AND e.data ->> 'batch_id' = b.id::text AND o.tenant_id = {{0}})
)"""
"""Whether a batch is, or was, for an order of the tenant (named twice)."""
_NETWORKS = "SELECT * FROM networks WHERE $1::text IS NULL OR name = $1 ORDER BY name"
_LANES = f"""
    SELECT l.*, (SELECT count(*) FROM batches b WHERE b.lane_id = l.id AND b.{IS_OPEN}) AS batches
    FROM lanes l WHERE $1::text IS NULL OR l.network = $1 ORDER BY l.network, l.id
"""
# Orders that are authorised and wait for tokens, and those that are captured and wait for a batch.
_WAITING = f"""
    SELECT network, hold_reason, count(*) AS orders,
           min(COALESCE(authorized_at, created_at)) AS oldest
    FROM (
        SELECT network, hold_reason, authorized_at, created_at FROM orders
        WHERE {PAYABLE} AND ($1::text IS NULL OR tenant_id = $1)
        UNION ALL
        SELECT network, hold_reason, authorized_at, created_at FROM orders
        WHERE status = 'cleared' AND {NOT_FINAL} AND ($1::text IS NULL OR tenant_id = $1)
    ) AS w
    WHERE $2::text IS NULL OR network = $2
    GROUP BY network, hold_reason ORDER BY network, hold_reason
"""
_OPEN = f"""
    SELECT b.network, b.status, count(*) AS batches, min(b.planned_at) AS oldest,
           sum(a.attempts)::bigint AS attempts, max(a.attempts) AS most_attempts
    FROM batches b
    CROSS JOIN LATERAL (
        SELECT count(*) AS attempts FROM batch_attempts t WHERE t.batch_id = b.id
    ) AS a
    WHERE b.{IS_OPEN}
    GROUP BY b.network, b.status ORDER BY b.network, b.status
"""
_INBOX = """
    SELECT (SELECT count(*) FROM inbox WHERE state = 'dead') AS dead,
           (SELECT min(received_at) FROM inbox WHERE state = 'pending') AS oldest
"""
_WORKERS = """
    SELECT n.name, (SELECT count(*) FROM lane_workers w
                    WHERE w.network = n.name AND w.seen_at > $1) AS workers
    FROM networks n ORDER BY n.name
"""
_LIST_AGES = """
    SELECT l.name, l.refreshed_at, v.at FROM address_lists l
    JOIN list_versions v ON (v.tenant_id, v.list, v.version) = (l.tenant_id, l.name, l.version)
    WHERE l.tenant_id = '' ORDER BY l.name
"""
_CASES = """
    SELECT count(*) AS cases, min(opened_at) AS oldest FROM cases WHERE status IN ('open', 'second')
"""
_SEEN_WITHIN = timedelta(minutes=1)
_FEES_SHOWN = timedelta(days=1)


class OperatorQueries(FeeQueries):
    pool: Any

    async def all_settlements(
        self, page: Page, *, network: str | None = None, only_open: bool = False
    ) -> Listing[Settlement]:
        """Batches of all tenants, those that pay no order too."""
        where: list[tuple[str, Any]] = []
        if network is not None:
            where.append(("b.network = {}", network))
        if only_open:
            where.append((f"{{}} AND b.{IS_OPEN}", True))
        found = await listed(
            self.pool, SETTLEMENT_ROWS, where, page, _row, id_column="b.id", numeric_id=True
        )
        return Listing(await settlements_from(self.pool, found.rows, None), found.has_more)

    async def any_settlement(self, batch_id: int) -> Settlement | None:
        """A batch with all its orders, whosever they are."""
        rows = await self.pool.fetch(f"{SETTLEMENT_ROWS} WHERE b.id = $1", batch_id)
        found = await settlements_from(self.pool, rows, None)
        return found[0] if found else None

    async def networks(
        self, name: str | None = None, *, tenant_id: TenantId | None = None
    ) -> list[NetworkRecord]:
        """Registered networks, or the one named; waiting orders are the tenant's, or everybody's
        (``None``)."""
        waiting = await self.waiting(tenant_id, name)
        lanes = [_lane_from(row) for row in await self.pool.fetch(_LANES, name)]
        return [
            NetworkRecord(
                network_from(row),
                row["stopped_at"],
                tuple(lane for lane in lanes if lane.state.lane.network == row["name"]),
                {w.reason: w.orders for w in waiting if w.network == row["name"]},
            )
            for row in await self.pool.fetch(_NETWORKS, name)
        ]

    async def waiting(
        self, tenant_id: TenantId | None = None, network: str | None = None
    ) -> list[Waiting]:
        """Orders that could go on, by network and the reason why they do not."""
        return [
            Waiting(row["network"], HoldReason(row["hold_reason"]), row["orders"], row["oldest"])
            for row in await self.pool.fetch(_WAITING, tenant_id, network)
        ]

    async def standing(self, now: datetime) -> Standing:
        """Everything that a monitor watches, over all tenants."""
        inbox = await self.pool.fetchrow(_INBOX)
        workers = await self.pool.fetch(_WORKERS, now - _SEEN_WITHIN)
        ages = await self.pool.fetch(_LIST_AGES)
        cases = await self.pool.fetchrow(_CASES)
        return Standing(
            networks=tuple(network_from(row) for row in await self.pool.fetch(_NETWORKS, None)),
            lanes=tuple(_lane_from(row) for row in await self.pool.fetch(_LANES, None)),
            batches=tuple(_open_from(row) for row in await self.pool.fetch(_OPEN)),
            waiting=tuple(await self.waiting()),
            workers={row["name"]: row["workers"] for row in workers},
            dead_letters=inbox["dead"],
            oldest_event_at=inbox["oldest"],
            fees={
                one.network: (one, await self.fee_report(one.network, now - _FEES_SHOWN))
                for one in await self.outlooks()
            },
            lists=tuple(ListAge(row["name"], row["refreshed_at"], row["at"]) for row in ages),
            cases=cases["cases"],
            oldest_case_at=cases["oldest"],
        )


async def settlements_from(
    pool: Any, rows: list[Any], tenant_id: TenantId | None
) -> list[Settlement]:
    """From :data:`SETTLEMENT_ROWS`, each with the orders of the tenant, or (``None``) all."""
    ids = [row["id"] for row in rows]
    members = await pool.fetch(_ORDER_IDS, ids, tenant_id) if ids else []
    own: dict[int, list[OrderId]] = {}
    for member in members:
        own.setdefault(member["batch_id"], []).append(member["id"])
    return [
        Settlement(
            batch,
            tuple(own.get(batch.id, ())),
            row["head_number"],
            network_word(row["network_stop_reason"], row["network_paused_at"]),
            lane_word(row["lane_paused_at"], row["lane_low_since"]),
        )
        for row, batch in zip(rows, await with_attempts(pool, rows), strict=True)
    ]


def _row(row: Any) -> Any:
    return row


def _lane_from(row: Any) -> LaneRecord:
    state = LaneState(lane_from(row), row["holder"], row["leased_until"], row["paused_by"])
    return LaneRecord(state, row["batches"])


def _open_from(row: Any) -> OpenBatches:
    return OpenBatches(
        network=row["network"],
        status=BatchStatus(row["status"]),
        batches=row["batches"],
        oldest_at=row["oldest"],
        attempts=row["attempts"],
        attempts_most=row["most_attempts"],
    )
