"""Quotes: integer money, every fee its own line, nothing lost to rounding."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.errors import AmountOutOfRange, InvalidInput, InvariantBroken
from settlement.limits import Limits, check_order_amount
from settlement.money import Asset, Money, format_minor, parse_decimal
from settlement.quote import LineKind, Pricing, price_by_fiat, price_by_token
from tests.spec.strategies import DUSD, USD, pricings

FREE = Pricing(Fraction(1, 10_000), 0, 0, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", "1.", ".5", "1.001", "0x1", "١٢", "1,000", " 1", "1" * 80]
)
def test_refuses_what_is_not_a_plain_decimal_amount(text):
    """Signs, exponents, blanks, foreign digits and too many places are not amounts."""
    with pytest.raises(InvalidInput):
        parse_decimal(text, 2)


def test_refuses_an_amount_that_the_fees_eat_up():
    """There must be something left to buy tokens with."""
    with pytest.raises(AmountOutOfRange):
        price_by_fiat(Money(30, USD), DUSD, Pricing(Fraction(1, 10_000), 290, 30, 0, 50))


def test_refuses_to_add_two_assets():
    """The same symbol on another network is another asset."""
    with pytest.raises(InvariantBroken):
        Money(1, DUSD) + Money(1, Asset("DUSD", 6, "ethereum"))


def test_refuses_a_float_amount():
    """A float never becomes money, not even a whole one."""
    with pytest.raises(InvariantBroken):
        Money(1.0, USD)  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [499, 200_001])
def test_refuses_amounts_outside_the_limits_of_one_order(amount):
    """The bounds belong to the order's gross amount."""
    with pytest.raises(AmountOutOfRange):
        check_order_amount(Money(amount, USD), Limits(500, 200_000, 500_000))


@pytest.mark.parametrize("amount", [500, 200_000])
def test_the_limits_themselves_are_allowed(amount):
    """Minimum and maximum are inclusive."""
    check_order_amount(Money(amount, USD), Limits(500, 200_000, 500_000))
    with pytest.raises(AmountOutOfRange):
        check_order_amount(Money(amount, USD), Limits(amount + 1, amount + 2, amount + 2))


def test_one_hundred_dollars_by_hand():
    """100.00 − (2.90 + 0.30) − 0.36 − 0.5% of 96.44 (0.49, up) buys 95.95 at par."""
    pricing = Pricing(Fraction(1, 10_000), 290, 30, 36, 50)
    token, lines = price_by_fiat(Money(10_000, USD), DUSD, pricing)
    assert {line.kind: line.amount_minor for line in lines} == {
        LineKind.PRINCIPAL: 9_595,
        LineKind.PROCESSING: 320,
        LineKind.NETWORK: 36,
        LineKind.SPREAD: 49,
        LineKind.ROUNDING: 0,
    }
    assert token == Money(95_950_000, DUSD)


@given(st.integers(1, 10**12), pricings)
def test_the_lines_add_up_to_what_is_paid(gross, pricing):
    """For every amount and pricing: lines sum to gross, none is negative, tokens round down."""
    try:
        token, lines = price_by_fiat(Money(gross, USD), DUSD, pricing)
    except AmountOutOfRange:
        return
    parts = {line.kind: line.amount_minor for line in lines}
    assert sum(parts.values()) == gross
    assert min(parts.values()) >= 0
    assert token.amount_minor * pricing.rate <= parts[LineKind.PRINCIPAL]
    net = parts[LineKind.PRINCIPAL] + parts[LineKind.ROUNDING]
    assert (token.amount_minor + 1) * pricing.rate > net


@given(st.integers(1, 10**15), pricings)
def test_quoting_by_token_gives_exactly_the_tokens_asked_for(amount, pricing):
    """The gross found covers the principal and every fee, and its lines add up."""
    token, lines = price_by_token(Money(amount, DUSD), USD, pricing)
    parts = {line.kind: line.amount_minor for line in lines}
    assert token.asset == USD
    assert sum(parts.values()) == token.amount_minor
    assert min(parts.values()) >= 0
    assert parts[LineKind.PRINCIPAL] >= amount * pricing.rate


@given(st.integers(1, 10**12), pricings)
def test_quoting_by_token_asks_for_no_cent_too_many(amount, pricing):
    """One cent less would no longer cover the principal."""
    gross, lines = price_by_token(Money(amount, DUSD), USD, pricing)
    principal = next(line.amount_minor for line in lines if line.kind is LineKind.PRINCIPAL)
    try:
        _, less = price_by_fiat(Money(gross.amount_minor - 1, USD), DUSD, pricing)
    except AmountOutOfRange:
        return
    left = sum(
        line.amount_minor for line in less if line.kind in (LineKind.PRINCIPAL, LineKind.ROUNDING)
    )
    assert left < principal


@given(st.integers(0, 10**30), st.integers(0, 18))
def test_decimal_text_and_minor_units_are_the_same_amount(amount, scale):
    """Parsing is the inverse of formatting at every scale."""
    assert parse_decimal(format_minor(amount, scale), scale) == amount
