"""What a customer pays and what for: every fee its own line, and the lines add up exactly.

For every quote ``gross = principal + processing + network + spread + rounding``, all in the
fiat's minor units. Fees round up, tokens round down, and what rounding leaves over is a line of
its own instead of disappearing.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from settlement.errors import AmountOutOfRange
from settlement.ids import QuoteId, TenantId
from settlement.money import Asset, Money, basis_points, ceil_div, times_down, times_up


class LineKind(StrEnum):
    PRINCIPAL = "principal"
    PROCESSING = "processing"
    NETWORK = "network"
    SPREAD = "spread"
    ROUNDING = "rounding"


class Speed(StrEnum):
    """How long an order may wait for a lower network fee, once it is paid."""

    INSTANT = "instant"
    STANDARD = "standard"
    ECONOMY = "economy"


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the gross amount, in the fiat's minor units."""

    kind: LineKind
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Pricing:
    """What a quote is computed from.

    ``rate`` is fiat minor units per token minor unit, exact. ``network_fee_minor`` is the
    customer's share of the chain's fee, already in fiat.
    """

    rate: Fraction
    processing_bps: int
    processing_fixed_minor: int
    network_fee_minor: int
    spread_bps: int


@dataclass(frozen=True, slots=True)
class Quote:
    """A firm offer for one order: pay ``gross`` before ``expires_at``, receive ``token``.

    ``network_fee_wei`` is what its network line was computed from, in the native coin's minor
    units: what was really paid is compared with it.
    """

    id: QuoteId
    tenant_id: TenantId
    network: str
    gross: Money
    token: Money
    lines: tuple[Line, ...]
    rate: Fraction
    created_at: datetime
    expires_at: datetime
    speed: Speed = Speed.STANDARD
    network_fee_wei: int = 0


def has_moved(token: Money, lines: tuple[Line, ...], rate: Fraction, tolerance_bps: int) -> bool:
    """Whether ``token`` costs another amount by now than the lines charge for it.

    ``rate`` is fiat minor units per token minor unit. Up to ``tolerance_bps`` of what was charged,
    either way, is no move.
    """
    charged = sum(line.amount_minor for line in lines if line.kind is LineKind.PRINCIPAL)
    return abs(token.amount_minor * rate - charged) * 10_000 > charged * tolerance_bps


def split_gross(gross_minor: int, pricing: Pricing) -> dict[LineKind, int]:
    """Divide what is paid into fees and what is left to buy tokens with (``PRINCIPAL``)."""
    processing = times_up(gross_minor, basis_points(pricing.processing_bps))
    processing += pricing.processing_fixed_minor
    rest = gross_minor - processing - pricing.network_fee_minor
    spread = times_up(max(rest, 0), basis_points(pricing.spread_bps))
    return {
        LineKind.PRINCIPAL: rest - spread,
        LineKind.PROCESSING: processing,
        LineKind.NETWORK: pricing.network_fee_minor,
        LineKind.SPREAD: spread,
    }


def price_by_fiat(gross: Money, token: Asset, pricing: Pricing) -> tuple[Money, tuple[Line, ...]]:
    """How many tokens ``gross`` buys (rounded down), and the lines.

    Raises :class:`AmountOutOfRange` when the fees leave nothing to buy tokens with.
    """
    parts = split_gross(gross.amount_minor, pricing)
    net = parts[LineKind.PRINCIPAL]
    amount = times_down(net, 1 / pricing.rate) if net > 0 else 0
    if amount <= 0:
        raise AmountOutOfRange(f"{gross} does not cover the fees", param="amount")
    return Money(amount, token), _lines(parts, times_up(amount, pricing.rate))


def price_by_token(token: Money, fiat: Asset, pricing: Pricing) -> tuple[Money, tuple[Line, ...]]:
    """The smallest gross amount that buys exactly ``token``, and the lines.

    Raises :class:`AmountOutOfRange` for amounts that are not positive.
    """
    if token.amount_minor <= 0:
        raise AmountOutOfRange("the amount must be positive", param="amount")
    principal = times_up(token.amount_minor, pricing.rate)
    rest = _gross_up(principal, pricing.spread_bps)
    gross = _gross_up(
        rest + pricing.network_fee_minor + pricing.processing_fixed_minor, pricing.processing_bps
    )
    parts = split_gross(gross, pricing)
    while parts[LineKind.PRINCIPAL] < principal:  # rounding up twice: at most a few cents short
        gross += 1
        parts = split_gross(gross, pricing)
    return Money(gross, fiat), _lines(parts, principal)


def _gross_up(net_minor: int, bps: int) -> int:
    return ceil_div(net_minor * 10_000, 10_000 - bps)


def _lines(parts: dict[LineKind, int], principal: int) -> tuple[Line, ...]:
    rounding = parts[LineKind.PRINCIPAL] - principal
    amounts = {**parts, LineKind.PRINCIPAL: principal, LineKind.ROUNDING: rounding}
    return tuple(Line(kind, amounts[kind]) for kind in LineKind)
