"""What can be bought, and how much of it: assets and limits over the wire."""

from msgspec import Struct

from bridge.api.schemas.common import FiatAmount


class OrderBounds(Struct, kw_only=True):
    """Least and most that one order may pay in one currency."""

    currency: str
    order_min: FiatAmount
    order_max: FiatAmount


class AssetView(Struct, kw_only=True):
    """A token on a network: its contract's address (zero for the chain's own coin), the decimals of
    its smallest unit."""

    id: str
    object: str = "asset"
    network: str
    asset: str
    address: str
    scale: int
    limits: list[OrderBounds]


class AssetList(Struct, kw_only=True):
    object: str = "list"
    data: list[AssetView]
    has_more: bool = False


class LimitView(Struct, kw_only=True):
    """Bounds in one currency; with a customer also what is left of the current UTC day."""

    object: str = "limit"
    currency: str
    order_min: FiatAmount
    order_max: FiatAmount
    customer_day_max: FiatAmount
    customer: str | None = None
    customer_day_remaining: FiatAmount | None = None


class LimitList(Struct, kw_only=True):
    object: str = "list"
    data: list[LimitView]
    has_more: bool = False
