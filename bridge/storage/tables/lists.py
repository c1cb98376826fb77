"""Address lists in versions: what each named, from when until when. Nothing is ever forgotten."""

from datetime import date, datetime

from sqlalchemy import Column, Date, Identity, Index, text
from sqlmodel import Field, SQLModel

from bridge.storage.tables.columns import big, moment, one_of, whole, words
from settlement.ports.lists import Action


class AddressList(SQLModel, table=True):
    """A list as of its newest version; ``tenant_id`` is empty where it counts for everybody."""

    __tablename__ = "address_lists"

    tenant_id: str = words(primary_key=True)
    name: str = words(primary_key=True)
    version: int = whole()
    digest: str = words()
    published_on: date | None = Field(sa_column=Column(Date, nullable=True))
    refreshed_at: datetime = moment()
    entries: int = whole()


class ListVersion(SQLModel, table=True):
    """One version. Append-only (a trigger refuses the rest)."""

    __tablename__ = "list_versions"

    tenant_id: str = words(primary_key=True)
    list: str = words(primary_key=True)
    version: int = whole(primary_key=True, autoincrement=False)
    digest: str = words()
    format: str = words()
    published_on: date | None = Field(sa_column=Column(Date, nullable=True))
    entries: int = whole()
    added: int = whole()
    removed: int = whole()
    unreadable: int = whole(default="0")
    actor: str = words()
    at: datetime = moment()


class ListEntry(SQLModel, table=True):
    """One address on one list, from the version that named it to the one that no longer did.

    It counts from ``since`` (null: always) until before ``until``. Rows stay; a delisting sets
    ``until`` and ``removed_in``.
    """

    __tablename__ = "list_entries"
    __table_args__ = (
        one_of("action", Action, "list_entries_action"),
        Index(
            "list_entries_one_standing",
            "tenant_id",
            "list",
            "address",
            "asset",
            unique=True,
            postgresql_where=text("removed_in IS NULL"),
        ),
        Index("list_entries_of_address", "address"),
    )

    id: int = big(primary_key=True, constraints=[Identity(always=True)])
    tenant_id: str = words()
    list: str = words()
    address: str = words()
    asset: str = words()
    action: str = words()
    category: str = words()
    name: str = words()
    reference: str = words()
    since: datetime | None = moment(null=True)
    until: datetime | None = moment(null=True)
    added_in: int = whole()
    removed_in: int | None = whole(null=True)
