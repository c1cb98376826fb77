"""Receipts that lie: each member changed by itself, then lies that fit together."""

import json
from typing import Any

import pytest

from chain.evm import merkle
from settlement.ports.chain import Payout
from tests.chain.world import fresh_address
from tests.receipts.conftest import Receipt, Shop, Verify, needs_anvil

pytestmark = needs_anvil

OTHER_HASH = "0x" + "5a" * 32


@pytest.fixture(scope="module")
def other(shop: Shop) -> Receipt:
    """A true receipt of another batch, from which lies are borrowed."""
    return shop.pay(shop.orders(2))[0]


@pytest.mark.parametrize(
    ("member", "refused_by"),
    [
        ("order_id", {"order", "proof"}),
        ("order_hash", {"order"}),
        ("batch_id", {"vault's root", "batch event"}),
        ("root", {"proof"}),
        ("recipient", {"proof", "transfer"}),
        ("amount_minor", {"proof", "transfer"}),
        ("proof", {"proof"}),
        ("transaction", {"transaction", "batch event", "row", "transfer"}),
        ("block_number", {"transaction", "canonical"}),
        ("block_hash", {"transaction", "canonical"}),
    ],
)
def test_a_member_of_another_receipt_is_refused(
    verify: Verify, paid: list[Receipt], other: Receipt, member: str, refused_by: set[str]
) -> None:
    """True where it comes from, a lie here; every check that it concerns says so."""
    assert paid[1][member] != other[member]
    answer = verify(paid[1] | {member: other[member]})
    assert answer.status == 1
    assert refused_by <= answer.failed()


@pytest.mark.parametrize(
    ("member", "lie", "refused_by"),
    [
        ("chain_id", 1, "chain"),
        ("index", 0, "proof"),
        ("index", 3, "row"),
        ("index", 2**62, "row"),
        ("asset_address", "0x" + "00" * 20, "proof"),
        ("asset_address", "0x" + "11" * 20, "transfer"),
        ("vault", "0x" + "11" * 20, "vault's root"),
        ("batch_id", "1", "vault's root"),
        ("batch_id", str(2**256 - 1), "vault's root"),
        ("amount_minor", str(2**256 - 1), "transfer"),
        ("recipient", "0x" + "00" * 20, "transfer"),
        ("order_id", "ord_never", "proof"),
        ("order_hash", OTHER_HASH, "order"),
        ("root", OTHER_HASH, "proof"),
        ("proof", [], "proof"),
        ("proof", [OTHER_HASH], "proof"),
        ("transaction", OTHER_HASH, "transaction"),
        ("block_number", 0, "transaction"),
        ("block_number", 2**62, "final"),
        ("block_hash", OTHER_HASH, "canonical"),
    ],
)
def test_an_invented_member_is_refused(
    verify: Verify, paid: list[Receipt], member: str, lie: Any, refused_by: str
) -> None:
    """Whatever else the receipt says truly."""
    answer = verify(paid[1] | {member: lie})
    assert answer.status == 1
    assert refused_by in answer.failed()


def test_every_member_is_checked(verify: Verify, paid: list[Receipt]) -> None:
    """A member that is added to receipts without a check in the script fails here: taking a member
    away, or adding one, makes it no receipt."""
    for member in paid[0]:
        assert verify({k: v for k, v in paid[0].items() if k != member}).status == 2
    answer = verify(paid[0] | {"amount": "1000000.00"})
    assert answer.status == 2
    assert "amount" in answer.said["error"]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("version", 2),
        ("version", True),
        ("object", "order"),
        ("order_id", "ord_\x1b[2Jclean"),
        ("order_id", ""),
        ("network", "lo cal"),
        ("chain_id", "31337"),
        ("chain_id", -1),
        ("vault", "0x1234"),
        ("vault", None),
        ("batch_id", 101),
        ("batch_id", "0101"),
        ("batch_id", str(2**256)),
        ("index", -1),
        ("index", True),
        ("index", 1.0),
        ("recipient", "0x" + "zz" * 20),
        ("amount_minor", "5000000.0"),
        ("amount_minor", "+5000001"),
        ("amount_minor", "٥"),
        ("amount_minor", "0"),
        ("amount_minor", str(2**256)),
        ("amount_minor", 5_000_001),
        ("proof", ["0x12"]),
        ("proof", "0x"),
        ("proof", [OTHER_HASH] * 65),
        ("block_number", "7"),
        ("finality", None),
        ("finality", {"rule": "depth", "depth_blocks": 0}),
        ("finality", {"rule": "depth", "depth_blocks": None}),
        ("finality", {"rule": "finalized", "depth_blocks": 1}),
        ("finality", {"rule": "trust me", "depth_blocks": None}),
    ],
)
def test_a_malformed_member_makes_it_no_receipt(
    verify: Verify, paid: list[Receipt], member: str, value: Any
) -> None:
    """Two readers could take it for two things; so it is taken for none."""
    answer = verify(paid[1] | {member: value})
    assert answer.status == 2
    assert answer.said["verified"] is False
    assert answer.said["error"].isprintable()


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "\x00", '"receipt"'])
def test_what_is_no_json_object_is_no_receipt(verify: Verify, text: str) -> None:
    """And no traceback either."""
    assert verify(text).status == 2


def test_a_member_that_appears_twice_makes_it_no_receipt(
    verify: Verify, paid: list[Receipt]
) -> None:
    """The amount that a person sees first is not the one that a parser keeps."""
    text = json.dumps(paid[1])
    assert verify(text.replace('"version": 1', '"amount_minor": "9", "version": 1')).status == 2


def test_a_tree_of_the_liars_own_is_refused(verify: Verify, paid: list[Receipt]) -> None:
    """More money, with a proof and a root that fit it: the vault holds another root."""
    more = Payout(paid[0]["order_id"], paid[0]["recipient"], 10**12)
    root = "0x" + merkle.leaf(0, more, paid[0]["asset_address"]).hex()
    lie = {"amount_minor": str(10**12), "proof": [], "root": root, "index": 0}
    answer = verify(paid[0] | lie)
    assert answer.status == 1
    assert "proof" not in answer.failed()
    assert {"vault's root", "vault's word", "row", "transfer"} <= answer.failed()


def test_a_root_that_the_rows_do_not_keep_is_refused(verify: Verify, shop: Shop) -> None:
    """A settler that states one payment and makes another: the token's log tells."""
    stated = shop.orders(2)
    stolen = [stated[0], Payout("x", fresh_address(), stated[1].amount_minor)]
    honest, lie = shop.pay(stated, paid=stolen)
    assert verify(honest).status == 0
    answer = verify(lie)
    assert answer.status == 1
    assert answer.failed() == {"row", "transfer"}
    assert answer.state("vault's word") == "ok"


def test_one_transfer_is_not_proof_of_two_orders(verify: Verify, shop: Shop) -> None:
    """Two orders of one wallet over one amount, and only one of them paid."""
    first = shop.orders(1)[0]
    second = Payout("ord_twin", first.wallet, first.amount_minor)
    receipts = shop.pay([first, second], paid=[first])
    assert [verify(receipt).status for receipt in receipts] == [0, 1]
    twice = shop.pay([first, second])
    assert [verify(receipt).status for receipt in twice] == [0, 0]


def test_a_skipped_row_is_refused(verify: Verify, shop: Shop) -> None:
    """Though its leaf is in the root; and a neighbour's row cannot be borrowed for it."""
    stated = shop.orders(3)
    world = shop.world
    world.do(world.dollar.functions.setBlocked(stated[1].wallet, True), world.owner)
    receipts = shop.pay(stated)
    assert [verify(receipt).status for receipt in receipts] == [0, 1, 0]
    answer = verify(receipts[1])
    assert answer.failed() == {"vault's word", "batch event", "transfer"}
    assert verify(receipts[1] | {"index": 0}).status == 1


def test_another_vault_of_the_same_code_needs_a_pin_to_be_seen(
    verify: Verify, shop: Shop, paid: list[Receipt]
) -> None:
    """Anybody can deploy one and be its settler: without a pin there is a warning, with it a no."""
    world = shop.world
    own = world.deploy(
        "Vault", world.owner.address, world.pauser.address, world.safe, [world.settler.address]
    )
    world.do(world.dollar.functions.mint(world.owner.address, 10**6), world.owner)
    world.do(world.dollar.functions.approve(own.address, 10**6), world.owner)
    world.do(own.functions.listAsset(world.dollar.address, 10**12, 10**6), world.owner)
    world.do(world.dollar.functions.mint(own.address, 10**9), world.owner)
    theirs = Shop(world, shop.url, batches=10_000, vault=own)
    [receipt] = theirs.pay(theirs.orders(1))
    answer = verify(receipt)
    assert (answer.status, answer.state("your vault")) == (0, "note")
    pinned = verify(receipt, "--vault", world.vault.address)
    assert (pinned.status, pinned.failed()) == (1, {"your vault"})
    assert verify(paid[0], "--vault", world.vault.address.lower()).status == 0


@pytest.mark.parametrize(
    ("option", "member", "lie"),
    [
        ("--order", "order_id", "ord_mine"),
        ("--recipient", "recipient", "0x" + "22" * 20),
        ("--asset", "asset_address", "0x" + "22" * 20),
        ("--amount", "amount_minor", "5000002"),
    ],
)
def test_a_true_receipt_of_something_else_is_refused_when_pinned(
    verify: Verify, paid: list[Receipt], option: str, member: str, lie: str
) -> None:
    """Somebody else's payment proves nothing about mine."""
    assert verify(paid[0], option, lie).status == 1
    assert verify(paid[0], option, paid[0][member]).status == 0
