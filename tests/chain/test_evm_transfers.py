"""Who paid whom, as read from a real chain of either kind."""

import itertools
from collections.abc import AsyncIterator

import pytest

from chain.deployment import Deployment, Token
from chain.evm.transfers import EvmTransfers
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from settlement.errors import ChainUnknown
from settlement.ports.transfers import NATIVE_POSITION
from tests.chain.world import DOLLAR, World, deploy_code, fresh_address


@pytest.fixture
async def feed(world: World) -> AsyncIterator[EvmTransfers]:
    url = str(world.http.base_url)
    tokens = (Token("DUSD", 6, world.dollar.address),)
    deployment = Deployment("local", (url,), world.vault.address, tokens, ())
    feed = EvmTransfers(NETWORK, deployment, RpcClient((url,)))
    yield feed
    await feed.close()


async def test_refuses_blocks_that_are_not_there_yet(feed):
    """An absent block is no empty block."""
    newest, _ = await feed.heights()
    with pytest.raises(ChainUnknown):
        await feed.blocks(newest, newest + 1)


async def test_native_coin_and_listed_tokens_are_read_and_nothing_that_did_not_move(feed, world):
    """A reverted transfer moved nothing, a token that is not listed says nothing, and of a batch
    every payout is one transfer."""
    first = (await feed.heights())[0] + 1
    refusing = deploy_code(world, "5f5ffd")  # reverts whatever it is sent
    other = world.deploy("DemoDollar", world.owner.address)
    payee, customer = fresh_address(), fresh_address()
    world.send(world.owner, payee, "0x", value=7 * 10**17)
    world.send(world.owner, refusing, "0x", value=5)
    world.do(other.functions.mint(payee, 9 * DOLLAR), world.owner)
    world.stock(10 * DOLLAR)
    rows = [bytes.fromhex(a[2:]) + (3 * DOLLAR).to_bytes(12) for a in (customer, payee)]
    assert world.do(world.pay(1, rows), world.settler).succeeded
    newest, final = await feed.heights()
    blocks = await feed.blocks(first, newest)
    assert final <= newest
    assert [b.number for b in blocks] == list(range(first, newest + 1))
    assert all(b.parent_hash == a.hash for a, b in itertools.pairwise(blocks))
    moved = [
        (t.asset, t.src, t.dst, t.amount_minor, t.position == NATIVE_POSITION)
        for block in blocks
        for t in block.transfers
    ]
    vault, nobody = world.vault.address.lower(), "0x" + "0" * 40
    assert moved == [
        ("ETH", world.owner.address.lower(), payee.lower(), 7 * 10**17, True),
        ("DUSD", nobody, vault, 10 * DOLLAR, False),
        ("DUSD", vault, customer.lower(), 3 * DOLLAR, False),
        ("DUSD", vault, payee.lower(), 3 * DOLLAR, False),
    ]
