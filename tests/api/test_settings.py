"""Settings: bad values stop the start by name, and the documentation is the table."""

from fractions import Fraction
from pathlib import Path

import pytest

from bridge.prices.static import StaticPrices, parse_prices
from bridge.settings import SettingsError, documentation, load, rows
from settlement.errors import PriceUnavailable
from settlement.money import Asset
from settlement.ports.clock import SystemClock


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIDEGATE_PORT", "eighty"),
        ("TIDEGATE_PORT", "70000"),
        ("TIDEGATE_LOG_LEVEL", "loud"),
        ("TIDEGATE_ACCESS_LOG", "yes"),
        ("TIDEGATE_PRICES", "DUSD=1.00"),
        ("TIDEGATE_PRICES", "DUSD=0 USD"),
        ("TIDEGATE_PRICES", "DUSD=1e3 USD"),
        ("TIDEGATE_LIMITS", "USD=5/4/10"),
        ("TIDEGATE_LIMITS", "USD=5.001/6/10"),
        ("TIDEGATE_LIMITS", "XYZ=1/2/3"),
        ("TIDEGATE_CURRENCIES", ""),
        ("TIDEGATE_CURRENCIES", "USD,XYZ"),
        ("TIDEGATE_PROCESSING_BPS", "-1"),
        ("TIDEGATE_FEE_CAPS", "local=500"),
        ("TIDEGATE_FEE_CAPS", "local=0gwei"),
        ("TIDEGATE_FEE_CAPS", "local=1.5wei"),
    ],
)
def test_a_bad_value_is_refused_by_the_variables_name(name: str, value: str) -> None:
    """The message says which variable, and what it held."""
    with pytest.raises(SettingsError, match=name):
        load({name: value})


def test_a_bad_secret_is_never_repeated() -> None:
    """A key pasted into the wrong place must not end up in a terminal or a log."""
    with pytest.raises(SettingsError) as caught:
        load({"STRIPE_API_KEY": "pk_live_pasted_by_mistake"})
    assert "pasted_by_mistake" not in str(caught.value)
    settings = load({"STRIPE_API_KEY": "sk_test_abc123", "DATABASE_URL": "postgresql://u:pw@h/d"})
    assert "abc123" not in repr(settings)
    assert "pw" not in repr(settings)


def test_the_documentation_is_the_table() -> None:
    """``docs/configuration.md`` is regenerated with ``python -m bridge.settings``."""
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text() == documentation()
    names = [row.metadata["env"] for row in rows()]
    assert len(names) == len(set(names))


def test_every_default_is_valid_and_is_what_the_table_says() -> None:
    """An empty environment and one that spells out every default mean the same."""
    spelled = {row.metadata["env"]: row.metadata["default"] for row in rows()}
    assert load({}) == load(spelled)


def test_fee_caps_are_whole_wei() -> None:
    """Gwei may have a fraction; wei are counted."""
    caps = load({"TIDEGATE_FEE_CAPS": "ethereum=200gwei, base=0.05gwei, local=7 wei"}).fee_caps_wei
    assert caps == {"ethereum": 200 * 10**9, "base": 5 * 10**7, "local": 7}


async def test_a_static_price_is_exact_in_minor_units() -> None:
    """3,000 USD per ether is 3·10⁵ cents per 10¹⁸ wei; a network's own entry wins."""
    prices = StaticPrices(parse_prices("ETH=3000.00 USD,l2:ETH=2999.5 USD"), SystemClock())
    usd = Asset("USD", 2)
    assert (await prices.price(Asset("ETH", 18, "l1"), usd)).rate == Fraction(300_000, 10**18)
    assert (await prices.price(Asset("ETH", 18, "l2"), usd)).rate == Fraction(299_950, 10**18)
    with pytest.raises(PriceUnavailable):
        await prices.price(Asset("ETH", 18, "l1"), Asset("EUR", 2))
