"""What this package keeps in the database: blocks, the newest outlook, decisions, models,
and when it trained.

Sessions come from whoever starts the program; the migrations lie with all others.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


def _column(kind: Any, null: bool = False, **options: Any) -> Any:
    return Field(sa_column=Column(kind, nullable=null, **options))


class GasBlock(SQLModel, table=True):
    """One block of a network; ``tips_wei`` are percentiles of what its transactions tipped.

    The parent's hash is the row before it. A fee beyond 63 bits (nine coins per unit of gas) is
    nobody's fee.
    """

    __tablename__ = "gas_blocks"
    __table_args__ = (
        CheckConstraint("base_fee_wei >= 0 AND gas_limit > 0", name="gas_blocks_possible"),
    )

    network: str = _column(Text(), primary_key=True)
    number: int = _column(BigInteger(), primary_key=True)
    hash: bytes = _column(LargeBinary())
    time_s: int = _column(BigInteger())
    base_fee_wei: int = _column(BigInteger())
    gas_used: int = _column(BigInteger())
    gas_limit: int = _column(BigInteger())
    tips_wei: list[int] | None = _column(ARRAY(BigInteger()), null=True)


class GasOutlook(SQLModel, table=True):
    """What a worker thought after the newest head: read by those who never talk to a chain."""

    __tablename__ = "gas_outlooks"

    network: str = _column(Text(), primary_key=True)
    head_number: int = _column(BigInteger())
    seen_at: datetime = _column(DateTime(timezone=True))
    content: dict[str, Any] = _column(JSONB())


class GasDecision(SQLModel, table=True):
    """One look at what waits: which left, why, and later what hindsight says of it.

    ``fee_wei`` is what the next block asked for; ``at_once_wei``, ``paid_wei`` and ``best_wei`` are
    means over the orders that left.
    """

    __tablename__ = "gas_decisions"
    __table_args__ = (
        Index("gas_decisions_of_network", "network", "id"),
        Index(
            "gas_decisions_unscored",
            "network",
            "deadline",
            postgresql_where=text("scored_at IS NULL AND sent > 0"),
        ),
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    network: str = _column(Text())
    asset: str = _column(Text())
    decided_at: datetime = _column(DateTime(timezone=True))
    reason: str = _column(Text())
    orders: int = _column(Integer())
    sent: int = _column(Integer())
    waiting_since: datetime = _column(DateTime(timezone=True))
    deadline: datetime = _column(DateTime(timezone=True))
    head_number: int | None = _column(BigInteger(), null=True)
    fee_wei: int | None = _column(BigInteger(), null=True)
    below_wei: int | None = _column(BigInteger(), null=True)
    scored_at: datetime | None = _column(DateTime(timezone=True), null=True)
    at_once_wei: int | None = _column(BigInteger(), null=True)
    best_wei: int | None = _column(BigInteger(), null=True)
    order_ids: list[str] | None = _column(ARRAY(Text()), null=True)
    paid_wei: int | None = _column(BigInteger(), null=True)


class GasModel(SQLModel, table=True):
    """A model that was trained here, what it scored against the one before, and its promotion."""

    __tablename__ = "gas_models"

    network: str = _column(Text(), primary_key=True)
    digest: str = _column(Text(), primary_key=True)
    trained_at: datetime = _column(DateTime(timezone=True))
    promoted_at: datetime | None = _column(DateTime(timezone=True), null=True)
    scores: dict[str, Any] = _column(JSONB())
    content: str = _column(Text())


class GasTraining(SQLModel, table=True):
    """When a network's training was last begun, whatever came of it."""

    __tablename__ = "gas_trainings"

    network: str = _column(Text(), primary_key=True)
    begun_at: datetime = _column(DateTime(timezone=True))
