"""A real chain behind three URLs, of which one lies, lags or refuses: the batch does not notice."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from chain.deployment import Deployment, Token
from chain.errors import EndpointFeeCap, NonceTooLow
from chain.evm.client import EvmChain
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers.keystore import KeystoreSigner
from settlement.batch import BatchStatus, RequestedCall
from settlement.batching.plan import plan_waiting
from settlement.errors import ChainUnknown
from settlement.money import Asset
from settlement.pipeline import take_lanes
from settlement.ports.chain import BatchCall, ContractCall, Payout
from tests.chain.scripted_node import Script, error, result, scripted_node
from tests.chain.world import DOLLAR, World, fresh_address
from tests.support.engine import Engine, an_engine

Alter = Callable[[str, Any, Any], Any]
"""Method, parameters and the chain's true result (or ``None``) → what this endpoint says."""
Open = Callable[..., Awaitable[EvmChain]]


def true(_method: str, _params: Any, result: Any) -> Any:
    return result


def without_receipts(method: str, _params: Any, result: Any) -> Any:
    """It lags: receipts come late."""
    return None if method == "eth_getTransactionReceipt" else result


def failing_everything(method: str, params: Any, result: Any) -> Any:
    """It lies: every mined transaction reverted, everything is final, every nonce is spent."""
    match method:
        case "eth_getTransactionReceipt" if result:
            return {**result, "status": "0x0", "logs": []}
        case "eth_getBlockByNumber" if params[0] == "finalized":
            return {**result, "number": hex(10**9)}
        case "eth_getTransactionCount":
            return hex(int(result, 16) + 7)
        case "eth_getCode":
            return "0x"
    return result


def inventing_receipts(method: str, params: Any, result: Any) -> Any:
    """It lies: what nobody mined is mined, in the block that everybody knows."""
    if method == "eth_getTransactionReceipt" and result is None:
        return {"transactionHash": params[0], "blockNumber": "0x0", "status": "0x1", "logs": []}
    return result


def of_a_lost_block(method: str, _params: Any, result: Any) -> Any:
    """Its index still holds what a reorganisation removed from the chain."""
    if method == "eth_getTransactionReceipt" and result:
        return {**result, "blockHash": "0x" + "de" * 32}
    return result


def of_another_transaction(method: str, _params: Any, result: Any) -> Any:
    """It mixes up what it was asked."""
    if method == "eth_getTransactionReceipt" and result:
        return {**result, "transactionHash": "0x" + "de" * 32}
    return result


def with_a_log_cut_short(method: str, _params: Any, result: Any) -> Any:
    """A proxy lost what the vault's logs hold."""
    if method == "eth_getTransactionReceipt" and result:
        return {**result, "logs": [{**log, "data": "0x"} for log in result["logs"]]}
    return result


def without_logs(method: str, _params: Any, result: Any) -> Any:
    """Its index of logs has holes."""
    return [] if method == "eth_getLogs" else result


def with_other_calldata(method: str, _params: Any, result: Any) -> Any:
    """It lies about what the vault was asked: another batch."""
    if method == "eth_getTransactionByHash" and result:
        data = result["input"]
        return {**result, "input": data[:10] + f"{int(data[10:74], 16) + 1:064x}" + data[74:]}
    return result


def through(world: World, alter: Alter) -> Script:
    """Pass on to the world's chain and alter what it says."""

    def script(request: Any) -> Any:
        if isinstance(request, list):
            return [script(one) for one in request]
        method, params = request["method"], request["params"]
        if alter is refusing_to_send and method == "eth_sendRawTransaction":
            return error(-32000, "tx fee (2.00 ether) exceeds the configured cap")(request)
        if alter is refusing_every_call and method == "eth_call":
            return error(3, "execution reverted: no")(request)
        if alter is pruned and _of_long_ago(world, method, params):
            return error(-32000, "missing trie node")(request)
        answer = world.http.post("", json=request).json()
        if alter is taking_every_call and method == "eth_call":
            return result("0x")(request)
        if "error" in answer:
            return answer
        return {**answer, "result": alter(method, params, answer["result"])}

    return script


def refusing_to_send(_method: str, _params: Any, result: Any) -> Any:
    """It takes no transaction as dear as ours (see :func:`through`)."""
    return result


def refusing_every_call(_method: str, _params: Any, result: Any) -> Any:
    """It lies: whatever is asked of a contract reverts (see :func:`through`)."""
    return result


def taking_every_call(_method: str, _params: Any, result: Any) -> Any:
    """It lies: nothing reverts (see :func:`through`)."""
    return result


def pruned(_method: str, _params: Any, result: Any) -> Any:
    """It keeps the state of the newest blocks alone (see :func:`through`)."""
    return result


def _of_long_ago(world: World, method: str, params: Any) -> bool:
    if method != "eth_getTransactionCount" or not params[1].startswith("0x"):
        return False
    return int(params[1], 16) < int(world.rpc("eth_blockNumber"), 16) - 4


@pytest.fixture
async def behind(world: World) -> AsyncIterator[Open]:
    """Opens the adapter on the world's chain, with one URL for each way to alter its answers."""
    async with AsyncExitStack() as stack:

        async def open_(*alters: Alter, late_s: float = 0) -> EvmChain:
            """All but the first answer ``late_s`` later, so that it is the best of them."""
            delays = [late_s if number else 0 for number in range(len(alters))]
            served = [
                scripted_node(through(world, alter), delay_s=delay)
                for alter, delay in zip(alters, delays, strict=True)
            ]
            urls = [(await stack.enter_async_context(one)).url for one in served]
            lane = world.settler
            deployment = Deployment(
                "local",
                tuple(urls),
                world.vault.address,
                (Token("DUSD", 6, world.dollar.address),),
                (lane.address,),
            )
            signers = {lane.address: KeystoreSigner(Account.from_key(lane.private_key))}
            rpc = RpcClient(urls, grace_ms=5_000)
            chain = EvmChain(NETWORK, deployment, rpc, signers)
            stack.push_async_callback(chain.close)
            return chain

        yield open_


async def made_final(chain: EvmChain, world: World, ref: str) -> None:
    block = int(world.wait_for_receipt(ref)["blockNumber"], 16)
    while (await chain.head()).final_number < block:
        world.rpc("evm_mine")


async def sign(chain: EvmChain, world: World, batch_id: int) -> Any:
    payout = Payout(f"ord_{batch_id}", fresh_address(), DOLLAR)
    call = BatchCall(batch_id, Asset("DUSD", 6, "local"), (payout,))
    lane = world.settler.address
    return await chain.sign(lane, call, await chain.nonce(lane), None)


@pytest.mark.parametrize("bad", [without_receipts, failing_everything, inventing_receipts])
async def test_failure_6_a_mined_batch_is_seen_as_it_is_whatever_one_endpoint_says(
    world: World, behind: Open, bad: Alter
) -> None:
    """Paid, in its block; nothing final that is not; and the network has no reason to stop."""
    world.stock(10 * DOLLAR)
    chain, honest = await behind(true, bad, true), await behind(true)
    signed, other = await sign(chain, world, 1), await sign(chain, world, 2)
    await chain.send(signed.raw)
    world.wait_for_receipt(signed.ref)
    [inclusion] = await chain.inclusions([signed.ref, other.ref])
    assert [inclusion] == await honest.inclusions([signed.ref])
    assert inclusion.succeeded
    assert (await chain.head()).final_number == (await honest.head()).final_number
    assert await chain.nonce(world.settler.address) == signed.nonce + 1
    assert await chain.identity() == await honest.identity()
    assert await chain.batch_recorded(1)


async def test_a_receipt_counts_only_in_a_canonical_block_and_for_its_own_transaction(
    world: World, behind: Open
) -> None:
    """One of a removed block is none; one of another transaction is no answer. One URL or three."""
    world.stock(10 * DOLLAR)
    signed = await sign(await behind(true), world, 1)
    await (await behind(true)).send(signed.raw)
    world.wait_for_receipt(signed.ref)
    for count in (1, 3):
        lost = await behind(*[of_a_lost_block] * count)
        assert await lost.inclusions([signed.ref]) == []
        for nonsense in (of_another_transaction, with_a_log_cut_short):
            mixed_up = await behind(*[nonsense] * count)
            with pytest.raises(ChainUnknown):
                await mixed_up.inclusions([signed.ref])


async def test_failure_10_a_lower_fee_cap_at_one_endpoint_does_not_stop_a_batch(
    world: World, behind: Open
) -> None:
    """The others take it; alone, the endpoint's own refusal is told."""
    world.stock(10 * DOLLAR)
    capped = await behind(refusing_to_send)
    signed = await sign(capped, world, 1)
    with pytest.raises(EndpointFeeCap):
        await capped.send(signed.raw)
    await (await behind(refusing_to_send, true, refusing_to_send)).send(signed.raw)
    world.wait_for_receipt(signed.ref)


async def test_failure_5_bytes_that_are_mined_can_be_sent_to_all_again(
    world: World, behind: Open
) -> None:
    """Nonce too low everywhere is success for them, and refused for other bytes at that nonce."""
    world.stock(10 * DOLLAR)
    chain = await behind(true, true, without_receipts)
    signed, rival = await sign(chain, world, 1), await sign(chain, world, 2)
    await chain.send(signed.raw)
    world.wait_for_receipt(signed.ref)
    await chain.send(signed.raw)
    with pytest.raises(NonceTooLow):
        await chain.send(rival.raw)


async def test_a_paid_batch_is_found_though_one_endpoint_has_no_log_of_it(
    world: World, behind: Open
) -> None:
    """Left out, it would be paid again. Too few that have it is no answer."""
    world.stock(10 * DOLLAR)
    signed = await sign(await behind(true), world, 1)
    await (await behind(true)).send(signed.raw)
    await made_final(await behind(true), world, signed.ref)
    chain = await behind(without_logs, true, true)
    assert [paid.batch_id for paid in await chain.history.paid_batches()] == [1]
    with pytest.raises(ChainUnknown):
        await (await behind(without_logs, true)).history.paid_batches()


async def test_calldata_that_is_not_what_the_log_tells_of_proves_nothing(
    world: World, behind: Open
) -> None:
    """Rows and root come from one endpoint: they must fit what a quorum has seen."""
    world.stock(10 * DOLLAR)
    signed = await sign(await behind(true), world, 1)
    await (await behind(true)).send(signed.raw)
    await made_final(await behind(true), world, signed.ref)
    with pytest.raises(ChainUnknown):
        await (await behind(with_other_calldata)).history.paid_batches()


def a_transfer(world: World, amount: int) -> ContractCall:
    """The lane has no dollars: it can send none of them, and not one."""
    data = world.dollar.functions.transfer(fresh_address(), amount)._encode_transaction_data()
    return ContractCall(world.dollar.address, bytes.fromhex(data[2:]))


@pytest.mark.parametrize("liar", [refusing_every_call, taking_every_call])
async def test_whether_a_call_is_refused_for_good_is_told_by_a_quorum(
    world: World, behind: Open, liar: Alter
) -> None:
    """One endpoint's lie changes neither answer; two that differ give none."""
    lane, good, bad = world.settler.address, a_transfer(world, 0), a_transfer(world, 1)
    chain = await behind(liar, true, true)
    assert await chain.refusal(lane, good) is None
    assert "revert" in str(await chain.refusal(lane, bad))
    torn = await behind(liar, true)
    with pytest.raises(ChainUnknown):
        await torn.refusal(lane, good if liar is refusing_every_call else bad)


@pytest.mark.parametrize(("amount", "liars"), [(0, 1), (1, 0)])
async def test_a_waiting_call_is_given_back_by_the_word_of_a_quorum_alone(
    world: World, behind: Open, amount: int, liars: int
) -> None:
    """The best endpoint swears that it reverts: the call waits, and is planned once it stops
    lying. What does revert is given back with the reason."""
    best = refusing_every_call if liars else true
    chain = await behind(best, true, true, late_s=0.05)
    engine = await an_engine(0)
    call = RequestedCall("call_1", "local", world.settler.address, a_transfer(world, amount))
    planned = await planned_call(engine, chain, call)
    outcome = await engine.store.call_outcome("call_1")
    assert engine.log.count("call_not_planned") == 1
    assert (planned, outcome.status) == (amount, None)
    assert (outcome.refused_reason is not None) is (amount == 1)
    if liars:
        planned = await planned_call(engine, await behind(true, true, true), call)
        outcome = await engine.store.call_outcome("call_1")
        assert (planned, outcome.status, outcome.refused_reason) == (1, BatchStatus.PLANNED, None)


async def planned_call(engine: Engine, chain: EvmChain, call: RequestedCall) -> int:
    """One look of the lane at what waits; how many calls were planned or refused."""
    ports, lane = replace(engine.ports, chains={"local": chain}), call.sender
    await chain.head()  # the quickest endpoint is known from here on
    await engine.store.register_lane("local", lane, await chain.nonce(lane))
    await engine.store.request_call(call, engine.clock.now())
    engine.clock.pass_s(60)  # past the lease of the look before
    [held] = await take_lanes(ports, "local")
    return (await plan_waiting(ports, held, []))[1]


async def test_whose_transaction_used_up_a_nonce_is_read_from_the_chain_itself(
    world: World, behind: Open
) -> None:
    """Far back and near, among others of the same block; no receipt is needed, one liar no help."""
    world.stock(10 * DOLLAR)
    lane, first = (
        world.settler,
        int(world.rpc("eth_getTransactionCount", world.settler.address, "latest"), 16),
    )
    world.rpc("evm_mine")
    sent = []
    for count in (1, 3, 2):
        raws = [
            world.sign(lane, to=fresh_address(), value=1, nonce=first + len(sent) + n)
            for n in range(count)
        ]
        world.rpc("evm_setAutomine", False)
        sent += [world.rpc("eth_sendRawTransaction", raw) for raw in raws]
        world.rpc("evm_mine")
        world.rpc("evm_setAutomine", True)
        for _ in range(9):
            world.rpc("evm_mine")
    chain = await behind(without_receipts, failing_everything, without_receipts)
    final = int(world.rpc("eth_blockNumber"), 16)
    for n, ref in enumerate(sent):
        assert await chain.used_by(lane.address, first + n, final) == ref
    for count in (1, 3):
        forgetful = await behind(*[pruned] * count)
        assert await forgetful.used_by(lane.address, first, final) is None
    with pytest.raises(ChainUnknown):
        await (await behind(true, failing_everything)).used_by(lane.address, first, final)
