"""Integer money. An amount is a whole number of minor units and the asset that gives its scale.

No float anywhere; mixed assets raise; whatever rounds says in its name which way.
"""

from dataclasses import dataclass
from fractions import Fraction

from settlement.errors import InvalidInput, InvariantBroken


@dataclass(frozen=True, slots=True)
class Asset:
    """What an amount is counted in.

    ``code`` is the currency (ISO 4217) or token symbol, ``scale`` the number of decimal places
    of its minor unit, ``network`` the chain a token lives on (``None`` for fiat): the same
    symbol on two chains is two assets.
    """

    code: str
    scale: int
    network: str | None = None

    @property
    def id(self) -> str:
        """``USD`` for fiat, ``local:DUSD`` for a token; the key used in the ledger."""
        return self.code if self.network is None else f"{self.network}:{self.code}"


@dataclass(frozen=True, slots=True)
class Money:
    """A whole number of an asset's minor units (cents, wei). May be negative in a difference."""

    amount_minor: int
    asset: Asset

    def __post_init__(self) -> None:
        if type(self.amount_minor) is not int:
            raise InvariantBroken(f"money must be a whole number, got {self.amount_minor!r}")

    def _same(self, other: "Money") -> None:
        if self.asset != other.asset:
            raise InvariantBroken(f"mixed assets: {self.asset.id} and {other.asset.id}")

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount_minor + other.amount_minor, self.asset)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount_minor - other.amount_minor, self.asset)

    def __lt__(self, other: "Money") -> bool:
        self._same(other)
        return self.amount_minor < other.amount_minor

    def __le__(self, other: "Money") -> bool:
        self._same(other)
        return self.amount_minor <= other.amount_minor

    def __str__(self) -> str:
        return f"{format_minor(self.amount_minor, self.asset.scale)} {self.asset.code}"


def floor_div(numerator: int, denominator: int) -> int:
    """Round towards minus infinity."""
    return numerator // denominator


def ceil_div(numerator: int, denominator: int) -> int:
    """Round towards plus infinity."""
    return -(-numerator // denominator)


def times_down(amount_minor: int, factor: Fraction) -> int:
    """``amount × factor`` in whole minor units, rounded down."""
    return floor_div(amount_minor * factor.numerator, factor.denominator)


def times_up(amount_minor: int, factor: Fraction) -> int:
    """``amount × factor`` in whole minor units, rounded up."""
    return ceil_div(amount_minor * factor.numerator, factor.denominator)


def basis_points(bps: int) -> Fraction:
    """Hundredths of a percent as an exact fraction."""
    return Fraction(bps, 10_000)


def parse_decimal(text: str, scale: int, *, param: str | None = None) -> int:
    """Read ``"12.34"`` as minor units at ``scale``.

    Raises :class:`InvalidInput` for signs, exponents, blanks, more places than the asset has,
    or over 78 digits (the widest amount that is stored).
    """
    whole, dot, fraction = text.partition(".")
    digits = whole + fraction
    if not digits.isascii() or not digits.isdigit() or not whole or (dot and not fraction):
        raise InvalidInput(f"{text!r} is not a decimal amount such as 100.00", param=param)
    if len(fraction) > scale:
        raise InvalidInput(f"{text!r} has more than {scale} decimal places", param=param)
    if len(digits) > 78:
        raise InvalidInput("the amount has too many digits", param=param)
    return int(whole + fraction.ljust(scale, "0"))


def format_minor(amount_minor: int, scale: int) -> str:
    """The inverse of :func:`parse_decimal`: ``1234`` at scale 2 is ``"12.34"``."""
    sign = "-" if amount_minor < 0 else ""
    digits = str(abs(amount_minor)).rjust(scale + 1, "0")
    if scale == 0:
        return sign + digits
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"
