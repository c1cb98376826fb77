"""Handing what the platform has in the vaults to a tenant: money that changes books, and no chain.

Each order of native coin that a lane paid leaves its coins in the vault as the platform's
(``advanced``). A tenant can have them instead of new inventory.
"""

from datetime import datetime

import asyncpg

from bridge.storage.database import broken_guard
from bridge.storage.ledger import book_on
from bridge.storage.store import PostgresStore
from settlement.ids import TenantId, new_id
from settlement.ledger import journal
from settlement.ledger.accounts import PLATFORM, Account
from settlement.money import Asset, Money


async def assign(
    store: PostgresStore, asset: Asset, tenant_id: TenantId, now: datetime
) -> Money | None:
    """All that the platform has of ``asset`` becomes inventory of the tenant, in one transaction;
    ``None`` when it has nothing.

    Raises :class:`~settlement.errors.InsufficientInventory` when somebody else did it meanwhile.
    """
    platform = (PLATFORM, asset)
    amount = Money((await store.available([platform]))[platform], asset)
    if amount.amount_minor == 0:
        return None
    key = new_id("asg")
    given = journal.treasury_returned(amount)
    taken = journal.treasury_funded(amount, Account.VAULT)
    try:
        async with store.pool.acquire() as connection, connection.transaction():
            await book_on(connection, PLATFORM, key, (given,), now)
            await book_on(connection, tenant_id, key, (taken,), now)
    except asyncpg.CheckViolationError as error:
        raise broken_guard(error) from error
    return amount
