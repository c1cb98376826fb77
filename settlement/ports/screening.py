"""May this wallet be paid? Asked before the money is captured, and again before it leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from settlement.order import Order


class Outcome(StrEnum):
    CLEAR = "clear"
    REVIEW = "review"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a stable ``code`` (``list.ofac``), and a sentence for the officer."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``versions`` names everything that decided (lists, rules, model), for replay."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    versions: dict[str, str]


class ScreeningPort(Protocol):
    async def screen(self, order: Order) -> Verdict:
        """Judge the order's wallet.

        Raises :class:`~settlement.errors.ScreeningUnavailable`; the order then waits.
        """
        ...

    async def vetoed(self, network: str, wallets: Sequence[str]) -> frozenset[str]:
        """Those of ``wallets`` that a veto list names right now."""
        ...
