"""Whatever fewer endpoints than a quorum say, nothing is paid, completed or stopped for it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.deployment import Deployment
from chain.errors import NoQuorum, OutOfRange
from chain.evm.client import EvmChain
from chain.evm.singles import memo
from chain.networks.local import NETWORK
from chain.quorum import agreed, is_decided, majority, quorum_highest
from chain.rpc import RpcClient
from settlement.errors import ChainUnknown
from settlement.ports.chain import Nonces
from tests.chain.modelled_node import LANE, VAULT, World, node, tx
from tests.chain.scripted_node import Script, ScriptedNode, error, result, scripted_node

NODES_MAX = 5
TXS = [tx(n) for n in range(1, 5)]
_votes = st.lists(st.sampled_from("abc"), min_size=0, max_size=7)


@pytest.fixture(scope="module")
async def nodes() -> AsyncIterator[list[ScriptedNode]]:
    """As many real servers as any example needs; each example gives them their words."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(scripted_node(result(0))) for _ in range(NODES_MAX)]


def heights() -> st.SearchStrategy[int]:
    return st.integers(1, 120)


@st.composite
def worlds(draw: st.DrawFn, name: str) -> World:
    head = draw(heights())
    mined = {
        ref: (block, draw(st.booleans()))
        for ref in TXS
        if (block := draw(st.none() | st.integers(1, head))) is not None
    }
    final = draw(st.integers(0, head))
    return World(
        name, head, final, mined, draw(st.booleans()), draw(st.sampled_from(["0x", "0x60"]))
    )


NONSENSE: list[Script] = [
    result(None),
    result("0x"),
    result({"number": "0x10", "hash": []}),
    result({"blockNumber": "0x1"}),
    result({"transactionHash": TXS[0], "blockNumber": "0x1", "blockHash": "0x", "logs": 3}),
    error(-32000, "something new went wrong"),
    error(-32005, "rate limit"),
    lambda _: b"<html>502</html>",
]


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[World, int, int, list[Script]]:
    """The truth, the quorum, how many nodes are honest, and what each node answers."""
    count = draw(st.integers(1, NODES_MAX))
    quorum = draw(st.just(majority(count)) | st.integers(1, count))
    bad = draw(st.integers(0, quorum - 1))
    truth, lie = draw(worlds("true")), draw(worlds("lie") | worlds("true"))
    lagging = st.integers(1, 60).map(lambda blocks: node(truth.late(blocks)))
    scripts = [draw(lagging | st.just(node(lie)) | st.sampled_from(NONSENSE)) for _ in range(bad)]
    scripts += [node(truth)] * (count - bad)
    return truth, quorum, count - bad, draw(st.permutations(scripts))


async def ask(chain: EvmChain, question: str, *args: object, **options: object) -> object:
    """The answer, or ``ChainUnknown`` when it stays open; a refusal fails the test."""
    try:
        return await getattr(chain, question)(*args, **options)
    except (ChainUnknown, OutOfRange):
        return ChainUnknown


@given(mixture=mixtures())
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_fewer_liars_and_laggards_than_a_quorum_change_nothing(nodes, mixture):
    """No wrong inclusion, finality, nonce or identity; and with enough honest nodes, all answers.

    The liars may all tell the same lie, which may be the true chain with other transactions in it.
    """
    truth, quorum, honest, scripts = mixture
    used = nodes[: len(scripts)]
    for one, script in zip(used, scripts, strict=True):
        one.script = script
    rpc = RpcClient([one.url for one in used], quorum=quorum, grace_ms=5_000)
    chain = EvmChain(NETWORK, Deployment("local", (), VAULT, (), ()), rpc, {})
    try:
        found = await facts(chain, truth)
    finally:
        await chain.close()
    check(found, truth, must_answer=honest >= quorum)


async def facts(chain: EvmChain, truth: World) -> dict[str, object]:
    head = await ask(chain, "head")
    return {
        "final": getattr(head, "final_number", ChainUnknown),
        "inclusions": await ask(chain, "inclusions", TXS),
        "complete": await ask(chain, "inclusions", TXS, complete=True),
        "hash": await ask(chain, "block_hash", truth.final),
        "beyond": await ask(chain, "block_hash", truth.head + 1),
        "nonce": await ask(chain, "nonce", LANE),
        "mined": getattr(await ask(chain, "nonces", LANE), "mined", ChainUnknown),
        "final_nonce": await ask(chain, "nonce", LANE, truth.final),
        "recorded": await ask(chain, "batch_recorded", 1),
        "identity": await ask(chain, "identity"),
    }


def check(found: dict[str, object], truth: World, *, must_answer: bool) -> None:
    true_inclusions = {
        (ref, block, truth.hash(block), paid) for ref, (block, paid) in truth.mined.items()
    }
    exact = {
        "hash": truth.hash(truth.final),
        "beyond": None,
        "final_nonce": truth.nonce(truth.final),
        "recorded": truth.recorded,
    }
    for name, value in exact.items():
        assert found[name] == value or (found[name] is ChainUnknown and not must_answer), name
    nonce = truth.nonce(truth.head)
    for name, highest in (("final", truth.final), ("nonce", nonce), ("mined", nonce)):
        assert found[name] is ChainUnknown or found[name] <= highest, name
        assert found[name] == highest or not must_answer, name
    for name in ("inclusions", "complete"):
        if found[name] is ChainUnknown:
            assert name == "complete" or not must_answer
            continue
        seen = {(i.ref, i.block_number, i.block_hash, i.executed) for i in found[name]}
        assert seen <= true_inclusions, name
        assert seen == true_inclusions or not (must_answer or name == "complete")
    identity = found["identity"]
    if identity is ChainUnknown:
        assert not must_answer
    else:
        assert identity.genesis_hash == truth.hash(0)
        assert bool(identity.vault_code_hash) is (truth.code != "0x")


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_payment_whose_memo_one_endpoint_hides_is_found(nodes, place):
    """Whichever endpoint it is: an order that looks unpaid would be paid again."""
    truth = World(mined={tx(1): (50, True)}, memo="0x" + memo(7, tx(9)).hex())
    for index, one in enumerate(nodes[:3]):
        one.script = node(replace(truth, memo="0x") if index == place else truth)
    rpc = RpcClient([one.url for one in nodes[:3]], grace_ms=5_000)
    chain = EvmChain(NETWORK, Deployment("local", (), VAULT, (), ()), rpc, {})
    try:
        sent = await chain.history.sent_by(LANE, 0, 0)
    finally:
        await chain.close()
    paid = [each.single for each in sent]
    assert [(single.batch_id, single.inclusion.paid_minor) for single in paid] == [(7, 9)]


@pytest.mark.parametrize(("l1_fee", "wei"), [(None, 0x5208), ("0x64", 0x5208 + 100)])
async def test_a_rollups_share_of_l1_is_part_of_what_was_paid(nodes, l1_fee, wei):
    """The lane's balance falls by it like by gas: the books would drift apart without it."""
    nodes[0].script = node(World(mined={tx(1): (80, True)}, l1_fee=l1_fee))
    rpc = RpcClient([nodes[0].url], quorum=1, grace_ms=5_000)
    chain = EvmChain(NETWORK, Deployment("local", (), VAULT, (), ()), rpc, {})
    try:
        [found] = await chain.inclusions([tx(1)])
        assert found.fee_paid_wei == wei
    finally:
        await chain.close()


async def test_nobody_alone_says_what_l1_cost(nodes):
    """It is booked, so that a quorum must tell the same; until then the receipt is not known."""
    truth = World(mined={tx(1): (80, True)}, l1_fee="0x64")
    nodes[0].script, nodes[1].script = node(truth), node(replace(truth, l1_fee="0x65"))
    rpc = RpcClient([one.url for one in nodes[:2]], quorum=2, grace_ms=5_000)
    chain = EvmChain(NETWORK, Deployment("local", (), VAULT, (), ()), rpc, {})
    try:
        assert await chain.inclusions([tx(1)]) == []
        nodes[1].script = node(truth)
        [found] = await chain.inclusions([tx(1)])
        assert found.fee_paid_wei == 0x5208 + 0x64
    finally:
        await chain.close()


@pytest.mark.parametrize("quorum", [1, 2, 3])
async def test_bytes_that_one_endpoint_alone_holds_are_counted(nodes, quorum):
    """Whatever the quorum, and though it lags: they would be mined like any others."""
    truth = World(mined={tx(1): (80, True), tx(2): (99, True)})
    for one in nodes[:3]:
        one.script = node(truth)
    nodes[1].script = node(replace(truth.late(10), waiting=3))
    rpc = RpcClient([one.url for one in nodes[:3]], quorum=quorum, grace_ms=5_000)
    chain = EvmChain(NETWORK, Deployment("local", (), VAULT, (), ()), rpc, {})
    try:
        assert await chain.nonces(LANE) == Nonces(1 if quorum == 3 else 2, 4)
        nodes[1].script = node(truth)
        assert await chain.nonces(LANE) == Nonces(2, 2)
    finally:
        await chain.close()


@given(_votes, st.integers(1, 7))
def test_no_answer_is_agreed_that_too_few_gave(votes, quorum):
    """One that enough gave is; two such answers contradict each other, and neither counts."""
    enough = [answer for answer in "abc" if votes.count(answer) >= quorum]
    if len(enough) == 1:
        assert agreed(votes, quorum, "it") == enough[0]
    else:
        with pytest.raises(NoQuorum):
            agreed(votes, quorum, "it")


@given(_votes, _votes, st.integers(1, 7))
def test_a_decided_vote_is_not_changed_by_the_answers_to_come(votes, later, quorum):
    """Nobody waits for a slow endpoint whose word cannot matter (a majority being asked for)."""
    if quorum >= majority(len(votes) + len(later)) and is_decided(votes, quorum, len(later)):
        before = [answer for answer in "abc" if votes.count(answer) >= quorum]
        after = [answer for answer in "abc" if (votes + later).count(answer) >= quorum]
        assert before == after


@given(st.lists(st.integers(), min_size=1), st.integers(1, 6), st.lists(st.integers(), max_size=5))
def test_a_height_is_believed_as_far_as_a_quorum_has_reached(honest, quorum, liars):
    """Fewer liars than a quorum cannot lift it above what an honest endpoint says."""
    heights = honest + liars[: quorum - 1]
    if len(heights) < quorum:
        with pytest.raises(NoQuorum):
            quorum_highest(heights, quorum)
    else:
        assert quorum_highest(heights, quorum) <= max(honest)
