"""A transfer's receipt: everything in it is compared with the transaction that names the order."""

from typing import Any

import pytest

from chain.evm.proofs import prove
from chain.evm.singles import memo
from settlement.money import Asset
from settlement.ports.chain import BatchCall, Payout
from tests.chain.world import NATIVE, fresh_address
from tests.receipts.conftest import Receipt, Shop, Verify, needs_anvil

pytestmark = needs_anvil

WEI = 10**15
BATCH = 7_001


@pytest.fixture(scope="module")
def sent(shop: Shop) -> Receipt:
    """One order, paid by a transfer of the settler's; final."""
    order = Payout("ord_single", fresh_address(), WEI)
    call = BatchCall(BATCH, Asset("ETH", 18, "local"), (order,))
    proof = prove(call, NATIVE, 0)
    data = "0x" + memo(BATCH, proof.root).hex()
    mined = shop.world.send(shop.world.settler, order.wallet, data, value=WEI)
    assert mined["status"] == "0x1"
    shop.world.rpc("anvil_mine", "0x3")
    return {
        "object": "transfer_receipt",
        "version": 1,
        "order_id": order.order_id,
        "order_hash": proof.order_hash,
        "network": "local",
        "chain_id": 31337,
        "sender": shop.world.settler.address,
        "batch_id": str(BATCH),
        "root": proof.root,
        "recipient": order.wallet,
        "asset_address": NATIVE,
        "amount_minor": str(WEI),
        "transaction": mined["transactionHash"],
        "block_number": int(mined["blockNumber"], 16),
        "block_hash": mined["blockHash"],
        "finality": {"rule": "finalized", "depth_blocks": None},
    }


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        ({"order_id": "ord_another"}, {"order", "proof", "transfer"}),
        ({"recipient": "0x" + "11" * 20}, {"proof", "transfer"}),
        ({"amount_minor": str(WEI + 1)}, {"proof", "transfer"}),
        ({"asset_address": "0x" + "22" * 20}, {"proof", "transfer"}),
        ({"root": "0x" + "33" * 32}, {"proof"}),
        ({"batch_id": "7002"}, {"transfer"}),
        ({"sender": "0x" + "44" * 20}, {"transfer"}),
        ({"block_hash": "0x" + "55" * 32}, {"transaction", "canonical"}),
        ({"chain_id": 1}, {"chain"}),
    ],
)
def test_no_member_can_be_changed(
    verify: Verify, sent: Receipt, lie: dict[str, Any], found: set[str]
) -> None:
    """Each one is held against the chain, or against what the others give."""
    answer = verify(sent | lie)
    assert (answer.status, answer.failed()) == (1, found)


def test_a_transfer_without_the_memo_proves_nothing(
    verify: Verify, shop: Shop, sent: Receipt
) -> None:
    """The right coins to the right wallet, and no word of the order."""
    mined = shop.world.send(shop.world.settler, sent["recipient"], "0x", value=WEI)
    shop.world.rpc("anvil_mine", "0x3")
    place = {"block_number": int(mined["blockNumber"], 16), "block_hash": mined["blockHash"]}
    other = sent | place | {"transaction": mined["transactionHash"]}
    assert verify(other).failed() == {"transfer"}


def test_a_receipt_of_one_form_is_none_of_the_other(
    verify: Verify, sent: Receipt, paid: list[Receipt]
) -> None:
    """Members of both, or of neither."""
    assert verify(sent | {"object": "receipt"}).status == 2
    assert verify(paid[0] | {"object": "transfer_receipt"}).status == 2
    assert verify(sent | {"index": 0}).status == 2


def test_whose_transfer_it_is_the_reader_has_to_know(verify: Verify, sent: Receipt) -> None:
    """It is said as long as the sender is not named, and another one named is refused."""
    answer = verify(sent)
    assert (answer.status, answer.state("your sender")) == (0, "note")
    named = verify(sent, "--sender", sent["sender"].lower())
    assert (named.status, named.state("your sender")) == (0, "ok")
    assert verify(sent, "--sender", fresh_address()).failed() == {"your sender"}
    assert verify(sent, "--vault", fresh_address()).failed() == {"your vault"}
