"""What an EVM node says of its blocks' fees, and what it leaves out."""

from typing import Any

import pytest

from chain.errors import UnclearAnswer
from chain.evm.fee_market import EvmFeeMarket
from chain.gas.history import TIP_PERCENTILES
from chain.rpc import RpcClient
from tests.chain.scripted_node import ScriptedNode, scripted_node

FIRST, COUNT = 100, 5


def fee_wei(number: int) -> int:
    return 10**9 + number


def tips(number: int) -> list[int]:
    return [number * percentile for percentile in TIP_PERCENTILES]


class Chain:
    """Blocks 100 to 104. ``fees_by``: how far ``eth_feeHistory`` is ahead of the blocks;
    ``has_history``: whether it is kept; ``tips_of``: what it says of a block's tips."""

    def __init__(self, *, has_history: bool = True, fees_by: int = 0, tips_of: Any = tips) -> None:
        self.has_history, self.fees_by, self.tips_of = has_history, fees_by, tips_of

    def __call__(self, request: Any) -> Any:
        if isinstance(request, list):
            return [self(one) for one in request]
        answer = {"jsonrpc": "2.0", "id": request["id"]}
        if request["method"] == "eth_getBlockByNumber":
            return answer | {"result": self.block(request["params"][0])}
        if not self.has_history:
            return answer | {"error": {"code": -32000, "message": "block range is pruned"}}
        return answer | {"result": self.history(*request["params"])}

    def block(self, which: str) -> dict[str, str]:
        number = FIRST + COUNT - 1 if which == "latest" else int(which, 16)
        return {
            "number": hex(number),
            "hash": f"0x{number:064x}",
            "parentHash": f"0x{number - 1:064x}",
            "timestamp": hex(12 * number),
            "baseFeePerGas": hex(fee_wei(number)),
            "gasUsed": hex(15_000_000),
            "gasLimit": hex(30_000_000),
        }

    def history(self, count: str, newest: str, percentiles: list[int]) -> dict[str, Any]:
        assert percentiles == list(TIP_PERCENTILES)
        last = FIRST + COUNT - 1 if newest == "latest" else int(newest, 16)
        last += self.fees_by
        numbers = range(last - int(count, 16) + 1, last + 1)
        return {
            "oldestBlock": hex(numbers[0]),
            "baseFeePerGas": [hex(fee_wei(n)) for n in [*numbers, last + 1]],
            "reward": [[hex(tip) for tip in self.tips_of(n)] for n in numbers],
        }


async def asked(script: Any, ask: Any) -> tuple[Any, ScriptedNode]:
    async with scripted_node(script) as node:
        rpc = RpcClient([node.url])
        try:
            return await ask(EvmFeeMarket(rpc)), node
        finally:
            await rpc.close()


def newest(market: EvmFeeMarket) -> Any:
    return market.newest()


def headers(market: EvmFeeMarket) -> Any:
    return market.headers(FIRST, FIRST + COUNT - 1)


@pytest.mark.parametrize("ask", [newest, headers])
async def test_a_block_without_a_base_fee_makes_no_sense(ask: Any) -> None:
    """A chain from before EIP-1559 has no market to follow."""
    chain = Chain()

    def script(request: Any) -> Any:
        answers = chain(request)
        for one in answers if isinstance(answers, list) else [answers]:
            one["result"].pop("hash", None)
        return answers

    with pytest.raises(UnclearAnswer):
        await asked(script, ask)


async def test_the_head_its_tips_and_the_next_fee_are_one_request() -> None:
    """The next fee is the node's own word, by the network's own rule."""
    found, node = await asked(Chain(), newest)
    head = FIRST + COUNT - 1
    assert (found.header.number, found.header.base_fee_wei) == (head, fee_wei(head))
    assert found.header.tips_wei == tuple(tips(head))
    assert found.next_fee_wei == fee_wei(head + 1)
    assert len(node.requests) == 1


@pytest.mark.parametrize("chain", [Chain(fees_by=1), Chain(fees_by=-1), Chain(has_history=False)])
async def test_a_history_of_another_head_or_none_says_no_next_fee(chain: Chain) -> None:
    """The chain moved between two answers, or the node keeps none: the head counts all the same."""
    found, _ = await asked(chain, newest)
    assert found.header.number == FIRST + COUNT - 1
    assert found.header.tips_wei is None
    assert found.next_fee_wei is None


async def test_headers_carry_the_tips_of_their_own_blocks() -> None:
    """All of them, in order, however the history is cut."""
    found, _ = await asked(Chain(), headers)
    assert [row.number for row in found] == list(range(FIRST, FIRST + COUNT))
    assert [row.tips_wei for row in found] == [tuple(tips(row.number)) for row in found]
    assert [row.parent for row in found[1:]] == [row.hash for row in found[:-1]]
    assert found[0].time_s == 12 * FIRST


async def test_headers_come_without_tips_where_the_node_keeps_no_history() -> None:
    """Tips are worth having, not worth failing for."""
    found, _ = await asked(Chain(has_history=False), headers)
    assert [(row.number, row.tips_wei) for row in found] == [
        (number, None) for number in range(FIRST, FIRST + COUNT)
    ]


async def test_fewer_percentiles_than_were_asked_for_are_no_tips() -> None:
    """An empty block's, for instance; those beside it keep theirs."""
    chain = Chain(tips_of=lambda number: [] if number == FIRST else tips(number))
    found, _ = await asked(chain, headers)
    assert found[0].tips_wei is None
    assert found[1].tips_wei == tuple(tips(FIRST + 1))


async def test_a_history_of_other_blocks_lends_no_tips() -> None:
    """Base fees say whether both answers are about the same blocks."""

    class Forked(Chain):
        def history(self, count: str, newest: str, percentiles: list[int]) -> dict[str, Any]:
            told = super().history(count, newest, percentiles)
            told["baseFeePerGas"][0] = hex(7)
            return told

    found, _ = await asked(Forked(), headers)
    assert found[0].tips_wei is None
    assert found[1].tips_wei is not None
