"""What officers approved, over both stores: cases that count for nothing first."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from bridge.storage.cases import case_from, locked_case_on, save_case_on
from bridge.storage.memory import MemoryStore
from settlement.case import Case, approve, reject
from settlement.errors import CaseDecided
from settlement.ledger import journal
from settlement.order import HoldReason, Order, Status
from settlement.ports.screening import Outcome, Reason, Subject, Verdict
from settlement.transitions import move, stay, void
from tests.support.builders import NOW, Scene

REASONS = (Reason("model.score", "0xa1: illicit with 61%"), Reason("abstained.unknown", "0xb2: no"))
Decide = Callable[[Case], Case]


def approved(case: Case) -> Case:
    return approve(case, "officer-1", "known", NOW, alone_up_to_minor=10**9)


def approved_once(case: Case) -> Case:
    return approve(case, "officer-1", "known", NOW, alone_up_to_minor=0)


def approved_by_another(case: Case) -> Case:
    return approve(case, "officer-2", "known", NOW, alone_up_to_minor=0)


def rejected(case: Case) -> Case:
    return reject(case, "officer-1", "unknown", NOW)


async def decided(scene: Scene, order: Order, decide: Decide) -> Case:
    """The order's newest case as it then is, stored by the officers' own way."""
    if isinstance(scene.store, MemoryStore):
        case = decide(scene.store.case_of(order.id))
        scene.store.save_case(case, NOW)
        return case
    async with scene.store.pool.acquire() as connection, connection.transaction():
        newest = "SELECT * FROM cases WHERE order_id = $1 ORDER BY opened_at DESC, id DESC LIMIT 1"
        case_id = case_from(await connection.fetchrow(newest, order.id)).id
        before = await locked_case_on(connection, order.tenant_id, case_id)
        await save_case_on(connection, before, decide(before.case), NOW)
        return decide(before.case)


async def judged(scene: Scene, to: Status, outcome: Outcome = Outcome.REVIEW) -> Order:
    """An authorised order that was judged, and went where that led."""
    order = await scene.order()
    books = (journal.authorized(order),)
    order = await scene.apply(
        move(order, Status.AUTHORIZED, NOW, bookings=books, under_lease=False)
    )
    verdict = Verdict(outcome, REASONS, {})
    screening_id = await scene.store.save_screening(Subject.of(order), verdict, NOW)
    held = HoldReason.REVIEW if to is Status.IN_REVIEW else HoldReason.NONE
    patch = {"screening_id": screening_id, "hold_reason": held}
    return await scene.apply(move(order, to, NOW, patch=patch, under_lease=False))


async def paid_and_held(scene: Scene, order: Order) -> Order:
    """A list names the wallet after the capture."""
    await scene.fund(order.token.amount_minor)
    for status, book in (
        (Status.CAPTURING, journal.reserved),
        (Status.CAPTURED, journal.captured),
    ):
        books = (book(order),)
        order = await scene.apply(move(order, status, NOW, bookings=books, under_lease=False))
    hold = stay(order, NOW, patch={"hold_reason": HoldReason.SANCTIONS})
    return await scene.apply(replace(hold, epoch=None))


async def test_an_order_that_no_officer_saw_has_nothing_approved(scene: Scene) -> None:
    """Neither one that was cleared, nor one that does not exist."""
    order = await judged(scene, Status.CLEARED, Outcome.CLEAR)
    assert await scene.store.approved_reasons(order.id) == []
    assert await scene.store.approved_reasons("ord_nobody") == []


@pytest.mark.parametrize(
    "steps", [(), (approved_once,), (rejected,), (approved_once, rejected)], ids=len
)
async def test_a_case_that_is_not_approved_approves_nothing(
    scene: Scene, steps: Sequence[Decide]
) -> None:
    """Open, approved by the first of two alone, or rejected by either."""
    order = await judged(scene, Status.IN_REVIEW)
    for decide in steps:
        await decided(scene, order, decide)
    assert await scene.store.approved_reasons(order.id) == []


async def test_a_case_that_closed_by_itself_approves_nothing(scene: Scene) -> None:
    """The order expired in review, one officer's yes or not; nobody decides it afterwards."""
    for steps in ((), (approved_once,)):
        order = await judged(scene, Status.IN_REVIEW)
        for decide in steps:
            await decided(scene, order, decide)
        gone = void(order, Status.EXPIRED, "review_timeout", NOW, under_lease=False)
        await scene.apply(gone)
        with pytest.raises(CaseDecided):
            await decided(scene, order, approved_by_another)
        assert await scene.store.approved_reasons(order.id) == []


async def test_lifting_a_hold_of_an_order_that_was_cleared_approves_no_doubt(scene: Scene) -> None:
    """What was noted beside a clearance was never put to an officer."""
    order = await paid_and_held(scene, await judged(scene, Status.CLEARED, Outcome.CLEAR))
    await decided(scene, order, approved)
    assert (await scene.store.get(order.id)).hold_reason is HoldReason.NONE
    assert await scene.store.approved_reasons(order.id) == []


@pytest.mark.parametrize(
    "steps", [(approved,), (approved_once, approved_by_another)], ids=["one", "two"]
)
async def test_an_approved_case_approves_the_reasons_of_its_screening(
    scene: Scene, steps: Sequence[Decide]
) -> None:
    """In their order; a later screening, and another order's case, change nothing."""
    order, other = [await judged(scene, Status.IN_REVIEW) for _ in range(2)]
    for decide in steps:
        await decided(scene, order, decide)
    assert (await scene.store.get(order.id)).status is Status.CLEARED
    later = Verdict(Outcome.REVIEW, (Reason("exposure.sanctioned.in", "0xa1: half"),), {})
    await scene.store.save_screening(Subject.of(order), later, NOW)
    assert await scene.store.approved_reasons(order.id) == list(REASONS)
    assert await scene.store.approved_reasons(other.id) == []


async def test_a_hold_that_is_lifted_afterwards_takes_no_approval_back(scene: Scene) -> None:
    """Two cases of one order, about one screening: its reasons once."""
    order = await judged(scene, Status.IN_REVIEW)
    await decided(scene, order, approved)
    cleared = await scene.store.get(order.id)
    order = await paid_and_held(scene, cleared)
    assert await scene.store.approved_reasons(order.id) == list(REASONS)
    await decided(scene, order, approved)
    assert await scene.store.approved_reasons(order.id) == list(REASONS)
