"""Officers' cases. A trigger on ``orders`` opens and closes them in the order's own transaction."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import SQLModel

from bridge.storage.tables.columns import (
    amount,
    exact_document,
    moment,
    one_of,
    small,
    whole,
    words,
)
from settlement.case import CaseStatus


class Case(SQLModel, table=True):
    """One case; :class:`settlement.case.Case` says what the columns mean.

    ``evidence`` is what was known when it was decided, sealed by ``evidence_digest``.
    """

    __tablename__ = "cases"
    __table_args__ = (
        one_of("status", CaseStatus, "cases_status"),
        CheckConstraint(
            "status <> 'approved' OR approved_by <> decided_by", name="cases_four_eyes"
        ),
        CheckConstraint(
            "(status IN ('approved', 'rejected')) = (decided_by IS NOT NULL)", name="cases_decided"
        ),
        Index(
            "cases_one_at_a_time",
            "order_id",
            unique=True,
            postgresql_where=text("status IN ('open', 'second')"),
        ),
        Index("cases_of_order", "order_id"),
        Index(
            "cases_queue",
            "tenant_id",
            text("rank DESC"),
            text("id DESC"),
            postgresql_where=text("status IN ('open', 'second')"),
        ),
        Index("cases_of_tenant", "tenant_id", text("rank DESC"), text("id DESC")),
    )

    id: str = words(primary_key=True)
    tenant_id: str = words()
    order_id: str = words()
    screening_id: str | None = words(null=True)
    customer: str = words()
    network: str = words()
    wallet: str = words()
    amount_minor: int = amount()
    asset: str = words()
    asset_scale: int = small()
    score_ppm: int | None = whole(null=True)
    risk_ppm: int = whole()
    rank: int = amount()
    status: str = words(default="'open'")
    opened_at: datetime = moment()
    claimed_by: str | None = words(null=True)
    claimed_at: datetime | None = moment(null=True)
    approved_by: str | None = words(null=True)
    approved_at: datetime | None = moment(null=True)
    decided_by: str | None = words(null=True)
    decided_at: datetime | None = moment(null=True)
    reason: str | None = words(null=True)
    closed_because: str | None = words(null=True)
    evidence: dict[str, Any] | None = exact_document(null=True)
    evidence_digest: str | None = words(null=True)


class CaseNote(SQLModel, table=True):
    """What an officer wrote down. Append-only (a trigger refuses the rest)."""

    __tablename__ = "case_notes"
    __table_args__ = (Index("case_notes_of_case", "case_id", "id"),)

    id: str = words(primary_key=True)
    case_id: str = words()
    tenant_id: str = words()
    author: str = words()
    text: str = words()
    at: datetime = moment()
