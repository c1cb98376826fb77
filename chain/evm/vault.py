"""The vault contract's words: calls into bytes, logs and reverts into facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from chain.artifacts import load_artifact
from chain.deployment import NATIVE as NATIVE
from chain.errors import ExecutionReverted
from settlement.errors import (
    ChainError,
    ChainLimited,
    ChainPaused,
    ChainRefused,
    ChainUnknown,
    InvariantBroken,
)
from settlement.ports.chain import Payout

_FUNCTIONS = {
    item["name"]: [i["type"] for i in item["inputs"]]
    for item in load_artifact("Vault").abi
    if item["type"] == "function"
}
_BATCH_PAID = keccak(text="BatchPaid(uint256,bytes32,address,uint256,uint256)").hex()
_PAYOUT_SKIPPED = keccak(text="PayoutSkipped(uint256,uint256)").hex()
_ERRORS = {
    keccak(text=f"{item['name']}({','.join(i['type'] for i in item['inputs'])})")[:4]: item
    for item in load_artifact("Vault").abi
    if item["type"] == "error"
}
_LIMITS = frozenset(
    {
        "AssetNotListed",
        "AssetUnavailable",
        "BalanceUnknown",
        "InsufficientInventory",
        "WindowExceeded",
    }
)
"""What the vault refuses for want of room, and not for anything about a recipient."""
_ADDRESS_BYTES = 20
AMOUNT_BYTES_MAX = 14
"""The widest amount of a row: 112 bits, as the vault's spending window counts."""
AMOUNT_MAX_MINOR = (1 << 8 * AMOUNT_BYTES_MAX) - 1
"""The most that one row can pay."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the vault's own logs say. Without ``paid`` nobody was paid; ``paid_minor`` is the sum
    of the payouts made."""

    paid: bool
    skipped: frozenset[int]
    paid_minor: int | None = None


def pay_batch_data(batch_id: int, root: str, asset: str, payouts: Sequence[Payout]) -> bytes:
    """Calldata of ``payBatch``: rows of 20 bytes and the width of the batch's largest amount.

    Raises :class:`~settlement.errors.InvariantBroken` for what no row may hold.
    """
    width = amount_bytes(payouts)
    rows = b"".join(_row(payout, width, asset) for payout in payouts)
    root_bytes = bytes.fromhex(root.removeprefix("0x"))
    return _encode("payBatch", [batch_id, root_bytes, asset, _ADDRESS_BYTES + width, rows])


def amount_bytes(payouts: Sequence[Payout]) -> int:
    """The fewest bytes that hold every amount: calldata is what a payout's overhead is made of."""
    largest = max((payout.amount_minor for payout in payouts), default=0)
    return max(1, (largest.bit_length() + 7) // 8)


def batch_paid_topic() -> str:
    """What the log of a paid batch begins with."""
    return "0x" + _BATCH_PAID


def batch_rows(data: bytes) -> tuple[int, str, str, tuple[tuple[str, int], ...]]:
    """The inverse of :func:`pay_batch_data`: batch id, root, asset, and (recipient, amount) rows.

    Addresses in lower case. Raises :class:`~settlement.errors.InvariantBroken` for other calldata.
    """
    types = _FUNCTIONS["payBatch"]
    if data[:4] != keccak(text=f"payBatch({','.join(types)})")[:4]:
        raise InvariantBroken("this transaction does not call payBatch")
    batch_id, root, asset, row_bytes, rows = decode(types, data[4:])
    parts = [rows[at : at + row_bytes] for at in range(0, len(rows), row_bytes)]
    pairs = tuple(
        ("0x" + part[:_ADDRESS_BYTES].hex(), int.from_bytes(part[_ADDRESS_BYTES:]))
        for part in parts
    )
    return int(batch_id), "0x" + root.hex(), str(asset), pairs


def batch_root_data(batch_id: int) -> bytes:
    return _encode("batchRoot", [batch_id])


def admin_data(function: str, *arguments: Any) -> bytes:
    """Calldata of one of the owner's functions."""
    return _encode(function, list(arguments))


def outcome(receipt: Mapping[str, Any], vault: str) -> Outcome:
    """Read a receipt's logs; those of other contracts say nothing about payments.

    Raises :class:`~settlement.errors.ChainUnknown` when they contradict each other: a node that
    left one out must neither complete nor refund anything.
    """
    paid_minor, count, skipped = None, 0, set()
    for log in receipt["logs"]:
        if log["address"].lower() != vault.lower() or not log["topics"]:
            continue
        topic = log["topics"][0].removeprefix("0x")
        if topic == _BATCH_PAID:
            paid_minor, count = decode(["uint256", "uint256"], bytes.fromhex(log["data"][2:]))
        elif topic == _PAYOUT_SKIPPED:
            skipped.add(int(log["data"], 16))
    if paid_minor is None or int(receipt["status"], 16) != 1:
        return Outcome(False, frozenset(skipped))
    if count != len(skipped):
        raise ChainUnknown(f"the vault skipped {count} rows, the receipt names {len(skipped)}")
    return Outcome(True, frozenset(skipped), paid_minor)


def explain(error: ChainError) -> ChainError:
    """Name a revert by the vault's own error; a pause or a limit is a reason to wait."""
    if not isinstance(error, ExecutionReverted):
        return error
    item = _ERRORS.get(error.data[:4])
    if item is None:
        return error
    if item["name"] == "EnforcedPause":
        return ChainPaused("the vault is paused")
    values = decode([i["type"] for i in item["inputs"]], error.data[4:])
    kind = ChainLimited if item["name"] in _LIMITS else ChainRefused
    return kind(f"the vault refuses: {item['name']}{values}")


def _row(payout: Payout, width: int, asset: str) -> bytes:
    """The vault leaves these checks to us: 40 gas in each row would buy only our own faults."""
    if payout.amount_minor <= 0 or width > AMOUNT_BYTES_MAX:
        raise InvariantBroken(f"{payout.order_id}: {payout.amount_minor} does not fit a row")
    if payout.wallet.lower() in (NATIVE, asset.lower()):
        raise InvariantBroken(f"{payout.order_id}: {payout.wallet} would swallow the payout")
    return bytes.fromhex(payout.wallet[2:]) + payout.amount_minor.to_bytes(width)


def _encode(function: str, arguments: list[Any]) -> bytes:
    """Selector and arguments; by hand, since importing web3 costs a second at every start."""
    types = _FUNCTIONS[function]
    return keccak(text=f"{function}({','.join(types)})")[:4] + encode(types, arguments)
