"""Many small orders to fresh wallets: what each alone is cleared for adds up."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.storage.queries import Queries
from bridge.storage.store import PostgresStore
from compliance_graph.live import LiveGraph
from compliance_graph.policy import load_policy
from compliance_graph.replay import replayed
from compliance_graph.screener import ListScreener
from compliance_graph.screening import GraphScreener
from compliance_graph.store import GraphStore
from settlement.order import Order, Status
from settlement.ports.notification import NullLog
from settlement.ports.screening import Outcome, Scope, Subject, Verdict
from settlement.screening import BY_ADDRESS, judge, judge_each
from settlement.transitions import move
from tests.compliance_graph.town import POLICY
from tests.support.builders import NOW, Scene, after
from tests.support.escrows import agree

SHARED, SCORED, LISTED = "0x" + "7" * 40, "0x" + "8" * 40, "0x" + "5" * 40


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
    lists.write_text(f"asset,address\nETH,{LISTED}\n")
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
    values = {"gross_minor": 80_000, "wallet": f"0x{number:040x}", **changes}
    order = await scene.order(now=after(number), **values)
    return await paid(scene, order, number)


async def escrowed(
    scene: Scene, number: int, customer: str, payee: str, gross_minor: int = 80_000
) -> Order:
    """For a payee, by a payer whom nobody knows either."""
    payer = f"0x{0xB00000 + number:040x}"
    parties = {"payer": payer, "payee": payee}
    order, _ = await agree(scene, gross_minor=gross_minor, customer=customer, **parties)
    return await paid(scene, order, number)


async def paid(scene: Scene, order: Order, s: int) -> Order:
    patch = {"authorized_at": after(s)}
    return await scene.apply(move(order, Status.AUTHORIZED, NOW, patch=patch, under_lease=False))


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


async def test_of_two_orders_at_once_one_knows_of_the_other(shop):
    """Whichever was accepted first: the one that was paid later sees the one that is judged now."""
    scene, _, screener = shop
    first, second, *others = [await scene.order(gross_minor=80_000) for _ in range(4)]
    for s, order in enumerate(others):
        order = await paid(scene, order, s)
        await cleared(scene, order, await screener.screen(Subject.of(order)))
    second = await paid(scene, second, 10)
    before = await screener.screen(Subject.of(second))
    first = await paid(scene, first, 11)
    assert before.outcome is Outcome.CLEAR
    assert (await screener.screen(Subject.of(first))).outcome is Outcome.REVIEW


async def test_many_customers_who_pay_one_fresh_wallet_are_looked_at(shop):
    """Customers' names cost nothing; what a scored wallet was cleared for counts nowhere."""
    scene, _, screener = shop
    orders = [
        await authorized(scene, number, customer=f"customer-{number}", wallet=SHARED)
        for number in range(1, 5)
    ]
    for order in orders[:3]:
        await cleared(scene, order, await screener.screen(Subject.of(order)))
    last = await screener.screen(Subject.of(orders[3]))
    assert codes(last) == ["abstained.unknown", "unscored.wallet"]
    scored = Verdict(Outcome.CLEAR, (), {})
    for number in range(1, 5):
        order = await authorized(scene, number, customer="customer-9", wallet=SCORED)
        await cleared(scene, order, scored)
    order = await authorized(scene, 9, customer="customer-9", wallet=SCORED)
    assert (await screener.screen(Subject.of(order))).outcome is Outcome.CLEAR


async def test_many_escrows_for_one_fresh_payee_are_looked_at_before_their_money_is_taken(shop):
    """Their purses are all different; what was counted then is released without another count."""
    scene, _, screener = shop
    orders = [await escrowed(scene, n, f"customer-{n}", SHARED) for n in range(1, 5)]
    verdicts = [await judge(screener, order) for order in orders]
    assert [v.outcome for v in verdicts] == [Outcome.CLEAR] * 3 + [Outcome.REVIEW]
    assert "unscored.wallet" in codes(verdicts[3])
    for order, verdict in zip(orders[:3], verdicts[:3], strict=True):
        await cleared(scene, order, verdict)
    assert (await judge(screener, orders[3])).digest == verdicts[3].digest
    plain = await authorized(scene, 9, customer="customer-9", wallet=SHARED)
    assert "unscored.wallet" in codes(await screener.screen(Subject.of(plain)))
    released = await judge_each(screener, orders[3], [SHARED], Scope.COUNTED)
    assert released[SHARED].outcome is Outcome.CLEAR


async def test_a_large_escrow_for_a_fresh_payee_is_asked_about_once_and_released(shop):
    """Before its money is taken; each later verdict says that it was counted, and replays."""
    scene, _, screener = shop
    order = await escrowed(scene, 1, "customer-1", SHARED, gross_minor=150_000)
    before = await judge(screener, order)
    assert before.outcome is Outcome.REVIEW
    assert set(codes(before)) == {"abstained.unknown"}
    released = (await judge_each(screener, order, [SHARED], Scope.COUNTED))[SHARED]
    assert (released.outcome, codes(released)) == (Outcome.CLEAR, ["abstained.unknown"])
    assert released.evidence["counted"] is True
    kept = load_policy()
    assert replayed(released, SHARED, lambda _: kept).digest == released.digest
    again = (await judge_each(screener, order, [SHARED]))[SHARED]
    assert again.outcome is Outcome.REVIEW


async def test_an_escrow_counts_once_for_its_customer_whoever_is_paid_from_it(shop):
    """Three addresses are judged, and again at each payment: it is one order, of its own day."""
    scene, clock, screener = shop
    orders = [await escrowed(scene, n, "customer-1", f"0x{0xC00000 + n:040x}") for n in range(1, 5)]
    for order in orders[:3]:
        verdict = await judge(screener, order)
        assert verdict.outcome is Outcome.CLEAR
        await cleared(scene, order, verdict)
        for party, verdict in (await judge_each(screener, order, order.parties)).items():
            subject = replace(Subject.of(order), wallet=party)
            await scene.store.save_screening(subject, verdict, after(86_400))
    last = await judge(screener, orders[3])
    assert last.outcome is Outcome.REVIEW
    counted = {str(e.get("unscored")) for e in last.evidence[BY_ADDRESS].values()}
    assert str({"customer_minor": "240000", "wallet_minor": "0"}) in counted
    clock.at = NOW + timedelta(days=POLICY.window_days, seconds=1)
    assert (await judge(screener, orders[3])).outcome is Outcome.CLEAR


async def test_an_escrows_purse_is_known_to_nobody_and_that_is_no_silence(shop):
    """Lists alone are asked about it; they veto it like any address."""
    scene, _, screener = shop
    order = await escrowed(scene, 1, "customer-1", SHARED)
    verdict = await judge(screener, order)
    assert set(verdict.evidence[BY_ADDRESS]) == set(order.screened)
    assert [r.detail[:42] for r in verdict.reasons] == sorted(order.parties)
    kept = load_policy()
    again = replayed(verdict, order.wallet, lambda _: kept)
    assert again.digest == verdict.digest
    listed = replace(order, wallet=LISTED)
    assert (await judge(screener, listed)).outcome is Outcome.BLOCK
