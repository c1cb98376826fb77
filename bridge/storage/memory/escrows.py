"""Escrows in memory."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from bridge.storage.accepting import check_fingerprint
from bridge.storage.escrow_codec import as_requested, checked
from bridge.storage.memory.batches import BatchPart
from bridge.storage.memory.state import CallRow, KeyRow, after_ms
from settlement.errors import InvariantBroken, NotFound
from settlement.escrow import (
    ENDED,
    Action,
    ActionStatus,
    CallOutcome,
    Escrow,
    EscrowChange,
    EscrowId,
    EscrowStatus,
)
from settlement.ids import TenantId
from settlement.order import FINAL
from settlement.ports.accepting import Attest, Idempotency
from settlement.ports.escrow_store import Note


class EscrowPart(BatchPart):
    """Implements :mod:`settlement.ports.escrow_store`."""

    async def claim_escrows(self, now: datetime, *, limit: int, lease_ms: int) -> list[Escrow]:
        rows = self.tables.escrows.values()
        due = [row for row in rows if row.escrow.due_at <= now and self._is_alive(row.escrow)]
        due.sort(key=lambda row: (row.escrow.due_at, row.escrow.id))
        taken = []
        for row in due[:limit]:
            until = after_ms(now, lease_ms)
            escrow = replace(row.escrow, epoch=row.escrow.epoch + 1, due_at=until)
            self.tables.escrows[escrow.id] = replace(row, escrow=escrow)
            taken.append(escrow)
        return taken

    def _is_alive(self, escrow: Escrow) -> bool:
        if escrow.status is EscrowStatus.AWAITING_FUNDING:
            return self.tables.orders[escrow.terms.order_id].status in FINAL
        return escrow.status not in ENDED

    async def apply_escrow(self, change: EscrowChange) -> bool:
        with self.transaction():
            return self._apply_escrow(change, self._clock.now())

    def _apply_escrow(self, change: EscrowChange, now: datetime) -> bool:
        patch, was = checked(change), change.escrow
        row = self.tables.escrows[was.id]
        stored = row.escrow
        if (stored.status, stored.epoch) != (was.status, was.epoch):
            return False
        actions = {action.sequence: action for action in stored.actions}
        actions |= {action.sequence: action for action in change.actions}
        escrow = replace(
            stored,
            status=change.to,
            due_at=change.due_at,
            epoch=stored.epoch + 1,
            actions=tuple(actions[number] for number in sorted(actions)),
            **patch,
        )
        _check(escrow)
        note_due_at = now if "version" in patch else row.note_due_at
        self.tables.escrows[escrow.id] = replace(row, escrow=escrow, note_due_at=note_due_at)
        self.tell(escrow.terms.order_id, change.events, now)
        self.write_bookings(escrow.tenant_id, escrow.id, change.bookings)
        self.check_guards()
        if change.call is not None:
            if change.call.id in self.tables.calls:
                raise InvariantBroken(f"call {change.call.id} was requested before")
            self.tables.calls[change.call.id] = CallRow(change.call, now)
        return True

    async def escrows_in(self, network: str, statuses: Collection[EscrowStatus]) -> list[Escrow]:
        escrows = [row.escrow for row in self.tables.escrows.values()]
        found = [e for e in escrows if e.network == network and e.status in statuses]
        return sorted(found, key=lambda escrow: escrow.id)

    async def call_outcome(self, call_id: str) -> CallOutcome | None:
        row = self.tables.calls.get(call_id)
        if row is None:
            return None
        batch = None if row.batch_id is None else await self.batch_outcome(row.batch_id)
        return replace(batch or CallOutcome(None), refused_reason=row.refused_reason)

    async def withdraw_call(self, call_id: str, reason: str, now: datetime) -> None:
        row = self.tables.calls.get(call_id)
        if row is not None and row.waits:
            self.tables.calls[call_id] = replace(row, refused_at=now, refused_reason=reason)

    async def batch_outcome(self, batch_id: int) -> CallOutcome | None:
        batch = self.tables.batches.get(batch_id)
        if batch is None:
            return None
        return CallOutcome(batch.status, batch.mined_ref, batch.block_number)

    async def claim_notes(self, now: datetime, *, limit: int, lease_ms: int) -> list[Note]:
        rows = self.tables.escrows.values()
        due = [
            r for r in rows if r.told < r.escrow.version and r.note_due_at and r.note_due_at <= now
        ]
        notes = []
        for row in due[:limit]:
            order = self.tables.orders[row.escrow.terms.order_id]
            intent_id = order.payment_intent_id
            told = row.escrow.version if intent_id is None else row.told
            later = replace(row, note_due_at=after_ms(now, lease_ms), told=told)
            self.tables.escrows[row.escrow.id] = later
            if intent_id is not None:
                notes.append(Note(replace(row.escrow, actions=()), order.id, intent_id))
        return notes

    async def noted(self, escrow_id: EscrowId, version: int) -> None:
        row = self.tables.escrows[escrow_id]
        self.tables.escrows[escrow_id] = replace(row, told=max(row.told, version))

    async def attest(
        self,
        tenant_id: TenantId,
        escrow_id: EscrowId,
        attest: Attest,
        idempotency: Idempotency,
        now: datetime,
    ) -> Action:
        known = self.tables.keys.get((tenant_id, idempotency.key))
        if known is not None:
            check_fingerprint(known.fingerprint, idempotency)
            return self._action(known.resource_id)
        row = self.tables.escrows.get(escrow_id)
        if row is None or row.escrow.tenant_id != tenant_id:
            raise NotFound("no such escrow")
        with self.transaction() as tables:
            change = attest(row.escrow)
            if not self._apply_escrow(change, now):
                raise InvariantBroken(f"{escrow_id} changed although nobody else was there")
            [action] = change.actions
            kept = KeyRow(idempotency.fingerprint, action.id)
            tables.keys[tenant_id, idempotency.key] = kept
        return action

    def _action(self, action_id: str) -> Action:
        escrow_id, _, sequence = action_id.rpartition(":")
        actions = self.tables.escrows[escrow_id].escrow.actions
        return next(as_requested(a) for a in actions if a.sequence == int(sequence))


def _check(escrow: Escrow) -> None:
    """What the constraints say."""
    if not 0 <= escrow.paid_minor <= escrow.terms.amount_minor:
        raise InvariantBroken(f"{escrow.id} gives out more than it holds")
    counting = [a.digest for a in escrow.actions if a.status is not ActionStatus.FAILED]
    submitted = [a for a in escrow.actions if a.status is ActionStatus.SUBMITTED]
    if len(set(counting)) < len(counting) or len(submitted) > 1:
        raise InvariantBroken(f"{escrow.id} would do the same twice")
