"""Officers approve an escrow's order: what they said yes to does not hold its payments up."""

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.storage.screenings import screening_from
from chain.simulated_transfers import SimulatedTransfers
from compliance_graph.follow import follow
from compliance_graph.live import LiveGraph
from compliance_graph.policy import load_policy
from compliance_graph.replay import replayed
from compliance_graph.screener import ListScreener
from compliance_graph.screening import GraphScreener
from compliance_graph.store import GraphStore
from settlement.order import Status
from settlement.ports.notification import NullLog
from settlement.ports.screening import Outcome
from tests.flows.bridge import SANCTIONED, Bridge
from tests.flows.conftest import needs_anvil
from tests.flows.escrowing import Deal, a_deal, agreed, books_agree, minor
from tests.flows.test_screening import MIDDLE, MIXER, Officer

pytestmark = needs_anvil
POLICY = load_policy()


@pytest.fixture
async def graph(bridge: Bridge, tmp_path: Path) -> GraphScreener:
    """The deployment's screening: a transfer graph that knows nobody yet, and no model."""
    labels = tmp_path / "entities.csv"
    labels.write_text(f"address,name,labels\n{MIXER},Tornado,tornado-cash\n")
    screener = GraphScreener(
        ListScreener([bridge.lists], bridge.queries, clock=bridge.clock),
        LiveGraph(GraphStore(bridge.store.pool), POLICY.worth, tmp_path / "graph"),
        POLICY,
        labels=[labels],
        clock=bridge.clock,
        log=NullLog(),
    )
    await screener.refresh()
    bridge.ports = replace(bridge.ports, screening=screener)
    return screener


async def approved(bridge: Bridge, deal: Deal, officers: int) -> list[str]:
    """Paid, in review, approved and filled; the codes that the officers were shown."""
    await bridge.pay(deal.order_id)
    await bridge.reach(deal.order_id, Status.IN_REVIEW)
    everybody = [await Officer(bridge).arrive() for _ in range(officers)]
    shown = (await everybody[0].case_of(deal.order_id))["screening"]["reasons"]
    for officer in everybody:
        assert (await officer.decide(deal.order_id, "approve")).status_code == 200
    await bridge.reach(deal.order_id, Status.COMPLETED)
    await deal.reach("funded")
    return sorted({reason["code"] for reason in shown})


async def released_on(bridge: Bridge, deal: Deal) -> list[tuple[Outcome, list[str]]]:
    """The verdicts on the payee that were stored with payments; each can be made again."""
    of_payee = "SELECT * FROM screenings WHERE order_id = $1 AND wallet = $2 ORDER BY created_at"
    rows = await bridge.store.pool.fetch(of_payee, deal.order_id, deal.payee.address)
    records = [screening_from(row) for row in rows]
    for record in records:
        again = replayed(record.verdict, record.subject.wallet, lambda _: POLICY)
        assert again.digest == record.digest
    return [(r.verdict.outcome, [w.code for w in r.verdict.reasons]) for r in records]


async def test_what_officers_approved_is_released_and_a_new_doubt_is_held(
    bridge: Bridge, graph: GraphScreener
) -> None:
    """The payee is two hops from a mixer, which is shown; then sanctioned money reaches it."""
    deal, store, chain = a_deal(bridge), GraphStore(bridge.store.pool), SimulatedTransfers()
    payee = deal.payee.address.lower()
    chain.mine((MIXER, MIDDLE, 2 * 10**18))
    chain.mine((MIDDLE, payee, 2 * 10**18))
    await follow(store, chain)
    await graph.refresh()
    await agreed(bridge, deal)
    assert await approved(bridge, deal, officers=1) == ["exposure.mixer.in"]
    assert (await deal.release("40.00")).status_code == 201
    view = await deal.until(lambda view: view["attestations"][0]["status"] in ("final", "held"))
    assert view["attestations"][0]["status"] == "final"
    assert await released_on(bridge, deal) == [(Outcome.REVIEW, ["exposure.mixer.in"])]
    chain.mine((SANCTIONED, payee, 2 * 10**18))
    await follow(store, chain)
    await graph.refresh()
    assert (await deal.release("50.00")).status_code == 201
    view = await deal.until(lambda view: view["attestations"][1]["status"] in ("final", "held"))
    held = view["attestations"][1]
    assert (held["status"], held["hold_reason"]) == ("held", "review")
    assert held["reason"].startswith("exposure.sanctioned.in")
    assert deal.holds(deal.payee) == minor("40.00")
    await books_agree(bridge, deal)


@pytest.mark.usefixtures("graph")
async def test_a_large_escrow_for_a_fresh_payee_is_released_once_two_officers_approved(
    bridge: Bridge,
) -> None:
    """Nothing has been learnt of the payee since, and it is not asked about again."""
    deal = await agreed(bridge, amount="1500.00")
    assert await approved(bridge, deal, officers=2) == ["abstained.unknown"]
    assert (await deal.release("1400.00")).status_code == 201
    view = await deal.until(lambda view: view["attestations"][0]["status"] in ("final", "held"))
    assert view["attestations"][0]["status"] == "final"
    assert deal.holds(deal.payee) == minor("1400.00")
    assert await released_on(bridge, deal) == [(Outcome.CLEAR, ["abstained.unknown"])]
    await books_agree(bridge, deal)
