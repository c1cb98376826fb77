"""Several endpoints, scripted and in front of a real chain: sending, failover, pauses, health."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from chain.deployment import Deployment
from chain.errors import (
    EndpointDown,
    EndpointFeeCap,
    NonceTooLow,
    NoQuorum,
    RateLimited,
    RpcTimeout,
)
from chain.evm.client import EvmChain
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from settlement.errors import ChainUnknown
from tests.chain.modelled_node import LANE, VAULT, node, tx
from tests.chain.modelled_node import World as Model
from tests.chain.scripted_node import ScriptedNode, error, result, scripted_node
from tests.support.waiting import eventually

RAW = b"\x02signed"


class MovableClock:
    """Milliseconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


class Lines:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **facts: object) -> None:
        self.told.append((event, facts))

    warning = error = info


def adapter(*nodes: ScriptedNode, **options: Any) -> EvmChain:
    """The adapter over modelled nodes, patient enough for a busy machine."""
    rpc = RpcClient([one.url for one in nodes], **{"grace_ms": 5_000, **options})
    return EvmChain(NETWORK, Deployment("local", (), VAULT, (), ()), rpc, {})


@asynccontextmanager
async def sending(*nodes: ScriptedNode, **options: Any) -> AsyncIterator[RpcClient]:
    client = RpcClient([one.url for one in nodes], **options)
    yield client
    await client.close()


async def test_a_transaction_goes_to_every_endpoint() -> None:
    """Also to those that answer after the first took it."""
    async with (
        scripted_node(result("0x11")) as first,
        scripted_node(result("0x11")) as second,
        scripted_node(error(-32000, "already known")) as third,
        sending(first, second, third) as client,
    ):
        await client.broadcast(RAW)
        for one in (first, second, third):
            await eventually(one.methods, what="each endpoint is sent the bytes")
            assert one.requests[0]["params"] == ["0x" + RAW.hex()]


@pytest.mark.parametrize(
    "refusal",
    [
        error(-32000, "tx fee (2.00 ether) exceeds the configured cap (1.00 ether)"),
        error(-32005, "daily request count exceeded, request rate limited"),
        error(-32000, "transaction underpriced"),
        error(-32000, "txpool is full"),
        error(-32000, "nonce too low"),
    ],
)
async def test_failure_10_one_endpoints_cap_or_limit_does_not_lose_the_attempt(refusal) -> None:
    """What one refuses another takes, in whatever order they answer."""
    async with scripted_node(refusal) as picky, scripted_node(result("0x11")) as open_handed:
        async with sending(picky, open_handed) as client:
            await client.broadcast(RAW)
        async with sending(open_handed, picky) as client:
            await client.broadcast(RAW)


async def test_failure_10_a_paused_endpoint_is_sent_the_bytes_when_nobody_else_takes_them() -> None:
    """A rate limit a moment ago is no reason to let a transaction wait."""
    clock = MovableClock()
    async with (
        scripted_node(error(-32005, "rate limit")) as limited,
        scripted_node(error(-32000, "txpool is full")) as full,
        sending(limited, full, now_ms=clock) as client,
    ):
        with pytest.raises(RateLimited):
            await client.broadcast(RAW)
        limited.script = result("0x11")
        await client.broadcast(RAW)
        assert len(limited.requests) == 2


async def test_the_most_hopeful_of_all_refusals_is_told() -> None:
    """Unknown before refused, and what passes elsewhere or later before what never will."""
    async with (
        scripted_node(error(-32000, "nonce too low")) as spent,
        scripted_node(error(-32000, "tx fee (2 ether) exceeds the configured cap")) as capped,
        scripted_node(lambda _: b"", status=502) as broken,
    ):
        for nodes, kind in (
            ((spent,), NonceTooLow),
            ((spent, capped), EndpointFeeCap),
            ((spent, capped, broken), EndpointDown),
        ):
            async with sending(*nodes) as client:
                with pytest.raises(kind):
                    await client.broadcast(RAW)


async def test_failure_5_nonce_too_low_from_every_node_is_success_when_the_bytes_are_mined() -> (
    None
):
    """Wrapped by a gateway or not, and even if only one endpoint has the receipt yet."""
    wrapped = {"code": -32603, "message": "Internal error", "data": {"message": "nonce too low"}}

    def said(receipt: Any) -> Any:
        def script(request: Any) -> Any:
            body = {"jsonrpc": "2.0", "id": request["id"]}
            if request["method"] == "eth_sendRawTransaction":
                return {**body, "error": wrapped}
            return {**body, "result": receipt}

        return script

    async with (
        scripted_node(said({"status": "0x1"})) as ahead,
        scripted_node(said(None)) as behind,
    ):
        chain = adapter(ahead, behind)
        await chain.send(RAW)
        assert {one.is_paused for one in chain.endpoints()} == {False}
        ahead.script = said(None)
        with pytest.raises(NonceTooLow):
            await chain.send(RAW)
        await chain.close()


async def test_failure_5_an_error_that_nobody_understands_does_not_pause_the_endpoints() -> None:
    """One poisoned transaction, refused in unknown words, must not take the reads with it."""

    def picky(request: Any) -> Any:
        if isinstance(request, list):
            return node(Model())(request)
        return error(-32603, "Internal error")(request)

    async with scripted_node(picky) as first, scripted_node(picky) as second:
        chain = adapter(first, second)
        for _ in range(5):
            with pytest.raises(ChainUnknown):
                await chain.send(RAW)
            await chain.head()
        assert {one.is_paused for one in chain.endpoints()} == {False}
        await chain.close()


async def test_failure_6_one_laggards_empty_receipt_hides_no_mined_transaction() -> None:
    """Two of three know it; a third that does not is no news."""
    truth = Model(mined={tx(1): (80, True)})
    async with (
        scripted_node(node(truth)) as first,
        scripted_node(node(truth)) as second,
        scripted_node(node(truth.late(30))) as laggard,
    ):
        chain = adapter(laggard, first, second)
        [inclusion] = await chain.inclusions([tx(1)])
        assert (inclusion.ref, inclusion.block_hash) == (tx(1), truth.hash(80))
        assert (await chain.head()).final_number == 90
        await chain.close()


async def test_failure_6_a_receipt_that_most_endpoints_lack_is_neither_there_nor_absent() -> None:
    """The batch waits; and a used nonce does not count as stolen while one endpoint knows us."""
    truth = Model(mined={tx(1): (80, True)})
    no_receipts = Model(mined={tx(2): (80, True)})  # another transaction used the nonce
    async with (
        scripted_node(node(truth)) as ahead,
        scripted_node(node(no_receipts)) as first,
        scripted_node(node(no_receipts)) as second,
    ):
        chain = adapter(ahead, first, second)
        assert await chain.nonce(LANE, 90) == 1
        assert await chain.inclusions([tx(1)]) == []
        with pytest.raises(NoQuorum):
            await chain.inclusions([tx(1)], complete=True)
        ahead.script = first.script
        assert await chain.inclusions([tx(1)], complete=True) == []
        await chain.close()


async def test_too_few_answers_leave_every_question_of_money_open() -> None:
    """With two URLs both must answer: unknown is pending, never failure and never success."""
    truth = Model(mined={tx(1): (80, True)})
    async with (
        scripted_node(node(truth)) as only,
        scripted_node(lambda _: b"", status=503) as dead,
    ):
        chain = adapter(only, dead)
        for question in (
            chain.head(),
            chain.identity(),
            chain.inclusions([tx(1)]),
            chain.block_hash(80),
            chain.nonce(LANE),
            chain.nonces(LANE),
            chain.nonce(LANE, 90),
            chain.batch_recorded(1),
        ):
            with pytest.raises(NoQuorum, match="2 endpoints must answer"):
                await question
        await chain.close()


async def test_a_laggard_that_answers_first_does_not_hold_finality_back_for_ever() -> None:
    """A slow honest endpoint counts with its last report: what is final stays final."""
    truth = Model()
    async with (
        scripted_node(node(truth)) as quick,
        scripted_node(node(truth.late(40))) as stuck,
        scripted_node(node(truth), delay_s=0.2) as slow,
    ):
        chain = adapter(quick, stuck, slow, grace_ms=1)

        async def final() -> bool:
            return (await chain.head()).final_number == 90

        await eventually(final, what="the slow endpoint's report counts")
        await chain.close()


async def test_a_liar_that_answers_first_does_not_keep_a_vote_open() -> None:
    """Who agrees is waited for while it can matter, and not any longer."""
    truth = Model(mined={tx(1): (80, True)})
    async with (
        scripted_node(node(truth)) as quick,
        scripted_node(node(Model("lie", mined={tx(1): (80, False)}))) as liar,
        scripted_node(node(truth), delay_s=0.3) as slow,
        scripted_node(node(truth), delay_s=60) as hanging,
    ):
        chain = adapter(quick, liar, slow, grace_ms=1)
        assert await chain.block_hash(80) == truth.hash(80)
        [inclusion] = await chain.inclusions([tx(1)])
        assert inclusion.executed
        await chain.close()
        undisturbed = adapter(quick, slow, hanging)
        assert await undisturbed.block_hash(80) == truth.hash(80)
        assert await undisturbed.inclusions([tx(9)]) == []
        await undisturbed.close()


async def test_one_url_costs_no_request_more_than_asking_it_plainly() -> None:
    """Each read of the hot path is as many requests as its questions need, and no probe beside."""
    truth = Model(mined={tx(1): (80, True)})
    async with scripted_node(node(truth)) as only:
        chain = adapter(only)
        for question, requests in (
            (chain.head, 1),
            (lambda: chain.inclusions([tx(9)]), 1),
            (lambda: chain.inclusions([tx(1), tx(9)]), 2),
            (lambda: chain.block_hash(80), 1),
            (lambda: chain.nonce(LANE), 1),
            (lambda: chain.nonces(LANE), 1),
            (lambda: chain.batch_recorded(1), 1),
            (chain.identity, 1),
        ):
            before = len(only.requests)
            await question()
            assert len(only.requests) - before == requests
        only.script = result("0x11")
        before = len(only.requests)
        await chain.send(RAW)
        assert len(only.requests) - before == 1
        await chain.close()


async def test_an_endpoint_that_hangs_delays_one_poll_and_then_none() -> None:
    """The others answer; it is paused as soon as its time is over."""
    truth = Model()
    async with (
        scripted_node(node(truth)) as first,
        scripted_node(node(truth)) as second,
        scripted_node(node(truth), delay_s=60) as hanging,
    ):
        chain = adapter(first, second, hanging, timeout_ms=1_000, grace_ms=20)
        assert (await chain.head()).final_number == 90
        await eventually(lambda: chain.endpoints()[2].is_paused, what="the pause")
        asked = len(hanging.requests)
        await chain.head()
        assert len(hanging.requests) == asked
        assert chain.endpoints()[2].last_error == RpcTimeout.__name__
        await chain.close()


async def test_retry_after_is_respected_and_the_pause_is_told_once() -> None:
    """The log names the endpoint without its key, when it is paused and when it is back."""
    clock, log = MovableClock(), Lines()
    async with (
        scripted_node(lambda _: b"{}", status=429, path="/v3/secret-key") as limited,
        scripted_node(result("0x1")) as other,
        sending(limited, other, now_ms=clock, log=log) as client,
    ):
        limited.headers = "retry-after: 20\r\n"
        for _ in range(3):
            assert await client.call("eth_chainId") == "0x1"
        assert len(limited.requests) == 1
        clock.now_ms += 19_000
        await client.call("eth_chainId")
        assert len(limited.requests) == 1
        clock.now_ms += 2_000
        limited.script, limited.status, limited.headers = result("0x1"), 200, ""
        await client.poll(lambda one: one.call("eth_chainId"))
        [paused, back] = log.told
        name = limited.url.removeprefix("http://").split("/")[0]
        assert paused == (
            "endpoint_paused",
            {"endpoint": name, "error": "RateLimited", "pause_ms": 20_000},
        )
        assert back == ("endpoint_recovered", {"endpoint": name, "failed_ms": 21_000})


async def test_the_only_endpoint_is_asked_even_while_it_is_paused() -> None:
    """The best of the bad: a pause must never leave nobody to ask."""
    async with scripted_node(error(-32005, "rate limit")) as only, sending(only) as client:
        for count in range(1, 4):
            with pytest.raises(RateLimited):
                await client.call("eth_chainId")
            assert len(only.requests) == count


async def test_the_fastest_endpoint_that_is_not_behind_serves_the_cheap_reads() -> None:
    """A laggard is not asked for fees, however quick it is."""
    truth = Model()
    async with (
        scripted_node(node(truth.late(30))) as laggard,
        scripted_node(node(truth)) as first,
        scripted_node(node(truth)) as second,
    ):
        chain = adapter(laggard, first, second)
        await chain.head()
        laggard.requests.clear()
        for one in (laggard, first, second):
            one.script = result("0x5")
        assert await chain._rpc.call("eth_maxPriorityFeePerGas") == "0x5"
        assert laggard.requests == []
        seen = chain.endpoints()
        assert [one.lag_blocks for one in seen] == [30, 0, 0]
        assert seen[0].score_ms > 30_000 > seen[1].score_ms
        await chain.close()


async def test_a_method_that_one_endpoint_does_not_serve_is_asked_of_the_next() -> None:
    """Not every provider serves every method."""
    async with (
        scripted_node(error(-32601, "the method does not exist")) as plain,
        scripted_node(result("0x5")) as full,
        sending(plain, full) as client,
    ):
        assert await client.call("eth_maxPriorityFeePerGas") == "0x5"


async def test_operators_see_each_endpoint_without_its_key() -> None:
    """Two keys at one host are told apart by a number; a healthy endpoint fails since never."""
    async with scripted_node(lambda _: b"", status=500, path="/v3/secret-key") as dead:
        chain = EvmChain(
            NETWORK,
            Deployment("local", (), VAULT, (), ()),
            RpcClient([dead.url, dead.url.replace("secret", "other")], quorum=1),
            {},
        )
        with pytest.raises(ChainUnknown):
            await chain.fees()
        first, second = chain.endpoints()
        host = dead.url.removeprefix("http://").split("/")[0]
        assert (first.label, second.label) == (f"{host}#1", f"{host}#2")
        assert first.last_error == "EndpointDown"
        assert first.failing_since is not None
        assert abs((datetime.now(UTC) - first.failing_since).total_seconds()) < 60
        assert (first.is_paused, first.head) == (True, None)
        await chain.close()
