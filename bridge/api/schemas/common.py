"""Shapes that several resources share, and how money and lists are shown.

Amounts are strings twice over: ``amount`` in whole units with the asset's decimals, and
``amount_minor`` in its smallest unit, so that no client needs a float.
"""

from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from bridge.storage.pages import Listing
from settlement.money import Money, format_minor
from settlement.quote import Line

T = TypeVar("T")
V = TypeVar("V")

NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
"""Control characters have no place in names, and PostgreSQL refuses NUL in text."""

Id = Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_CONTROL)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_CONTROL)]
Amount = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=80,
        description="A decimal amount in whole units.",
        examples=["100.00"],
    ),
]
Currency = Annotated[
    str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217 code.", examples=["USD"])
]

LimitParam = Annotated[int, QueryParameter(name="limit", ge=1, le=100, description="1 to 100.")]
AfterParam = Annotated[
    str | None,
    QueryParameter(name="starting_after", max_length=100, description="Older than this id."),
]
BeforeParam = Annotated[
    str | None,
    QueryParameter(name="ending_before", max_length=100, description="Newer than this id."),
]


class FiatAmount(Struct, kw_only=True):
    currency: str
    amount: str
    amount_minor: str


class TokenAmount(Struct, kw_only=True):
    network: str
    asset: str
    amount: str
    amount_minor: str


class LineView(Struct, kw_only=True):
    """One part of what is paid; the lines add up to ``pay`` exactly."""

    kind: str
    amount: str
    amount_minor: str


class ListView(Struct, Generic[V], kw_only=True):
    """A page, newest first. ``has_more`` looks on in the direction of the request."""

    object: str = "list"
    data: list[V]
    has_more: bool


def fiat_amount(money: Money) -> FiatAmount:
    return FiatAmount(
        currency=money.asset.code,
        amount=format_minor(money.amount_minor, money.asset.scale),
        amount_minor=str(money.amount_minor),
    )


def token_amount(money: Money) -> TokenAmount:
    return TokenAmount(
        network=money.asset.network or "",
        asset=money.asset.code,
        amount=format_minor(money.amount_minor, money.asset.scale),
        amount_minor=str(money.amount_minor),
    )


def line_views(lines: tuple[Line, ...], scale: int) -> list[LineView]:
    """The lines of a quote or an order, in the fiat's ``scale``."""
    return [
        LineView(
            kind=line.kind,
            amount=format_minor(line.amount_minor, scale),
            amount_minor=str(line.amount_minor),
        )
        for line in lines
    ]


def list_view(listing: Listing[T], view: Callable[[T], V]) -> ListView[V]:
    return ListView(data=[view(row) for row in listing.rows], has_more=listing.has_more)


def decoder(of: type[T] | UnionType) -> dict[str, msgspec.json.Decoder[Any]]:
    """Handler options: how :class:`~bridge.api.request.ApiRequest` decodes this route's body."""
    return {"decoder": msgspec.json.Decoder(of)}
