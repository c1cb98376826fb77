"""One real PostgreSQL server for the whole session, one fresh database per test module."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from bridge.storage import migrate, postgres
from bridge.storage.store import PostgresStore
from bridge.storage.tables import metadata

_numbers = itertools.count(1)
_TEMPLATE = "tidegate_template"


async def execute(dsn: str, *statements: str) -> None:
    """Run statements on a connection of their own."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    """``DATABASE_URL``'s server, or our own without fsync (its data may be lost)."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    url = os.environ.get("DATABASE_URL")
    server = postgres.use_or_start(url, folder) if url else postgres.start(folder, fsync=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def database_template(postgres_server: postgres.Server) -> str:
    """A migrated database that the others are copied from: a copy takes milliseconds."""
    recreate = (f"DROP DATABASE IF EXISTS {_TEMPLATE}", f"CREATE DATABASE {_TEMPLATE}")
    asyncio.run(execute(postgres_server.dsn, *recreate))
    migrate.upgrade(postgres_server.dsn_for(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="module")
async def database_dsn(
    postgres_server: postgres.Server, database_template: str
) -> AsyncIterator[str]:
    """A migrated, empty database of the module's own."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    copy = f"CREATE DATABASE {name} TEMPLATE {database_template} STRATEGY FILE_COPY"
    await execute(postgres_server.dsn, copy)
    yield postgres_server.dsn_for(name)
    await execute(postgres_server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
async def module_store(database_dsn: str) -> AsyncIterator[PostgresStore]:
    """The store on the module's database; rows of earlier tests may be there."""
    store = await PostgresStore.connect(database_dsn, min_size=1, max_size=16)
    yield store
    await store.close()


@pytest.fixture
async def postgres_store(module_store: PostgresStore) -> PostgresStore:
    """The store on an empty database."""
    await empty(module_store)
    return module_store


async def empty(store: PostgresStore) -> None:
    """Remove all rows; sequences go on. Truncates only what has rows: it is slow per table."""
    used = " UNION ALL ".join(
        f"(SELECT '{table}' AS name FROM {table} LIMIT 1)" for table in metadata.tables
    )
    rows = await store.pool.fetch(used)
    if rows:
        names = ", ".join(row["name"] for row in rows)
        # Past the triggers, which rightly refuse to forget the audit log.
        await store.pool.execute(
            f"BEGIN; SET LOCAL session_replication_role = replica; TRUNCATE {names} CASCADE; COMMIT"
        )
