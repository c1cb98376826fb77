"""Fees on networks that are no Ethereum: a rollup's share of L1, Solana's compute units."""

import pytest
from eth_abi.abi import decode, encode

from chain.errors import UnclearAnswer
from chain.evm.l1_share import GAS_PRICE_ORACLE, NODE_INTERFACE, ArbitrumShare, OpStackShare
from chain.gas.solana import SolanaPriorityFees, fee_lamports, unit_prices

VAULT = "0x" + "aa" * 20
RECENT = [{"slot": 350 - at, "prioritizationFee": fee} for at, fee in enumerate([9, 0, 5, 7, 1])]


class Node:
    """Answers one contract with one row of words."""

    def __init__(self, to, types, values):
        self.to, self.answer = to, "0x" + encode(types, values).hex()
        self.data = b""

    async def call(self, method, *params):
        request, block = params
        assert (method, request["to"], block) == ("eth_call", self.to, "latest")
        self.data = bytes.fromhex(request["data"][2:])
        return self.answer


async def test_an_answer_that_is_none_is_said_so():
    """An address without code answers with nothing at all."""
    node = Node(GAS_PRICE_ORACLE, [], [])
    with pytest.raises(UnclearAnswer):
        await OpStackShare(node).per_payout_wei()


async def test_a_rollup_of_the_op_stack_is_asked_for_a_batch_and_tells_a_rows_part():
    """An upper bound by size, rounded up."""
    node = Node(GAS_PRICE_ORACLE, ["uint256"], [100_001])
    assert await OpStackShare(node).per_payout_wei() == 2_001
    assert node.data[:4].hex() == "f1c7a58b"
    assert decode(["uint256"], node.data[4:])[0] > 50 * 32


async def test_arbitrum_is_asked_for_a_call_of_the_vault():
    """Gas for L1 times the price of gas, over the rows."""
    types = ["uint64", "uint256", "uint256"]
    node = Node(NODE_INTERFACE, types, [5_000, 10**8, 10**9])
    assert await ArbitrumShare(node, VAULT).per_payout_wei() == 5_000 * 10**8 // 50
    to, creates, data = decode(["address", "bool", "bytes"], node.data[4:])
    assert (to, creates) == (VAULT, False)
    assert len(set(data)) > 200  # bytes that do not compress


def test_solana_pays_what_enough_slots_would_have_taken():
    """The cheapest of n slots in a row is enough; units are priced in millionths of a lamport."""
    assert unit_prices(RECENT, 1) == (5, 7, 9)
    assert unit_prices(RECENT, 5) == (0, 0, 0)
    assert unit_prices([], 1) == ()
    assert fee_lamports(2, 200_001, 5) == 10_000 + 2
    with pytest.raises(ValueError, match="not recent"):
        unit_prices([{"slot": 1}], 1)


async def test_a_solana_node_is_asked_about_the_accounts_that_a_payout_locks():
    """Fees differ by account."""
    asked = []

    async def call(method, params):
        asked.append((method, list(params)))
        return RECENT

    assert await SolanaPriorityFees(call, ["Vault"]).unit_prices(1) == (5, 7, 9)
    assert asked == [("getRecentPrioritizationFees", [["Vault"]])]
