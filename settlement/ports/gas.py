"""What sending costs, and below which fee it is worth sending now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from settlement.quote import Speed


@dataclass(frozen=True, slots=True)
class Waiting:
    """One order as the gas port sees it: since when it waits, and how many blocks it still may."""

    since: datetime
    blocks_left: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Fees per unit of gas in wei: send at or below ``below_wei`` (``None``: no opinion, send
    now), and at or above ``stop_wei`` (``None``: never for that), since waiting has failed."""

    below_wei: int | None = None
    stop_wei: int | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the newest head says: ``fee_wei`` is the base fee that the next block asks for,
    ``next_head_at`` when it is due, ``bounds`` one answer per order asked about."""

    head_number: int
    fee_wei: int
    next_head_at: datetime
    bounds: tuple[Bounds, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """One look at what waits for a batch of one asset, and what came of it.

    ``orders`` were looked at; ``sent`` of them left, ``order_ids``. ``waiting_since`` is since when
    the first of those that left waited, ``deadline`` the last of their deadlines (where none left:
    both of all). ``below_wei``: what the others wait for.
    """

    network: str
    asset: str
    decided_at: datetime
    reason: str
    orders: int
    sent: int
    waiting_since: datetime
    deadline: datetime
    head_number: int | None = None
    fee_wei: int | None = None
    below_wei: int | None = None
    order_ids: tuple[str, ...] = ()


class GasPort(Protocol):
    async def quote_fee_wei(self, network: str, speed: Speed) -> int:
        """The fee of one payout in the native coin's minor units, for quoting: what an order of
        that speed may be expected to cost, its share of an L1's fee included."""
        ...

    async def outlook(self, network: str, waiting: Sequence[Waiting]) -> Outlook | None:
        """What waiting is worth to each of these; ``None``: nothing is known, send now.

        Never raises for a node's sake, and never waits long for one. More blocks never raise
        ``below_wei``.
        """
        ...

    async def decided(self, decision: Decision) -> None:
        """Write down what was decided and why, to be scored when the last deadline has passed.

        Never raises: a note that is lost holds up no payment.
        """
        ...
