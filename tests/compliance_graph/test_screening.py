"""The door with a graph behind it: a chain that is followed, an indexer that is asked, and what
happens when they are silent."""

import asyncio
import time
from dataclasses import replace

import httpx
import pytest

from bridge.storage.store import PostgresStore
from chain.simulated_transfers import SimulatedTransfers
from compliance_graph.follow import BLOCKS_AT_ONCE, follow
from compliance_graph.live import LiveGraph
from compliance_graph.replay import replayed
from compliance_graph.screener import ListScreener
from compliance_graph.screening import GraphScreener
from compliance_graph.sources.indexer import Indexer, IndexerError, read_rows
from compliance_graph.store import FinalTakenBack, GraphStore
from settlement.errors import ChainUnknown, ScreeningUnavailable
from settlement.ids import TenantId
from settlement.money import Asset, Money
from settlement.ports.clock import SystemClock
from settlement.ports.lists import Action, Entry, Listing, StoredLists
from settlement.ports.notification import NullLog
from settlement.ports.screening import Outcome, Scope, Subject
from tests.compliance_graph.town import POLICY

ETH = Asset("ETH", 18, "local")
COIN = 10**18
THIEF, MIXER, MIDDLE = "0x" + "5" * 40, "0x" + "1" * 40, "0x" + "2" * 40
WALLET, SHOP, FRESH = "0x" + "3" * 40, "0x" + "4" * 40, "0x" + "9" * 40


@pytest.fixture
def store(postgres_store: PostgresStore) -> GraphStore:
    return GraphStore(postgres_store.pool)


@pytest.fixture
def screener(store, tmp_path):
    """Makes a screener over the store: the thief is listed, the mixer labelled."""
    lists, labels = tmp_path / "ofac.csv", tmp_path / "entities.csv"
    lists.write_text(f"asset,address,action\nETH,{THIEF},block\n")
    labels.write_text(f"address,name,labels\n{MIXER},Tornado,tornado-cash\n")

    def make(neighbours=None, source=None) -> GraphScreener:
        return GraphScreener(
            ListScreener([lists], source, allow_up_to={"USD": 100_000}),
            LiveGraph(store, POLICY.worth, tmp_path / "snapshots"),
            POLICY,
            labels=[labels],
            neighbours=neighbours,
            clock=SystemClock(),
            log=NullLog(),
        )

    return make


class Allowing:
    """Officers of the tenant allowed these."""

    def __init__(self, *wallets: str) -> None:
        listing = Listing("own_allow", Action.ALLOW)
        self._entries = tuple(Entry(w, "ETH", listing, None, None, "ten_1") for w in wallets)

    async def list_revision(self) -> int:
        return 1

    async def stored_lists(self) -> StoredLists:
        return StoredLists(1, (), self._entries)


def subject(wallet: str, usd: int = 100) -> Subject:
    amount = Money(usd * 100, Asset("USD", 2))
    return Subject(TenantId("ten_1"), "local", wallet, "cus_1", amount)


async def test_nobody_is_judged_before_the_graph_was_read(screener):
    """Orders wait; a listed wallet is refused all the same."""
    unread = screener()
    with pytest.raises(ScreeningUnavailable):
        await unread.screen(subject(WALLET))
    assert (await unread.screen(subject(THIEF))).outcome is Outcome.BLOCK


async def test_every_verdict_says_what_was_known_and_by_which_versions(store, screener, tmp_path):
    """A veto before and after the graph was read, an unknown wallet, a purse of ours, lists alone;
    each is made again from what it says."""
    chain = SimulatedTransfers(begin_s=int(time.time()))
    chain.mine((SHOP, WALLET, COIN))
    await follow(store, chain)
    screening = screener()
    blind = await screening.screen(subject(THIEF))
    assert blind.coverage == {"sources": []}
    await screening.refresh()
    purse = replace(subject(FRESH), scope=Scope.LISTS)
    told = [await screening.screen(one) for one in (subject(THIEF), subject(FRESH), purse)]
    for verdict in told:
        [source] = verdict.coverage["sources"]
        assert (source["source"], source["last_block"]) == ("chain:local", 1)
        assert {"ofac", "labels:entities", "policy", "model"} <= verdict.versions.keys()
    assert [v.outcome for v in told] == [Outcome.BLOCK, Outcome.CLEAR, Outcome.CLEAR]
    alone = await ListScreener([tmp_path / "ofac.csv"]).screen(subject(FRESH))
    assert (alone.versions["policy"], alone.versions["model"]) == ("none", "none")
    assert alone.coverage == {"sources": []}
    for verdict in (blind, *told, alone):
        again = replayed(verdict, FRESH, lambda _: POLICY)
        assert (again.digest, again.risk_ppm) == (verdict.digest, verdict.risk_ppm)


async def test_two_hops_from_a_mixer_goes_to_review_with_the_path_and_dust_does_not(
    store, postgres_store, screener
):
    """The verdict says what was known, of which sources, up to which block."""
    chain = SimulatedTransfers(begin_s=int(time.time()))
    chain.mine((MIXER, MIDDLE, 2 * COIN))
    chain.mine((MIDDLE, WALLET, 2 * COIN), (SHOP, MIDDLE, 1), (THIEF, SHOP, 10**13))
    await follow(store, chain)
    screening = screener()
    await screening.refresh()
    verdict = await screening.screen(subject(WALLET))
    assert verdict.outcome is Outcome.REVIEW
    assert [reason.code for reason in verdict.reasons] == ["exposure.mixer.in"]
    [found] = verdict.evidence["findings"]
    assert [(s["src"], s["dst"]) for s in found["evidence"]] == [(MIXER, MIDDLE), (MIDDLE, WALLET)]
    [source] = verdict.coverage["sources"]
    assert (source["source"], source["last_block"], source["transfers"]) == ("chain:local", 2, 4)
    assert source["misses"] == ["native coin sent on by contracts"]
    dusted = await screening.screen(subject(SHOP))
    assert (dusted.outcome, dusted.reasons[0].code) == (Outcome.CLEAR, "abstained.no_model")
    assert (await screening.screen(subject(FRESH, usd=5000))).outcome is Outcome.REVIEW
    chain.mine((THIEF, FRESH, COIN))
    await follow(store, chain)
    await screening.refresh()
    late = await screening.screen(subject(FRESH))
    assert [reason.code for reason in late.reasons] == ["exposure.sanctioned.in"]
    allowing = screener(source=Allowing(FRESH, WALLET))
    await allowing.refresh()
    spared, exposed = [await allowing.screen(subject(one)) for one in (WALLET, FRESH)]
    assert (spared.outcome, exposed.outcome) == (Outcome.CLEAR, Outcome.REVIEW)
    assert [r.code for r in exposed.reasons] == ["list.own_allow", "exposure.sanctioned.in"]
    above = await allowing.screen(subject(WALLET, usd=1001))
    assert [r.code for r in above.reasons] == ["list.own_allow", "exposure.mixer.in"]
    await postgres_store.pool.execute("UPDATE graph_sources SET updated_at = now() - interval '2h'")
    await screening.refresh()
    assert (await screening.screen(subject(SHOP))).reasons[0].code == "abstained.stale"
    await follow(store, chain)
    await screening.refresh()
    assert (await screening.screen(subject(SHOP))).reasons[0].code == "abstained.no_model"


async def test_a_chain_that_was_not_read_to_its_end_or_is_stuck_says_nothing(store, screener):
    """However recently it was asked: what the wallet did last may be in what is missing."""
    chain = SimulatedTransfers(begin_s=int(time.time()) - 2 * POLICY.stale_after_s)
    chain.mine((SHOP, WALLET, COIN))
    for _ in range(BLOCKS_AT_ONCE):
        chain.mine()
    screening = screener()

    def interrupt(_source) -> None:
        raise ChainUnknown("the node went away")

    with pytest.raises(ChainUnknown):
        await follow(store, chain, told=interrupt)
    await screening.refresh()
    assert (await screening.screen(subject(WALLET))).reasons[0].code == "abstained.incomplete"
    await follow(store, chain)
    await screening.refresh()
    assert (await screening.screen(subject(WALLET))).reasons[0].code == "abstained.stale"
    above = await screening.screen(subject(WALLET, usd=5000))
    assert above.outcome is Outcome.REVIEW


async def test_a_reorganised_payment_is_forgotten_and_silence_changes_nothing(store, screener):
    """Blocks that the chain took back leave the graph; a chain that is down keeps it as it was."""
    chain = SimulatedTransfers(final_depth=2)
    chain.mine((SHOP, WALLET, COIN))
    chain.mine()
    chain.mine((MIXER, WALLET, COIN))
    await follow(store, chain)
    screening = screener()
    await screening.refresh()
    assert (await screening.screen(subject(WALLET))).outcome is Outcome.REVIEW
    chain.down = True
    with pytest.raises(ChainUnknown):
        await follow(store, chain)
    chain.down = False
    chain.reorganise(1)
    for length in (0, 1):  # first shorter than what was read, then as long
        for _ in range(length):
            chain.mine((SHOP, WALLET, COIN))
        source = await follow(store, chain)
        await screening.refresh()
        assert (await screening.screen(subject(WALLET))).outcome is Outcome.CLEAR
        assert source.transfers == 1 + length
    asked = chain.asked
    await follow(store, chain)
    assert chain.asked - asked == 1  # the last block's hash, and nothing again
    chain.reorganise(4)
    with pytest.raises(FinalTakenBack):
        await follow(store, chain)


def row(src: str, dst: str, value: int, **more: str) -> dict[str, str]:
    return {
        "hash": f"0x{src[-1]}{dst[-1]}{value}",
        "from": src,
        "to": dst,
        "value": str(value),
        "timeStamp": "1600000000",
        "blockNumber": "7",
        "confirmations": "100",
        **more,
    }


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "0", "message": "NOTOK", "result": "Max rate limit reached"},
        {"status": "1", "result": [{"hash": "0x1"}]},
        ["surprise"],
        None,
    ],
)
async def test_an_indexer_that_fails_is_an_abstention_never_a_clear(store, screener, answer):
    """Small sums pass as for any unknown wallet, larger ones wait for an officer."""
    never = asyncio.Event()

    async def handle(_request: httpx.Request) -> httpx.Response:
        if answer is None:
            await never.wait()
        return httpx.Response(200, json=answer)

    http = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    indexer = Indexer(
        *(store, {"local": "http://indexer/api"}, {"local": {"": ETH}}),
        limit_ms=50,
        log=NullLog(),
        http=http,
    )
    screening = screener(indexer)
    await screening.refresh()
    small, large = [await screening.screen(subject(WALLET, usd)) for usd in (100, 5000)]
    assert (small.outcome, large.outcome) == (Outcome.CLEAR, Outcome.REVIEW)
    assert small.reasons[0].code == large.reasons[0].code == "abstained.indexer"
    await indexer.close()


async def test_an_unknown_wallet_is_looked_up_once_and_remembered(store, screener):
    """What the indexer tells is in the graph from then on; its own page may repeat it."""
    asked = []
    paid = [row(MIXER, WALLET, COIN), row(WALLET, SHOP, COIN, isError="1")]

    async def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["action"])
        result = paid if asked[-1] == "txlist" else [row(THIEF, WALLET, 1, contractAddress="0xfa")]
        result = result if request.url.params["address"] == WALLET else []
        return httpx.Response(200, json={"status": "1", "result": result})

    indexer = Indexer(
        *(store, {"local": "http://indexer/api?apikey=x"}, {"local": {"": ETH}}),
        log=NullLog(),
        http=httpx.AsyncClient(transport=httpx.MockTransport(handle)),
    )
    screening = screener(indexer)
    await screening.refresh()
    for _ in range(2):
        verdict = await screening.screen(subject(WALLET))
        assert [reason.code for reason in verdict.reasons] == ["exposure.mixer.in"]
    assert sorted(asked) == ["tokentx", "txlist"]
    for _ in range(2):  # nothing was found, so it is asked for again
        assert await indexer.learn("local", FRESH)
    assert len(asked) == 6
    assert (
        await store.merge(
            await store.source("indexer:local", "indexer", "local"),
            read_rows("local", {"": ETH}, [row(MIXER, WALLET, COIN)], []),
        )
        == 0
    )
    assert read_rows("local", {"": ETH}, [row(MIXER, WALLET, 5, confirmations="1")], []) == []
    with pytest.raises(IndexerError):
        read_rows("local", {"": ETH}, [{"value": "x"}], [])
    await indexer.close()


@pytest.mark.parametrize(("confirmations", "remembered_s"), [("100", 0.0), ("63", 300.0)])
async def test_what_an_indexer_told_long_ago_or_in_part_is_asked_for_again(
    store, screener, confirmations, remembered_s
):
    """What the wallet did since, and what was too young to be kept, would never be seen."""
    asked = []
    paid = [row(SHOP, WALLET, COIN), row(MIXER, WALLET, COIN, confirmations=confirmations)]

    async def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["action"])
        result = paid if asked[-1] == "txlist" else []
        return httpx.Response(200, json={"status": "1", "result": result})

    indexer = Indexer(
        *(store, {"local": "http://indexer/api"}, {"local": {"": ETH}}),
        log=NullLog(),
        http=httpx.AsyncClient(transport=httpx.MockTransport(handle)),
        remembered_s=remembered_s,
    )
    screening = screener(indexer)
    await screening.refresh()
    for _ in range(2):
        await screening.screen(subject(WALLET))
    assert len(asked) == 4
    await indexer.close()


async def test_the_indexers_key_is_not_in_the_log(store):
    """An HTTP error's own words name the whole URL."""
    told: list[str] = []

    class Kept(NullLog):
        def warning(self, event: str, **fields: object) -> None:
            told.append(f"{event} {fields}")

    async def refuse(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(403)

    indexer = Indexer(
        *(store, {"local": "http://indexer/api?apikey=hush"}, {"local": {"": ETH}}),
        log=Kept(),
        http=httpx.AsyncClient(transport=httpx.MockTransport(refuse)),
    )
    assert not await indexer.learn("local", WALLET)
    assert "403" in told[0]
    assert "hush" not in told[0]
    await indexer.close()
