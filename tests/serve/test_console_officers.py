"""The console of officers: cases, lists, replay and the audit trail, from the outside."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bridge.list_refresh import Refreshing, list_jobs, without_query
from bridge.settings import load
from bridge.storage.store import PostgresStore
from compliance_graph.judge import ShippedModel
from compliance_graph.live import LiveGraph
from compliance_graph.policy import load_policy
from compliance_graph.screener import ListScreener
from compliance_graph.screening import GraphScreener
from compliance_graph.store import GraphStore
from settlement.order import HoldReason, Order, Status
from settlement.ports.clock import SystemClock
from settlement.ports.notification import NullLog
from settlement.ports.screening import Subject, Verdict
from settlement.transitions import move
from tests.compliance_graph.made import read_in, thief_graph
from tests.serve.test_console import Say, say
from tests.support.builders import NOW, Scene

__all__ = ["say"]
WHY = ("--reason", "the exchange confirmed the wallet")
HEAD = "asset,address\n"
FIRST = HEAD + "ETH,0x098B716B8Aaf21512996dC57EB0615e2383E2f96\n"


def write(file: Path, text: str) -> None:
    file.write_text(text)


Screening = Callable[[PostgresStore, Order], Awaitable[Verdict]]


def listed(lists: Path) -> Screening:
    """A list asks for a review."""

    async def screen(_store: PostgresStore, order: Order) -> Verdict:
        vetoed = f"ETH,0x{'dead' * 10},block\n"
        write(lists, f"asset,address,action\nETH,{order.wallet},review\n{vetoed}")
        return await ListScreener([lists]).screen(Subject.of(order))

    return screen


def scored(folder: Path) -> Screening:
    """The shipped model asks for a review of a wallet that behaves like a thief, and a rule of one
    that a mixer paid."""

    async def screen(store: PostgresStore, order: Order) -> Verdict:
        graph, (lists, labels) = GraphStore(store.pool), (folder / "o.csv", folder / "names.csv")
        write(lists, f"{HEAD}ETH,0x{'dead' * 10}\n")
        write(labels, f"address,labels\n0x{1:040x},tornado-cash\n")
        await read_in(graph, thief_graph(), {0: order.wallet.lower()})
        policy = load_policy()
        screener = GraphScreener(
            *(ListScreener([lists]), LiveGraph(graph, policy.worth, None), policy),
            labels=[labels],
            model=ShippedModel(),
            clock=SystemClock(),
            log=NullLog(),
        )
        await screener.refresh()
        return await screener.screen(Subject.of(order))

    return screen


async def in_review(dsn: str, gross_minor: int, screen: Screening) -> Order:
    """An order that is in review, as a worker stores it."""
    store = await PostgresStore.connect(dsn, 1, 2)
    scene = Scene(store)
    order = await scene.order(gross_minor=gross_minor)
    await scene.apply(move(order, Status.AUTHORIZED, NOW, under_lease=False))
    verdict = await screen(store, order)
    screening_id = await store.save_screening(Subject.of(order), verdict, NOW)
    authorized = await store.get(order.id)
    assert authorized is not None
    patch: dict[str, Any] = {"screening_id": screening_id, "hold_reason": HoldReason.REVIEW}
    await scene.apply(replace(move(authorized, Status.IN_REVIEW, NOW, patch=patch), epoch=None))
    found = await store.get(order.id)
    await store.close()
    assert found is not None
    return found


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[str]:
    """A web server that publishes a folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_officers_decide_and_the_record_holds(say: Say, database_dsn: str, tmp_path: Path) -> None:
    """Two names above the limit; afterwards verdict and trail are checked from what is stored."""
    order = asyncio.run(in_review(database_dsn, 150_000, listed(tmp_path / "own.csv")))
    case_id = order.id.replace("ord_", "case_")
    assert say("cases", "approve", "case_x", "--officer", "anna", *WHY) == (1, "no such case")
    assert say("cases", "approve", case_id, "--officer", "anna")[0] == 2
    assert case_id in say("cases", "list")[1]
    assert "second officer" in say("cases", "approve", case_id, "--officer", "anna", *WHY)[1]
    status, said = say("cases", "approve", case_id, "--officer", "anna", *WHY)
    assert (status, "another officer" in said) == (1, True)
    assert "is approved" in say("cases", "approve", case_id, "--officer", "ben", *WHY)[1]
    shown = say("cases", "show", case_id)[1]
    assert "console:ben" in shown
    assert "list.own" in shown
    assert "no case waits" in say("cases", "list")[1]
    status, said = say("screenings", "replay", str(order.screening_id))
    assert (status, "review again" in said) == (0, True), said
    status, said = say("audit", "verify")
    assert (status, f"{order.tenant_id}: 3 rows" in said) == (0, True), said
    assert say("audit", "verify", "--tenant", order.tenant_id, "--noted", "0" * 64)[0] == 1


def test_an_officer_sees_payments_reasons_and_what_would_change_them(
    say: Say, database_dsn: str, tmp_path: Path
) -> None:
    """With transactions to look up; replay asks the model again."""
    order = asyncio.run(in_review(database_dsn, 10_000, scored(tmp_path)))
    shown = say("cases", "show", order.id.replace("ord_", "case_"))[1]
    assert "why   model.score" in shown
    assert "why   exposure.mixer.out" in shown
    assert f"path  {order.wallet.lower()} -> 0x{1:040x}, worth 12000 in 1\n        0x" in shown
    assert "who   0x" in shown
    assert f"if    without the payments of 0x{1:040x} exposure.mixer.out is 0.0%" in shown
    status, said = say("screenings", "replay", str(order.screening_id))
    assert (status, "review again" in said, " ppm" in said) == (0, True, True), said


def test_a_list_is_refreshed_from_its_publisher_or_left_as_it_is(
    say: Say, publisher: str, tmp_path: Path
) -> None:
    """A server that is down, a torn file and a missing one change nothing."""
    file, urls = tmp_path / "ofac.csv", f"treasury={publisher}/ofac.csv"
    assert "TIDEGATE_LIST_URLS" in say("lists", "refresh", "treasury")[1]
    assert say("lists", "refresh", "treasury", TIDEGATE_LIST_URLS=urls)[0] == 1
    file.write_text(FIRST)
    status, said = say("lists", "refresh", "treasury", TIDEGATE_LIST_URLS=urls)
    assert (status, "version 1: 1 addresses" in said) == (0, True), said
    for torn in (FIRST[:-9], HEAD, "<html>down</html>"):
        file.write_text(torn)
        status, said = say("lists", "refresh", "treasury", TIDEGATE_LIST_URLS=urls)
        assert (status, "refused" in said) == (1, True), said
    shown = say("lists", "show", "treasury")[1]
    assert "0x098b716b8aaf21512996dc57eb0615e2383e2f96" in shown
    assert say("lists", "import", "own_block", str(file))[0] == 1


def test_workers_refresh_a_list_by_themselves(
    say: Say, publisher: str, database_dsn: str, tmp_path: Path
) -> None:
    """What is refused or takes too long is tried again at the next beat, what was taken over not
    before its time."""
    file, url = tmp_path / "ofac.csv", f"worker={publisher}/ofac.csv"
    environment = {"DATABASE_URL": database_dsn, "TIDEGATE_LIST_URLS": url}
    assert list_jobs(load(environment | {"TIDEGATE_LIST_REFRESH_H": "0"})) == []
    assert without_query("'https://a.b/c?key=1' gave 404") == "'https://a.b/c' gave 404"
    file.write_text(FIRST)
    asyncio.run(Refreshing(load(environment), most_s=0.01).beat())
    assert "version 1" not in say("lists", "show", "worker")[1]
    [(beat, _)] = list_jobs(load(environment))
    for content, versions in ((HEAD, 0), (FIRST, 1), (FIRST.replace("8b", "8c"), 1)):
        file.write_text(content)
        asyncio.run(beat())
        status, said = say("lists", "show", "worker")
        assert (status == 0, said.count("console")) == (versions > 0, versions), said
