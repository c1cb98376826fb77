"""Escrows, and what is to be done with them."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import SQLModel

from bridge.storage.conditions import ACTION_COUNTS, ESCROW_LIVES, NOTE_WAITS
from bridge.storage.tables.columns import (
    amount,
    big,
    document,
    flag,
    moment,
    one_of,
    small,
    whole,
    words,
)
from settlement.escrow import ActionKind, ActionStatus, EscrowStatus, Hold


class Escrow(SQLModel, table=True):
    """One escrow; :class:`settlement.escrow.Escrow` says what the columns mean.

    ``told`` is the version that the payment intent's metadata shows, ``note_due_at`` when to tell
    a newer one.
    """

    __tablename__ = "escrows"
    __table_args__ = (
        one_of("status", EscrowStatus, "escrows_status"),
        CheckConstraint("amount_minor > 0", name="escrows_positive"),
        CheckConstraint(
            "released_minor >= 0 AND refunded_minor >= 0"
            " AND released_minor + refunded_minor <= amount_minor",
            name="escrows_within_amount",
        ),
        CheckConstraint("told <= version", name="escrows_told"),
        Index("escrows_of_tenant", "tenant_id", "id"),
        Index("escrows_one_per_order", "order_id", unique=True),
        Index("escrows_one_per_purse", "network", "purse", unique=True),
        Index("escrows_due", "due_at", postgresql_where=text(ESCROW_LIVES)),
        Index("escrows_untold", "note_due_at", postgresql_where=text(NOTE_WAITS)),
    )

    id: str = words(primary_key=True)
    tenant_id: str = words()
    order_id: str = words()
    network: str = words()
    contract: str = words()
    ref: str = words()
    purse: str = words()
    asset: str = words()
    asset_scale: int = small()
    token: str = words()
    amount_minor: int = amount()
    payer: str = words()
    payee: str = words()
    arbiter: str = words()
    oracle: str | None = words(null=True)
    operator: str = words()
    expires_at: datetime = moment()
    pays_at_expiry: bool = flag()
    status: str = words(default="'awaiting_funding'")
    created_at: datetime = moment()
    due_at: datetime = moment()
    epoch: int = big(default="0")
    attempts: int = whole(default="0")
    released_minor: int = amount(default="0")
    refunded_minor: int = amount(default="0")
    disputed_at: datetime | None = moment(null=True)
    funded_at: datetime | None = moment(null=True)
    ended_at: datetime | None = moment(null=True)
    funding_ref: str | None = words(null=True)
    last_ref: str | None = words(null=True)
    read_block: int | None = big(null=True)
    version: int = whole(default="0")
    told: int = whole(default="0")
    note_due_at: datetime | None = moment(null=True)


class EscrowAction(SQLModel, table=True):
    """One thing to be done. The same signed word counts once, unless it came to nothing."""

    __tablename__ = "escrow_actions"
    __table_args__ = (
        one_of("kind", ActionKind, "escrow_actions_kind"),
        one_of("status", ActionStatus, "escrow_actions_status"),
        one_of("hold", Hold, "escrow_actions_hold"),
        Index(
            "escrow_actions_once",
            "escrow_id",
            "digest",
            unique=True,
            postgresql_where=text(ACTION_COUNTS),
        ),
        Index(
            "escrow_actions_one_call",
            "escrow_id",
            unique=True,
            postgresql_where=text("status = 'submitted'"),
        ),
    )

    escrow_id: str = words(primary_key=True)
    sequence: int = whole(primary_key=True, autoincrement=False)
    kind: str = words()
    content: dict[str, Any] = document()
    digest: str = words()
    requested_at: datetime = moment()
    changed_at: datetime = moment()
    status: str = words(default="'requested'")
    hold: str | None = words(null=True)
    reason: str | None = words(null=True)
    tries: int = whole(default="0")
    ref: str | None = words(null=True)
