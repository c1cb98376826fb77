"""Column vocabulary of this schema, so that every table spells the same thing the same way."""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from bridge.storage.conditions import quoted


def _column(kind: Any, options: dict[str, Any]) -> Any:
    nullable = options.pop("null", False)
    default = options.pop("default", None)
    name = options.pop("name", None)
    if default is not None:
        options["server_default"] = text(default)
    arguments = [kind, *options.pop("constraints", ())]
    column: Column[Any] = Column(*arguments, nullable=nullable, **options)
    if name is not None:
        column = Column(name, *arguments, nullable=nullable, **options)
    return Field(sa_column=column)


def words(**options: Any) -> Any:
    """Text. Ids, codes and addresses are text of their own alphabet."""
    return _column(Text(), options)


def amount(**options: Any) -> Any:
    """Minor units; 78 digits hold any 256-bit integer (wei overflow a bigint at 9.2 ether)."""
    return _column(Numeric(78, 0), options)


def moment(**options: Any) -> Any:
    return _column(DateTime(timezone=True), options)


def document(**options: Any) -> Any:
    return _column(JSONB(), options)


def exact_document(**options: Any) -> Any:
    """JSON that reads back as the very text that was written, floats and order of keys included."""
    return _column(JSON(), options)


def flag(**options: Any) -> Any:
    return _column(Boolean(), options)


def whole(**options: Any) -> Any:
    return _column(Integer(), options)


def big(**options: Any) -> Any:
    return _column(BigInteger(), options)


def small(**options: Any) -> Any:
    return _column(SmallInteger(), options)


def one_of(column: str, kind: type[StrEnum], name: str) -> CheckConstraint:
    """The database knows the same words as the enum."""
    return CheckConstraint(f"{column} IN ({quoted(kind)})", name=name)
