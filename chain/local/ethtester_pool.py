"""A small transaction pool in front of py-evm, which has none.

Without one, a transaction ahead of its nonce would be lost and a replacement impossible to try, so
the code under test would never meet on this chain what it meets on every other. The texts of the
refusals are geth's (core/txpool/errors.go, core/error.go).
"""

from typing import Any

from chain.local.ethtester_format import transaction_type

MAX_TRANSACTION_GAS = 16_777_216  # EIP-7825
_BUMP_PERCENT = 10


class Refused(Exception):
    """The node says no: ``code`` and ``message`` go into the answer, ``data`` as revert data."""

    def __init__(self, message: str, code: int = -32000, data: bytes | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class Pool:
    """Pending transactions by sender and nonce."""

    def __init__(self) -> None:
        self._by_sender: dict[bytes, dict[int, Any]] = {}

    def add(self, transaction: Any) -> None:
        """Take the transaction, or raise :class:`Refused` when its nonce is held by another."""
        mine = self._by_sender.setdefault(transaction.sender, {})
        held = mine.get(transaction.nonce)
        if held is not None:
            if held.hash == transaction.hash:
                raise Refused("already known")
            if not _outbids(transaction, held):
                raise Refused("replacement transaction underpriced")
        mine[transaction.nonce] = transaction

    def next_of(self, sender: bytes, nonce: int) -> int:
        """The first nonce from ``nonce`` on that is not held (the ``pending`` count)."""
        mine = self._by_sender.get(sender, {})
        while nonce in mine:
            nonce += 1
        return nonce

    def find(self, hash_: bytes) -> Any | None:
        for mine in self._by_sender.values():
            for transaction in mine.values():
                if transaction.hash == hash_:
                    return transaction
        return None

    def executable(self, nonces: dict[bytes, int], base_fee: int) -> list[Any]:
        """One next transaction per sender whose cap covers ``base_fee``, best tip first."""
        found = []
        for sender, mine in self._by_sender.items():
            candidate = mine.get(nonces[sender])
            if candidate is not None and candidate.max_fee_per_gas >= base_fee:
                found.append(candidate)
        return sorted(found, key=lambda t: -min(t.max_priority_fee_per_gas, t.max_fee_per_gas))

    def drop(self, transaction: Any) -> None:
        self._by_sender[transaction.sender].pop(transaction.nonce, None)

    def drop_below(self, nonces: dict[bytes, int]) -> None:
        """Forget what can never be mined any more."""
        for sender, mine in self._by_sender.items():
            for nonce in [n for n in mine if n < nonces[sender]]:
                del mine[nonce]

    def senders(self) -> list[bytes]:
        return list(self._by_sender)


def check_transaction(
    transaction: Any, *, chain_id: int, nonce: int, balance: int, block_gas_limit: int
) -> None:
    """What every node checks before it pools a transaction; raises :class:`Refused`."""
    claimed = transaction.chain_id
    if claimed is not None and claimed != chain_id:
        raise Refused(f"invalid chain id for signer: have {claimed} want {chain_id}")
    if transaction.nonce < nonce:
        raise Refused(f"nonce too low: next nonce {nonce}, tx nonce {transaction.nonce}")
    if transaction.max_priority_fee_per_gas > transaction.max_fee_per_gas:
        raise Refused("max priority fee per gas higher than max fee per gas")
    if transaction.gas > block_gas_limit:
        raise Refused("exceeds block gas limit")
    if transaction.gas > MAX_TRANSACTION_GAS:
        raise Refused(
            f"transaction gas limit too high (cap: {MAX_TRANSACTION_GAS}, tx: {transaction.gas})"
        )
    if transaction.gas < transaction.intrinsic_gas:
        raise Refused(
            f"intrinsic gas too low: gas {transaction.gas}, "
            f"minimum needed {transaction.intrinsic_gas}"
        )
    cost = transaction.value + transaction.gas * transaction.max_fee_per_gas
    if cost > balance:
        raise Refused(
            f"insufficient funds for gas * price + value: balance {balance}, "
            f"tx cost {cost}, overshot {cost - balance}"
        )


def _outbids(new: Any, held: Any) -> bool:
    def raised(new_fee: int, held_fee: int) -> bool:
        return new_fee * 100 >= held_fee * (100 + _BUMP_PERCENT)

    if transaction_type(new) != transaction_type(held):
        return False
    return raised(new.max_fee_per_gas, held.max_fee_per_gas) and raised(
        new.max_priority_fee_per_gas, held.max_priority_fee_per_gas
    )
