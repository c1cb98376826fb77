"""How the text of a setting becomes its value. Each raises :class:`ValueError` (or
``InvalidInput``) with what is wrong; :mod:`bridge.settings` names the variable.
"""

from collections.abc import Callable, Mapping

from settlement.limits import Limits
from settlement.money import Asset, parse_decimal

FIAT = {code: Asset(code, scale) for code, scale in (("USD", 2), ("EUR", 2), ("GBP", 2))}
"""Currencies that can be charged: ISO 4217 code and the decimals that Stripe counts in.

https://docs.stripe.com/currencies#zero-decimal
"""


def parse_text(value: str) -> str:
    return value


def parse_optional(value: str) -> str | None:
    return value or None


def parse_integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError(f"must be between {low} and {high}")
        return number

    return parse


def parse_choice(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return parse


def parse_flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def parse_words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def parse_keys(value: str) -> tuple[str, ...]:
    """Secrets that sign something: too long to be guessed."""
    if any(len(word) < 32 for word in parse_words(value)):
        raise ValueError("a key must have 32 characters or more")
    return parse_words(value)


def parse_stripe_key(value: str) -> str | None:
    if value and not value.startswith(("sk_", "rk_")):
        raise ValueError("must be a secret (sk_…) or restricted (rk_…) key")
    return value or None


def parse_fiat(code: str) -> Asset:
    if code not in FIAT:
        raise ValueError(f"{code} is not one of {', '.join(FIAT)}")
    return FIAT[code]


def parse_fiat_assets(value: str) -> tuple[Asset, ...]:
    assets = tuple(parse_fiat(code) for code in parse_words(value))
    if not assets:
        raise ValueError("names no currency")
    return assets


def parse_pairs(value: str) -> dict[str, str]:
    pairs = {}
    for item in parse_words(value):
        name, equals, text = item.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise ValueError(f"{item!r} is not NAME=VALUE")
        pairs[name.strip()] = text.strip()
    return pairs


def parse_limits(value: str) -> Mapping[str, Limits]:
    """``USD=5.00/2000.00/5000.00``: least and most per order, most per customer and day."""
    limits = {}
    for code, text in parse_pairs(value).items():
        parts = text.split("/")
        if len(parts) != 3:
            raise ValueError(f"{code} needs three amounts: MIN/MAX/DAY")
        low, high, day = (parse_decimal(part.strip(), parse_fiat(code).scale) for part in parts)
        if not 0 < low <= high <= day:
            raise ValueError(f"{code}: amounts must grow from MIN to MAX to DAY")
        limits[code] = Limits(low, high, day)
    return limits


def parse_amounts(value: str) -> Mapping[str, int]:
    """``USD=1000.00``: minor units by currency."""
    return {
        code: parse_decimal(text, parse_fiat(code).scale)
        for code, text in parse_pairs(value).items()
    }


_WEI = {"wei": 0, "gwei": 9}


def parse_fee_caps(value: str) -> Mapping[str, int]:
    """``ethereum=200gwei,base=5gwei``: wei per unit of gas, by network."""
    caps = {}
    for network, text in parse_pairs(value).items():
        unit = "gwei" if text.endswith("gwei") else "wei"
        if not text.endswith(unit):
            raise ValueError(f"{network} needs a unit: {text}gwei or {text}wei")
        caps[network] = parse_decimal(text.removesuffix(unit).strip(), _WEI[unit])
        if caps[network] <= 0:
            raise ValueError(f"{network}: a cap must be positive")
    return caps


_SOURCES = ("static", "kraken", "coinbase")


def parse_sources(value: str) -> tuple[str, ...]:
    """``static,kraken,coinbase``: where prices come from."""
    names = parse_words(value)
    if not names or set(names) - set(_SOURCES) or len(set(names)) < len(names):
        raise ValueError(f"must be some of {', '.join(_SOURCES)}")
    return names
