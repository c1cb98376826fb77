"""Amount and velocity policy: what one order, and one customer in one day, may spend.

The per-order bounds are checked when quoting. The daily cap is a counter that the accepting
statement raises (``used + x <= cap`` is a CHECK constraint), so that two orders racing for the
last of it cannot both win. An order that ends without a capture gives its share back.
"""

from dataclasses import dataclass

from settlement.errors import AmountOutOfRange
from settlement.money import Money


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds in the minor units of one fiat currency; the day is a UTC day."""

    order_min_minor: int
    order_max_minor: int
    customer_day_max_minor: int


def check_order_amount(gross: Money, limits: Limits) -> None:
    """Raise :class:`AmountOutOfRange` when an order's amount is outside the tenant's bounds."""
    low = Money(limits.order_min_minor, gross.asset)
    high = Money(limits.order_max_minor, gross.asset)
    if gross < low:
        raise AmountOutOfRange(f"{gross} is below the minimum of {low}", param="amount")
    if high < gross:
        raise AmountOutOfRange(f"{gross} is above the maximum of {high}", param="amount")
