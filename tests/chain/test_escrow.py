"""Our arithmetic against the contract's own: ids, purses, messages, calls, states."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data
from web3 import Web3

from chain.deployment import Deployment
from chain.evm.client import EvmChain
from chain.evm.escrow import EvmEscrows, explain
from chain.evm.typed_data import signer_of
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from settlement.errors import ChainRefused, ChainUnknown
from settlement.escrow import Consent, Dispute, Escrow, Expiry, Release, Resolution, Terms
from settlement.money import Asset
from settlement.ports.chain import ContractCall
from tests.chain.world import World, fresh_address
from tests.support.escrows import an_escrow

WORD = "0x" + "e1" * 32
ORACLE = EthAccount.create()


def agreed(world: World, **changes: object) -> Terms:
    now = int(world.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    terms = Terms(
        contract=world.escrow.address,
        order_id="ord_01",
        asset=Asset("DUSD", 6, "local"),
        token=world.dollar.address,
        amount_minor=1_000,
        payer=fresh_address(),
        payee=fresh_address(),
        arbiter=fresh_address(),
        oracle=ORACLE.address,
        operator=world.settler.address,
        expires_at=datetime.fromtimestamp(now, UTC) + timedelta(hours=1),
        pays_at_expiry=False,
    )
    return replace(terms, **changes)


def members(terms: Terms) -> tuple:
    """``IEscrow.Terms``, put together here anew."""
    return (
        Web3.keccak(text=terms.order_id),
        terms.token,
        terms.amount_minor,
        terms.payer,
        terms.payee,
        terms.arbiter,
        terms.oracle or "0x" + "00" * 20,
        terms.operator,
        int(terms.expires_at.timestamp()),
        terms.pays_at_expiry,
    )


def scheme(world: World) -> EvmEscrows:
    return EvmEscrows(NETWORK.chain_id, world.escrow.address, world.settler.address)


def placed(world: World, terms: Terms) -> Escrow:
    place = scheme(world).place(terms)
    return an_escrow(terms=terms, ref=place.ref, purse=place.purse)


@pytest.mark.parametrize("changes", [{}, {"oracle": None}, {"pays_at_expiry": True}])
def test_ids_and_purses_are_the_contracts_own(world, changes):
    """Computed without a node: a wrong purse would be money in nobody's hands."""
    terms = agreed(world, **changes)
    place = scheme(world).place(terms)
    functions = world.escrow.functions
    assert place.ref == "0x" + world.call(functions.idOf(members(terms))).hex()
    assert place.purse.lower() == world.call(functions.purseOf(members(terms)))


def test_every_member_of_the_terms_moves_the_purse(world):
    """Or two escrows would share one."""
    terms = agreed(world)
    others = [
        replace(terms, order_id="ord_02"),
        replace(terms, token=fresh_address()),
        replace(terms, amount_minor=1_001),
        replace(terms, payer=fresh_address()),
        replace(terms, payee=fresh_address()),
        replace(terms, arbiter=fresh_address()),
        replace(terms, oracle=None),
        replace(terms, operator=fresh_address()),
        replace(terms, expires_at=terms.expires_at + timedelta(seconds=1)),
        replace(terms, pays_at_expiry=True),
        replace(terms, contract=fresh_address()),
    ]
    purses = {scheme(world).place(t).purse for t in [terms, *others]}
    assert len(purses) == 1 + len(others)


@pytest.mark.parametrize(
    ("what", "primary", "rest"),
    [
        (Release(7, WORD, "0x"), "Release", {"total": 7, "evidence": WORD}),
        (
            Consent(3, 4, "0x", "0x"),
            "Settlement",
            {"toPayee": 3, "toPayer": 4, "paidBefore": 30},
        ),
        (Dispute("", WORD, "0x"), "Dispute", {"reason": WORD}),
        (Resolution(3, 4, "0x"), "Resolution", {"toPayee": 3, "toPayer": 4, "paidBefore": 30}),
    ],
)
def test_messages_are_hashed_as_wallets_hash_them(world, what, primary, rest):
    """A wallet's signature over what we show is one over what we check."""
    escrow = replace(placed(world, agreed(world)), released_minor=10, refunded_minor=20)
    shown = scheme(world).signing(escrow)
    types = {primary: shown["types"][primary]}
    signable = encode_typed_data(shown["domain"], types, {"id": escrow.ref, **rest})
    signed = ORACLE.sign_message(signable)
    digest = scheme(world).digest(escrow, what)
    assert digest == signed.message_hash.to_0x_hex()
    assert scheme(world).has_signed(ORACLE.address, digest, signed.signature.to_0x_hex())


def test_what_is_no_signature_names_nobody():
    """Short, odd, of the other half of the curve, or of no point at all: as the contract says."""
    digest = b"\x11" * 32
    signature = bytes(EthAccount.unsafe_sign_hash(digest, ORACLE.key).signature)
    assert signer_of(digest, signature) == ORACLE.address
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    upper = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    mirrored = signature[:32] + upper + bytes([27 + 28 - signature[64]])
    for wrong in (b"", signature[:64], signature + b"\x00", mirrored, b"\xff" * 64 + b"\x1b"):
        assert signer_of(digest, wrong) is None
    assert signer_of(digest, signature[:64] + b"\x01") is None
    assert signer_of(b"\x12" * 32, signature) != ORACLE.address


async def test_the_contract_takes_our_calls_and_says_what_became_of_them(world):
    """Funded, released in part, expired: read at a final block each time."""
    escrow = placed(world, agreed(world))
    world.do(world.dollar.functions.mint(escrow.purse, 1_000), world.owner)
    digest = scheme(world).digest(escrow, Release(400, WORD, "0x"))
    signed = EthAccount.unsafe_sign_hash(bytes.fromhex(digest[2:]), ORACLE.key)
    chain = adapter(world)
    try:
        release = Release(400, WORD, signed.signature.to_0x_hex())
        send(world, chain.escrows.call(escrow.terms, release))
        seen = await final_state(world, chain, escrow)
        assert (seen.released_minor, seen.refunded_minor, seen.ended) == (400, 0, False)
        with pytest.raises(ChainRefused, match="the escrow refuses: NothingToPay"):
            await chain.preflight(world.settler.address, chain.escrows.call(escrow.terms, release))
        world.rpc("evm_increaseTime", 3_700)
        world.rpc("evm_mine")
        send(world, chain.escrows.call(escrow.terms, Expiry()))
        seen = await final_state(world, chain, escrow)
        assert (seen.released_minor, seen.refunded_minor, seen.ended) == (400, 600, True)
        assert world.balance(escrow.terms.payer) == 600
        assert seen.time >= escrow.terms.expires_at
    finally:
        await chain.close()


async def test_an_address_without_the_contract_is_no_empty_escrow(world):
    """Nothing is known then; zero would be a statement."""
    escrow = placed(world, agreed(world, contract=fresh_address()))
    chain = adapter(world)
    try:
        with pytest.raises(ChainUnknown):
            await chain.escrows.on_chain(escrow)
    finally:
        await chain.close()


def test_errors_that_are_not_the_contracts_come_back_as_they_are():
    """Another contract's words are not put into its mouth."""
    error = ChainUnknown("no answer")
    assert explain(error) is error


def adapter(world: World) -> EvmChain:
    lane = world.settler.address
    url = str(world.http.base_url)
    deployment = Deployment(
        "local", (url,), world.vault.address, (), (lane,), escrow=world.escrow.address
    )
    return EvmChain(NETWORK, deployment, RpcClient([url]), {})


def send(world: World, call: ContractCall) -> None:
    receipt = world.send(world.settler, call.to, "0x" + call.data.hex())
    assert receipt["status"] == "0x1", receipt


async def final_state(world: World, chain: EvmChain, escrow: Escrow):
    for _ in range(8):
        world.rpc("evm_mine")
    return await chain.escrows.on_chain(escrow)
