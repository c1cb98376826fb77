"""The vault on a real chain: what it refuses, what it skips and reports, what it pays."""

import pytest

from chain.artifacts import load_artifact
from tests.chain.world import (
    DOLLAR,
    LIMIT,
    NATIVE,
    Reverted,
    World,
    deploy_code,
    fresh_address,
    word,
)

REVERTS = "5f5ffd"
BURNS_ALL_GAS = "5b5f56"  # an endless loop
REVERTS_BELOW_40_000_GAS = "5a619c4011600957005b5f5ffd"
RETURNS_64_KB = "61ffff5ff3"
SKIP_GAS_MAX = 140_000  # the cap of a native row twice, and what its bit and event cost


def refusal(world: World, function: object, sender: object) -> Reverted:
    with pytest.raises(Reverted) as caught:
        world.call(function, sender)
    return caught.value


def test_a_stranger_cannot_pay_a_batch(world: World) -> None:
    """Only accounts named by the owner settle."""
    world.stock(DOLLAR)
    refused = refusal(world, world.pay(1, [word(fresh_address(), 1)]), world.stranger)
    assert refused.name == "NotSettler"


def test_the_owner_itself_is_no_settler(world: World) -> None:
    """Owning the vault and spending from it are different rights."""
    world.stock(DOLLAR)
    refused = refusal(world, world.pay(1, [word(fresh_address(), 1)]), world.owner)
    assert refused.name == "NotSettler"


def test_a_dismissed_settler_cannot_pay(world: World) -> None:
    """Taking the right away takes effect with the next transaction."""
    world.stock(DOLLAR)
    world.do(world.vault.functions.setSettler(world.settler.address, False), world.owner)
    refused = refusal(world, world.pay(1, [word(fresh_address(), 1)]), world.settler)
    assert refused.name == "NotSettler"


def test_a_batch_is_never_paid_twice(world: World) -> None:
    """The id is spent by its first payment, whoever signs the second and whatever it holds."""
    world.stock(10 * DOLLAR)
    alice = fresh_address()
    assert world.do(world.pay(7, [word(alice, DOLLAR)]), world.settler).succeeded
    again = world.pay(7, [word(alice, DOLLAR)], root="0x" + "cd" * 32)
    assert refusal(world, again, world.second).name == "BatchAlreadyPaid"
    assert not world.do(again, world.second, gas=500_000).succeeded
    assert world.balance(alice) == DOLLAR


def test_a_batch_whose_rows_were_all_skipped_is_spent_too(world: World) -> None:
    """Its orders were reported as unpaid and will be refunded: paying them later pays twice."""
    world.stock(DOLLAR)
    assert world.do(world.pay(7, [word(NATIVE, 1)]), world.settler).skipped() == [0]
    assert refusal(world, world.pay(7, [word(NATIVE, 1)]), world.settler).name == "BatchAlreadyPaid"


def test_a_batch_without_a_root_is_refused(world: World) -> None:
    """A zero root would leave the id unmarked."""
    world.stock(DOLLAR)
    call = world.pay(1, [word(fresh_address(), 1)], root="0x" + "00" * 32)
    assert refusal(world, call, world.settler).name == "ZeroRoot"


def test_an_empty_batch_is_refused(world: World) -> None:
    """Nothing to pay is a fault upstream."""
    assert refusal(world, world.pay(1, []), world.settler).name == "EmptyBatch"


def test_rows_that_are_no_whole_number_are_refused(world: World) -> None:
    """A byte too many would shift every recipient after it."""
    rows = word(fresh_address(), 1) + b"\x01"
    call = world.vault.functions.payBatch(1, "0x" + "ab" * 32, world.dollar.address, 32, rows)
    assert refusal(world, call, world.settler).name == "MalformedRows"


def test_an_asset_that_is_not_listed_is_refused(world: World) -> None:
    """Whatever it is: a call to an empty address would succeed, and the batch count as paid."""
    call = world.pay(1, [word(fresh_address(), 1)], token=fresh_address())
    assert refusal(world, call, world.settler).name == "AssetNotListed"


def test_no_more_leaves_than_the_window_has_left(world: World) -> None:
    """Half the limit at once, whoever signs; the owner tightens it without a wait."""
    world.stock(10 * DOLLAR)
    vault, dollar = world.vault.functions, world.dollar.address
    assert world.do(vault.setLimit(dollar, 4 * DOLLAR), world.owner).succeeded
    call = world.pay(1, [word(fresh_address(), 2 * DOLLAR + 1)])
    refused = refusal(world, call, world.settler)
    assert (refused.name, refused.values["left"]) == ("WindowExceeded", 2 * DOLLAR)
    assert refusal(world, vault.setLimit(dollar, LIMIT), world.owner).name == "NotAnnounced"
    assert world.do(world.pay(2, [word(fresh_address(), 2 * DOLLAR)]), world.settler).succeeded
    assert refusal(world, world.pay(3, [word(fresh_address(), DOLLAR)]), world.second)


def test_a_paused_vault_lets_nothing_out(world: World) -> None:
    """Neither a batch nor a withdrawal, until the owner says so."""
    world.stock(DOLLAR)
    world.do(world.vault.functions.pause(), world.pauser)
    batch = world.pay(1, [word(fresh_address(), 1)])
    withdrawal = world.vault.functions.withdraw(world.dollar.address, 1)
    assert refusal(world, batch, world.settler).name == "EnforcedPause"
    assert refusal(world, withdrawal, world.owner).name == "EnforcedPause"
    world.do(world.vault.functions.unpause(), world.owner)
    assert world.do(batch, world.settler).succeeded


def test_only_pauser_and_owner_pause_and_only_the_owner_unpauses(world: World) -> None:
    """A stolen pauser key can stop the vault, and not start it again."""
    assert refusal(world, world.vault.functions.pause(), world.settler).name == "NotPauser"
    assert world.do(world.vault.functions.pause(), world.owner).succeeded
    unpause = world.vault.functions.unpause()
    assert refusal(world, unpause, world.pauser).name == "OwnableUnauthorizedAccount"


def test_the_permissions_belong_to_the_owner(world: World) -> None:
    """Settlers, pauser and withdrawals are not for settlers to change."""
    vault, me = world.vault.functions, world.settler.address
    for call in (
        vault.setSettler(me, True),
        vault.setPauser(me),
        vault.setTreasury(me),
        vault.setLimit(world.dollar.address, 1),
        vault.listAsset(me, 1, 1),
        vault.announce(b""),
        vault.withdraw(world.dollar.address, 1),
        vault.transferOwnership(me),
    ):
        assert refusal(world, call, world.settler).name == "OwnableUnauthorizedAccount"


def test_ownership_is_never_given_up_and_moves_in_two_steps(world: World) -> None:
    """A vault without an owner, or with a mistyped one, could never be emptied."""
    vault = world.vault.functions
    refused = refusal(world, vault.renounceOwnership(), world.owner)
    assert refused.name == "OwnershipCannotBeRenounced"
    world.do(vault.transferOwnership(world.stranger.address), world.owner)
    assert world.call(vault.owner()).lower() == world.owner.address.lower()
    world.do(vault.acceptOwnership(), world.stranger)
    assert world.call(vault.owner()).lower() == world.stranger.address.lower()


def test_too_little_inventory_pays_nobody(world: World) -> None:
    """Skipping for our own lack would refund customers who only had to wait."""
    world.stock(3 * DOLLAR)
    alice, bob = fresh_address(), fresh_address()
    call = world.pay(1, [word(alice, 2 * DOLLAR), word(bob, 2 * DOLLAR)])
    refused = refusal(world, call, world.settler)
    assert (refused.name, refused.values["index"]) == ("InsufficientInventory", 1)
    assert refused.values["held"] == DOLLAR
    assert not world.do(call, world.settler).succeeded
    assert world.balance(alice) == 0


def test_too_little_gas_reverts_instead_of_skipping(world: World) -> None:
    """A recipient must not lose a payout because the sender was stingy, whatever the gas limit."""
    picky = deploy_code(world, REVERTS_BELOW_40_000_GAS)
    world.send(world.owner, world.vault.address, "0x", value=100)
    outcomes = [
        world.do(world.pay(1 + gas, [word(picky, 1)], token=NATIVE), world.settler, gas=gas)
        for gas in range(60_000, 260_000, 10_000)
    ]
    assert [outcome.skipped() for outcome in outcomes if outcome.succeeded] != []
    assert not any(outcome.skipped() for outcome in outcomes)
    assert not outcomes[0].succeeded
    assert world.call(world.vault.functions.batchRoot(60_001)) == bytes(32)


def test_a_new_settler_and_a_withdrawal_wait_for_a_day(world: World) -> None:
    """Whatever gives more reach is announced, and can be taken back before its time."""
    vault = world.vault.functions
    appoint = vault.setSettler(world.stranger.address, True)
    withdraw = vault.withdraw(world.dollar.address, 1)
    for call in (appoint, withdraw):
        assert refusal(world, call, world.owner).name == "NotAnnounced"
        data = call._encode_transaction_data()
        world.do(vault.announce(data), world.owner)
        assert refusal(world, call, world.owner).name == "TooEarly"
        assert world.do(vault.revoke(data), world.pauser).succeeded
        assert refusal(world, call, world.owner).name == "NotAnnounced"


def test_rows_that_cannot_be_paid_are_skipped_and_reported_by_index(world: World) -> None:
    """A blocked recipient and the zero address: each reported, the others paid."""
    world.stock(10 * DOLLAR)
    alice, bob, blocked = fresh_address(), fresh_address(), fresh_address()
    world.do(world.dollar.functions.setBlocked(blocked, True), world.owner)
    rows = [word(alice, DOLLAR), word(blocked, DOLLAR), word(NATIVE, DOLLAR)]
    rows += [word(fresh_address(), 1) for _ in range(9)] + [word(bob, 2 * DOLLAR)]
    outcome = world.do(world.pay(1, rows), world.settler)
    assert outcome.skipped() == [1, 2]
    assert outcome.batch_paid()["skippedCount"] == 2
    assert outcome.batch_paid()["paid"] == 3 * DOLLAR + 9
    assert (world.balance(alice), world.balance(bob)) == (DOLLAR, 2 * DOLLAR)
    assert world.balance(world.vault.address) == 7 * DOLLAR - 9
    assert world.call(world.vault.functions.skippedRows(1, 0)) == 0b110


def test_a_vault_that_the_token_has_blocked_skips_nobody(world: World) -> None:
    """The fault is ours: refunding everybody for it would undo a day's business."""
    world.stock(DOLLAR)
    world.do(world.dollar.functions.setBlocked(world.vault.address, True), world.owner)
    refused = refusal(world, world.pay(1, [word(fresh_address(), 1)]), world.settler)
    assert refused.name == "AssetUnavailable"


@pytest.mark.parametrize("code", [REVERTS, BURNS_ALL_GAS])
def test_a_hostile_native_recipient_costs_its_gas_cap_and_no_more(world: World, code: str) -> None:
    """Reverting and burning all gas are skipped, and the others are paid."""
    hostile, alice = deploy_code(world, code), fresh_address()
    world.send(world.owner, world.vault.address, "0x", value=10)
    plain = world.do(world.pay(1, [word(fresh_address(), 1)] * 2, token=NATIVE), world.settler)
    outcome = world.do(
        world.pay(2, [word(hostile, 1), word(alice, 1)], token=NATIVE), world.settler
    )
    assert outcome.skipped() == [0]
    assert outcome.gas_used - plain.gas_used < SKIP_GAS_MAX
    assert int(world.rpc("eth_getBalance", alice, "latest"), 16) == 1


def test_a_recipient_that_floods_the_return_data_pays_for_it_itself(world: World) -> None:
    """Copying 64 kB of somebody's answer would cost the vault 14,000 gas a row."""
    flood = deploy_code(world, RETURNS_64_KB)
    world.send(world.owner, world.vault.address, "0x", value=40)
    one = world.do(world.pay(1, [word(flood, 1)], token=NATIVE), world.settler)
    twenty = world.do(world.pay(2, [word(flood, 1)] * 20, token=NATIVE), world.settler)
    assert twenty.skipped() == []
    # 14,300 the recipient's own memory, 9,000 the transfer of value, 100 the warm call.
    assert (twenty.gas_used - one.gas_used) / 19 < 24_500


def test_two_hundred_fresh_recipients_are_paid_in_one_transaction(world: World) -> None:
    """Each gets its own amount; the event holds id, root, token and sum."""
    world.stock(1_000_000)
    recipients = [fresh_address() for _ in range(200)]
    rows = [word(recipient, 1 + index) for index, recipient in enumerate(recipients)]
    outcome = world.do(world.pay(42, rows), world.settler)
    paid = outcome.batch_paid()
    assert outcome.skipped() == []
    assert (paid["batchId"], paid["root"]) == (42, b"\xab" * 32)
    assert (paid["asset"], paid["paid"]) == (world.dollar.address, sum(range(1, 201)))
    assert [world.balance(recipients[index]) for index in (0, 99, 199)] == [1, 100, 200]
    assert world.call(world.vault.functions.batchRoot(42)) == b"\xab" * 32
    # The demo dollar's block list costs 2,200 of these per row.
    assert outcome.gas_used / 200 < 29_500


def test_native_coin_is_paid_under_the_zero_address(world: World) -> None:
    """The chain's own coin goes the same way as a token; none of it is burnt."""
    alice, bob = fresh_address(), fresh_address()
    world.send(world.owner, world.vault.address, "0x", value=100)
    rows = [word(alice, 30), word(NATIVE, 5), word(world.vault.address, 5), word(bob, 50)]
    outcome = world.do(world.pay(1, rows, token=NATIVE), world.settler)
    assert outcome.skipped() == [1, 2]
    assert outcome.batch_paid()["paid"] == 80
    assert int(world.rpc("eth_getBalance", bob, "latest"), 16) == 50
    assert int(world.rpc("eth_getBalance", world.vault.address, "latest"), 16) == 20


def test_withdrawals_go_to_the_treasury_alone(world: World) -> None:
    """What was stocked can be taken out again, announced and after its day."""
    world.stock(5)
    world.send(world.owner, world.vault.address, "0x", value=7)
    withdraw = world.vault.functions.withdraw
    for asset, amount in ((world.dollar.address, 5), (NATIVE, 7)):
        assert world.do(world.announce(withdraw(asset, amount)), world.owner).succeeded
        again = refusal(world, withdraw(asset, amount), world.owner)
        assert again.name == "NotAnnounced"
    assert world.balance(world.safe) == 5
    assert int(world.rpc("eth_getBalance", world.safe, "latest"), 16) == 7


def test_an_estimate_of_gas_is_enough_to_pay(world: World) -> None:
    """The gas guard makes a batch need more than it uses; an estimate must see that."""
    world.stock(DOLLAR)
    call = world.pay(1, [word(fresh_address(), 1) for _ in range(5)])
    request = {
        "from": world.settler.address,
        "to": call.address,
        "data": call._encode_transaction_data(),
    }
    estimate = int(world.rpc("eth_estimateGas", request), 16)
    assert world.do(call, world.settler, gas=estimate).skipped() == []


def test_the_deployed_code_is_the_committed_artifact(world: World) -> None:
    """A vault's identity is checked by its code, so the code must be predictable."""
    code = world.rpc("eth_getCode", world.vault.address, "latest")
    assert bytes.fromhex(code[2:]) == load_artifact("Vault").deployed_bytecode
