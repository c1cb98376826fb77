"""The store on PostgreSQL: one class, composed of one small part per topic."""

from typing import Any


class PostgresStore:
    """Implements ``settlement.ports.store.Store`` and ``settlement.ports.accepting``."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    @classmethod
    async def connect(cls, dsn: str, min_size: int = 1, max_size: int = 16) -> "PostgresStore":
        """Open a pool on a migrated database."""
        raise NotImplementedError

    async def close(self) -> None:
        """Wait for running statements, then close the pool."""
        raise NotImplementedError
