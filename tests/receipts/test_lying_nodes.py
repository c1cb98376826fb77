"""Nodes that are down, talk nonsense, lag or lie; and blocks that are not final."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.chain.scripted_node import ScriptedNode, error, result, scripted_node
from tests.receipts.conftest import Answer, Receipt, Shop, Verify, needs_anvil

pytestmark = needs_anvil
Twist = Callable[[str, Any], Any]


def twisted(shop: Shop, twist: Twist) -> Callable[[Any], Any]:
    """The real chain's answers, as ``twist(method, result)`` passes them on; an exception's
    arguments become the node's error."""

    def script(request: Any) -> Any:
        answer = shop.world.ask(request["method"], *request["params"])
        if "result" in answer:
            try:
                answer["result"] = twist(request["method"], answer["result"])
            except LookupError as refusal:
                code, message = refusal.args
                return {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}
        return answer

    return script


async def ask(verify: Verify, receipt: Receipt, *options: str, nodes: list[ScriptedNode | str]):
    """Verify in a thread: the scripted nodes answer from this one."""
    urls = tuple(node if isinstance(node, str) else node.url for node in nodes)
    answer: Answer = await asyncio.to_thread(verify, receipt, *options, urls=urls)
    return answer


def test_a_node_that_is_down_checks_nothing(verify: Verify, paid: list[Receipt]) -> None:
    """Neither a yes nor a no; also when another node says yes."""
    down = "http://127.0.0.1:9"
    assert verify(paid[0], urls=(down,)).status == 2


def test_one_node_that_is_down_leaves_the_others_yes_unconfirmed(
    verify: Verify, shop: Shop, paid: list[Receipt]
) -> None:
    """The caller asked for two opinions and got one."""
    assert verify(paid[0], urls=(shop.url, "http://127.0.0.1:9")).status == 2


@pytest.mark.parametrize(
    "nonsense", [None, 5, "0xzz", "", [], {}, [None], {"logs": 5}, {"number": []}, "0x" + "00" * 96]
)
async def test_a_node_that_talks_nonsense_verifies_nothing(
    verify: Verify, paid: list[Receipt], nonsense: Any
) -> None:
    """Whatever it says to everything: no yes, and no traceback."""
    async with scripted_node(result(nonsense)) as node:
        answer = await ask(verify, paid[0], nodes=[node])
    assert answer.status in (1, 2)


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"", b"[]", b"5", b'{"result"', b"\xff"])
async def test_a_gateway_that_answers_for_the_node_checks_nothing(
    verify: Verify, paid: list[Receipt], body: bytes
) -> None:
    """It is no answer, so it is neither yes nor no."""
    async with scripted_node(lambda _: body, status=502) as node:
        assert (await ask(verify, paid[0], nodes=[node])).status == 2


async def test_a_nodes_words_reach_no_terminal_raw(verify: Verify, paid: list[Receipt]) -> None:
    """An escape sequence in an error could paint a VERIFIED over the screen."""
    async with scripted_node(error(-32000, "\x1b[2J\x1b[1mVERIFIED\nok")) as node:
        plain = await asyncio.to_thread(verify, paid[0], urls=(node.url,), as_json=False)
    assert plain.status == 2
    assert "\x1b" not in plain.said["text"]
    assert "COULD NOT BE CHECKED" in plain.said["text"]


async def test_a_lying_node_does_not_outvote_an_honest_one(verify: Verify, shop: Shop) -> None:
    """It swears that a skipped row was paid, forged log and all; the second node does not."""
    stated = shop.orders(2)
    world = shop.world
    world.do(world.dollar.functions.setBlocked(stated[1].wallet, True), world.owner)
    skipped = shop.pay(stated)[1]
    recipient = skipped["recipient"][2:].lower().rjust(64, "0")

    def twist(method: str, answer: Any) -> Any:
        if method == "eth_getTransactionReceipt":
            logs = [log for log in answer["logs"] if len(log["topics"]) != 2]  # no PayoutSkipped
            token = next(log for log in logs if len(log["topics"]) == 3)
            forged = {**token, "topics": [*token["topics"][:2], "0x" + recipient]}
            forged["data"] = f"0x{int(skipped['amount_minor']):064x}"
            return {**answer, "logs": [*logs, forged]}
        is_flag = method == "eth_call" and len(answer) == 66 and int(answer, 16) == 0
        return "0x" + "0" * 63 + "1" if is_flag else answer

    async with scripted_node(twisted(shop, twist)) as liar:
        assert (await ask(verify, skipped, nodes=[liar])).status == 0
        answer = await ask(verify, skipped, nodes=[liar, shop.url])
    assert answer.status == 1
    assert answer.failed() == {"vault's word", "batch event", "transfer"}


@pytest.mark.parametrize(
    ("method", "member", "lie", "refused_by"),
    [
        ("eth_getTransactionReceipt", "status", "0x0", "transaction"),
        ("eth_getTransactionReceipt", "blockNumber", "0x1", "transaction"),
        ("eth_getTransactionReceipt", "logs", [], "batch event"),
        ("eth_getTransactionByHash", "to", "0x" + "33" * 20, None),
        ("eth_getTransactionByHash", "input", "0x", None),
        ("eth_getBlockByNumber", "hash", "0x" + "33" * 32, "canonical"),
        ("eth_getBlockByNumber", "number", "0x0", "final"),
    ],
)
async def test_what_the_chain_says_differently_is_seen(
    verify: Verify,
    shop: Shop,
    paid: list[Receipt],
    method: str,
    member: str,
    lie: Any,
    refused_by: str | None,
) -> None:
    """A reverted transaction, another block, no logs; a call through a contract is only noted."""

    def twist(asked: str, answer: Any) -> Any:
        return {**answer, member: lie} if asked == method else answer

    async with scripted_node(twisted(shop, twist)) as node:
        answer = await ask(verify, paid[0], nodes=[node])
    assert answer.status == (0 if refused_by is None else 1)
    assert (answer.state("row") == "note") is (refused_by is None)
    assert refused_by is None or refused_by in answer.failed()


async def test_a_node_of_another_chain_is_refused(
    verify: Verify, shop: Shop, paid: list[Receipt]
) -> None:
    """The same bytes may mean something on a chain of play money."""
    async with scripted_node(
        twisted(shop, lambda method, got: "0x1" if method == "eth_chainId" else got)
    ) as node:
        answer = await ask(verify, paid[0], nodes=[node])
    assert (answer.status, answer.failed()) == (1, {"chain"})


def test_a_block_that_is_not_final_verifies_nothing_yet(verify: Verify, shop: Shop) -> None:
    """All else holds; and once more blocks came, the same receipt holds."""
    [receipt] = shop.pay(shop.orders(1), final=False)
    answer = verify(receipt)
    assert (answer.status, answer.failed()) == (1, {"final"})
    shop.world.rpc("anvil_mine", "0x3")
    assert verify(receipt).status == 0


def test_a_block_that_was_reorganised_away_is_refused(verify: Verify, shop: Shop) -> None:
    """The receipt was true for a while."""
    snapshot = shop.world.rpc("evm_snapshot")
    [receipt] = shop.pay(shop.orders(1), final=False)
    assert shop.world.rpc("evm_revert", snapshot)
    shop.world.rpc("anvil_mine", "0x5")
    answer = verify(receipt)
    assert answer.status == 1
    assert {"vault's root", "transaction", "canonical"} <= answer.failed()


def no_finalized_tag(shop: Shop) -> Callable[[Any], Any]:
    """The real chain without the tag, as chains without proof of stake answer."""
    honest = twisted(shop, lambda _, answer: answer)

    def script(request: Any) -> Any:
        if request["params"][:1] == ["finalized"]:
            return error(-39001, "finalized block not found")(request)
        return honest(request)

    return script


@pytest.mark.parametrize(
    ("claimed", "options", "status"),
    [
        (None, (), 2),
        (None, ("--depth", "2"), 0),
        (None, ("--depth", "1000000"), 1),
        (2, (), 0),
        (2, ("--depth", "1000000"), 1),
        (1_000_000, (), 1),
        (1_000_000, ("--depth", "2"), 0),
    ],
)
async def test_without_the_tag_a_depth_decides(
    verify: Verify,
    shop: Shop,
    paid: list[Receipt],
    claimed: int | None,
    options: tuple[str, ...],
    status: int,
) -> None:
    """The caller's before the receipt's; without either nobody knows."""
    rule = "finalized" if claimed is None else "depth"
    receipt = paid[0] | {"finality": {"rule": rule, "depth_blocks": claimed}}
    async with scripted_node(no_finalized_tag(shop)) as node:
        answer = await ask(verify, receipt, *options, nodes=[node])
    assert answer.status == status


def test_a_shallow_depth_in_the_receipt_does_not_outrank_the_tag(
    verify: Verify, shop: Shop
) -> None:
    """Where the node knows what is final, the receipt's rule is not asked."""
    [receipt] = shop.pay(shop.orders(1), final=False)
    shop.world.rpc("anvil_mine", "0x1")
    receipt["finality"] = {"rule": "depth", "depth_blocks": 1}
    assert verify(receipt).status == 1
