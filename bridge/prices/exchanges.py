"""Public tickers of two exchanges: the middle of bid and ask, without a key.

Kraken: https://docs.kraken.com/api/docs/rest-api/get-ticker-information ; Coinbase Exchange:
https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-ticker
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, Protocol

import httpx

from settlement.errors import PriceUnavailable

TIMEOUT_S = 3.0
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ZeroDivisionError)


class NotListed(PriceUnavailable):
    """The exchange says that it has no such pair; no trouble of the line."""


@dataclass(frozen=True, slots=True)
class Ticker:
    """``price``: whole fiat units per whole coin. ``at``: the market's own time; ``None`` where the
    exchange does not say."""

    price: Fraction
    at: datetime | None = None


class Exchange(Protocol):
    name: str

    async def ticker(self, code: str, fiat: str) -> Ticker:
        """Raises :class:`NotListed` or :class:`~settlement.errors.PriceUnavailable`."""
        ...


class Kraken:
    """``GET /0/public/Ticker?pair=ETHUSD``: errors come with status 200, in a list. No time."""

    name = "kraken"

    def __init__(self, http: httpx.AsyncClient, base: str = "https://api.kraken.com") -> None:
        self._http = http
        self._url = f"{base}/0/public/Ticker"

    async def ticker(self, code: str, fiat: str) -> Ticker:
        answer = await _get(self._http, self.name, self._url, {"pair": f"{code}{fiat}"})
        return _parsed(self.name, lambda: _kraken(answer.json(), f"{code}-{fiat}"))


class Coinbase:
    """``GET /products/ETH-USD/ticker``: an unknown product is a 404. ``time`` is that of the last
    trade, so a market that stands still grows old."""

    name = "coinbase"

    def __init__(
        self, http: httpx.AsyncClient, base: str = "https://api.exchange.coinbase.com"
    ) -> None:
        self._http = http
        self._base = base

    async def ticker(self, code: str, fiat: str) -> Ticker:
        url = f"{self._base}/products/{code}-{fiat}/ticker"
        answer = await _get(self._http, self.name, url, {})
        if answer.status_code == 404:
            raise NotListed(f"coinbase does not list {code}-{fiat}")
        return _parsed(self.name, lambda: _coinbase(answer.json()))


def _kraken(content: Any, pair: str) -> Ticker:
    errors = content["error"]
    if any("Unknown asset pair" in error for error in errors):
        raise NotListed(f"kraken does not list {pair}")
    if errors:
        raise PriceUnavailable(f"kraken: {errors[0]}")
    # It answers under its own name of the pair (XETHZUSD), and we asked for one.
    [row] = content["result"].values()
    return Ticker(_middle(row["b"][0], row["a"][0]))


def _coinbase(content: Any) -> Ticker:
    """Raises ``ValueError`` for a time that is of no zone: nobody could say how old it is."""
    said = content.get("time")
    at = None if said is None else datetime.fromisoformat(said)
    if at is not None and at.tzinfo is None:
        raise ValueError(f"time {said} has no zone")
    return Ticker(_middle(content["bid"], content["ask"]), at)


async def _get(
    http: httpx.AsyncClient, name: str, url: str, query: Mapping[str, str]
) -> httpx.Response:
    try:
        answer = await http.get(url, params=query, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise PriceUnavailable(f"{name} does not answer: {type(error).__name__}") from error
    if answer.status_code not in (200, 404):
        raise PriceUnavailable(f"{name} answers {answer.status_code}")
    return answer


def _parsed(name: str, read: Callable[[], Ticker]) -> Ticker:
    try:
        return read()
    except _MALFORMED as problem:
        raise PriceUnavailable(f"{name} answers nonsense: {problem!r}") from problem


def _middle(bid: str, ask: str) -> Fraction:
    """Raises ``ValueError`` for a market that is crossed or has no bid."""
    low, high = Fraction(bid), Fraction(ask)
    if not 0 < low <= high:
        raise ValueError(f"bid {bid} and ask {ask} are no market")
    return (low + high) / 2


EXCHANGES: Mapping[str, Callable[[httpx.AsyncClient], Exchange]] = {
    "kraken": Kraken,
    "coinbase": Coinbase,
}
