"""The EVM adapter on both local chains: refusals first, then one batch from bytes to receipt."""

from collections.abc import AsyncIterator

import pytest
from eth_account import Account

from chain.deployment import Deployment, Token
from chain.errors import NonceTooLow
from chain.evm.client import EvmChain
from chain.evm.merkle import leaf, order_hash, proof, root
from chain.networks.local import NETWORK
from chain.resubmit import replacement_fees
from chain.rpc import RpcClient
from chain.signers.keystore import KeystoreSigner
from settlement.errors import (
    ChainPaused,
    ChainRefused,
    ChainUnknown,
    InvalidAddress,
    InvariantBroken,
)
from settlement.money import Asset
from settlement.ports.chain import BatchCall, Fees, Payout
from tests.chain.world import DOLLAR, World, fresh_address

DUSD = Asset("DUSD", 6, "local")


@pytest.fixture
async def evm(world: World) -> AsyncIterator[EvmChain]:
    """The adapter over the world's vault, signing as its settler."""
    deployment = Deployment(
        network="local",
        rpc_urls=(str(world.http.base_url),),
        vault=world.vault.address,
        tokens=(Token("DUSD", 6, world.dollar.address),),
        lanes=(world.settler.address,),
    )
    signer = KeystoreSigner(Account.from_key(world.settler.private_key))
    chain = EvmChain(
        NETWORK, deployment, RpcClient(deployment.rpc_urls), {world.settler.address: signer}
    )
    yield chain
    await chain.close()


def a_call(batch_id: int = 1, amounts=(DOLLAR, 2 * DOLLAR), wallets=()) -> BatchCall:
    wallets = wallets or [fresh_address() for _ in amounts]
    rows = zip(wallets, amounts, strict=True)
    payouts = tuple(Payout(f"ord_{i}", w, a) for i, (w, a) in enumerate(rows))
    return BatchCall(batch_id, DUSD, payouts)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not an address"),
        ("0x1234", "not an address"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "not an address"),
        ("11111111111111111111111111111111", "not an address"),
        ("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "not an address"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed", "checksum"),
        ("0x" + "0" * 40, "zero address"),
    ],
)
async def test_refuses_addresses_that_cannot_be_meant(evm, text, why):
    """Malformed, another network's, mistyped, or the zero address."""
    with pytest.raises(InvalidAddress, match=why):
        evm.normalize_address(text)


async def test_refuses_the_contracts_that_would_swallow_the_tokens(evm, world):
    """Neither the vault nor the token itself can be a customer's wallet."""
    for contract in (world.vault.address, world.dollar.address):
        with pytest.raises(InvalidAddress, match="swallow"):
            evm.normalize_address(contract.lower())


@pytest.mark.parametrize("form", [str.lower, lambda text: "0x" + text[2:].upper(), str])
async def test_every_valid_form_has_one_normal_form(evm, form):
    """Lower, upper and checksummed are the same wallet (the example is EIP-55's own)."""
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert evm.normalize_address(form(address)) == address


async def test_a_paused_vault_is_a_reason_to_wait(evm, world):
    """Neither the dry run nor the signature mistakes it for a failure."""
    world.stock(10 * DOLLAR)
    world.do(world.vault.functions.pause(), world.owner)
    with pytest.raises(ChainPaused):
        await evm.preflight(world.settler.address, a_call())
    with pytest.raises(ChainPaused):
        await evm.sign(world.settler.address, a_call(), 0, None)


async def test_a_vault_without_tokens_refuses_before_anything_is_signed(evm, world):
    """The reason is the vault's own error."""
    with pytest.raises(ChainRefused, match="InsufficientInventory"):
        await evm.preflight(world.settler.address, a_call())


async def test_a_batch_is_paid_recorded_and_read_back(evm, world):
    """Sign, send, send again, include: two balances, one transfer each, the root on-chain."""
    world.stock(10 * DOLLAR)
    call = a_call()
    await evm.preflight(world.settler.address, call)
    nonce = await evm.nonce(world.settler.address)
    signed = await evm.sign(world.settler.address, call, nonce, None)
    assert await evm.inclusions([signed.ref]) == []
    await evm.send(signed.raw)
    world.wait_for_receipt(signed.ref)
    await evm.send(signed.raw)
    [inclusion] = await evm.inclusions([signed.ref, "0x" + "77" * 32])
    assert (inclusion.succeeded, inclusion.skipped) == (True, frozenset())
    assert inclusion.fee_paid_wei > 0
    assert await evm.block_hash(inclusion.block_number) == inclusion.block_hash
    for payout in call.payouts:
        assert await evm.balance(DUSD, payout.wallet) == payout.amount_minor
    assert await evm.batch_recorded(1)
    assert "0x" + world.call(world.vault.functions.batchRoot(1)).hex() == evm.batch_root(call)
    assert await evm.nonce(world.settler.address) == nonce + 1


async def test_a_refused_recipient_is_reported_by_its_row(evm, world):
    """The others are paid."""
    world.stock(10 * DOLLAR)
    blocked = fresh_address()
    world.do(world.dollar.functions.setBlocked(blocked, True), world.owner)
    call = a_call(wallets=[fresh_address(), blocked])
    signed = await evm.sign(
        world.settler.address, call, await evm.nonce(world.settler.address), None
    )
    await evm.send(signed.raw)
    world.wait_for_receipt(signed.ref)
    [inclusion] = await evm.inclusions([signed.ref])
    assert (inclusion.succeeded, inclusion.skipped) == (True, frozenset({1}))


async def test_a_receipt_is_verified_by_the_vault_unless_its_row_was_skipped(evm, world):
    """For every size of tree; another order, row, wallet or amount is not confirmed."""
    world.stock(100 * DOLLAR)
    blocked = fresh_address()
    world.do(world.dollar.functions.setBlocked(blocked, True), world.owner)
    token, verify = world.dollar.address, world.vault.functions.verifyReceipt
    for size in (1, 2, 3, 7):
        wallets = [fresh_address() for _ in range(size - 1)] + [blocked]
        call = a_call(size, [DOLLAR] * size, wallets)
        signed = await evm.sign(
            world.settler.address, call, await evm.nonce(world.settler.address), None
        )
        await evm.send(signed.raw)
        world.wait_for_receipt(signed.ref)
        leaves = [leaf(i, payout, token) for i, payout in enumerate(call.payouts)]
        for i, payout in enumerate(call.payouts):
            stated = (order_hash(payout.order_id), payout.wallet, token, DOLLAR)
            path = proof(leaves, leaves[i])
            assert world.call(verify(size, i, *stated, path)) is (payout.wallet != blocked)
            assert not world.call(verify(size, i + 1, *stated, path))
            assert not world.call(verify(size + 1, i, *stated, path))
            assert not world.call(verify(size, i, *stated[:3], DOLLAR + 1, path))
            assert not world.call(verify(size, i, order_hash("ord_x"), *stated[1:], path))


async def test_no_row_is_written_that_would_swallow_its_payout(evm, world):
    """The vault does not check this in every row: the zero address, itself, the token."""
    for wallet in ("0x" + "0" * 40, world.vault.address, world.dollar.address):
        with pytest.raises(InvariantBroken):
            await evm.preflight(world.settler.address, a_call(wallets=[fresh_address(), wallet]))


async def test_an_amount_beyond_the_vaults_rows_is_refused(evm, world):
    """112 bits fit, in rows as wide as that; one more does not."""
    world.stock(1 << 111)
    await evm.preflight(world.settler.address, a_call(amounts=(1 << 97, 1)))
    with pytest.raises(ChainRefused, match="InsufficientInventory"):
        await evm.preflight(world.settler.address, a_call(amounts=((1 << 112) - 1, 1)))
    with pytest.raises(InvariantBroken):
        await evm.preflight(world.settler.address, a_call(amounts=(1 << 112, 1)))


async def test_other_bytes_at_a_used_nonce_are_refused(evm, world):
    """Nonce too low is only a success for the bytes that were mined."""
    world.stock(10 * DOLLAR)
    nonce = await evm.nonce(world.settler.address)
    first = await evm.sign(world.settler.address, a_call(1), nonce, None)
    rival = await evm.sign(world.settler.address, a_call(2), nonce, None)
    await evm.send(first.raw)
    world.wait_for_receipt(first.ref)
    with pytest.raises(NonceTooLow):
        await evm.send(rival.raw)


async def test_an_unreachable_node_leaves_everything_unknown(world):
    """No answer is never an absent receipt."""
    deployment = Deployment("local", (), world.vault.address, (), ())
    blind = EvmChain(NETWORK, deployment, RpcClient(["http://127.0.0.1:1"]), {})
    with pytest.raises(ChainUnknown):
        await blind.inclusions(["0x" + "11" * 32])
    with pytest.raises(ChainUnknown):
        await blind.send(b"\x02")
    await blind.close()


async def test_the_identity_names_genesis_and_the_vaults_code(evm, world):
    """Two vaults with the same code differ by address; an address without code has no digest."""
    identity = await evm.identity()
    assert identity.genesis_hash == world.rpc("eth_getBlockByNumber", "0x0", False)["hash"]
    assert identity.vault_address == world.vault.address
    assert len(identity.vault_code_hash) == 64


def test_a_replacement_raises_both_fees_by_more_than_a_tenth():
    """Also from zero, and never below the market."""
    raised = replacement_fees(Fees(100, 10), Fees(1, 1))
    assert raised == Fees(113, 12)
    assert replacement_fees(Fees(100, 0), Fees(500, 50)) == Fees(500, 50)
    assert replacement_fees(Fees(1, 0), Fees(0, 0)) == Fees(2, 1)


def test_the_root_depends_on_every_payout_and_not_on_their_order():
    """Any change of recipient, amount, order or token changes the root."""
    payouts = a_call(amounts=(1, 2, 3)).payouts
    token = "0x" + "22" * 20
    leaves = [leaf(i, payout, token) for i, payout in enumerate(payouts)]
    assert root(leaves) == root(leaves[::-1])
    assert root(leaves) != root(leaves[:2])
    assert len({*leaves, leaf(0, payouts[0], "0x" + "33" * 20), leaf(3, payouts[0], token)}) == 5
