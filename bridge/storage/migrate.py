"""Bring a database to the newest schema; safe to call from several processes at once.

An advisory lock, held by the connection that migrates, lets one process work while the others
wait and then find nothing left to do.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_FOLDER = Path(__file__).with_name("migrations")
_LOCK = 7_310_384_601  # any number that nobody else in this database uses


def upgrade(dsn: str, revision: str = "head") -> None:
    """Apply what is missing, under the lock.

    Synchronous: call it before a loop runs, or through ``asyncio.to_thread``.
    """
    asyncio.run(_under_lock(dsn, lambda config: command.upgrade(config, revision)))


def downgrade(dsn: str, revision: str = "base") -> None:
    """Take migrations back (for tests and emergencies): their tables go with their data."""
    asyncio.run(_under_lock(dsn, lambda config: command.downgrade(config, revision)))


def engine_url(dsn: str) -> str:
    """The DSN as SQLAlchemy spells it for asyncpg."""
    _, separator, rest = dsn.partition("://")
    return f"postgresql+asyncpg{separator}{rest}"


async def _under_lock(dsn: str, work: Callable[[Config], None]) -> None:
    engine = create_async_engine(engine_url(dsn), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            # Of the transaction, so that it is gone whatever happens to us.
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            await connection.run_sync(_run, work)
            await connection.commit()
    finally:
        await engine.dispose()


def _run(connection: Connection, work: Callable[[Config], None]) -> None:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    work(config)
