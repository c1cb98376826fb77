"""Hypothesis strategies and builders for orders, quotes and pricings."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from settlement.money import Asset, Money
from settlement.order import Direction, Order, Status
from settlement.quote import Line, Pricing, price_by_fiat

USD = Asset("USD", 2)
DUSD = Asset("DUSD", 6, "local")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PRICING = Pricing(Fraction(100, 1_000_000), 290, 30, 36, 50)

pricings = st.builds(
    Pricing,
    rate=st.fractions(min_value=Fraction(1, 10**20), max_value=Fraction(10**6)),
    processing_bps=st.integers(0, 5_000),
    processing_fixed_minor=st.integers(0, 1_000),
    network_fee_minor=st.integers(0, 10_000),
    spread_bps=st.integers(0, 5_000),
)


def lines_for(gross_minor: int) -> tuple[Money, tuple[Line, ...]]:
    return price_by_fiat(Money(gross_minor, USD), DUSD, PRICING)


def an_order(status: Status = Status.AWAITING_PAYMENT, **changes: Any) -> Order:
    """A consistent order of 100.00 USD in ``status``; any field can be changed."""
    token, lines = lines_for(10_000)
    fields: dict[str, Any] = {
        "id": "ord_1",
        "tenant_id": "tn_1",
        "direction": Direction.ON_RAMP,
        "status": status,
        "quote_id": "qt_1",
        "customer": "cus_1",
        "wallet": "0x" + "11" * 20,
        "network": "local",
        "gross": Money(10_000, USD),
        "token": token,
        "lines": lines,
        "client_secret": "ord_1_secret_x",
        "created_at": NOW,
        "expires_at": NOW + timedelta(minutes=15),
        "due_at": NOW,
        "epoch": 1,
        "payment_intent_id": "pi_1",
    }
    return Order(**{**fields, **changes})
