"""Native coin sent singly, on both local chains: who costs less so, and what the transfer tells."""

from collections.abc import AsyncIterator

import pytest
from eth_account import Account

from chain.evm.client import EvmChain
from chain.evm.singles import BATCH_PAYS_FROM, Single, memo, read_single
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers.keystore import KeystoreSigner
from settlement.errors import InvariantBroken
from settlement.ports.chain import BatchCall, Payout, SelfTransfer, Transfer
from tests.chain.world import World, deploy_code, fresh_address
from tests.flows.bridge import DEPLOYED

WEI = 10**15
ROOT = "0x" + "ab" * 32


@pytest.fixture
async def evm(world: World) -> AsyncIterator[EvmChain]:
    """The adapter over the world's vault, signing as its settler."""
    deployment = DEPLOYED(world)
    signer = KeystoreSigner(Account.from_key(world.settler.private_key))
    rpc = RpcClient(deployment.rpc_urls)
    chain = EvmChain(NETWORK, deployment, rpc, {world.settler.address: signer})
    yield chain
    await chain.close()


def used_accounts(world: World, count: int) -> list[str]:
    wallets = [fresh_address() for _ in range(count)]
    for wallet in wallets:
        world.send(world.owner, wallet, "0x", value=1)
    return wallets


async def test_who_has_code_is_never_sent_to_singly(evm: EvmChain, world: World) -> None:
    """The vault is called for it anyway, and pays accounts in use at a tenth of the price."""
    coded = deploy_code(world, "00")
    [used], fresh = used_accounts(world, 1), fresh_address()
    assert await evm.singly([coded, used, fresh]) == {fresh}


async def test_accounts_in_use_are_sent_to_singly_as_long_as_they_are_few(
    evm: EvmChain, world: World
) -> None:
    """Each order counts, though two have the same wallet; fresh accounts share nothing."""
    used, fresh = used_accounts(world, BATCH_PAYS_FROM - 1), fresh_address()
    assert await evm.singly([*used, fresh]) == {*used, fresh}
    assert await evm.singly([*used, used[0], fresh]) == {fresh}
    assert await evm.singly([]) == frozenset()


@pytest.mark.parametrize(
    "change",
    [{"input": "0x"}, {"input": "0x" + "00" * 41}, {"value": "0x0"}, {"to": None}],
)
def test_what_else_a_lane_sends_is_no_single(change: dict[str, object]) -> None:
    """Calls, self-transfers, deployments, plain coins."""
    wallet = fresh_address()
    single = {"input": "0x" + memo(7, ROOT).hex(), "value": hex(WEI), "to": wallet}
    assert read_single(single) == Single(7, ROOT, wallet, WEI)
    assert read_single(single | change) is None


@pytest.mark.parametrize("batch_id", [-1, 1 << 64])
def test_an_id_that_no_memo_holds_is_our_bug(batch_id: int) -> None:
    """It would name another batch."""
    with pytest.raises(InvariantBroken):
        memo(batch_id, ROOT)


async def test_a_single_is_sent_and_found_again_by_the_lanes_nonces(
    evm: EvmChain, world: World
) -> None:
    """Between other transactions of the lane's, told beside it; none before the nonce that was
    asked for, and no payment that reverted."""
    lane, first = world.settler.address, await evm.nonce(world.settler.address)
    refuses = deploy_code(world, "60006000fd")
    orders = [Payout(f"ord_{i}", fresh_address(), WEI + i) for i in range(3)]
    calls = [Transfer(i + 1, order) for i, order in enumerate(orders)]
    for nonce, call in enumerate([calls[0], SelfTransfer(), calls[1], calls[2]], first):
        signed = await evm.sign(lane, call, nonce, None)
        await evm.send(signed.raw)
        world.wait_for_receipt(signed.ref)
    data = "0x" + memo(4, ROOT).hex()
    world.send(world.settler, refuses, data, value=WEI)
    for _ in range(4):
        world.rpc("evm_mine")
    sent = await evm.history.sent_by(lane, first + 1, 0)
    assert [one.nonce - first for one in sent] == [1, 2, 3, 4]
    assert [one.idle for one in sent] == [True, False, False, False]
    found = [one.single for one in sent if one.single is not None]
    assert [single.rows for single in found] == [((o.wallet, o.amount_minor),) for o in orders[1:]]
    roots = [evm.batch_root(BatchCall(c.batch_id, NETWORK.native, (c.payout,))) for c in calls]
    assert [(single.batch_id, single.root) for single in found] == [(2, roots[1]), (3, roots[2])]
    assert [single.transaction.nonce for single in found] == [first + 2, first + 3]
    assert all(single.single and single.lane_address == lane for single in found)
    assert [single.inclusion.paid_minor for single in found] == [WEI + 1, WEI + 2]
    last = found[-1].inclusion.block_number
    assert [one.single for one in await evm.history.sent_by(lane, first, last)] == [None]
