"""The books. One row names both its debit and its credit, so an unbalanced entry cannot exist."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Sequence, text
from sqlmodel import Field, SQLModel

from bridge.storage.conditions import quoted
from bridge.storage.tables.columns import amount, moment, one_of, small, words
from settlement.ledger.accounts import Account
from settlement.ledger.entry import EntryState


class LedgerAccount(SQLModel, table=True):
    """Running totals of one account in one asset; always the sum of its entries.

    A guarded account cannot give out more than it has, reservations included.
    """

    __tablename__ = "ledger_accounts"
    __table_args__ = (
        CheckConstraint(f"code IN ({quoted(Account)})", name="ledger_accounts_code"),
        CheckConstraint(
            "NOT guarded OR credits_posted + credits_pending <= debits_posted",
            name="ledger_accounts_guard",
        ),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    tenant_id: str = words(primary_key=True)
    code: str = words(primary_key=True)
    asset: str = words(primary_key=True)
    asset_scale: int = small()
    debits_posted: int = amount()
    credits_posted: int = amount()
    debits_pending: int = amount()
    credits_pending: int = amount()
    guarded: bool = Field(sa_column=Column(Boolean, nullable=False))


class LedgerEntry(SQLModel, table=True):
    """``amount_minor`` of ``asset`` from ``credit`` to ``debit``.

    Never changed but from pending to posted or voided (a trigger refuses the rest). The business
    key is permanent: what an event books for a source, it books once. Account codes are checked
    in ``ledger_accounts``, which the same statement writes.
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        one_of("state", EntryState, "ledger_entries_state"),
        CheckConstraint("debit <> credit", name="ledger_entries_two_sides"),
        CheckConstraint("amount_minor > 0", name="ledger_entries_positive"),
        Index("ledger_entries_business_key", "source", "event", "line", "tenant_id", unique=True),
        {"postgresql_with": {"fillfactor": "90"}},
    )

    tenant_id: str = words(primary_key=True)
    id: int = Field(
        sa_column=Column(
            BigInteger,
            Sequence("ledger_entries_id_seq"),
            primary_key=True,
            server_default=text("nextval('ledger_entries_id_seq')"),
        )
    )
    source: str = words()
    event: str = words()
    line: int = small()
    debit: str = words()
    credit: str = words()
    asset: str = words()
    asset_scale: int = small()
    amount_minor: int = amount()
    state: str = words()
    created_at: datetime = moment()
