"""What whoever has the host's console does to tenants, keys, dead letters and the treasury's books.

Each deed is one transaction with its line in the audit trail, as an operator's are
(:mod:`bridge.operating`). What happens on a chain cannot be: its intent is written down before, its
result after (:mod:`bridge.treasury.books`, and a rebuilding here).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bridge.api.auth import key_digest
from bridge.operating import Actor, Doing
from bridge.storage.actions import Deed
from bridge.storage.ledger import book_once_on
from bridge.storage.operations import replay_inbox_on
from bridge.storage.records import ApiKey, KeyKind, Role, Tenant
from bridge.storage.tenants import create_key_on, create_tenant_on, revoke_key_on
from bridge.treasury.assigning import assign_on
from bridge.treasury.holdings import Adoption
from settlement.errors import NotFound
from settlement.ids import TenantId, new_id
from settlement.limits import Limits
from settlement.money import Asset, Money


def create_tenant(
    actor: Actor,
    name: str,
    *,
    livemode: bool,
    limits: Mapping[str, Limits],
    now: datetime,
    tenant_id: TenantId | None = None,
) -> Doing:
    """Store a tenant with its bounds per currency code; the deed's object is its id."""
    tenant = Tenant(tenant_id or new_id("ten"), name, livemode, now, dict(limits))

    async def work(connection: Any) -> bool:
        await create_tenant_on(connection, tenant)
        return True

    return Doing(Deed(actor.id, "tenant.created", tenant.id, tenant.id), work)


def create_key(
    actor: Actor,
    tenant_id: TenantId,
    token: str,
    *,
    kind: KeyKind,
    role: Role,
    now: datetime,
    allowed_origins: Sequence[str] = (),
    return_urls: Sequence[str] = (),
) -> Doing:
    """Let ``token`` in. Only its digest is stored, and its two ends, by which people know it."""
    allowed = (tuple(allowed_origins), tuple(return_urls))
    ends = (token[:11], token[-4:])
    key = ApiKey(new_id("key"), tenant_id, kind, role, *ends, *allowed, now, None)

    async def work(connection: Any) -> bool:
        await create_key_on(connection, key, key_digest(token))
        return True

    return Doing(Deed(actor.id, "key.created", key.id, key.tenant_id), work)


def revoke_key(actor: Actor, tenant_id: TenantId, key_id: str, now: datetime) -> Doing:
    """Refuse it from now on. The work raises ``NotFound`` for one that is not in use."""

    async def work(connection: Any) -> bool:
        if not await revoke_key_on(connection, tenant_id, key_id, now):
            raise NotFound(f"{tenant_id} has no such key, or it was revoked before")
        return True

    return Doing(Deed(actor.id, "key.revoked", key_id, tenant_id), work)


def replay_inbox(actor: Actor, event_ids: Sequence[str] | None, now: datetime) -> Doing:
    """Give dead events (``None``: all) another full set of attempts; ``count`` in the deed's data
    says how many. The work raises ``NotFound`` when events were named and none of them was dead."""
    deed = Deed(actor.id, "inbox.replayed", "inbox")
    named = "all" if event_ids is None else ", ".join(event_ids)

    async def work(connection: Any) -> Deed | None:
        count = await replay_inbox_on(connection, event_ids, now)
        if count == 0 and event_ids is not None:
            raise NotFound("none of these events was given up; see `tidegate inbox list`")
        return replace(deed, data={"count": count, "events": named}) if count else None

    return Doing(deed, work)


def assign_advances(actor: Actor, asset: Asset, tenant_id: TenantId, now: datetime) -> Doing:
    """Hand what the platform has of ``asset`` in the vault to a tenant; ``amount_minor`` in the
    deed's data says how much."""
    deed = Deed(actor.id, "treasury.assigned", tenant_id)

    async def work(connection: Any) -> Deed | None:
        given = await assign_on(connection, asset, tenant_id, now)
        return None if given is None else replace(deed, data=facts_of(given))

    return Doing(deed, work)


def adopt(actor: Actor, adoption: Adoption, now: datetime) -> Doing:
    """Book what the chain holds beyond the ledger, once."""
    deed = Deed(actor.id, "treasury.adopted", adoption.tenant_id, None, facts_of(adoption.amount))

    async def work(connection: Any) -> bool:
        owner, key = adoption.tenant_id, adoption.key
        return await book_once_on(connection, owner, key, adoption.booking, now)

    return Doing(deed, work)


def begin_rebuild(actor: Actor, network: str) -> Doing:
    """The intent, written down before the chain is touched."""
    return Doing(Deed(actor.id, "settlement.rebuild", network), _nothing_else)


def end_rebuild(actor: Actor, network: str, found: Mapping[str, int]) -> Doing:
    """What came of it; each of its steps was a transaction of its own."""
    return Doing(Deed(actor.id, "settlement.rebuilt", network, None, dict(found)), _nothing_else)


async def _nothing_else(_connection: Any) -> bool:
    return True


def facts_of(amount: Money) -> dict[str, str | int | None]:
    """How the trail writes an amount."""
    return {"amount_minor": str(amount.amount_minor), "asset": amount.asset.id}
