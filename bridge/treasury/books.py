"""Funding in the ledger and the audit trail.

What moves on a chain cannot be one transaction with its line: the intent is written down before the
bytes leave, and the result once a block has decided, in the transaction that books it.
"""

from typing import Any

from bridge.administering import facts_of
from bridge.operating import Actor
from bridge.storage.actions import Deed
from bridge.storage.ledger import book_once_on
from bridge.storage.queries import Queries
from bridge.treasury.funding import Funding
from settlement.ports.clock import Clock


class AuditedBooks:
    """Implements :class:`~bridge.treasury.funding.FundingBooks` on PostgreSQL."""

    def __init__(self, pool: Any, clock: Clock, actor: Actor) -> None:
        self._queries = Queries(pool)
        self._clock = clock
        self._actor = actor

    async def asked(self, funding: Funding) -> None:
        await self._queries.perform(
            self._deed(funding, "treasury.fund_asked"), _nothing_else, self._clock.now()
        )

    async def funded(self, funding: Funding) -> None:
        now = self._clock.now()

        async def work(connection: Any) -> bool:
            owner, booking = funding.goal.tenant_id, funding.booking
            return await book_once_on(connection, owner, funding.key, booking, now)

        await self._queries.perform(self._deed(funding, "treasury.funded"), work, now)

    async def failed(self, funding: Funding, reason: str) -> None:
        deed = self._deed(funding, "treasury.fund_failed", reason=reason)
        await self._queries.perform(deed, _nothing_else, self._clock.now())

    def _deed(self, funding: Funding, action: str, **more: str) -> Deed:
        facts = {**facts_of(funding.goal.amount), "to": funding.goal.to, **more}
        return Deed(self._actor.id, action, funding.ref, None, facts)


async def _nothing_else(_connection: Any) -> bool:
    return True
