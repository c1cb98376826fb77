"""The books in memory."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from bridge.storage.codec import resolution_rows
from bridge.storage.memory.state import Part
from settlement.errors import InsufficientInventory, InvariantBroken
from settlement.ids import TenantId
from settlement.ledger.accounts import GUARDED, Account
from settlement.ledger.entry import Booking, Entry, EntryState
from settlement.money import Asset
from settlement.ports.store import Balance


class LedgerPart(Part):
    """Implements :class:`settlement.ports.store.LedgerStore`."""

    async def available(
        self, pairs: Collection[tuple[TenantId, Asset]]
    ) -> dict[tuple[TenantId, Asset], int]:
        return {
            (tenant, asset): self._free(tenant, Account.VAULT, asset) for tenant, asset in pairs
        }

    async def book(self, tenant_id: TenantId, key: str, booking: Booking, now: datetime) -> bool:  # noqa: ARG002
        if not booking.entries:
            raise InvariantBroken(f"{key}: without entries nothing would remember the booking")
        if (tenant_id, key, booking.event, 0) in self.tables.entries:
            return False
        with self.transaction():
            self.write_bookings(tenant_id, key, (booking,))
            self.check_guards()
        return True

    async def balances(self, tenant_id: TenantId) -> list[Balance]:
        own = [value for key, value in self.tables.balances.items() if key[0] == tenant_id]
        return sorted(own, key=lambda balance: (balance.account.value, balance.asset.id))

    async def totals(self, account: Account, asset: Asset) -> int:
        return sum(
            value.debits_posted - value.credits_posted
            for (_, code, counted), value in self.tables.balances.items()
            if (code, counted.id) == (account, asset.id)
        )

    def write_bookings(self, tenant_id: TenantId, source: str, bookings: Iterable[Booking]) -> None:
        """Write entries and totals within the caller's transaction."""
        bookings = tuple(bookings)
        for _, _, event, state in resolution_rows(tenant_id, source, bookings):
            self._resolve(tenant_id, source, event, EntryState(state))
        for booking in bookings:
            for line, entry in enumerate(booking.entries):
                key = (tenant_id, source, booking.event, line)
                if key in self.tables.entries:
                    raise InvariantBroken(f"{source}: {booking.event} is booked already")
                self.tables.entries[key] = entry
                self._move(tenant_id, entry, entry.state, 1)

    def check_guards(self) -> None:
        """What the CHECK constraint says, at the end of the statement."""
        for tenant_id, account, asset in self.tables.balances:
            if account in GUARDED and self._free(tenant_id, account, asset) < 0:
                raise InsufficientInventory("an account would give out more than it has")

    def _resolve(self, tenant_id: TenantId, source: str, event: str, state: EntryState) -> None:
        for key, entry in self.tables.entries.items():
            if key[:3] == (tenant_id, source, event) and entry.state is EntryState.PENDING:
                self.tables.entries[key] = replace(entry, state=state)
                self._move(tenant_id, entry, EntryState.PENDING, -1)
                self._move(tenant_id, entry, state, 1)

    def _move(self, tenant_id: TenantId, entry: Entry, state: EntryState, sign: int) -> None:
        if state is EntryState.VOIDED:
            return
        for side, account in (("debits", entry.debit), ("credits", entry.credit)):
            key = (tenant_id, account, entry.asset)
            balance = self.tables.balances.get(key) or Balance(account, entry.asset, 0, 0, 0, 0)
            column = f"{side}_{state.value}"
            total = getattr(balance, column) + sign * entry.amount_minor
            self.tables.balances[key] = replace(balance, **{column: total})

    def _free(self, tenant_id: TenantId, account: Account, asset: Asset) -> int:
        balance = self.tables.balances.get((tenant_id, account, asset))
        if balance is None:
            return 0
        return balance.debits_posted - balance.credits_posted - balance.credits_pending
