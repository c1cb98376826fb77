"""A network's fees over the wire. Amounts in wei are strings."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from bridge.storage.fees import FeeReport, Outlook, WaitingFor

LEVELS = ("10", "25", "50", "75", "90")


class BlockView(Struct, kw_only=True):
    """``tips_wei``: percentiles of what its transactions tipped, by percentile."""

    number: int
    time: datetime
    base_fee_wei: str
    gas_used: str
    gas_limit: str
    tips_wei: dict[str, str] | None


class BandView(Struct, kw_only=True):
    """The base fee that many blocks after the next one, by percentile."""

    blocks: int
    quantiles_wei: dict[str, str]


class ForecastView(Struct, kw_only=True):
    """As of block ``head``. ``next_base_fee_wei`` is exact. ``reservation_fees_wei``: at or below
    which an order leaves, by the blocks that it may still wait (``null``: no opinion).
    ``network_fees_wei``: what quotes reckon with per unit of gas, by speed. ``quality``: coverage
    of the 80% band and drift, by horizon."""

    head: int
    seen_at: datetime
    next_base_fee_wei: str
    blocks_known: int
    bands: list[BandView]
    reservation_fees_wei: dict[str, str | None]
    network_fees_wei: dict[str, str]
    tips_wei: dict[str, list[str]]
    l1_share_wei: str
    quality: dict[str, dict[str, Any]]
    model: str
    waits: bool


class PlannedView(Struct, kw_only=True):
    """Paid orders that wait. They leave at or below ``below_wei`` (by the most urgent of them;
    ``null``: at once). ``until`` is when the first must be in a block, its escrow's end counted in;
    two blocks before that it leaves at any fee within the cap."""

    asset: str
    speed: str
    orders: int
    until: datetime
    below_wei: str | None


class FeeReportView(Struct, kw_only=True):
    """The last 30 days of your own orders. ``paid_wei`` is their part of their batches' gas, by
    number; ``difference_wei`` what was quoted for the network above that."""

    batches: int
    quoted_wei: str
    paid_wei: str
    difference_wei: str


class NetworkGasView(Struct, kw_only=True):
    """``forecast`` is ``null`` until a worker has followed the network."""

    id: str
    object: str = "network_gas"
    history: list[BlockView]
    forecast: ForecastView | None
    planned: list[PlannedView]
    report: FeeReportView


def block_view(row: Mapping[str, Any]) -> BlockView:
    tips = row["tips_wei"]
    return BlockView(
        number=row["number"],
        time=datetime.fromtimestamp(row["time_s"], UTC),
        base_fee_wei=str(row["base_fee_wei"]),
        gas_used=str(row["gas_used"]),
        gas_limit=str(row["gas_limit"]),
        tips_wei=None if tips is None else _by_level(tips),
    )


def _by_level(values: Sequence[int]) -> dict[str, str]:
    return {level: str(value) for level, value in zip(LEVELS, values, strict=True)}


def forecast_view(outlook: Outlook) -> ForecastView:
    content = outlook.content
    return ForecastView(
        head=outlook.head_number,
        seen_at=outlook.seen_at,
        next_base_fee_wei=str(content["next_fee_wei"]),
        blocks_known=content["blocks"],
        bands=[BandView(blocks=b, quantiles_wei=_by_level(q)) for b, q in content["bands"]],
        reservation_fees_wei={str(b): _text(fee) for b, fee in content["reservations"]},
        network_fees_wei={speed: str(fee) for speed, fee in content["fees"].items()},
        tips_wei={str(b): [str(tip) for tip in tips] for b, tips in content["tips"]},
        l1_share_wei=str(content["l1_share_wei"]),
        quality=content["watch"],
        model=content["model"],
        waits=content["waits"],
    )


def planned_view(
    waiting: WaitingFor, outlook: Outlook | None, block_ms: int, now: datetime
) -> PlannedView:
    return PlannedView(
        asset=waiting.asset,
        speed=waiting.speed,
        orders=waiting.orders,
        until=waiting.until,
        below_wei=_text(waiting.below_wei(outlook, block_ms, now)),
    )


def report_view(report: FeeReport) -> FeeReportView:
    return FeeReportView(
        batches=report.batches,
        quoted_wei=str(report.quoted_wei),
        paid_wei=str(report.paid_wei),
        difference_wei=str(report.quoted_wei - report.paid_wei),
    )


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
