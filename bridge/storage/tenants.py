"""Tenants and their keys. A key is looked up by its digest; the key itself is never stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.storage.records import ApiKey, KeyKind, Login, Role, Tenant
from settlement.errors import InvalidInput
from settlement.ids import TenantId, new_id
from settlement.limits import Limits

_LIMITS = """
    COALESCE((
        SELECT jsonb_object_agg(l.currency, jsonb_build_array(
            l.order_min_minor, l.order_max_minor, l.customer_day_max_minor))
        FROM tenant_limits l WHERE l.tenant_id = t.id), '{}') AS limits
"""
_TENANTS = f"SELECT t.*, {_LIMITS} FROM tenants t"
_TENANT = f"{_TENANTS} WHERE t.id = $1"
_CREATE_TENANT = "INSERT INTO tenants (id, name, livemode, created_at) VALUES ($1, $2, $3, $4)"
_SET_LIMITS = """
    INSERT INTO tenant_limits
        (tenant_id, currency, order_min_minor, order_max_minor, customer_day_max_minor)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant_id, currency) DO UPDATE SET
        order_min_minor = EXCLUDED.order_min_minor,
        order_max_minor = EXCLUDED.order_max_minor,
        customer_day_max_minor = EXCLUDED.customer_day_max_minor
"""
_LOGIN = f"""
    SELECT k.*, t.name, t.livemode, t.created_at AS tenant_created_at, {_LIMITS}
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
    WHERE k.hash = $1 AND k.revoked_at IS NULL
"""
_ORIGIN_LISTED = """
    SELECT EXISTS (
        SELECT FROM api_keys
        WHERE kind = 'publishable' AND revoked_at IS NULL AND allowed_origins ? $1
    )
"""
_CREATE_KEY = """
    INSERT INTO api_keys (id, tenant_id, hash, prefix, last4, kind, role, allowed_origins,
                          return_urls, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_KEYS = "SELECT * FROM api_keys WHERE tenant_id = $1 ORDER BY id DESC"
_REVOKE = """
    UPDATE api_keys SET revoked_at = $3
    WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL
    RETURNING id
"""


class TenantQueries:
    pool: Any

    async def create_tenant(
        self,
        name: str,
        *,
        livemode: bool,
        limits: Mapping[str, Limits],
        now: datetime,
        tenant_id: TenantId | None = None,
    ) -> Tenant:
        """Store a tenant and its bounds per currency code."""
        tenant = Tenant(tenant_id or new_id("ten"), name, livemode, now, dict(limits))
        async with self.pool.acquire() as connection, connection.transaction():
            await create_tenant_on(connection, tenant)
        return tenant

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        row = await self.pool.fetchrow(_TENANT, tenant_id)
        return None if row is None else _tenant_from(row)

    async def tenants(self) -> list[Tenant]:
        return [_tenant_from(row) for row in await self.pool.fetch(f"{_TENANTS} ORDER BY t.id")]

    async def set_limits(self, tenant_id: TenantId, currency: str, limits: Limits) -> None:
        """Replace the bounds of one currency; orders accepted before keep theirs."""
        await self.pool.execute(_SET_LIMITS, tenant_id, currency, *_bounds(limits))

    async def login(self, key_hash: bytes) -> Login | None:
        """The unrevoked key with this SHA-256 digest, its tenant and the tenant's limits."""
        row = await self.pool.fetchrow(_LOGIN, key_hash)
        if row is None:
            return None
        created_at = row["tenant_created_at"]
        who = (row["tenant_id"], row["name"], row["livemode"], created_at)
        return Login(_key_from(row), Tenant(*who, _limits(row)))

    async def origin_listed(self, origin: str) -> bool:
        """Whether any unrevoked publishable key has ``origin`` among its allowed origins."""
        return bool(await self.pool.fetchval(_ORIGIN_LISTED, origin))

    async def create_key(
        self,
        tenant_id: TenantId,
        *,
        key_hash: bytes,
        prefix: str,
        last4: str,
        kind: KeyKind,
        role: Role,
        now: datetime,
        allowed_origins: Sequence[str] = (),
        return_urls: Sequence[str] = (),
    ) -> ApiKey:
        """Store a key by its SHA-256 digest; see :func:`create_key_on`."""
        key = ApiKey(
            id=new_id("key"),
            tenant_id=tenant_id,
            kind=kind,
            role=role,
            prefix=prefix,
            last4=last4,
            allowed_origins=tuple(allowed_origins),
            return_urls=tuple(return_urls),
            created_at=now,
            revoked_at=None,
        )
        await create_key_on(self.pool, key, key_hash)
        return key

    async def keys(self, tenant_id: TenantId) -> list[ApiKey]:
        """All keys of the tenant, revoked ones too, newest first."""
        return [_key_from(row) for row in await self.pool.fetch(_KEYS, tenant_id)]

    async def revoke_key(self, tenant_id: TenantId, key_id: str, now: datetime) -> bool:
        """``False``: no such key of this tenant, or revoked before."""
        return await revoke_key_on(self.pool, tenant_id, key_id, now)


async def create_tenant_on(connection: Any, tenant: Tenant) -> None:
    """Store a tenant and its bounds within the caller's transaction."""
    what = (tenant.id, tenant.name, tenant.livemode, tenant.created_at)
    await connection.execute(_CREATE_TENANT, *what)
    for currency, bounds in tenant.limits.items():
        await connection.execute(_SET_LIMITS, tenant.id, currency, *_bounds(bounds))


async def create_key_on(connection: Any, key: ApiKey, key_hash: bytes) -> None:
    """Store a key by its SHA-256 digest (32 bytes), within the caller's transaction.

    Raises :class:`~settlement.errors.InvalidInput` for anything but a digest: a key passed
    in its place must not reach the disk.
    """
    if len(key_hash) != 32:
        raise InvalidInput("a key is stored by its SHA-256 digest", param="key_hash")
    shown = (key.prefix, key.last4, key.kind.value, key.role.value)
    allowed = (list(key.allowed_origins), list(key.return_urls))
    who = (key.id, key.tenant_id, key_hash)
    await connection.execute(_CREATE_KEY, *who, *shown, *allowed, key.created_at)


async def revoke_key_on(connection: Any, tenant_id: TenantId, key_id: str, now: datetime) -> bool:
    """Within the caller's transaction; ``False``: no such key of this tenant, or revoked before."""
    return await connection.fetchval(_REVOKE, tenant_id, key_id, now) is not None


def _bounds(limits: Limits) -> tuple[int, int, int]:
    return limits.order_min_minor, limits.order_max_minor, limits.customer_day_max_minor


def _tenant_from(row: Any) -> Tenant:
    return Tenant(row["id"], row["name"], row["livemode"], row["created_at"], _limits(row))


def _limits(row: Any) -> dict[str, Limits]:
    return {currency: Limits(*bounds) for currency, bounds in row["limits"].items()}


def _key_from(row: Any) -> ApiKey:
    return ApiKey(
        id=row["id"],
        tenant_id=row["tenant_id"],
        kind=KeyKind(row["kind"]),
        role=Role(row["role"]),
        prefix=row["prefix"],
        last4=row["last4"],
        allowed_origins=tuple(row["allowed_origins"]),
        return_urls=tuple(row["return_urls"]),
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )
