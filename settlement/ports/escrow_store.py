"""Escrows as rows: attest, claim, change. The rules are those of :mod:`settlement.ports.store`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from settlement.escrow import Action, CallOutcome, Escrow, EscrowChange, EscrowId, EscrowStatus
from settlement.ids import OrderId, TenantId
from settlement.ports.accepting import Attest, Idempotency
from settlement.ports.screening import Reason


@dataclass(frozen=True, slots=True)
class Note:
    """An escrow whose payment intent does not say yet how it stands."""

    escrow: Escrow
    order_id: OrderId
    intent_id: str


class EscrowStore(Protocol):
    async def claim_escrows(self, now: datetime, *, limit: int, lease_ms: int) -> list[Escrow]:
        """Take due escrows, with their actions: ``epoch + 1``, due after the lease.

        These are funded and disputed ones, and those awaiting funding whose order has ended.
        """
        ...

    async def apply_escrow(self, change: EscrowChange) -> bool:
        """Apply all of it in one transaction, call included; ``False``: the guard does not match.

        The events go to the order's history, the bookings to the tenant's books under the
        escrow's id.
        """
        ...

    async def escrows_in(self, network: str, statuses: Collection[EscrowStatus]) -> list[Escrow]:
        """Every escrow of ``network`` in one of ``statuses`` (for repairs)."""
        ...

    async def approved_reasons(self, order_id: OrderId) -> Sequence[Reason]:
        """What officers approved the order in spite of: the reasons of the review that its approved
        case is about; empty without one."""
        ...

    async def call_outcome(self, call_id: str) -> CallOutcome | None:
        """How the call stands; ``None``: it was never requested."""
        ...

    async def withdraw_call(self, call_id: str, reason: str, now: datetime) -> None:
        """Take the call back, unless a lane has planned it."""
        ...

    async def batch_outcome(self, batch_id: int) -> CallOutcome | None:
        """The same of a batch that pays orders."""
        ...

    async def claim_notes(self, now: datetime, *, limit: int, lease_ms: int) -> list[Note]:
        """Take escrows of which something is to be told; the next try is after the lease."""
        ...

    async def noted(self, escrow_id: EscrowId, version: int) -> None:
        """The payment intent says how the escrow stood at ``version``."""
        ...


class AttestingStore(Protocol):
    async def attest(
        self,
        tenant_id: TenantId,
        escrow_id: EscrowId,
        attest: Attest,
        idempotency: Idempotency,
        now: datetime,
    ) -> Action:
        """Take up what was signed, once per key; for a replay the action as it was taken up.

        ``attest`` judges the escrow under its row's lock and raises what a client may be told.
        Raises also :class:`~settlement.errors.NotFound` and
        :class:`~settlement.errors.IdempotencyMismatch`.
        """
        ...
