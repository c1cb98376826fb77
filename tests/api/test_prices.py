"""Prices from two exchanges: shapes as they answer, served here, and every way to have none."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from bridge.prices.exchanges import Coinbase, Kraken
from bridge.prices.market import MarketPrices, Rules
from bridge.prices.static import StaticPrices
from settlement.errors import PriceUnavailable
from settlement.money import Asset

ETH, DUSD, USD = Asset("ETH", 18, "base"), Asset("DUSD", 6, "base"), Asset("USD", 2)
# Shape: the 200 answer on https://docs.kraken.com/api/docs/rest-api/get-ticker-information, read on
# 2026-11-23 (a, b: price, whole lot volume, lot volume; no time). Figures are ours.
KRAKEN = {
    "error": [],
    "result": {
        "XETHZUSD": {
            "a": ["3010.00000", "3", "3.000"],
            "b": ["3000.00000", "11", "11.000"],
            "c": ["3004.15000", "0.00665"],
            "v": ["6112.31", "18231.86"],
            "p": ["2991.33", "2987.01"],
            "t": [13211, 41023],
            "l": ["2951.00", "2921.65"],
            "h": ["3021.00", "3021.00"],
            "o": "2968.15",
        }
    },
}
KRAKEN_UNKNOWN = {"error": ["EQuery:Unknown asset pair"]}
# Shape: https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-ticker,
# read on 2026-11-23 (last trade, best bid and ask, 24 h volume). Figures are ours.
COINBASE = {
    "trade_id": 86326522,
    "price": "3003.97",
    "size": "0.00698254",
    "time": "2026-03-01T12:00:00.071668Z",
    "bid": "3009.00",
    "ask": "3011.00",
    "volume": "102414.33",
}
COINBASE_UNKNOWN = {"message": "NotFound"}


class Served:
    """Both exchanges on one local server: an answer and a status each."""

    def __init__(self):
        self.answers = {"/0/public": (200, KRAKEN), "/products": (200, COINBASE)}
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                [(status, content)] = [
                    answer for path, answer in outer.answers.items() if self.path.startswith(path)
                ]
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


class Clock:
    def __init__(self):
        self.moment = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self):
        return self.moment


@pytest.fixture
def served():
    made = Served()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
async def market(served):
    async with httpx.AsyncClient(trust_env=False) as http:
        clock = Clock()
        exchanges = [Kraken(http, served.url), Coinbase(http, served.url)]
        static = StaticPrices({("DUSD", "USD"): Fraction(1), ("ETH", "USD"): Fraction(1)}, clock)
        yield MarketPrices(exchanges, clock, Rules(), static), clock


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/0/public", (500, {})),
        ("/0/public", (200, {"error": ["EService:Unavailable"]})),
        ("/0/public", (200, b"<html>maintenance</html>")),
        ("/0/public", (200, {"error": [], "result": {}})),
        ("/0/public", (200, KRAKEN_UNKNOWN)),
        ("/products", (429, {"message": "Public rate limit exceeded"})),
        ("/products", (200, COINBASE | {"bid": "3012.00"})),
        ("/products", (200, COINBASE | {"bid": "0"})),
        ("/products", (200, COINBASE | {"bid": "3040.00", "ask": "3041.00"})),
        ("/products", (200, COINBASE | {"time": "2026-03-01T12:00:00"})),
        ("/products", (200, COINBASE | {"time": "yesterday"})),
        ("/products", (404, COINBASE_UNKNOWN)),
    ],
)
async def test_there_is_no_price_when_one_fails_or_they_disagree(served, market, path, answer):
    """Not even the static table's, which is for what nobody lists."""
    served.answers[path] = answer
    with pytest.raises(PriceUnavailable):
        await market[0].price(ETH, USD)


async def test_the_price_is_the_median_of_both_middles_in_minor_units(served, market):
    """3,005 and 3,010: exact, with where it is from, and asked for once in five seconds."""
    prices, clock = market
    both = await asyncio.gather(prices.price(ETH, USD), prices.price(ETH, USD))
    assert both[0].rate == Fraction("3007.5") * 100 / 10**18
    assert both[0].source == "coinbase+kraken"
    assert sorted(served.asked) == ["/0/public/Ticker?pair=ETHUSD", "/products/ETH-USD/ticker"]
    clock.moment += timedelta(seconds=5)
    await prices.price(ETH, USD)
    assert len(served.asked) == 4


async def test_an_exchange_that_falls_silent_counts_until_its_word_is_too_old(served, market):
    """Then there is no price, however well the other answers."""
    prices, clock = market
    first = (await prices.price(ETH, USD)).as_of
    served.answers["/products"] = (500, {})
    clock.moment += timedelta(seconds=60)
    assert (await prices.price(ETH, USD)).as_of == first
    clock.moment += timedelta(seconds=5)
    with pytest.raises(PriceUnavailable, match="1 of 2"):
        await prices.price(ETH, USD)


async def test_a_market_that_stands_still_grows_old_however_promptly_it_is_answered(served, market):
    """Coinbase's ticker says when the last trade was; Kraken's says no time and counts as new."""
    prices, clock = market
    frozen = datetime(2026, 3, 1, 11, 59, 30, tzinfo=UTC)
    served.answers["/products"] = (200, COINBASE | {"time": "2026-03-01T11:59:30Z"})
    assert (await prices.price(ETH, USD)).as_of == frozen
    clock.moment += timedelta(seconds=31)
    with pytest.raises(PriceUnavailable, match="1 of 2"):
        await prices.price(ETH, USD)


async def test_a_clock_that_is_ahead_of_ours_makes_no_price_newer_than_now(served, market):
    """Else it would live longer than it may."""
    prices, clock = market
    served.answers["/products"] = (200, COINBASE | {"time": "2026-03-01T13:00:00Z"})
    assert (await prices.price(ETH, USD)).as_of == clock.moment
    served.answers["/products"] = (500, {})
    clock.moment += timedelta(seconds=61)
    with pytest.raises(PriceUnavailable, match="1 of 2"):
        await prices.price(ETH, USD)


async def test_what_no_exchange_lists_comes_from_the_static_table(served, market):
    """A token of our own; and when one begins to list it, its word is needed."""
    prices, clock = market
    served.answers = {"/0/public": (200, KRAKEN_UNKNOWN), "/products": (404, COINBASE_UNKNOWN)}
    price = await prices.price(DUSD, USD)
    assert (price.rate, price.source) == (Fraction(100, 10**6), "static")
    served.answers["/products"] = (200, COINBASE)
    clock.moment += timedelta(seconds=5)
    with pytest.raises(PriceUnavailable):
        await prices.price(DUSD, USD)
