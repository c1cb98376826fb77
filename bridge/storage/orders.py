"""Orders in SQL: claim many under a lease, apply many in one statement."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import asyncpg

from bridge.storage.arrays import Columns
from bridge.storage.codec import (
    MUTABLE,
    checked_patch,
    entry_rows,
    event_from,
    order_from,
    resolution_rows,
)
from bridge.storage.conditions import NOT_FINAL, PAYABLE
from bridge.storage.database import Part, broken_guard, dumps, retrying
from bridge.storage.ledger import BOOKING_CTES, ENTRIES, RESOLUTIONS
from bridge.storage.screenings import save_screening_on
from settlement.errors import InvariantBroken
from settlement.events import StoredEvent
from settlement.ids import OrderId
from settlement.order import Order, Status
from settlement.ports.chain import Payout
from settlement.ports.screening import Subject, Verdict
from settlement.transitions import Change

# The index predicate stands in the text, because a parameter would hide it from the planner.
_CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT id, due_at FROM orders
        WHERE {which} AND due_at <= $2
        ORDER BY due_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE orders o SET epoch = o.epoch + 1, due_at = $4
        FROM due WHERE o.id = due.id
        RETURNING o.*
    )
    SELECT taken.* FROM taken JOIN due USING (id) ORDER BY due.due_at, id
"""

_CLAIM_BY_STATUS = _CLAIM.format(which=f"status = $1 AND {NOT_FINAL}")

_CLAIM_FOR_BATCH = _CLAIM.format(
    which=f"""network = $1 AND {PAYABLE}
          AND hold_reason NOT IN ('review', 'sanctions', 'refunded', 'disputed')"""
)

_CHANGES = Columns(
    id="text",
    was="text",
    status="text",
    epoch="bigint",
    due_at="timestamptz",
    binds="boolean",
    gives_back="boolean",
)
_TOLD = Columns(order_id="text", type="text", data="text")


# What each changed order must still be, so that a decision on an older reading changes nothing.
GUARD = """o.status = c.was
          AND (c.epoch IS NULL OR o.epoch = c.epoch)"""


@cache
def apply_statement(fields: tuple[str, ...], partly: tuple[str, ...]) -> str:
    """One statement for all changes that patch ``fields``; not all of them patch those in
    ``partly``, which have a flag each."""
    patches = Columns(
        **{name: MUTABLE[name] for name in fields}, **{f"has_{name}": "boolean" for name in partly}
    )
    change = Columns(**_CHANGES.types, **patches.types)
    values = (
        f"{name} = CASE WHEN c.has_{name} THEN c.{name} ELSE o.{name} END,"
        if name in partly
        else f"{name} = c.{name},"
        for name in fields
    )
    entries_at = 2 + len(change)
    resolutions_at = entries_at + len(ENTRIES)
    events_at = resolutions_at + len(RESOLUTIONS)
    return f"""
    WITH change AS (
        SELECT * FROM {change.source(2)} AS t({change.names})
    ), moved AS (
        UPDATE orders o SET
            status = c.status,
            due_at = c.due_at,
            {" ".join(values)}
            -- Every write ends whatever lease or reading it found: whoever looked before it
            -- must look again.
            epoch = o.epoch + 1
        FROM change c
        WHERE o.id = c.id AND {GUARD}
          -- An order that a batch may pay joins no other.
          AND (NOT c.binds OR o.batch_id IS NULL)
        RETURNING o.id, o.tenant_id, o.customer, o.fiat, o.gross_minor, o.created_at,
                  c.gives_back
    ), booking AS (
        SELECT t.* FROM {ENTRIES.source(entries_at)} AS t({ENTRIES.names})
        JOIN moved ON moved.id = t.source
    ), resolution AS (
        SELECT t.* FROM {RESOLUTIONS.source(resolutions_at)} AS t({RESOLUTIONS.names})
        JOIN moved ON moved.id = t.source
    ), {BOOKING_CTES}, told AS (
        INSERT INTO order_events (order_id, type, data, created_at)
        SELECT t.order_id, t.type, t.data::jsonb, $1
        FROM {_TOLD.source(events_at)}
            WITH ORDINALITY AS t({_TOLD.names}, place)
        JOIN moved ON moved.id = t.order_id
        ORDER BY t.place
    ), returned AS (
        SELECT tenant_id, customer, fiat, (created_at AT TIME ZONE 'UTC')::date AS day,
               sum(gross_minor) AS amount_minor
        FROM moved WHERE gives_back
        GROUP BY 1, 2, 3, 4
    ), given_back AS (
        UPDATE limit_usage u SET used = u.used - r.amount_minor
        FROM returned r
        WHERE u.tenant_id = r.tenant_id AND u.customer = r.customer
          AND u.currency = r.fiat AND u.day = r.day
    )
    SELECT id FROM moved
    """


_GET = "SELECT * FROM orders WHERE id = $1"
_BY_INTENT = "SELECT * FROM orders WHERE payment_intent_id = $1"
_IN_BATCH = "SELECT * FROM orders WHERE batch_id = $1 ORDER BY batch_index"
_PAYOUTS = "SELECT id, wallet, token_minor FROM orders WHERE batch_id = $1 ORDER BY batch_index"
_UNFINISHED = "SELECT * FROM orders WHERE network = $1 AND status = ANY($2::text[]) ORDER BY id"
_NUDGE = f"""
    UPDATE orders SET due_at = $2
    WHERE id = ANY($1::text[]) AND due_at > $2 AND {NOT_FINAL}
"""
_EVENTS = "SELECT * FROM order_events WHERE order_id = $1 AND id > $2 ORDER BY id"


async def apply_on(connection: Any, changes: Sequence[Change], now: datetime) -> list[Change]:
    """Apply on a connection (or pool); returns the changes whose guard did not match.

    Raises :class:`~settlement.errors.InsufficientInventory` and
    :class:`~settlement.errors.InvariantBroken`; the statement then wrote nothing.
    """
    if not changes:
        return []
    if len({change.order.id for change in changes}) < len(changes):
        raise InvariantBroken("two changes of one order in one statement")
    ordered = sorted(changes, key=lambda change: change.order.id)
    statement, arrays = _prepared(ordered)
    try:
        moved = await connection.fetch(statement, now, *arrays)
    except (asyncpg.UniqueViolationError, asyncpg.CheckViolationError) as error:
        raise broken_guard(error) from error
    matched = {row["id"] for row in moved}
    return [change for change in changes if change.order.id not in matched]


def _prepared(changes: Sequence[Change]) -> tuple[str, list[Sequence[Any]]]:
    """The statement for these changes, and its arrays."""
    patches = [checked_patch(change.patch) for change in changes]
    named = Counter(name for patch in patches for name in patch)
    fields = tuple(name for name in MUTABLE if name in named)
    partly = tuple(name for name in fields if named[name] < len(changes))
    entries: list[tuple[Any, ...]] = []
    resolutions: list[tuple[Any, ...]] = []
    events: list[tuple[str, str, str]] = []
    rows = []
    for change, patch in zip(changes, patches, strict=True):
        order = change.order
        entries += entry_rows(order.tenant_id, order.id, change.bookings)
        resolutions += resolution_rows(order.tenant_id, order.id, change.bookings)
        events += ((order.id, event.type, dumps(event.data)) for event in change.events)
        rows.append(
            (
                *(order.id, order.status, change.to, change.epoch, change.due_at),
                *(patch.get("batch_id") is not None, change.gives_back_limit),
            )
        )
    arrays = [
        *_CHANGES.arrays(rows),
        *([patch.get(name) for patch in patches] for name in fields),
        *([name in patch for patch in patches] for name in partly),
        *ENTRIES.arrays(entries),
        *RESOLUTIONS.arrays(resolutions),
        *_TOLD.arrays(events),
    ]
    return apply_statement(fields, partly), arrays


class OrderPart(Part):
    """Implements :class:`settlement.ports.store.OrderStore`."""

    async def claim(
        self, status: Status, now: datetime, *, limit: int, lease_ms: int
    ) -> list[Order]:
        return await self._claim(_CLAIM_BY_STATUS, status.value, now, limit, lease_ms)

    async def claim_for_batch(
        self, network: str, now: datetime, *, limit: int, lease_ms: int
    ) -> list[Order]:
        return await self._claim(_CLAIM_FOR_BATCH, network, now, limit, lease_ms)

    async def _claim(
        self, statement: str, which: str, now: datetime, limit: int, lease_ms: int
    ) -> list[Order]:
        until = now + timedelta(milliseconds=lease_ms)
        rows = await self.pool.fetch(statement, which, now, limit, until)
        return [order_from(row) for row in rows]

    async def apply_many(self, changes: Sequence[Change]) -> list[Change]:
        now = self.now()
        return await retrying(lambda: apply_on(self.pool, changes, now))

    async def get(self, order_id: OrderId) -> Order | None:
        row = await self.pool.fetchrow(_GET, order_id)
        return None if row is None else order_from(row)

    async def find(
        self, *, order_id: OrderId | None = None, intent_id: str | None = None
    ) -> Order | None:
        # The intent first: an order id comes from metadata, which anyone at Stripe may edit.
        row = None
        if intent_id is not None:
            row = await self.pool.fetchrow(_BY_INTENT, intent_id)
        if row is None and order_id is not None:
            row = await self.pool.fetchrow(_GET, order_id)
        return None if row is None else order_from(row)

    async def nudge(self, order_ids: Collection[OrderId], now: datetime) -> None:
        if order_ids:
            await retrying(lambda: self.pool.execute(_NUDGE, sorted(order_ids), now))

    async def in_batch(self, batch_id: int) -> list[Order]:
        return [order_from(row) for row in await self.pool.fetch(_IN_BATCH, batch_id)]

    async def payouts(self, batch_id: int) -> list[Payout]:
        rows = await self.pool.fetch(_PAYOUTS, batch_id)
        return [Payout(row["id"], row["wallet"], int(row["token_minor"])) for row in rows]

    async def unfinished(self, network: str, statuses: Collection[Status]) -> list[Order]:
        names = [status.value for status in statuses]
        return [order_from(row) for row in await self.pool.fetch(_UNFINISHED, network, names)]

    async def save_screening(self, subject: Subject, verdict: Verdict, now: datetime) -> str:
        return await save_screening_on(self.pool, subject, verdict, now)

    async def events(self, order_id: OrderId, after_id: int = 0) -> list[StoredEvent]:
        rows = await self.pool.fetch(_EVENTS, order_id, after_id)
        return [event_from(row) for row in rows]
