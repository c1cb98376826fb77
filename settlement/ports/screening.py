"""May this wallet be paid? Asked before the money is captured, and again before it leaves."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from settlement.ids import OrderId, TenantId
from settlement.money import Money
from settlement.order import Order

NONE = "none"
"""In a verdict's versions: there is no such part in this deployment."""

HALF_PPM = 500_000
"""The risk of a review that a list, a rule without a share or a silence asks for."""


class Outcome(StrEnum):
    CLEAR = "clear"
    REVIEW = "review"
    BLOCK = "block"


class Scope(StrEnum):
    """How much is asked about an address."""

    ALL = "all"
    COUNTED = "counted"
    """All but what the order answered for before its money was taken: what was cleared unscored
    before, and that nothing can be said about the wallet itself."""
    LISTS = "lists"
    """Lists alone: a purse of ours, of which no chain can know anything yet."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is judged, for what: one address, and the payment that it is meant for.

    ``amount`` is what the card pays (``None``: nobody said), ``order_id`` is ``None`` for a
    wallet that is screened without an order.
    """

    tenant_id: TenantId
    network: str
    wallet: str
    customer: str | None = None
    amount: Money | None = None
    order_id: OrderId | None = None
    scope: Scope = Scope.ALL

    @classmethod
    def of(cls, order: Order) -> "Subject":
        """The order's own wallet."""
        return cls(
            order.tenant_id, order.network, order.wallet, order.customer, order.gross, order.id
        )


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a stable ``code`` (``list.ofac``), and a sentence for the officer."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``versions`` names everything that decided (lists, policy, model), for replay.

    ``score_ppm`` is the model's probability in parts per million, ``None`` where it abstained or
    was not asked. ``coverage`` says what of the chain was known (sources, last block).
    ``evidence`` is what the verdict was made from, so that it can be made again from it alone.
    Both hold JSON's own types only, without NaN or infinity. ``risk_ppm`` ranks a review among all
    that wait for an officer; it follows from the rest and is no part of the digest.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...]
    versions: Mapping[str, str]
    score_ppm: int | None = None
    coverage: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    risk_ppm: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over all of it in one spelling: equal digests are equal verdicts."""
        everything = {
            "outcome": self.outcome.value,
            "reasons": [[reason.code, reason.detail] for reason in self.reasons],
            "versions": dict(self.versions),
            "score_ppm": self.score_ppm,
            "coverage": self.coverage,
            "evidence": self.evidence,
        }
        text = json.dumps(everything, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Unscored:
    """What a tenant's other orders were cleared for although nothing could be said, or may be
    while they wait for their verdict: in minor units of one currency, by the same customer, and to
    the same wallet or to escrows that it is a party of."""

    customer_minor: int
    wallet_minor: int


class UnscoredHistory(Protocol):
    async def unscored(self, subject: Subject, since: datetime) -> Unscored:
        """In the currency of the subject's amount, its own order aside; each order once.

        Of orders that wait for their verdict those authorised earlier alone count: of two at once
        one knows of the other. Raises :class:`~settlement.errors.ScreeningUnavailable`.
        """
        ...


class ScreeningPort(Protocol):
    async def screen(self, subject: Subject) -> Verdict:
        """Judge one address.

        Raises :class:`~settlement.errors.ScreeningUnavailable`; the order then waits.
        """
        ...

    async def vetoed(
        self, network: str, wallets: Sequence[str], tenant_id: TenantId
    ) -> frozenset[str]:
        """Those of ``wallets`` that a veto list names right now, the tenant's own among them."""
        ...
