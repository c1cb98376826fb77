"""What a rebuilt order is owed, judged as the stages would have judged it. Pure."""

from dataclasses import replace
from typing import Any

import pytest

from settlement.order import HoldReason, Order, Status
from settlement.ports.payment import Intent, IntentStatus
from settlement.rebuild import step
from tests.support.builders import NOW
from tests.support.engine import an_engine


async def a_captured_order() -> Order:
    engine = await an_engine()
    return await engine.order()


def taken(order: Order, **changes: Any) -> Intent:
    """The order's intent, captured in full."""
    intent = Intent(
        id="pi_1",
        status=IntentStatus.SUCCEEDED,
        amount_minor=order.gross.amount_minor,
        currency="USD",
        order_id=order.id,
        received_minor=order.gross.amount_minor,
    )
    return replace(intent, **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"refunded_minor": 1}, "refunded_outside"),
        ({"received_minor": 9_999}, "amount_mismatch"),
        ({"currency": "EUR"}, "amount_mismatch"),
        ({"facts": {"escrow_id": "esc_1"}}, "escrow_lost"),
    ],
)
@pytest.mark.parametrize("status", [Status.CAPTURED, Status.SUBMITTED, Status.CONFIRMING])
async def test_what_must_not_be_paid_is_given_back(
    changes: dict[str, Any], reason: str, status: Status
) -> None:
    """Whatever our rows call an order that no batch holds."""
    order = replace(await a_captured_order(), status=status)
    change = step(order, taken(order, **changes), None, NOW)
    assert change is not None
    assert (change.to, change.patch["reason"]) == (Status.REFUND_PENDING, reason)


async def test_a_disputed_order_is_held_and_not_paid() -> None:
    """Once: the next look finds it held."""
    order = await a_captured_order()
    change = step(order, taken(order, disputed=True), None, NOW)
    assert change is not None
    assert (change.to, change.patch["hold_reason"]) == (Status.CAPTURED, HoldReason.DISPUTED)
    held = replace(order, hold_reason=HoldReason.DISPUTED)
    assert step(held, taken(order, disputed=True), None, NOW) is None


async def test_what_is_owed_and_unpaid_is_left_to_be_paid() -> None:
    """Captured in full, kept, and in no batch; or in one that will tell."""
    order = await a_captured_order()
    assert step(order, taken(order), None, NOW) is None
    bound = replace(order, status=Status.SUBMITTED, batch_id=1)
    assert step(bound, taken(order, refunded_minor=1), None, NOW) is None
