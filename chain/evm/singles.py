"""Native coin sent singly: which accounts cost less so, and the memo that says what it paid.

Gas measured on anvil (``benchmarks.payout_gas``): a transfer with its memo 22,420. In a batch a
fresh account costs 35,147 among two hundred; one in use 68,735 alone, 24,563 among four, 21,630
among five and 10,147 among two hundred.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chain.evm.receipts import unwrap
from chain.rpc import RpcClient
from settlement.errors import InvariantBroken

BATCH_PAYS_FROM = 5
"""So many accounts in use cost less in one batch than by a transfer each."""
_ID_BYTES = 8
_MEMO_BYTES = _ID_BYTES + 32


@dataclass(frozen=True, slots=True)
class Single:
    """A transfer to an order, as its own bytes tell: the memo, the recipient and the amount."""

    batch_id: int
    root: str
    wallet: str
    value_wei: int


def memo(batch_id: int, root: str) -> bytes:
    """Batch id and root, 40 bytes. An account without code takes any data.

    Raises :class:`~settlement.errors.InvariantBroken` for an id that no sequence gives.
    """
    if not 0 <= batch_id < 1 << 8 * _ID_BYTES:
        raise InvariantBroken(f"batch id {batch_id} does not fit a memo")
    return batch_id.to_bytes(_ID_BYTES) + bytes.fromhex(root[2:])


def read_single(transaction: Mapping[str, Any]) -> Single | None:
    """What a transaction of a lane's paid, ``None`` when it is no single; address as given."""
    data = bytes.fromhex(transaction["input"][2:])
    value_wei = int(transaction["value"], 16)
    if len(data) != _MEMO_BYTES or value_wei == 0 or transaction["to"] is None:
        return None
    root = "0x" + data[_ID_BYTES:].hex()
    return Single(int.from_bytes(data[:_ID_BYTES]), root, transaction["to"], value_wei)


async def cheaper_singly(rpc: RpcClient, wallets: Sequence[str]) -> frozenset[str]:
    """Fresh accounts, and those in use when too few of them would share a batch.

    By one endpoint's word: a wrong one costs gas, and a recipient that takes no coins reverts.
    Raises kinds of :class:`~settlement.errors.ChainError`.
    """
    reads = ("eth_getCode", "eth_getTransactionCount", "eth_getBalance")
    asked = list(dict.fromkeys(wallets))
    answers = unwrap(
        await rpc.batch([(read, (wallet, "latest")) for wallet in asked for read in reads])
    )
    fresh, used, coded = set(), set(), set()
    for index, wallet in enumerate(asked):
        code, nonce, balance = answers[3 * index : 3 * index + 3]
        if code != "0x":
            coded.add(wallet)
        elif int(nonce, 16) or int(balance, 16):
            used.add(wallet)
        else:
            fresh.add(wallet)
    share = coded or sum(wallet in used for wallet in wallets) >= BATCH_PAYS_FROM
    return frozenset(fresh if share else fresh | used)
