"""A price to stand by: the median of several exchanges that agree, and none that is old.

What no exchange lists at all may come from the static table. An exchange that does not answer is
another matter: its last word counts until it is too old, and too few words are no price.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from statistics import median

from bridge.prices.exchanges import Exchange, NotListed, Ticker
from settlement.errors import PriceUnavailable
from settlement.money import Asset
from settlement.ports.clock import Clock
from settlement.ports.price import Price, PricePort

_ASK_EVERY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Rules:
    """``age_max``: older words do not count, by the exchange's own time where it says one.
    ``apart_bps_max``: how far the highest may be above the lowest. ``sources_min``: fewer words are
    no price."""

    age_max: timedelta = timedelta(seconds=60)
    apart_bps_max: int = 100
    sources_min: int = 2


@dataclass(slots=True)
class _Pair:
    """What each exchange said last about one pair, and who says that it has none."""

    asking: asyncio.Lock
    words: dict[str, tuple[datetime, Fraction]]
    unlisted: set[str]
    asked_at: datetime | None = None


class MarketPrices:
    """A price port over ``exchanges``; ``otherwise`` answers for what none of them lists."""

    def __init__(
        self,
        exchanges: Sequence[Exchange],
        clock: Clock,
        rules: Rules,
        otherwise: PricePort | None = None,
    ) -> None:
        self._exchanges = exchanges
        self._clock = clock
        self._rules = rules
        self._otherwise = otherwise
        self._pairs: dict[tuple[str, str], _Pair] = {}

    async def price(self, base: Asset, quote: Asset) -> Price:
        """Raises :class:`~settlement.errors.PriceUnavailable`: too few words, too old, or too far
        apart."""
        key = (base.code, quote.code)
        pair = self._pairs.setdefault(key, _Pair(asyncio.Lock(), {}, set()))
        async with pair.asking:
            if pair.asked_at is None or self._clock.now() - pair.asked_at >= _ASK_EVERY:
                await self._ask(pair, *key)
        if self._otherwise is not None and len(pair.unlisted) == len(self._exchanges):
            return await self._otherwise.price(base, quote)
        whole, as_of, names = self._agreed(pair, f"{base.code} in {quote.code}")
        return Price(whole * 10**quote.scale / 10**base.scale, as_of, names)

    async def _ask(self, pair: _Pair, code: str, fiat: str) -> None:
        now = self._clock.now()
        answers = await asyncio.gather(
            *(one.ticker(code, fiat) for one in self._exchanges), return_exceptions=True
        )
        for one, answer in zip(self._exchanges, answers, strict=True):
            if isinstance(answer, NotListed):
                pair.unlisted.add(one.name)
                pair.words.pop(one.name, None)
            elif isinstance(answer, Ticker):
                pair.unlisted.discard(one.name)
                # Its own time: a market that stands still is answered at once, and says nothing.
                pair.words[one.name] = (min(answer.at or now, now), answer.price)
            elif not isinstance(answer, PriceUnavailable):
                raise answer
        pair.asked_at = now

    def _agreed(self, pair: _Pair, what: str) -> tuple[Fraction, datetime, str]:
        now, rules = self._clock.now(), self._rules
        fresh = {name: word for name, word in pair.words.items() if now - word[0] <= rules.age_max}
        if len(fresh) < rules.sources_min:
            raise PriceUnavailable(
                f"{what}: {len(fresh)} of {len(self._exchanges)} exchanges have a fresh price"
            )
        prices = [price for _, price in fresh.values()]
        if (max(prices) - min(prices)) * 10_000 > min(prices) * rules.apart_bps_max:
            raise PriceUnavailable(f"{what}: the exchanges are too far apart")
        oldest = min(moment for moment, _ in fresh.values())
        return Fraction(median(prices)), oldest, "+".join(sorted(fresh))
