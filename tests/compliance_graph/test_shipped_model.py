"""The shipped model behind the door: its reviews as they are stored, explained and made again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.storage.queries import Queries
from bridge.storage.store import PostgresStore
from compliance_graph.assessment import ModelAnswer
from compliance_graph.graph import TransferGraph
from compliance_graph.judge import ShippedModel
from compliance_graph.live import LiveGraph
from compliance_graph.pairs import PairIndex
from compliance_graph.replay import models_of, replayed
from compliance_graph.rescoring import Rescorer, measure_of, packed, unpacked
from compliance_graph.scoring import Scorer
from compliance_graph.screener import ListScreener
from compliance_graph.screening import GraphScreener
from compliance_graph.store import GraphStore
from settlement.ids import TenantId
from settlement.money import Asset, Money
from settlement.ports.clock import SystemClock
from settlement.ports.notification import NullLog
from settlement.ports.screening import Outcome, Subject
from tests.compliance_graph.made import random_graph, read_in, thief_graph
from tests.compliance_graph.town import POLICY
from tests.support.builders import NOW

THIEF, LISTED, FRESH = f"0x{0:040x}", "0x" + "5" * 40, "0x" + "9" * 40
USD = Asset("USD", 2)


@pytest.fixture
async def screener(postgres_store: PostgresStore, tmp_path: Path) -> GraphScreener:
    """Over a graph in which one account behaves like a thief."""
    return await screener_over(postgres_store, tmp_path, thief_graph())


async def screener_over(
    postgres_store: PostgresStore, folder: Path, graph: TransferGraph
) -> GraphScreener:
    store, lists = GraphStore(postgres_store.pool), folder / "ofac.csv"
    lists.write_text(f"asset,address\nETH,{LISTED}\n")
    await read_in(store, graph)
    live = LiveGraph(store, POLICY.worth, folder / "snapshots")
    await live.refresh()
    await live.compact(1)
    screener = GraphScreener(
        ListScreener([lists]),
        live,
        POLICY,
        model=ShippedModel(),
        keeper=Queries(postgres_store.pool),
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


def answered(index: PairIndex, scorer: Scorer) -> ModelAnswer:
    score, read = scorer.scored(index, 0)
    assert read is not None
    version, ppm = score.model_version, score.probability_ppm
    return ModelAnswer(ppm, None, version, score.review, packed(read))


def test_a_model_that_cannot_be_asked_again_is_no_proof_and_says_so():
    """It was replaced, or what it ranked by, or was asked, is not there; the answer stands."""
    scorer, index = Scorer.load(), PairIndex.of(random_graph(400, 9000).pairs())
    own = scorer.ranked_within(index)
    given = answered(index, own)
    older = replace(given, version="0123456789abcdef")
    silent = ModelAnswer(None, "one counterparty is known", scorer.version)
    for answer, why in (
        (given, "not kept"),
        (older, "no longer deployed"),
        (replace(given, asked=None), "not kept yet"),
        (silent, "abstained"),
    ):
        rescorer = Rescorer(scorer, {})
        assert rescorer(answer) == answer
        assert why in rescorer.said[0]
    rescorer = Rescorer(scorer, {own.version: str(measure_of(own))})
    assert rescorer(given) == given
    assert rescorer.said == [f"model {own.version} says {given.probability_ppm} ppm"]


def test_an_answer_that_the_model_never_gave_is_found_out():
    """Whether the score was touched or what it was asked."""
    scorer, index = Scorer.load(), PairIndex.of(thief_graph().pairs())
    given = answered(index, scorer)
    assert Rescorer(scorer, {})(given) == given
    touched = replace(given, probability_ppm=1, review=False)
    assert Rescorer(scorer, {})(touched) == given
    other = replace(given, asked=packed(np.zeros(len(unpacked(str(given.asked))))))
    assert Rescorer(scorer, {})(other).probability_ppm != given.probability_ppm
    with pytest.raises(ValueError, match="shape"):
        Rescorer(scorer, {})(replace(given, asked=packed(np.zeros(3))))


async def test_what_a_graph_measures_its_own_accounts_by_is_kept_before_anybody_is_judged(
    postgres_store, tmp_path
):
    """Else the model could not be asked again once the graph has grown."""
    screener = await screener_over(postgres_store, tmp_path, random_graph(400, 9000))
    verdict = await screener.screen(subject(THIEF))
    name, _, own = verdict.versions["model"].partition(".")
    assert (name, len(own)) == (ShippedModel().version, 16)
    kept = await Queries(postgres_store.pool).model_contents(models_of(verdict))
    rescorer = Rescorer(Scorer.load(), kept)
    assert replayed(verdict, THIEF, lambda _: POLICY, rescorer).digest == verdict.digest
    assert "says" in rescorer.said[0]


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
    rescorer = Rescorer(Scorer.load(), {})
    again = replayed(found.verdict, THIEF, lambda _: POLICY, rescorer)
    assert again.digest == found.digest == verdict.digest
    assert again == found.verdict
    assert rescorer.said == [f"model {ShippedModel().version} says {verdict.score_ppm} ppm"]
