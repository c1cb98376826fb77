"""The in-memory store: inbox, and all parts together."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.storage.memory.accepting import AcceptingPart
from bridge.storage.memory.escrows import EscrowPart
from bridge.storage.memory.state import InboxRow, Part, after_ms
from settlement.ports.accepting import AcceptingStore
from settlement.ports.escrow_store import AttestingStore
from settlement.ports.payment import ProviderEvent
from settlement.ports.store import InboxItem, Store


class InboxPart(Part):
    """Implements :class:`settlement.ports.store.InboxStore`."""

    async def receive(self, events: Sequence[ProviderEvent], now: datetime) -> int:
        fresh = {event.id: event for event in events if event.id not in self.tables.inbox}
        self.tables.inbox.update({key: InboxRow(event, now) for key, event in fresh.items()})
        return len(fresh)

    async def claim_inbox(self, now: datetime, *, limit: int, lease_ms: int) -> list[InboxItem]:
        rows = self.tables.inbox.values()
        due = [row for row in rows if row.state == "pending" and row.due_at <= now]
        due.sort(key=lambda row: (row.due_at, row.event.created_at, row.event.id))
        for row in due[:limit]:
            self.tables.inbox[row.event.id] = replace(row, due_at=after_ms(now, lease_ms))
        return [InboxItem(row.event, row.attempts) for row in due[:limit]]

    async def settle_inbox(self, event_ids: Collection[str], now: datetime) -> None:  # noqa: ARG002
        for event_id in event_ids:
            if event_id in self.tables.inbox:
                row = self.tables.inbox[event_id]
                self.tables.inbox[event_id] = replace(row, state="done", error=None)

    async def defer_inbox(
        self, event_id: str, due_at: datetime, *, error: str | None, dead: bool = False
    ) -> None:
        row = self.tables.inbox.get(event_id)
        if row is None or row.state != "pending":
            return
        self.tables.inbox[event_id] = replace(
            row,
            due_at=due_at,
            attempts=row.attempts + (error is not None),
            error=error or row.error,
            state="dead" if dead else row.state,
        )

    async def newest_event_at(self) -> datetime | None:
        moments = [row.event.created_at for row in self.tables.inbox.values()]
        return max(moments, default=None)

    async def replay_inbox(self, event_ids: Sequence[str] | None, now: datetime) -> int:
        """Give dead events (``None``: all) another full set of attempts; returns how many."""
        wanted = set(self.tables.inbox if event_ids is None else event_ids)
        dead = [key for key, row in self.tables.inbox.items() if row.state == "dead"]
        chosen = [key for key in dead if key in wanted]
        for key in chosen:
            row = self.tables.inbox[key]
            self.tables.inbox[key] = replace(row, state="pending", due_at=now, attempts=0)
        return len(chosen)


class MemoryStore(AcceptingPart, EscrowPart, InboxPart):
    """``settlement.ports.store.Store`` and ``AcceptingStore``, gone with the process."""


def _conforms(store: MemoryStore) -> tuple[Store, AcceptingStore, AttestingStore]:
    """Never called: the type checker compares the store with its ports here."""
    return store, store, store
