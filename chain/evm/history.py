"""What a vault has paid, read from the chain alone: for the day when our own records are gone."""

from collections.abc import Mapping, Sequence
from typing import Any

from eth_utils.address import to_checksum_address

from chain.evm import vault
from chain.evm.reads import Reads
from chain.rpc import RpcClient
from settlement.errors import ChainUnknown
from settlement.money import Asset
from settlement.ports.chain import Fees, PaidBatch, SignedTransaction

_BLOCKS_AT_ONCE = 2_000
"""Nodes refuse wider ranges of logs."""


class History:
    """``assets`` maps contract addresses (lower case, zero for native coin) to what they are."""

    def __init__(
        self, rpc: RpcClient, reads: Reads, vault_address: str, assets: Mapping[str, Asset]
    ) -> None:
        self._rpc = rpc
        self._reads = reads
        self._vault = vault_address
        self._assets = assets

    async def paid_batches(self, since_block: int = 0) -> Sequence[PaidBatch]:
        """By block. Which transactions there are and what each one's receipt says is agreed by a
        quorum: a batch that is left out here is paid again.

        Raises kinds of :class:`~settlement.errors.ChainError`.
        """
        head = await self._reads.head()
        found = []
        for start in range(since_block, head.final_number + 1, _BLOCKS_AT_ONCE):
            end = min(start + _BLOCKS_AT_ONCE - 1, head.final_number)
            for ref, topics in await self._reads.logs(
                self._vault, vault.batch_paid_topic(), start, end
            ):
                found.append(await self._read(ref, topics))
        return found

    async def _read(self, ref: str, topics: Sequence[str]) -> PaidBatch:
        inclusions = await self._reads.inclusions([ref], complete=False)
        transaction = await self._rpc.call("eth_getTransactionByHash", ref)
        if not inclusions or transaction is None:
            raise ChainUnknown(f"too few endpoints know the receipt of {ref}")
        batch_id, root, asset, rows = vault.batch_rows(bytes.fromhex(transaction["input"][2:]))
        said = [int(topic, 16) for topic in topics[1:]]
        if said != [batch_id, int(root, 16), int(asset, 16)]:
            raise ChainUnknown(f"{ref} is not the call that the vault's log tells of")
        return PaidBatch(
            batch_id=batch_id,
            root=root,
            asset=self._assets[asset.lower()],
            lane_address=str(to_checksum_address(transaction["from"])),
            transaction=_signed(ref, transaction),
            inclusion=inclusions[0],
            rows=tuple((str(to_checksum_address(wallet)), amount) for wallet, amount in rows),
        )


def _signed(ref: str, transaction: Mapping[str, Any]) -> SignedTransaction:
    fees = Fees(int(transaction["maxFeePerGas"], 16), int(transaction["maxPriorityFeePerGas"], 16))
    nonce, gas_limit = int(transaction["nonce"], 16), int(transaction["gas"], 16)
    return SignedTransaction(ref, b"", nonce, fees, gas_limit)
