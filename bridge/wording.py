"""How amounts and counts are written for people: ``95.95 DUSD``, ``1 order``, ``3 orders``."""

from settlement.money import Money, format_minor

_PLACES_MIN = 2


def money(amount: Money) -> str:
    """Grouped by thousands, without zeros that say nothing."""
    return f"{decimal(amount.amount_minor, amount.asset.scale)} {amount.asset.code}"


def decimal(amount_minor: int, scale: int) -> str:
    """Minor units in whole ones: ``1,000,000.00``, ``95.95``, ``0.000031``."""
    whole, _, fraction = format_minor(amount_minor, scale).partition(".")
    sign = "-" if whole.startswith("-") else ""
    fraction = fraction.rstrip("0").ljust(min(_PLACES_MIN, scale), "0")
    grouped = f"{sign}{int(whole.removeprefix('-')):,}"
    return f"{grouped}.{fraction}" if fraction else grouped


def shown(count: int, noun: str) -> str:
    """A count with its noun in the right number (regular plurals)."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
