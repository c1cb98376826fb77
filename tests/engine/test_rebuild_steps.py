"""What a rebuilt order is owed, judged as the stages would have judged it; which orders a batch
paid, and which metadata is believed. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from settlement.errors import InvariantBroken
from settlement.facts import check_mac, lost_order, order_facts
from settlement.order import HoldReason, Order, Status
from settlement.ports.chain import Fees, Inclusion, PaidBatch, SignedTransaction
from settlement.ports.payment import Intent, IntentStatus
from settlement.rebuild import ASSIGNMENTS_MAX, assign, step
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


# Which orders a batch paid -----------------------------------------------------------------------


def root_of(orders: Sequence[Order]) -> str:
    return " ".join(order.id for order in orders)


def a_batch(orders: Sequence[Order], root: str) -> PaidBatch:
    """What the chain says of a batch with a row for each of ``orders``."""
    signed = SignedTransaction("0xtx", b"", 0, Fees(1, 1), 21_000)
    included = Inclusion("0xtx", 1, "0xblock", True, frozenset(), 1, True, 1)
    rows = tuple((order.wallet, order.token.amount_minor) for order in orders)
    return PaidBatch(7, root, orders[0].token.asset, "0xlane", signed, included, rows)


async def equals(count: int) -> list[Order]:
    """Orders to one wallet and of one amount."""
    order = await a_captured_order()
    return [replace(order, id=f"ord_{number:03}") for number in range(count)]


async def test_however_many_equal_rows_are_placed_at_the_first_try() -> None:
    """As many orders as rows stand by id; trying them all would outlast the universe."""
    orders = await equals(200)
    tried: list[str] = []

    def counted(placed: Sequence[Order]) -> str:
        tried.append(root_of(placed))
        return tried[-1]

    settled = assign(a_batch(orders, root_of(orders)), orders[::-1], counted)
    assert list(settled.orders) == orders
    assert len(tried) == 1


async def test_orders_known_to_be_in_the_batch_come_before_older_ones() -> None:
    """The backup knew a part of it; the others were planned since."""
    orders = await equals(40)
    known = [replace(order, batch_id=7) for order in orders[20:]]
    settled = assign(a_batch(known, root_of(known)), [*orders[:20], *known], root_of)
    assert list(settled.orders) == known


async def test_rows_that_were_not_placed_by_id_are_told_apart_too() -> None:
    """Batches of earlier versions."""
    orders = await equals(4)
    mixed = [orders[number] for number in (2, 0, 3, 1)]
    assert list(assign(a_batch(mixed, root_of(mixed)), orders, root_of).orders) == mixed


async def test_more_orders_than_can_be_tried_are_named_to_a_person() -> None:
    """Which row it is, how many there are, and what to do."""
    orders = await equals(20)
    batch = a_batch(orders[:10], "0xanother")
    with pytest.raises(InvariantBroken, match=f"20 orders of .* {ASSIGNMENTS_MAX} .* run it again"):
        assign(batch, orders, root_of)


# Which metadata is believed ----------------------------------------------------------------------

KEY, NEWER = "k" * 32, "n" * 32


@pytest.mark.parametrize("member", ["wallet", "token_minor", "tenant_id", "lines", "mac"])
async def test_refuses_facts_that_somebody_edited(member: str) -> None:
    """Whoever can open the provider's dashboard could have a lost order paid to any wallet."""
    order = await a_captured_order()
    facts = {**order_facts(order, KEY), member: "edited"}
    with pytest.raises(InvariantBroken, match="edited"):
        check_mac(facts, order.gross, [NEWER, KEY])


async def test_refuses_unsigned_facts_where_there_is_a_key_and_another_amount() -> None:
    """Else the code could be left out, or facts be put on a cheaper payment."""
    order = await a_captured_order()
    with pytest.raises(InvariantBroken, match="not signed"):
        check_mac(order_facts(order), order.gross, [KEY])
    cheaper = replace(order.gross, amount_minor=1)
    with pytest.raises(InvariantBroken):
        check_mac(order_facts(order, KEY), cheaper, [KEY])


async def test_what_we_signed_is_believed_whatever_was_added_since() -> None:
    """How its escrow stands is written beside it; keys are rotated."""
    order = await a_captured_order()
    facts = {**order_facts(order, KEY), "escrow_state": "funded"}
    check_mac(facts, order.gross, [NEWER, KEY])
    assert lost_order(facts, "pi_1", order.gross).wallet == order.wallet
    check_mac(order_facts(order), order.gross, [])
