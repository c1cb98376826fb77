"""Many small orders to fresh wallets: what each alone is cleared for adds up."""

from datetime import timedelta

import pytest

from bridge.storage.queries import Queries
from bridge.storage.store import PostgresStore
from compliance_graph.live import LiveGraph
from compliance_graph.screener import ListScreener
from compliance_graph.screening import GraphScreener
from compliance_graph.store import GraphStore
from settlement.order import Order, Status
from settlement.ports.notification import NullLog
from settlement.ports.screening import Outcome, Subject, Verdict
from settlement.transitions import move
from tests.compliance_graph.town import POLICY
from tests.support.builders import NOW, Scene, after


class At:
    """A clock that stands still where it was put."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self):
        return self.at


@pytest.fixture
async def shop(postgres_store: PostgresStore, tmp_path):
    """A scene, its clock, and a screener whose graph knows nobody."""
    lists, clock = tmp_path / "ofac.csv", At()
    lists.write_text("asset,address\nETH,0x" + "5" * 40 + "\n")
    screener = GraphScreener(
        ListScreener([lists], clock=clock),
        LiveGraph(GraphStore(postgres_store.pool), POLICY.worth, None),
        POLICY,
        history=Queries(postgres_store.pool),
        clock=clock,
        log=NullLog(),
    )
    await screener.refresh()
    return Scene(postgres_store), clock, screener


async def authorized(scene: Scene, number: int, **changes) -> Order:
    order = await scene.order(
        now=after(number), gross_minor=80_000, wallet=f"0x{number:040x}", **changes
    )
    return await scene.apply(move(order, Status.AUTHORIZED, NOW, under_lease=False))


async def cleared(scene: Scene, order: Order, verdict: Verdict) -> None:
    screening_id = await scene.store.save_screening(Subject.of(order), verdict, NOW)
    patch = {"screening_id": screening_id}
    await scene.apply(move(order, Status.CLEARED, NOW, patch=patch, under_lease=False))


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


async def test_a_sum_cut_into_small_orders_is_looked_at_once_it_is_too_much(shop):
    """Also when all are judged at once, and when each goes to a fresh wallet."""
    scene, clock, screener = shop
    orders = [await authorized(scene, number) for number in range(1, 5)]
    verdicts = [await screener.screen(Subject.of(order)) for order in orders]
    assert [v.outcome for v in verdicts] == [Outcome.CLEAR] * 3 + [Outcome.REVIEW]
    assert codes(verdicts[3]) == ["abstained.unknown", "unscored.customer"]
    assert verdicts[3].evidence["unscored"] == {"customer_minor": "240000", "wallet_minor": "0"}
    for order, verdict in zip(orders[:3], verdicts[:3], strict=True):
        await cleared(scene, order, verdict)
    await scene.store.save_screening(Subject.of(orders[0]), verdicts[0], NOW)  # judged twice
    again = await screener.screen(Subject.of(orders[3]))
    assert again.digest == verdicts[3].digest
    other = await authorized(scene, 9, customer="customer-2")
    assert (await screener.screen(Subject.of(other))).outcome is Outcome.CLEAR
    clock.at = NOW + timedelta(days=POLICY.window_days, seconds=1)
    assert (await screener.screen(Subject.of(orders[3]))).outcome is Outcome.CLEAR


async def test_many_customers_who_pay_one_fresh_wallet_are_looked_at(shop):
    """Customers' names cost nothing; what a scored wallet was cleared for counts nowhere."""
    scene, _, screener = shop
    orders = []
    for number in range(1, 5):
        order = await authorized(scene, number, customer=f"customer-{number}")
        orders.append(order)
    shared = orders[0].wallet
    for order in orders[:3]:
        subject = Subject(order.tenant_id, order.network, shared, order.customer, order.gross)
        verdict = await screener.screen(subject)
        of_order = Subject(*(subject.tenant_id, subject.network, shared, order.customer),
                           amount=order.gross, order_id=order.id)  # fmt: skip
        await scene.store.save_screening(of_order, verdict, NOW)
    last = Subject(orders[3].tenant_id, orders[3].network, shared, "customer-4", orders[3].gross)
    assert codes(await screener.screen(last)) == ["abstained.unknown", "unscored.wallet"]
    scored = Verdict(Outcome.CLEAR, (), {})
    for order in orders:
        fresh = Subject(order.tenant_id, order.network, "0xfresh", "customer-9", order.gross)
        await scene.store.save_screening(fresh, scored, NOW)
    later = Subject(orders[3].tenant_id, orders[3].network, "0xfresh", "customer-9",
                    orders[3].gross)  # fmt: skip
    assert (await screener.screen(later)).outcome is Outcome.CLEAR
