"""Prices as exact fractions."""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Protocol

from settlement.money import Asset


@dataclass(frozen=True, slots=True)
class Price:
    """``rate``: minor units of ``quote`` per minor unit of ``base``."""

    rate: Fraction
    as_of: datetime
    source: str


class PricePort(Protocol):
    async def price(self, base: Asset, quote: Asset) -> Price:
        """Raises :class:`~settlement.errors.PriceUnavailable` when there is none to stand by."""
        ...
