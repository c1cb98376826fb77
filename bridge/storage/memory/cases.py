"""Officers' cases in memory: opened and closed with their orders, and decided.

The queue, notes and evidence are PostgreSQL's alone; here is what the core acts upon.
"""

from dataclasses import replace
from datetime import datetime

from bridge.storage.memory.state import Part
from settlement.case import STANDING, Case, CaseStatus
from settlement.ids import OrderId
from settlement.order import HoldReason, Order, Status
from settlement.ports.screening import Outcome, Reason

_UNSCORED_PPM = 500_000
_LISTED_PPM = 1_000_000


class CasePart(Part):
    """What the triggers on ``orders`` do, and what was approved."""

    def case_of(self, order_id: OrderId) -> Case:
        """The order's newest case. Raises ``IndexError`` when it has none."""
        return self._cases_of(order_id)[-1]

    def keep_case(self, case: Case) -> None:
        self.tables.cases[case.id] = case

    def follow(self, was: Order, order: Order, now: datetime) -> None:
        """An order that waits for officers has a case, and one that leaves by itself none open."""
        if _waits(order) and not _waits(was):
            self.keep_case(self._opened(order, now))
        elif _waits(was) and not _waits(order):
            for case in self._cases_of(order.id):
                if case.status in STANDING:
                    because = order.reason or order.status.value
                    self.keep_case(replace(case, status=CaseStatus.CLOSED, closed_because=because))

    async def approved_reasons(self, order_id: OrderId) -> list[Reason]:
        cases = self._cases_of(order_id)
        # All cases of an order may be about one screening: its reasons count once.
        ids = dict.fromkeys(c.screening_id for c in cases if c.status is CaseStatus.APPROVED)
        verdicts = [self.tables.screenings[id_][1] for id_ in ids if id_ is not None]
        return [r for v in verdicts if v.outcome is Outcome.REVIEW for r in v.reasons]

    def _cases_of(self, order_id: OrderId) -> list[Case]:
        return [case for case in self.tables.cases.values() if case.order_id == order_id]

    def _opened(self, order: Order, now: datetime) -> Case:
        earlier = len(self._cases_of(order.id))
        judged = self.tables.screenings.get(order.screening_id or "")
        score_ppm = None if judged is None else judged[1].score_ppm
        risk_ppm = _UNSCORED_PPM if score_ppm is None else score_ppm
        if order.hold_reason is HoldReason.SANCTIONS:
            risk_ppm = _LISTED_PPM
        return Case(
            id=order.id.replace("ord_", "case_") + (f"_{earlier + 1}" if earlier else ""),
            tenant_id=order.tenant_id,
            order_id=order.id,
            screening_id=order.screening_id,
            customer=order.customer,
            network=order.network,
            wallet=order.wallet,
            amount=order.gross,
            status=CaseStatus.OPEN,
            risk_ppm=risk_ppm,
            rank=risk_ppm * order.gross.amount_minor,
            opened_at=now,
            score_ppm=score_ppm,
        )


def _waits(order: Order) -> bool:
    return order.status is Status.IN_REVIEW or order.hold_reason is HoldReason.SANCTIONS
