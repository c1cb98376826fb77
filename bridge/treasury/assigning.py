"""Handing what the platform has in the vaults to a tenant: money that changes books, and no chain.

Each order of native coin that a lane paid leaves its coins in the vault as the platform's
(``advanced``). A tenant can have them instead of new inventory.
"""

from datetime import datetime
from typing import Any

import asyncpg

from bridge.storage.database import broken_guard
from bridge.storage.ledger import available_on, book_on
from settlement.ids import TenantId, new_id
from settlement.ledger import journal
from settlement.ledger.accounts import PLATFORM, Account
from settlement.money import Asset, Money


async def assign_on(
    connection: Any, asset: Asset, tenant_id: TenantId, now: datetime
) -> Money | None:
    """All that the platform has of ``asset`` becomes inventory of the tenant, within the caller's
    transaction; ``None`` when it has nothing.

    Raises :class:`~settlement.errors.InsufficientInventory` when somebody else did it meanwhile.
    """
    platform = (PLATFORM, asset)
    amount = Money((await available_on(connection, [platform]))[platform], asset)
    if amount.amount_minor == 0:
        return None
    key = new_id("asg")
    given = journal.treasury_returned(amount)
    taken = journal.treasury_funded(amount, Account.VAULT)
    try:
        await book_on(connection, PLATFORM, key, (given,), now)
        await book_on(connection, tenant_id, key, (taken,), now)
    except asyncpg.CheckViolationError as error:
        raise broken_guard(error) from error
    return amount
