"""The JSON-RPC client against nodes that misbehave, and against a real chain."""

import asyncio
from base64 import b64encode
from typing import Any

import pytest

from chain.errors import (
    EndpointDown,
    EndpointFeeCap,
    ExecutionReverted,
    NonceTooLow,
    RateLimited,
    RpcTimeout,
    UnclearAnswer,
)
from chain.local.process import free_port
from chain.rpc import RpcClient
from settlement.errors import ChainUnknown
from tests.chain.scripted_node import error, result, scripted_node
from tests.chain.world import World, fresh_address

SECRET = "/v3/0123456789abcdef"


def down() -> str:
    return f"http://127.0.0.1:{free_port()}{SECRET}"


async def refused(*urls: str, timeout_ms: int = 2_000) -> Exception:
    client = RpcClient(urls, timeout_ms=timeout_ms)
    try:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller checks the type
            await client.call("eth_chainId")
        return caught.value
    finally:
        await client.close()


async def test_an_endpoint_that_is_down_is_named_without_its_key() -> None:
    """Host and port are shown; the path is often the provider's key."""
    failure = await refused(down())
    assert isinstance(failure, EndpointDown)
    assert "127.0.0.1" in str(failure)
    assert SECRET not in str(failure)


async def test_a_name_and_password_in_the_url_are_shown_to_the_node_alone() -> None:
    """As HTTP's basic authentication (RFC 7617), percent-encoding undone."""
    async with scripted_node(result("0x1")) as node:
        rpc = RpcClient([node.url.replace("http://", "http://me:pass%40word@")])
        try:
            assert await rpc.call("eth_chainId") == "0x1"
        finally:
            await rpc.close()
        pair = b64encode(b"me:pass@word")
        assert b"authorization: basic " + pair.lower() in node.heads[0].lower()
        assert "pass" not in repr(rpc)


async def test_no_answer_in_time_leaves_the_effect_open() -> None:
    """A timeout is unknown, never a failure."""
    async with scripted_node(result("0x" + "00" * 200), drip_s=0.05) as node:
        started = asyncio.get_running_loop().time()
        failure = await refused(node.url, timeout_ms=200)
        assert isinstance(failure, RpcTimeout)
        assert isinstance(failure, ChainUnknown)
        assert failure.transient
        # Every byte comes in time, the answer does not: the limit is on the whole.
        assert asyncio.get_running_loop().time() - started < 2


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (429, b"slow down", RateLimited),
        (502, b"<html>Bad Gateway</html>", EndpointDown),
        (403, b"", EndpointDown),
        (200, b"<html>Welcome</html>", UnclearAnswer),
        (200, b"{}", UnclearAnswer),
        (200, b"[]", UnclearAnswer),
        (200, b'"0x1"', UnclearAnswer),
        (200, b'{"jsonrpc":"2.0","id":1}', UnclearAnswer),
        (200, b'{"jsonrpc":"2.0","id":99,"result":"0x1"}', UnclearAnswer),
    ],
)
async def test_what_is_no_answer_is_never_taken_for_one(
    status: int, body: bytes, expected: type[Exception]
) -> None:
    """Gateways, captive portals and broken nodes leave the question open."""
    async with scripted_node(lambda _: body, status=status) as node:
        failure = await refused(node.url)
        assert type(failure) is expected
        assert isinstance(failure, ChainUnknown)


async def test_an_error_object_counts_whatever_the_http_status() -> None:
    """Some nodes answer a JSON-RPC error with status 400 or 500."""
    async with scripted_node(error(-32000, "nonce too low"), status=500) as node:
        assert isinstance(await refused(node.url), NonceTooLow)


async def test_a_definite_no_is_not_taken_to_another_endpoint() -> None:
    """The other node would say the same, or mislead."""
    async with (
        scripted_node(error(-32000, "nonce too low")) as first,
        scripted_node(result("0x1")) as second,
    ):
        assert isinstance(await refused(first.url, second.url), NonceTooLow)
        assert second.requests == []


async def test_an_open_question_at_one_endpoint_outweighs_anothers_refusal() -> None:
    """The node that did not answer may have taken the transaction."""
    async with scripted_node(error(-32000, "tx fee (2 ether) exceeds the configured cap")) as picky:
        failure = await refused(picky.url, down())
        assert isinstance(failure, ChainUnknown)
        assert isinstance(await refused(picky.url), EndpointFeeCap)


@pytest.mark.parametrize(
    "script",
    [
        error(-32005, "daily request count exceeded, request rate limited"),
        error(-32000, "tx fee (2.00 ether) exceeds the configured cap (1.00 ether)"),
    ],
)
async def test_an_endpoints_own_limit_moves_on_to_the_next(script: Any) -> None:
    """A rate limit or a safety cap of one provider does not lose the call."""
    async with scripted_node(script) as limited, scripted_node(result("0x7a69")) as second:
        client = RpcClient([limited.url, second.url])
        assert await client.call("eth_chainId") == "0x7a69"
        await client.close()


async def test_failure_5_bytes_that_the_nodes_know_already_are_sent() -> None:
    """An answer was lost, the same bytes are sent again: that is a success, wrapped or not."""
    wrapped = error(-32603, "Internal error", {"message": "already known"})
    async with (
        scripted_node(wrapped) as first,
        scripted_node(error(-32000, "txpool is full")) as second,
    ):
        for urls in ([first.url], [second.url, first.url]):
            client = RpcClient(urls)
            await client.broadcast(b"\x02signed")
            await client.close()
        assert first.methods() == ["eth_sendRawTransaction"] * 2


async def test_the_endpoint_that_served_last_is_asked_first() -> None:
    """A dead endpoint costs one attempt, not one per call."""
    async with (
        scripted_node(error(-32005, "rate limit")) as limited,
        scripted_node(result("0x1")) as healthy,
    ):
        client = RpcClient([limited.url, healthy.url])
        for _ in range(3):
            assert await client.call("eth_chainId") == "0x1"
        assert (len(limited.requests), len(healthy.requests)) == (1, 3)
        await client.close()


async def test_a_batch_is_matched_by_id_and_each_call_fails_for_itself() -> None:
    """Answers come in any order; a forgotten one is unclear; one error spoils no other."""

    def shuffled(requests: Any) -> Any:
        first, second, third, _forgotten = requests
        return [
            {"jsonrpc": "2.0", "id": third["id"], "result": "c"},
            {
                "jsonrpc": "2.0",
                "id": second["id"],
                "error": {"code": -32000, "message": "nonce too low"},
            },
            {"jsonrpc": "2.0", "id": first["id"], "result": None},
        ]

    async with scripted_node(shuffled) as node:
        client = RpcClient([node.url])
        answers = await client.batch([("eth_getTransactionReceipt", [f"0x{n}"]) for n in range(4)])
        await client.close()
    assert answers[0] is None
    assert answers[2] == "c"
    assert [type(answers[index]) for index in (1, 3)] == [NonceTooLow, UnclearAnswer]


async def test_one_error_for_a_whole_batch_is_everybodys() -> None:
    """Providers answer a batch that is too much for them with a single object."""
    whole = {"jsonrpc": "2.0", "id": None, "error": {"code": 429, "message": "compute units"}}
    async with scripted_node(lambda _: whole) as node:
        client = RpcClient([node.url])
        answers = await client.batch([("eth_blockNumber", []), ("eth_chainId", [])])
        await client.close()
    assert [type(answer) for answer in answers] == [RateLimited, RateLimited]


async def test_a_long_batch_is_cut_to_what_nodes_accept() -> None:
    """Order is kept across the pieces."""

    def echo(requests: Any) -> Any:
        return [{"jsonrpc": "2.0", "id": r["id"], "result": r["params"][0]} for r in requests]

    async with scripted_node(echo) as node:
        client = RpcClient([node.url], batch_calls_max=3)
        assert await client.batch([("echo", [n]) for n in range(8)]) == list(range(8))
        assert [len(batch) for batch in node.requests] == [3, 3, 2]
        await client.close()


async def test_a_client_without_endpoints_is_refused() -> None:
    """Nothing to ask is a fault of the configuration."""
    with pytest.raises(ValueError, match="endpoint"):
        RpcClient([])


async def test_a_real_revert_carries_its_data(world: World) -> None:
    """The vault's own error arrives as bytes, from both kinds of chain."""
    client = RpcClient([str(world.http.base_url)])
    call = world.pay(1, [])
    request = {
        "from": world.settler.address,
        "to": call.address,
        "data": call._encode_transaction_data(),
    }
    for method in ("eth_call", "eth_estimateGas"):
        with pytest.raises(ExecutionReverted) as caught:
            await client.call(method, request)
        assert caught.value.data.hex() == "c2e5347d"  # EmptyBatch()
    await client.close()


async def test_a_real_chains_refusals_are_recognised(world: World) -> None:
    """Spent nonce, too little money, too little gas, another chain: told apart on both kinds."""
    client = RpcClient([str(world.http.base_url)])
    nonce = int(await client.call("eth_getTransactionCount", world.owner.address, "latest"), 16)
    expected = {
        "NonceTooLow": {"nonce": nonce - 1},
        "InsufficientFunds": {"nonce": nonce, "value": 10**30},
        "GasTooLow": {"nonce": nonce, "gas": 20_000},
        "GasTooHigh": {"nonce": nonce, "gas": 10**9},
        "InvalidTransaction": {"nonce": nonce, "chainId": 1},
    }
    calls = [
        ("eth_sendRawTransaction", [world.sign(world.owner, to=fresh_address(), **fields)])
        for fields in expected.values()
    ]
    answers = await client.batch(calls)
    await client.close()
    assert [type(answer).__name__ for answer in answers] == list(expected)
