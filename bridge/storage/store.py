"""The store on PostgreSQL: one class, composed of one small part per topic."""

from datetime import datetime
from typing import Any

from bridge.storage.accepting import AcceptingPart
from bridge.storage.batches import BatchPart
from bridge.storage.calls import CallPart
from bridge.storage.database import open_pool
from bridge.storage.escrows import EscrowPart
from bridge.storage.inbox import InboxPart
from bridge.storage.lanes import LanePart
from bridge.storage.ledger import LedgerPart
from bridge.storage.networks import NetworkPart
from bridge.storage.orders import OrderPart
from settlement.ports.accepting import AcceptingStore
from settlement.ports.clock import Clock, SystemClock
from settlement.ports.escrow_store import AttestingStore
from settlement.ports.store import Store


class PostgresStore(
    AcceptingPart,
    OrderPart,
    BatchPart,
    LanePart,
    CallPart,
    EscrowPart,
    InboxPart,
    NetworkPart,
    LedgerPart,
):
    """Implements ``settlement.ports.store.Store`` and ``settlement.ports.accepting``.

    ``clock`` dates what a port's call carries no time for (entries and events of a change).
    """

    def __init__(self, pool: Any, clock: Clock | None = None) -> None:
        self.pool = pool
        self._clock = clock or SystemClock()

    @classmethod
    async def connect(
        cls, dsn: str, min_size: int = 1, max_size: int = 16, clock: Clock | None = None
    ) -> "PostgresStore":
        """Open a pool on a migrated database."""
        return cls(await open_pool(dsn, min_size, max_size), clock)

    async def close(self) -> None:
        """Wait for running statements, then close the pool."""
        await self.pool.close()

    def now(self) -> datetime:
        return self._clock.now()


def _conforms(store: PostgresStore) -> tuple[Store, AcceptingStore, AttestingStore]:
    """Never called: the type checker compares the store with its ports here."""
    return store, store, store
