"""Quotes and orders, and what is written in the same transaction as they are.

No foreign keys here: each would lock a row of another table in the accepting statement, whose
own joins already prove what the key would. Indexes are few and mostly partial for the same reason.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Index, Sequence, text
from sqlmodel import Field, SQLModel

from bridge.storage.conditions import NOT_FINAL, PAYABLE, UNSCORED
from bridge.storage.tables.columns import (
    amount,
    big,
    document,
    exact_document,
    moment,
    one_of,
    small,
    whole,
    words,
)
from settlement.order import Direction, HoldReason, Status
from settlement.ports.screening import Outcome
from settlement.quote import Speed


class Quote(SQLModel, table=True):
    """A firm offer. Never changed: that it is used is the order's unique index."""

    __tablename__ = "quotes"
    __table_args__ = (
        CheckConstraint("gross_minor > 0 AND token_minor > 0", name="quotes_positive"),
        one_of("speed", Speed, "quotes_speed"),
        Index("quotes_of_tenant", "tenant_id", "id"),
    )

    id: str = words(primary_key=True)
    tenant_id: str = words()
    network: str = words()
    fiat: str = words()
    fiat_scale: int = small()
    gross_minor: int = amount()
    token: str = words()
    token_scale: int = small()
    token_minor: int = amount()
    lines: list[Any] = document()
    rate: str = words()
    created_at: datetime = moment()
    expires_at: datetime = moment()
    speed: str = words(default="'standard'")
    network_fee_wei: int = amount(default="0")


class Order(SQLModel, table=True):
    """One order; :class:`settlement.order.Order` says what the columns mean."""

    __tablename__ = "orders"
    __table_args__ = (
        one_of("status", Status, "orders_status"),
        one_of("direction", Direction, "orders_direction"),
        one_of("hold_reason", HoldReason, "orders_hold_reason"),
        one_of("speed", Speed, "orders_speed"),
        CheckConstraint("exit_to IN ('expired', 'canceled', 'rejected')", name="orders_exit_to"),
        CheckConstraint("gross_minor > 0 AND token_minor > 0", name="orders_positive"),
        CheckConstraint(
            "(batch_id IS NULL) = (batch_index IS NULL)", name="orders_batch_has_index"
        ),
        Index("orders_one_per_quote", "quote_id", unique=True),
        Index(
            "orders_paid",
            "tenant_id",
            "customer",
            postgresql_where=text("status = 'completed'"),
        ),
        Index("orders_of_tenant", "tenant_id", "id"),
        Index("orders_due", "status", "due_at", postgresql_where=text(NOT_FINAL)),
        Index(
            "orders_of_party",
            "parties",
            postgresql_using="gin",
            postgresql_ops={"parties": "jsonb_path_ops"},
            postgresql_where=text("escrow_id IS NOT NULL"),
        ),
        Index("orders_payable", "network", "due_at", postgresql_where=text(PAYABLE)),
        Index(
            "orders_one_per_intent",
            "payment_intent_id",
            unique=True,
            postgresql_where=text("payment_intent_id IS NOT NULL"),
        ),
        Index(
            "orders_one_per_refund",
            "refund_id",
            unique=True,
            postgresql_where=text("refund_id IS NOT NULL"),
        ),
        Index(
            "orders_one_per_place",
            "batch_id",
            "batch_index",
            unique=True,
            postgresql_where=text("batch_id IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: str = words(primary_key=True)
    tenant_id: str = words()
    direction: str = words(default="'on_ramp'")
    status: str = words(default="'awaiting_payment'")
    quote_id: str = words()
    customer: str = words()
    wallet: str = words()
    network: str = words()
    fiat: str = words()
    fiat_scale: int = small()
    gross_minor: int = amount()
    token: str = words()
    token_scale: int = small()
    token_minor: int = amount()
    lines: list[Any] = document()
    client_secret: str = words()
    created_at: datetime = moment()
    expires_at: datetime = moment()
    due_at: datetime = moment()
    epoch: int = big(default="0")
    attempts: int = whole(default="0")
    hold_reason: str = words(default="'none'")
    exit_to: str | None = words(null=True)
    reason: str | None = words(null=True)
    decline_code: str | None = words(null=True)
    payment_intent_id: str | None = words(null=True)
    payment_client_secret: str | None = words(null=True)
    charge_id: str | None = words(null=True)
    authorized_at: datetime | None = moment(null=True)
    capture_before: datetime | None = moment(null=True)
    screening_id: str | None = words(null=True)
    batch_id: int | None = big(null=True)
    batch_index: int | None = whole(null=True)
    refund_id: str | None = words(null=True)
    refund_tried_at: datetime | None = moment(null=True)
    return_url: str | None = words(null=True)
    metadata_: dict[str, Any] = document(name="metadata", default="'{}'")
    escrow_id: str | None = words(null=True)
    parties: list[Any] = document(default="'[]'")
    settle_by: datetime | None = moment(null=True)
    speed: str = words(default="'standard'")
    network_fee_wei: int = amount(default="0")


class OrderEvent(SQLModel, table=True):
    """The order's history and the outbox. Append-only (a trigger refuses the rest).

    ``id`` grows within one order, because the order's row is locked while one is written.
    """

    __tablename__ = "order_events"
    __table_args__ = (
        Index(
            "order_events_requeued",
            text("(data ->> 'batch_id')"),
            postgresql_where=text("type = 'order.requeued'"),
        ),
    )

    order_id: str = words(primary_key=True)
    id: int = Field(
        sa_column=Column(
            BigInteger,
            Sequence("order_events_id_seq"),
            primary_key=True,
            server_default=text("nextval('order_events_id_seq')"),
        )
    )
    type: str = words()
    data: dict[str, Any] = document()
    created_at: datetime = moment()


class IdempotencyKey(SQLModel, table=True):
    """What a key made. ``response`` only where the answer is not a function of fixed columns."""

    __tablename__ = "idempotency_keys"

    tenant_id: str = words(primary_key=True)
    key: str = words(primary_key=True)
    fingerprint: str = words()
    resource_id: str = words()
    response: dict[str, Any] | None = document(null=True)
    created_at: datetime = moment()


class LimitUsage(SQLModel, table=True):
    """What one customer has taken of one UTC day's cap, in minor units of ``currency``."""

    __tablename__ = "limit_usage"
    __table_args__ = (
        CheckConstraint("used <= cap", name="limit_usage_within_cap"),
        CheckConstraint("used >= 0", name="limit_usage_not_negative"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    tenant_id: str = words(primary_key=True)
    customer: str = words(primary_key=True)
    currency: str = words(primary_key=True)
    day: date = Field(sa_column=Column(Date, primary_key=True))
    used: int = amount()
    cap: int = amount()


class ScreeningPolicy(SQLModel, table=True):
    """A policy that screenings name by its version, word for word. Never changed."""

    __tablename__ = "screening_policies"

    version: str = words(primary_key=True)
    content: str = words()
    kept_at: datetime = moment()


class ScreeningModel(SQLModel, table=True):
    """What a model's version ranks accounts by where it is no part of the model. Never changed."""

    __tablename__ = "screening_models"

    version: str = words(primary_key=True)
    content: str = words()
    kept_at: datetime = moment()


class Screening(SQLModel, table=True):
    """A verdict with everything that decided it. Never changed (a trigger refuses it)."""

    __tablename__ = "screenings"
    __table_args__ = (
        one_of("outcome", Outcome, "screenings_outcome"),
        Index(
            "screenings_unscored_by_customer",
            "tenant_id",
            "customer",
            "created_at",
            postgresql_where=text(UNSCORED),
        ),
        Index(
            "screenings_unscored_by_wallet",
            "tenant_id",
            "wallet",
            "created_at",
            postgresql_where=text(UNSCORED),
        ),
    )

    id: str = words(primary_key=True)
    tenant_id: str = words()
    order_id: str | None = words(index=True, null=True)
    network: str = words()
    wallet: str = words()
    outcome: str = words()
    reasons: list[Any] = document()
    versions: dict[str, Any] = document()
    created_at: datetime = moment()
    customer: str | None = words(null=True)
    amount_minor: int | None = amount(null=True)
    asset: str | None = words(null=True)
    asset_scale: int | None = small(null=True)
    score_ppm: int | None = whole(null=True)
    coverage: dict[str, Any] = exact_document(default="'{}'")
    evidence: dict[str, Any] = exact_document(default="'{}'")
    digest: str | None = words(null=True)
    risk_ppm: int | None = whole(null=True)
