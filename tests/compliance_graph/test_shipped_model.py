"""The shipped model behind the door: its reviews as they are stored, explained and made again."""

from pathlib import Path

import pytest

from bridge.storage.queries import Queries
from bridge.storage.store import PostgresStore
from compliance_graph.judge import ShippedModel
from compliance_graph.live import LiveGraph
from compliance_graph.replay import replayed
from compliance_graph.screener import ListScreener
from compliance_graph.screening import GraphScreener
from compliance_graph.store import GraphStore
from settlement.ids import TenantId
from settlement.money import Asset, Money
from settlement.ports.clock import SystemClock
from settlement.ports.notification import NullLog
from settlement.ports.screening import Outcome, Subject
from tests.compliance_graph.made import read_in, thief_graph
from tests.compliance_graph.town import POLICY
from tests.support.builders import NOW

THIEF, LISTED, FRESH = f"0x{0:040x}", "0x" + "5" * 40, "0x" + "9" * 40
USD = Asset("USD", 2)


@pytest.fixture
async def screener(postgres_store: PostgresStore, tmp_path: Path) -> GraphScreener:
    """Over a graph in which one account behaves like a thief."""
    store, lists = GraphStore(postgres_store.pool), tmp_path / "ofac.csv"
    lists.write_text(f"asset,address\nETH,{LISTED}\n")
    await read_in(store, thief_graph())
    screener = GraphScreener(
        ListScreener([lists]),
        LiveGraph(store, POLICY.worth, tmp_path / "snapshots"),
        POLICY,
        model=ShippedModel(),
        clock=SystemClock(),
        log=NullLog(),
    )
    await screener.refresh()
    return screener


def subject(wallet: str) -> Subject:
    return Subject(TenantId("ten_1"), "local", wallet, "cus_1", Money(10_000, USD))


async def test_whom_the_model_does_not_judge_it_does_not_clear_either(screener):
    """The version of the model that stood ready is in every verdict, asked or not."""
    for wallet, outcome in ((LISTED, Outcome.BLOCK), (FRESH, Outcome.CLEAR)):
        verdict = await screener.screen(subject(wallet))
        assert (verdict.outcome, verdict.score_ppm) == (outcome, None)
        assert verdict.versions["model"] == ShippedModel().version


async def test_a_thief_is_reviewed_and_the_stored_verdict_is_made_again(screener, postgres_store):
    """By the score alone; its reasons are stored with it, and every digit comes out again."""
    verdict = await screener.screen(subject(THIEF))
    assert verdict.outcome is Outcome.REVIEW
    assert "model.score" in [reason.code for reason in verdict.reasons]
    assert verdict.versions["model"] == ShippedModel().version
    assert verdict.risk_ppm == verdict.score_ppm
    explanation = verdict.evidence["explanation"]
    assert explanation["features"]
    assert explanation["counterparties"]
    screening_id = await postgres_store.save_screening(subject(THIEF), verdict, NOW)
    found = await Queries(postgres_store.pool).screening(None, screening_id)
    assert found is not None
    again = replayed(found.verdict, THIEF, lambda _: POLICY)
    assert again.digest == found.digest == verdict.digest
    assert again == found.verdict
