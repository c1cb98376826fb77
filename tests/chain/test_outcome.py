"""What a receipt's logs say about a batch: forged and incomplete ones first. Pure."""

from typing import Any

import pytest
from eth_utils.crypto import keccak

from chain.errors import ExecutionReverted
from chain.evm import vault
from settlement.errors import ChainLimited, ChainRefused, ChainUnknown

VAULT = "0x" + "aa" * 20
PAID = "0x" + keccak(text="BatchPaid(uint256,bytes32,address,uint256,uint256)").hex()
SKIPPED = "0x" + keccak(text="PayoutSkipped(uint256,uint256)").hex()


def words(*numbers: int) -> str:
    return "0x" + "".join(f"{number:064x}" for number in numbers)


def log(topic: str, *numbers: int, address: str = VAULT) -> dict[str, Any]:
    return {"address": address, "topics": [topic, words(7)], "data": words(*numbers)}


def receipt(*logs: dict[str, Any], status: str = "0x1") -> dict[str, Any]:
    return {"status": status, "logs": list(logs)}


@pytest.mark.parametrize("count", [0, 2])
def test_logs_that_contradict_each_other_say_nothing(count: int) -> None:
    """A node that left out a skip would let us complete an order that nobody paid."""
    with pytest.raises(ChainUnknown):
        vault.outcome(receipt(log(SKIPPED, 3), log(PAID, 500, count)), VAULT)


def test_another_contracts_logs_pay_nobody() -> None:
    """Anybody can write the same event."""
    other = receipt(log(PAID, 500, 0, address="0x" + "bb" * 20))
    assert vault.outcome(other, VAULT) == vault.Outcome(False, frozenset())


def test_a_reverted_transaction_pays_nobody() -> None:
    """Whatever logs a node shows beside it."""
    assert not vault.outcome(receipt(log(PAID, 500, 0), status="0x0"), VAULT).paid


def test_the_sum_and_the_skips_are_read() -> None:
    """In the spelling of whatever node."""
    told = receipt(log(SKIPPED, 3), log(PAID, 500, 1))
    assert vault.outcome(told, VAULT.upper().replace("X", "x")) == vault.Outcome(
        True, frozenset({3}), 500
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("WindowExceeded(address,uint256,uint256)", ChainLimited),
        ("AssetNotListed(address)", ChainLimited),
        ("AssetUnavailable(uint256)", ChainLimited),
        ("InsufficientInventory(uint256,uint256,uint256)", ChainLimited),
        ("BalanceUnknown(address)", ChainLimited),
        ("NotSettler(address)", ChainRefused),
        ("BatchAlreadyPaid(uint256)", ChainRefused),
        ("UnaccountedOutflow(uint256,uint256)", ChainRefused),
    ],
)
def test_want_of_room_is_told_from_a_refusal(error: str, kind: type[ChainRefused]) -> None:
    """The one is waited out, the other is looked into."""
    data = keccak(text=error)[:4] + bytes(32 * (error.count(",") + 1))
    assert type(vault.explain(ExecutionReverted(data=data))) is kind
