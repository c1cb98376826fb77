"""One real PostgreSQL server and one migrated database for the session, emptied between tests.

A new database for each would cost every test half a second of processor time.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from bridge.storage import migrate, postgres
from bridge.storage.store import PostgresStore
from bridge.storage.tables import metadata

# Deleted rather than truncated, which makes new files for every table; and past the triggers, which
# rightly refuse to forget the audit log.
EMPTY = (
    "BEGIN; SET LOCAL session_replication_role = replica; "
    + "".join(f"DELETE FROM {table}; " for table in metadata.tables)
    + "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence; COMMIT"
)


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
def migrated_dsn(postgres_server: postgres.Server) -> Iterator[str]:
    """The one migrated database; rows of earlier tests may be there."""
    name = f"test_{os.getpid()}"
    asyncio.run(execute(postgres_server.dsn, f"CREATE DATABASE {name}"))
    migrate.upgrade(postgres_server.dsn_for(name))
    yield postgres_server.dsn_for(name)
    asyncio.run(execute(postgres_server.dsn, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module")
async def database_dsn(migrated_dsn: str) -> str:
    """A migrated database, empty when the module begins."""
    await execute(migrated_dsn, EMPTY)
    return migrated_dsn


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
    """Remove all rows; sequences begin anew."""
    await store.pool.execute(EMPTY)
