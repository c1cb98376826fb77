"""The schema is written twice, as tables and as SQL: both must say the same."""

import asyncio
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from bridge.storage import migrate, postgres
from bridge.storage.migrate import engine_url
from bridge.storage.tables import metadata
from tests.support.postgres import execute

# Columns, constraints and indexes as PostgreSQL itself spells them.
CATALOGUE = """
    SELECT 'column' AS kind, table_name || '.' || column_name AS name,
           concat_ws(' ', data_type, numeric_precision, is_nullable,
                     replace(column_default, '::text', '')) AS definition
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    UNION ALL
    SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT 'options', relname, reloptions::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
    UNION ALL
    SELECT 'sequence', relname, '' FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
"""


async def catalogue(dsn: str) -> set[tuple[str, str, str]]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(CATALOGUE)
    finally:
        await connection.close()
    return {tuple(row) for row in rows if "alembic" not in row["name"]}


@pytest.fixture
async def fresh_dsn(postgres_server: postgres.Server, request: pytest.FixtureRequest) -> Any:
    """An empty database of the test's own."""
    name = "fresh_" + request.node.name[:40]
    await execute(postgres_server.dsn, f"CREATE DATABASE {name}")
    yield postgres_server.dsn_for(name)
    await execute(postgres_server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


async def test_alembic_finds_no_difference_between_tables_and_migrations(
    database_dsn: str,
) -> None:
    """What autogenerate would write is nothing."""
    engine = create_async_engine(engine_url(database_dsn))
    async with engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(sync, opts={"compare_type": True}), metadata
            )
        )
    await engine.dispose()
    assert found == []


async def test_tables_and_migrations_make_the_same_catalogue(
    database_dsn: str, fresh_dsn: str
) -> None:
    """CHECKs, partial indexes, defaults and fill factors too, which Alembic does not compare."""
    engine = create_async_engine(engine_url(fresh_dsn))
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    migrated, created = await catalogue(database_dsn), await catalogue(fresh_dsn)
    assert migrated - created == set()
    assert created - migrated == set()


async def test_up_down_up_ends_where_up_ended(fresh_dsn: str) -> None:
    """And down leaves nothing of ours."""
    await asyncio.to_thread(migrate.upgrade, fresh_dsn)
    first = await catalogue(fresh_dsn)
    await asyncio.to_thread(migrate.downgrade, fresh_dsn)
    assert await catalogue(fresh_dsn) == set()
    await asyncio.to_thread(migrate.upgrade, fresh_dsn)
    assert await catalogue(fresh_dsn) == first


# A lane, and a transfer that it made; an action that waits for its card payment. Without the rows
# that they refer to, which tell a migration nothing.
SINGLE = """
    SET session_replication_role = replica;
    INSERT INTO batches (id, network, instance, asset, asset_scale, lane_id, nonce, status, root,
                         order_count, planned_at, kind, value)
    VALUES (1, 'local', 1, 'ETH', 18, 1, 0, 'final', '0x', 1, now(), 'single', 9)
"""
HELD = """
    SET session_replication_role = replica;
    INSERT INTO escrow_actions (escrow_id, sequence, kind, content, digest, requested_at,
                                changed_at, status, hold, reason)
    VALUES ('esc_1', 1, 'release', '{}', '', now(), now(), 'held', 'disputed', 'payment_disputed')
"""


async def test_down_does_not_forget_what_keeps_money(fresh_dsn: str) -> None:
    """What was sent singly would be taken for unpaid, so there is no way back behind it; an action
    whose payment is disputed goes on waiting, for a person."""
    await asyncio.to_thread(migrate.upgrade, fresh_dsn)
    await execute(fresh_dsn, SINGLE)
    await execute(fresh_dsn, HELD)
    await asyncio.to_thread(migrate.downgrade, fresh_dsn, "0013")
    connection = await asyncpg.connect(fresh_dsn)
    held = await connection.fetchrow("SELECT status, hold, reason FROM escrow_actions")
    await connection.close()
    assert tuple(held) == ("held", "review", "payment_disputed")
    with pytest.raises(DBAPIError, match="sent singly"):
        await asyncio.to_thread(migrate.downgrade, fresh_dsn, "0006")


# A paid order of a time when a list's hold opened no case.
LISTED = """
    SET session_replication_role = replica;
    INSERT INTO orders (id, tenant_id, quote_id, customer, wallet, network, fiat, fiat_scale,
                        gross_minor, token, token_scale, token_minor, lines, client_secret,
                        created_at, expires_at, due_at, status, hold_reason)
    VALUES ('ord_1', 'ten_1', 'quo_1', 'customer-1', '0xa', 'local', 'USD', 2, 10000, 'DUSD', 6, 9,
            '[]', 'secret', now(), now(), now(), 'captured', 'sanctions')
"""


async def test_a_case_that_a_migration_opens_is_in_the_audit_trail(fresh_dsn: str) -> None:
    """Like any other, in the seal of its tenant."""
    await asyncio.to_thread(migrate.upgrade, fresh_dsn, "0016")
    await execute(fresh_dsn, LISTED)
    await asyncio.to_thread(migrate.upgrade, fresh_dsn)
    connection = await asyncpg.connect(fresh_dsn)
    [case] = await connection.fetch("SELECT id, tenant_id FROM cases")
    rows = await connection.fetch("SELECT object_id, tenant_id, action, place, data FROM audit_log")
    await connection.close()
    data = '{"held": "sanctions", "order_id": "ord_1"}'
    assert [tuple(row) for row in rows] == [(*case, "case.opened", 1, data)]


async def test_two_processes_may_migrate_at_once(fresh_dsn: str) -> None:
    """One works, the other waits and finds nothing to do."""
    both = (asyncio.to_thread(migrate.upgrade, fresh_dsn) for _ in range(2))
    assert await asyncio.gather(*both) == [None, None]
    assert ("sequence", "batch_ids", "") in await catalogue(fresh_dsn)
