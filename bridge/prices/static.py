"""Prices written down by hand: the first source, good for demos, pegged tokens and tests.

They are configuration, so they are as old as the last edit; a live source is another file here.
"""

import re
from collections.abc import Mapping
from fractions import Fraction

from settlement.errors import PriceUnavailable
from settlement.money import Asset
from settlement.ports.clock import Clock
from settlement.ports.price import Price

PriceTable = Mapping[tuple[str, str], Fraction]
"""(token code or ``network:code``, fiat code) → whole fiat units per whole token, exact."""

_ITEM = re.compile(r"([A-Za-z0-9:.\-]+)=([0-9]+(?:\.[0-9]+)?) ([A-Z]{3})")


def parse_prices(text: str) -> PriceTable:
    """Read ``"DUSD=1.00 USD,ETH=3000.00 USD"``. Raises :class:`ValueError`."""
    table: dict[tuple[str, str], Fraction] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{item!r} is not like DUSD=1.00 USD")
        code, amount, fiat = match.groups()
        rate = Fraction(amount)
        if rate <= 0:
            raise ValueError(f"the price of {code} must be positive")
        table[code, fiat] = rate
    return table


class StaticPrices:
    """A price port over a :data:`PriceTable`; a network's own entry wins over the bare code."""

    def __init__(self, table: PriceTable, clock: Clock) -> None:
        self._table = dict(table)
        self._clock = clock

    async def price(self, base: Asset, quote: Asset) -> Price:
        """Raises :class:`~settlement.errors.PriceUnavailable` for a pair that is not listed."""
        whole = self._table.get((base.id, quote.code)) or self._table.get((base.code, quote.code))
        if whole is None:
            raise PriceUnavailable(f"no price of {base.code} in {quote.code}")
        # whole quote units per whole base unit → minor per minor
        rate = whole * 10**quote.scale / 10**base.scale
        return Price(Fraction(rate), self._clock.now(), "static")
