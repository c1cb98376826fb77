"""The eth-tester chain answers as other nodes do: shapes, refusals, pool, journal."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from chain.local.accounts import dev_accounts
from chain.local.ethtester_node import Node
from chain.local.ethtester_pool import Refused
from chain.local.ethtester_rpc import Methods
from chain.local.ethtester_server import Application
from chain.local.local_chain import LocalChain
from tests.chain.world import NATIVE, World, fresh_address, word

GWEI = 10**9


@pytest.fixture
def node() -> Node:
    """A chain in this process: no server, no journal."""
    return Node(chain_id=31337)


def raw(nonce: int, *, max_fee: int = 2 * GWEI, tip: int = GWEI, **fields: Any) -> bytes:
    transaction = {
        "chainId": 31337,
        "nonce": nonce,
        "to": dev_accounts()[1].address,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": max_fee,
        "maxPriorityFeePerGas": tip,
        **fields,
    }
    return bytes(
        Account.sign_transaction(transaction, dev_accounts()[0].private_key).raw_transaction
    )


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "invalid transaction"),
        (b"\x02\xff", "invalid transaction"),
        (raw(0, chainId=1), "invalid chain id"),
        (raw(0, gas=20_000), "intrinsic gas too low"),
        (raw(0, gas=40_000_000), "exceeds block gas limit"),
        (raw(0, gas=20_000_000), "transaction gas limit too high"),
        (raw(0, value=10**30), "insufficient funds"),
        (raw(0, max_fee=GWEI, tip=2 * GWEI), "max priority fee per gas higher"),
    ],
)
def test_a_senseless_transaction_is_refused_in_the_words_of_geth(
    node: Node, sent: bytes, words: str
) -> None:
    """Refused before it is pooled, so that it never gets in the way of another."""
    with pytest.raises(Refused, match=words):
        node.send_raw(sent)
    assert node.head.number == 0


def test_a_spent_nonce_is_too_low_even_for_the_same_bytes(node: Node) -> None:
    """As with geth, a mined transaction sent again is no longer "already known"."""
    node.send_raw(raw(0))
    with pytest.raises(Refused, match="nonce too low: next nonce 1, tx nonce 0"):
        node.send_raw(raw(0))


def test_a_replacement_must_raise_both_fees_by_a_tenth(node: Node) -> None:
    """The pool holds the first until somebody outbids it."""
    node.automine = False
    node.send_raw(raw(0))
    with pytest.raises(Refused, match="already known"):
        node.send_raw(raw(0))
    for max_fee, tip in ((3 * GWEI, GWEI), (2 * GWEI, 2 * GWEI), (2 * GWEI + 1, GWEI + 1)):
        with pytest.raises(Refused, match="replacement transaction underpriced"):
            node.send_raw(raw(0, max_fee=max_fee, tip=tip, value=2))
    replaced = node.send_raw(raw(0, max_fee=22 * GWEI // 10, tip=11 * GWEI // 10, value=2))
    node.mine()
    assert [t.hash for t in node.head.block.transactions] == [replaced]


def test_a_transaction_ahead_of_its_nonce_waits_for_the_gap_to_close(node: Node) -> None:
    """Nothing is mined for the later one until the earlier one is there; then both are."""
    later = node.send_raw(raw(1))
    assert node.head.number == 0
    earlier = node.send_raw(raw(0))
    assert [t.hash for t in node.head.block.transactions] == [earlier, later]


def test_a_cap_below_the_base_fee_waits_in_the_pool(node: Node) -> None:
    """It is mined when the base fee has fallen under it."""
    cheap = node.send_raw(raw(0, max_fee=node.next_base_fee_wei * 8 // 10, tip=1))
    assert node.head.number == 0
    while cheap not in node.positions:
        node.mine()
        assert node.head.number < 10
    assert node.head.block.header.base_fee_per_gas <= 875_000_000 * 8 // 10


def test_going_back_to_a_snapshot_removes_what_came_after(node: Node) -> None:
    """Blocks, transactions and state; a snapshot that was passed is gone."""
    kept = node.send_raw(raw(0))
    first = node.snapshot()
    removed = node.send_raw(raw(1))
    second = node.snapshot()
    assert node.revert(first)
    assert (kept in node.positions, removed in node.positions) == (True, False)
    assert not node.revert(second)
    assert node.send_raw(raw(1)) == removed


def test_a_journal_replays_to_the_same_hashes(tmp_path: Path) -> None:
    """Rollbacks included; a last line cut off by a crash was told to nobody, and is dropped."""
    journal = tmp_path / "journal.jsonl"
    first = Node(chain_id=31337, journal_path=journal)
    first.send_raw(raw(0))
    mark = first.snapshot()
    first.send_raw(raw(1))
    first.revert(mark)
    first.increase_time(1000)
    first.send_raw(raw(1, value=7))
    with journal.open("a") as file:
        file.write('{"time": 17')
    second = Node(chain_id=31337, journal_path=journal)
    assert [b.hash for b in second.blocks] == [b.hash for b in first.blocks]
    second.mine()
    third = Node(chain_id=31337, journal_path=journal)
    assert third.head.hash == second.head.hash


def test_both_kinds_of_chain_answer_in_the_same_shapes(world: World, chain: LocalChain) -> None:
    """Whatever an adapter reads of a block, a transaction, a receipt or a log is there."""
    world.stock(100)
    receipt = world.send(
        world.settler,
        world.vault.address,
        world.pay(1, [word(fresh_address(), 1), word(NATIVE, 1)])._encode_transaction_data(),
    )
    block = world.rpc("eth_getBlockByHash", receipt["blockHash"], True)
    wanted = {
        "block": "number hash parentHash timestamp baseFeePerGas gasUsed gasLimit transactions",
        "transaction": "hash nonce from to value gas input type chainId maxFeePerGas "
        "maxPriorityFeePerGas blockHash blockNumber transactionIndex r s yParity",
        "receipt": "transactionHash blockHash blockNumber status gasUsed cumulativeGasUsed "
        "effectiveGasPrice from to contractAddress logs logsBloom type",
        "log": "address topics data blockNumber blockHash transactionHash logIndex removed",
    }
    [transaction] = block["transactions"]
    found = {
        "block": block,
        "transaction": transaction,
        "receipt": receipt,
        "log": receipt["logs"][1],
    }
    for name, members in wanted.items():
        assert not [m for m in members.split() if m not in found[name]], (chain.kind, name)
    numbers = ("number", "timestamp", "baseFeePerGas", "gasUsed", "gasLimit")
    assert all(block[name] == hex(int(block[name], 16)) for name in numbers)
    assert [int(log["logIndex"], 16) for log in receipt["logs"]] == [0, 1, 2]
    assert world.rpc("eth_getBlockByHash", "0x" + "00" * 32, False) is None
    assert world.rpc("eth_getBlockByNumber", hex(10**6), False) is None
    assert world.rpc("eth_getTransactionReceipt", "0x" + "00" * 32) is None
    assert world.rpc("eth_getTransactionByHash", "0x" + "00" * 32) is None


def test_both_kinds_of_chain_filter_logs_alike(world: World) -> None:
    """By address, topics (alternatives and gaps), block range and block hash."""
    world.stock(100)
    alice = fresh_address()
    outcome = world.do(world.pay(5, [word(alice, 1), word(NATIVE, 1)]), world.settler)
    assert outcome.skipped() == [1]
    vault = world.vault.address
    everywhere = {"address": vault, "fromBlock": "0x0", "toBlock": "latest"}
    logs = world.rpc("eth_getLogs", everywhere)
    skipped, paid = logs[-2:]
    five = f"0x{5:064x}"

    def found(**changes: Any) -> list[Any]:
        return list(world.rpc("eth_getLogs", {**everywhere, **changes}))

    assert found(topics=[paid["topics"][0]]) == [paid]
    assert found(topics=[[paid["topics"][0], skipped["topics"][0]], five]) == [skipped, paid]
    assert found(topics=[None, five, paid["topics"][2]]) == [paid]
    assert found(topics=[paid["topics"][0], f"0x{6:064x}"]) == []
    assert found(fromBlock="latest") == [skipped, paid]
    by_hash = {"address": [vault], "blockHash": paid["blockHash"]}
    assert world.rpc("eth_getLogs", by_hash) == [skipped, paid]


def test_both_kinds_of_chain_tell_fees_alike(world: World) -> None:
    """One base fee more than blocks, and a reward per percentile."""
    world.send(world.owner, world.settler.address, "0x", value=1)
    history = world.rpc("eth_feeHistory", "0x2", "latest", [10, 90])
    assert len(history["baseFeePerGas"]) == 3
    assert len(history["gasUsedRatio"]) == len(history["reward"]) == 2
    assert history["reward"][1] == [hex(GWEI), hex(GWEI)]
    assert int(history["oldestBlock"], 16) == int(world.rpc("eth_blockNumber"), 16) - 1
    assert int(world.rpc("eth_gasPrice"), 16) > 0
    assert int(world.rpc("eth_maxPriorityFeePerGas"), 16) >= 0


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", -32700), (b"[]", -32600), (b"1", -32600), (b'{"id": 1}', -32600)],
)
def test_what_is_no_request_gets_an_answer_all_the_same(node: Node, body: bytes, code: int) -> None:
    """A node that drops the connection looks like a node that may have acted."""
    answer = Application(Methods(node)).answer(body)
    assert answer["error"]["code"] == code


def test_a_batch_of_requests_is_answered_in_one(world: World) -> None:
    """Unknown methods and wrong parameters fail for themselves alone."""
    calls = [("eth_chainId", []), ("eth_nonsense", []), ("eth_getBalance", ["0xzz", "latest"])]
    batch = [
        {"jsonrpc": "2.0", "id": index, "method": method, "params": params}
        for index, (method, params) in enumerate(calls)
    ]
    answers = {
        a["id"]: a
        for a in world.http.post(
            "", content=json.dumps(batch), headers={"content-type": "application/json"}
        ).json()
    }
    assert answers[0]["result"] == "0x7a69"
    assert (answers[1]["error"]["code"], answers[2]["error"]["code"]) == (-32601, -32602)
