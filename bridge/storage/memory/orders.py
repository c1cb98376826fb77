"""Orders in memory: accepting, claiming, changing."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from bridge.storage.codec import checked_patch
from bridge.storage.memory.cases import CasePart
from bridge.storage.memory.ledger import LedgerPart
from bridge.storage.memory.state import after_ms
from settlement.batch import payout_of
from settlement.case import Case, order_change
from settlement.errors import CaseDecided, InvariantBroken
from settlement.events import StoredEvent
from settlement.ids import OrderId, TenantId, new_id
from settlement.order import FINAL, HoldReason, Order, Status
from settlement.ports.chain import Payout
from settlement.ports.screening import Subject, Verdict
from settlement.transitions import Change

PAYABLE = frozenset({Status.CAPTURED, Status.SUBMITTED, Status.CONFIRMING})
_VETOES = frozenset(
    {HoldReason.REVIEW, HoldReason.SANCTIONS, HoldReason.REFUNDED, HoldReason.DISPUTED}
)


class OrderPart(CasePart, LedgerPart):
    """Implements :class:`settlement.ports.store.OrderStore`."""

    async def claim(
        self, status: Status, now: datetime, *, limit: int, lease_ms: int
    ) -> list[Order]:
        if status in FINAL:
            return []
        return self._claim(lambda order: order.status is status, now, limit, lease_ms)

    async def claim_for_batch(
        self, network: str, now: datetime, *, limit: int, lease_ms: int
    ) -> list[Order]:
        def payable(order: Order) -> bool:
            waits = order.status in PAYABLE and order.batch_id is None
            return waits and order.network == network and order.hold_reason not in _VETOES

        return self._claim(payable, now, limit, lease_ms)

    def _claim(
        self, wanted: Callable[[Order], bool], now: datetime, limit: int, lease_ms: int
    ) -> list[Order]:
        due = [order for order in self.tables.orders.values() if wanted(order)]
        due = sorted(
            (order for order in due if order.due_at <= now), key=lambda o: (o.due_at, o.id)
        )
        taken = [
            replace(order, epoch=order.epoch + 1, due_at=after_ms(now, lease_ms))
            for order in due[:limit]
        ]
        self.tables.orders.update({order.id: order for order in taken})
        return taken

    async def apply_many(self, changes: Sequence[Change]) -> list[Change]:
        with self.transaction():
            return self.apply_all(changes, self._clock.now())

    def apply_all(self, changes: Sequence[Change], now: datetime) -> list[Change]:
        """Apply within the caller's transaction; returns what did not match."""
        if len({change.order.id for change in changes}) < len(changes):
            raise InvariantBroken("two changes of one order in one statement")
        patches = {change.order.id: checked_patch(change.patch) for change in changes}
        unmatched = []
        for change in changes:
            stored = self.tables.orders.get(change.order.id)
            if stored is None or not _matches(stored, change):
                unmatched.append(change)
                continue
            patch = patches[stored.id]
            moved = replace(
                stored,
                status=change.to,
                due_at=change.due_at,
                epoch=stored.epoch + 1,
                **patch,
            )
            self.tables.orders[moved.id] = moved
            self.follow(stored, moved, now)
            self.write_bookings(moved.tenant_id, moved.id, change.bookings)
            self.tell(moved.id, change.events, now)
            if change.gives_back_limit:
                self._give_back(moved)
        self.check_guards()
        self._check_unique()
        return unmatched

    def save_case(self, case: Case, now: datetime) -> None:
        """Store the case, and move its order if it is decided.

        Raises :class:`~settlement.errors.CaseDecided` when the order has left the review.
        """
        with self.transaction():
            change = order_change(case, self.tables.orders[case.order_id], now)
            self.keep_case(case)
            if change is not None and self.apply_all([change], now):
                raise CaseDecided("the order has left the review or the hold")

    def _give_back(self, order: Order) -> None:
        day = order.created_at.astimezone(UTC).date()
        key = (order.tenant_id, order.customer, order.gross.asset.code, day)
        if key in self.tables.used:
            used = self.tables.used[key] - order.gross.amount_minor
            if used < 0:
                raise InvariantBroken(f"{order.id} gives back what was never taken")
            self.tables.used[key] = used

    def _check_unique(self) -> None:
        """What the partial unique indexes say."""
        for name in ("payment_intent_id", "refund_id"):
            values = [getattr(order, name) for order in self.tables.orders.values()]
            given = [value for value in values if value is not None]
            if len(set(given)) < len(given):
                raise InvariantBroken(f"two orders with one {name}")

    async def get(self, order_id: OrderId) -> Order | None:
        return self.tables.orders.get(order_id)

    async def find(
        self, *, order_id: OrderId | None = None, intent_id: str | None = None
    ) -> Order | None:
        orders = self.tables.orders
        if intent_id is not None:
            for order in orders.values():
                if order.payment_intent_id == intent_id:
                    return order
        return None if order_id is None else orders.get(order_id)

    async def nudge(self, order_ids: Collection[OrderId], now: datetime) -> None:
        for order_id in order_ids:
            order = self.tables.orders.get(order_id)
            if order is not None and order.status not in FINAL and order.due_at > now:
                self.tables.orders[order_id] = replace(order, due_at=now)

    async def payouts(self, batch_id: int) -> list[Payout]:
        return [payout_of(order) for order in await self.in_batch(batch_id)]

    async def in_batch(self, batch_id: int) -> list[Order]:
        members = [order for order in self.tables.orders.values() if order.batch_id == batch_id]
        return sorted(members, key=lambda order: order.batch_index or 0)

    async def unfinished(self, network: str, statuses: Collection[Status]) -> list[Order]:
        orders = sorted(self.tables.orders.values(), key=lambda order: order.id)
        return [o for o in orders if o.network == network and o.status in statuses]

    async def save_screening(self, subject: Subject, verdict: Verdict, now: datetime) -> str:  # noqa: ARG002
        screening_id = new_id("scr")
        self.tables.screenings[screening_id] = (subject, verdict)
        return screening_id

    async def events(self, order_id: OrderId, after_id: int = 0) -> list[StoredEvent]:
        return [e for e in self.tables.events if e.order_id == order_id and e.id > after_id]

    def used_on(self, tenant_id: TenantId, customer: str, currency: str, now: datetime) -> int:
        """What the customer's orders have taken of the UTC day of ``now``, in minor units."""
        day = now.astimezone(UTC).date()
        return self.tables.used.get((tenant_id, customer, currency, day), 0)


def _matches(stored: Order, change: Change) -> bool:
    """What the guarded UPDATE says in its WHERE."""
    if stored.status is not change.order.status:
        return False
    if change.epoch is not None and stored.epoch != change.epoch:
        return False
    return change.patch.get("batch_id") is None or stored.batch_id is None
