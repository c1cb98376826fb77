"""What came in from providers, and what people did."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Sequence, text
from sqlmodel import Field, SQLModel

from bridge.storage.tables.columns import big, document, moment, one_of, whole, words


class InboxState(StrEnum):
    PENDING = "pending"
    DONE = "done"
    DEAD = "dead"


class Inbox(SQLModel, table=True):
    """One row per provider event id, however often it is delivered."""

    __tablename__ = "inbox"
    __table_args__ = (
        one_of("state", InboxState, "inbox_state"),
        Index("inbox_due", "due_at", postgresql_where=text("state = 'pending'")),
        Index("inbox_dead", "received_at", postgresql_where=text("state = 'dead'")),
        Index("inbox_newest", "created_at"),
    )

    id: str = words(primary_key=True)
    type: str = words()
    intent_id: str | None = words(null=True)
    order_id: str | None = words(null=True)
    body: dict[str, Any] = document()
    created_at: datetime = moment()
    received_at: datetime = moment()
    state: str = words(default="'pending'")
    due_at: datetime = moment()
    attempts: int = whole(default="0")
    error: str | None = words(null=True)
    settled_at: datetime | None = moment(null=True)


class AuditLog(SQLModel, table=True):
    """Append-only (a trigger refuses the rest), one chain per tenant: ``place`` counts its rows,
    and a trigger seals each with the seal before it (:mod:`bridge.storage.audit`)."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_log_of_tenant", "tenant_id", "id"),
        Index("audit_log_places", text("COALESCE(tenant_id, '')"), "place", unique=True),
    )

    id: int = Field(
        sa_column=Column(
            BigInteger,
            Sequence("audit_log_id_seq"),
            primary_key=True,
            server_default=text("nextval('audit_log_id_seq')"),
        )
    )
    tenant_id: str | None = words(null=True)
    actor: str = words()
    action: str = words()
    object_id: str = words()
    data: dict[str, Any] = document()
    at: datetime = moment()
    place: int = big()
    previous: str = words()
    hash: str = words()


class AuditHead(SQLModel, table=True):
    """The end of each tenant's chain (empty: of what belongs to no tenant); only ever grows."""

    __tablename__ = "audit_heads"

    chain: str = words(primary_key=True)
    rows: int = big()
    hash: str = words()
