"""What a lane signs, in EVM terms: target, value and data of each kind of call, and its gas."""

from collections.abc import Callable
from dataclasses import dataclass

from chain.evm import vault
from chain.evm.singles import memo
from settlement.errors import InvariantBroken
from settlement.money import Asset, ceil_div
from settlement.ports.chain import BatchCall, Call, ContractCall, SelfTransfer, Transfer

GAS_LIMIT_MAX = 16_777_216
"""No transaction may ask for more (EIP-7825)."""
GAS_TO_SKIP = 300_000
"""What the vault wants left before it skips a row, and what judging the row takes."""


@dataclass(frozen=True, slots=True)
class Request:
    """A transaction without its fees and nonce. Value in wei."""

    to: str
    value_wei: int = 0
    data: bytes = b""
    spare_gas: int = 0

    def rpc(self, sender: str) -> dict[str, str]:
        """As ``eth_call`` and ``eth_estimateGas`` take it."""
        fields = {"from": sender, "to": self.to, "data": "0x" + self.data.hex()}
        return {**fields, "value": hex(self.value_wei)} if self.value_wei else fields

    def gas_limit(self, estimate: int) -> int:
        """The estimate, a fifth, and room for a recipient that fails meanwhile: a short limit
        reverts, an ample one is free."""
        return min(ceil_div(estimate * 6, 5) + self.spare_gas, GAS_LIMIT_MAX)


class Requests:
    """Builds requests for one vault.

    ``swallowing`` are contracts of ours that keep whatever is sent to them; ``root`` and ``token``
    are the adapter's.
    """

    def __init__(
        self,
        vault_address: str,
        swallowing: frozenset[str],
        root: Callable[[BatchCall], str],
        token: Callable[[BatchCall], str],
        native: Asset,
    ) -> None:
        self._vault = vault_address
        self._swallowing = swallowing
        self._root = root
        self._token = token
        self._native = native

    def build(self, lane_address: str, call: Call) -> Request:
        """Raises :class:`~settlement.errors.InvariantBroken` for a payout to a contract of ours."""
        match call:
            case BatchCall():
                return self._batch(call)
            case Transfer():
                return self._single(call)
            case ContractCall(to, data, value_minor):
                return Request(to, value_minor, data)
            case SelfTransfer():
                return Request(lane_address)

    def _batch(self, call: BatchCall) -> Request:
        for payout in call.payouts:
            self._refuse_swallowing(payout.order_id, payout.wallet)
        data = vault.pay_batch_data(
            call.batch_id, self._root(call), self._token(call), call.payouts
        )
        return Request(self._vault, data=data, spare_gas=GAS_TO_SKIP)

    def _single(self, call: Transfer) -> Request:
        payout = call.payout
        self._refuse_swallowing(payout.order_id, payout.wallet)
        root = self._root(BatchCall(call.batch_id, self._native, (payout,)))
        return Request(payout.wallet, payout.amount_minor, memo(call.batch_id, root))

    def _refuse_swallowing(self, order_id: str, wallet: str) -> None:
        if wallet in self._swallowing:
            raise InvariantBroken(f"{order_id}: {wallet} is a contract of ours")
