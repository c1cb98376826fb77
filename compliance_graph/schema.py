"""The graph's tables: accounts, transfers, and how far each source has been read.

They belong to this package; the migrations that make them lie with all others in
``bridge/storage/migrations``.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    text,
)
from sqlmodel import Field, SQLModel


def _column(kind: Any, *constraints: Any, null: bool = False, **options: Any) -> Any:
    return Field(sa_column=Column(kind, *constraints, nullable=null, **options))


class GraphNode(SQLModel, table=True):
    """An account; ``id`` is its number in the arrays, counted from 0 without gaps."""

    __tablename__ = "graph_nodes"

    id: int = _column(BigInteger(), primary_key=True, autoincrement=False)
    address: str = _column(Text(), unique=True)


class GraphSource(SQLModel, table=True):
    """Where transfers come from, and how far it has been read.

    ``next_block`` (or row of a file) is where reading goes on, ``final_block`` below what nothing
    is taken back any more. ``rewinds`` counts reorganisations that took transfers back.
    ``block_time_s`` is the last read block's own time, seconds since 1970.
    """

    __tablename__ = "graph_sources"

    id: int = _column(Integer(), Identity(always=True), primary_key=True)
    name: str = _column(Text(), unique=True)
    kind: str = _column(Text())
    network: str = _column(Text())
    next_block: int = _column(BigInteger(), server_default=text("0"))
    final_block: int = _column(BigInteger(), server_default=text("-1"))
    target_block: int = _column(BigInteger(), server_default=text("-1"))
    last_time_s: int | None = _column(BigInteger(), null=True)
    transfers: int = _column(BigInteger(), server_default=text("0"))
    rewinds: int = _column(BigInteger(), server_default=text("0"))
    complete: bool = _column(Boolean(), server_default=text("false"))
    updated_at: datetime = _column(DateTime(timezone=True), server_default=text("now()"))
    block_time_s: int | None = _column(BigInteger(), null=True)


class GraphBlock(SQLModel, table=True):
    """Hashes of the blocks that were read and are not final yet."""

    __tablename__ = "graph_blocks"

    source_id: int = _column(Integer(), ForeignKey("graph_sources.id"), primary_key=True)
    number: int = _column(BigInteger(), primary_key=True, autoincrement=False)
    hash: str = _column(Text())


class GraphTransfer(SQLModel, table=True):
    """One transfer, or ``count`` of one pair where a file publishes pairs.

    ``key`` is the same for the same transfer from whatever source. ``amount`` is in whole units,
    a float: evidence to be weighed, never money to be moved. ``block`` is the file's row where
    there are no blocks.
    """

    __tablename__ = "graph_transfers"
    __table_args__ = (
        CheckConstraint("amount >= 0 AND amount < 'Infinity'", name="graph_transfers_amount"),
        Index("graph_transfers_of_block", "source_id", "block"),
        Index("graph_transfers_of_pair", "src", "dst"),
    )

    id: int = _column(BigInteger(), Identity(always=True), primary_key=True)
    key: bytes = _column(LargeBinary(), unique=True)
    source_id: int = _column(Integer(), ForeignKey("graph_sources.id"))
    block: int = _column(BigInteger())
    tx: str = _column(Text())
    asset: str = _column(Text())
    src: int = _column(BigInteger())
    dst: int = _column(BigInteger())
    amount: Any = _column(Double())
    count: int = _column(Integer())
    time_s: int = _column(BigInteger())
