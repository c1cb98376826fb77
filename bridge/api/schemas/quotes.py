"""Quotes over the wire."""

from datetime import datetime
from fractions import Fraction
from typing import Literal

from msgspec import Struct

from bridge.api.schemas.common import (
    Amount,
    Currency,
    FiatAmount,
    LineView,
    Name,
    TokenAmount,
    fiat_amount,
    line_views,
    token_amount,
)
from settlement.quote import Quote


class QuoteCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    """Ask for a price by what is paid (``fiat``) or by what is received (``crypto``).

    ``speed``: how long the order may wait for a lower network fee once it is paid: not at all, 10
    or 60 minutes. More time costs less.
    """

    network: Name
    asset: Name
    currency: Currency
    amount: Amount
    amount_in: Literal["fiat", "crypto"]
    speed: Literal["instant", "standard", "economy"] = "standard"


class QuoteView(Struct, kw_only=True):
    """A firm offer, good for one order until ``expires_at``.

    ``rate`` is whole currency units per whole token: a decimal, or an exact fraction ``n/d``
    where no decimal is exact.
    """

    id: str
    object: str = "quote"
    pay: FiatAmount
    receive: TokenAmount
    rate: str
    lines: list[LineView]
    speed: str
    created_at: datetime
    expires_at: datetime
    livemode: bool


def quote_view(quote: Quote, livemode: bool) -> QuoteView:
    fiat, token = quote.gross.asset, quote.token.asset
    return QuoteView(
        id=quote.id,
        pay=fiat_amount(quote.gross),
        receive=token_amount(quote.token),
        rate=rate_text(quote.rate * 10**token.scale / 10**fiat.scale),
        lines=line_views(quote.lines, fiat.scale),
        speed=quote.speed,
        created_at=quote.created_at,
        expires_at=quote.expires_at,
        livemode=livemode,
    )


def rate_text(rate: Fraction) -> str:
    """``3000``, ``0.925`` or, where no decimal is exact, ``1/3``."""
    places, rest = 0, rate.denominator
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest //= prime
            count += 1
        places = max(places, count)
    if rest != 1:
        return str(rate)
    digits = str(rate.numerator * 10**places // rate.denominator).rjust(places + 1, "0")
    return digits if places == 0 else f"{digits[:-places]}.{digits[-places:]}"
