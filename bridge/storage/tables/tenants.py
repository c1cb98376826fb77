"""Who uses the bridge: merchants, their bounds, their keys."""

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, LargeBinary
from sqlmodel import Field, SQLModel

from bridge.storage.records import KeyKind, Role
from bridge.storage.tables.columns import amount, document, moment, one_of, words


class Tenant(SQLModel, table=True):
    """Test and live are two tenants, so that nothing can mix them."""

    __tablename__ = "tenants"

    id: str = words(primary_key=True)
    name: str = words()
    livemode: bool = Field(sa_column=Column(Boolean, nullable=False))
    created_at: datetime = moment()


class TenantLimit(SQLModel, table=True):
    """Bounds of one currency, in its minor units."""

    __tablename__ = "tenant_limits"
    __table_args__ = (
        CheckConstraint(
            "order_min_minor > 0 AND order_min_minor <= order_max_minor",
            name="tenant_limits_in_order",
        ),
    )

    tenant_id: str = words(primary_key=True, constraints=[ForeignKey("tenants.id")])
    currency: str = words(primary_key=True)
    order_min_minor: int = amount()
    order_max_minor: int = amount()
    customer_day_max_minor: int = amount()


class ApiKey(SQLModel, table=True):
    """The key itself is never stored: its SHA-256 digest finds it."""

    __tablename__ = "api_keys"
    __table_args__ = (
        one_of("kind", KeyKind, "api_keys_kind"),
        one_of("role", Role, "api_keys_role"),
    )

    id: str = words(primary_key=True)
    tenant_id: str = words(index=True, constraints=[ForeignKey("tenants.id")])
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    prefix: str = words()
    last4: str = words()
    kind: str = words()
    role: str = words()
    allowed_origins: list[Any] = document(default="'[]'")
    return_urls: list[Any] = document(default="'[]'")
    created_at: datetime = moment()
    revoked_at: datetime | None = moment(null=True)
