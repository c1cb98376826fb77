"""Networks, the accounts that sign on them, and the transactions they send."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Sequence, text
from sqlalchemy import Column as SqlColumn
from sqlmodel import Field, SQLModel

from bridge.storage.conditions import CALL_WAITS, IS_OPEN
from bridge.storage.tables.columns import amount, big, flag, moment, one_of, small, whole, words
from settlement.batch import BatchKind, BatchStatus

batch_ids = Sequence("batch_ids", metadata=SQLModel.metadata)
"""Batch ids are the on-chain replay guard: never reused, whatever becomes of the batch."""


class Network(SQLModel, table=True):
    """A chain as we know it; ``stop_reason`` set: nothing is signed until a person acts."""

    __tablename__ = "networks"

    name: str = words(primary_key=True)
    instance: int = whole()
    genesis_hash: str = words()
    vault_address: str = words()
    vault_code_hash: str = words()
    stop_reason: str | None = words(null=True)
    stopped_at: datetime | None = moment(null=True)
    anchor_number: int | None = big(null=True)
    anchor_hash: str | None = words(null=True)
    paused_at: datetime | None = moment(null=True)
    paused_by: str | None = words(null=True)
    registered_at: datetime = moment()
    head_number: int | None = big(null=True)
    final_number: int | None = big(null=True)
    head_at: datetime | None = moment(null=True)


class Lane(SQLModel, table=True):
    """One signing account. A write under another epoch than the row's changes nothing."""

    __tablename__ = "lanes"
    __table_args__ = (Index("lanes_one_per_address", "network", "address", unique=True),)

    id: int = whole(primary_key=True, autoincrement=True)
    network: str = words(constraints=[ForeignKey("networks.name")])
    address: str = words()
    instance: int = whole()
    next_nonce: int = big()
    epoch: int = big(default="0")
    leased_until: datetime = moment(default="'-infinity'")
    holder: str | None = words(null=True)
    first_nonce: int = big(default="0")
    paused_at: datetime | None = moment(null=True)
    paused_by: str | None = words(null=True)
    low_since: datetime | None = moment(null=True)


class LaneWorker(SQLModel, table=True):
    """A process that works lanes, seen lately: the lanes are shared among these."""

    __tablename__ = "lane_workers"

    network: str = words(primary_key=True, constraints=[ForeignKey("networks.name")])
    id: str = words(primary_key=True)
    seen_at: datetime = moment()


class Batch(SQLModel, table=True):
    """One transaction that pays many orders; a nonce of a lane belongs to one batch."""

    __tablename__ = "batches"
    __table_args__ = (
        one_of("status", BatchStatus, "batches_status"),
        one_of("kind", BatchKind, "batches_kind"),
        CheckConstraint(
            "CASE kind WHEN 'single' THEN value > 0 AND order_count = 1 ELSE value = 0 END",
            name="batches_single",
        ),
        Index(
            "batches_one_per_nonce",
            "network",
            "instance",
            "lane_id",
            "nonce",
            unique=True,
            postgresql_where=text("status <> 'cancelled'"),
        ),
        Index("batches_open", "lane_id", "nonce", postgresql_where=text(IS_OPEN)),
        Index(
            "batches_cancelled",
            "lane_id",
            "nonce",
            postgresql_where=text("status = 'cancelled'"),
        ),
    )

    id: int = big(primary_key=True, autoincrement=False)
    network: str = words()
    instance: int = whole()
    asset: str = words()
    asset_scale: int = small()
    lane_id: int = whole(constraints=[ForeignKey("lanes.id")])
    nonce: int = big()
    status: str = words()
    root: str = words()
    order_count: int = whole()
    planned_at: datetime = moment()
    mined_ref: str | None = words(null=True)
    block_number: int | None = big(null=True)
    block_hash: str | None = words(null=True)
    kind: str = words(default="'payout'")
    cancel_asked_at: datetime | None = moment(null=True)
    bump_asked_at: datetime | None = moment(null=True)
    reminded_at: datetime | None = moment(null=True)
    value: int = amount(default="0")


class ContractCall(SQLModel, table=True):
    """A call that waits for the lane of its sender, and the batch that makes it."""

    __tablename__ = "contract_calls"
    __table_args__ = (
        Index(
            "contract_calls_waiting",
            "network",
            "sender",
            "created_at",
            postgresql_where=text(CALL_WAITS),
        ),
        Index("contract_calls_one_per_batch", "batch_id", unique=True),
    )

    id: str = words(primary_key=True)
    network: str = words(constraints=[ForeignKey("networks.name")])
    sender: str = words()
    to_address: str = words()
    data: bytes = Field(sa_column=SqlColumn(LargeBinary, nullable=False))
    value: int = amount()
    created_at: datetime = moment()
    batch_id: int | None = big(null=True, constraints=[ForeignKey("batches.id")])
    refused_at: datetime | None = moment(null=True)
    refused_reason: str | None = words(null=True)


class BatchAttempt(SQLModel, table=True):
    """Signed bytes, stored before they are sent, so that a retry sends the same ones."""

    __tablename__ = "batch_attempts"

    batch_id: int = big(
        primary_key=True, autoincrement=False, constraints=[ForeignKey("batches.id")]
    )
    ref: str = words(primary_key=True)
    raw: bytes = Field(sa_column=SqlColumn(LargeBinary, nullable=False))
    nonce: int = big()
    max_fee_wei: int = amount()
    priority_fee_wei: int = amount()
    gas_limit: int = big()
    signed_at: datetime = moment()
    sent_at: datetime | None = moment(null=True)
    cancels: bool = flag(default="false")
