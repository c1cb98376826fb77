"""What a vault and its lanes have paid, read from the chain alone: for the day when our own records
are gone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from eth_utils.address import to_checksum_address

from chain.evm import vault
from chain.evm.reads import Reads
from chain.evm.singles import read_single
from chain.rpc import RpcClient
from settlement.errors import ChainUnknown
from settlement.money import Asset
from settlement.ports.chain import Fees, PaidBatch, Sent, SignedTransaction

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

    async def sent_by(self, lane_address: str, nonce: int, since_block: int) -> Sequence[Sent]:
        """By block. A transfer leaves no log, so the blocks in which the lane's nonce rose are
        found by halving; a quorum agrees on these nonces and on what was sent with them, and none
        may be left unexplained. Needs endpoints that keep the state of blocks so old.

        Raises kinds of :class:`~settlement.errors.ChainError`.
        """
        head = await self._reads.head()
        found = []
        start = min(since_block, head.final_number)
        for number in await self._rises(lane_address, nonce, start, head.final_number):
            mine: list[dict[str, Any]] = [
                dict(sent) for sent in await self._reads.sent_in(number, lane_address)
            ]
            nonces = [await self._reads.nonce(lane_address, n) for n in (number - 1, number)]
            if len(mine) != nonces[1] - nonces[0]:
                raise ChainUnknown(f"block {number} does not show all of {lane_address}")
            later = [t for t in mine if int(t["nonce"], 16) >= nonce]
            found += [await self._sent(transaction, lane_address) for transaction in later]
        return found

    async def _rises(self, lane_address: str, nonce: int, start: int, end: int) -> list[int]:
        """Blocks after ``start``, up to ``end``, with a transaction of the lane's of that nonce or
        a later one."""
        count = partial(self._reads.nonce, lane_address)
        open_ = [(start, await count(start), end, await count(end))]
        rises = []
        while open_:
            low, before, high, after = open_.pop()
            if before == after or after <= nonce:
                continue
            if high - low == 1:
                rises.append(high)
                continue
            middle = (low + high) // 2
            at = await count(middle)
            open_ += [(low, before, middle, at), (middle, at, high, after)]
        return sorted(rises)

    async def _sent(self, transaction: Mapping[str, Any], lane_address: str) -> Sent:
        to, data = transaction["to"], transaction["input"]
        idle = to == lane_address.lower() and data == "0x" and int(transaction["value"], 16) == 0
        single = await self._single(transaction, lane_address)
        return Sent(str(transaction["hash"]), int(transaction["nonce"], 16), idle, single)

    async def _single(self, transaction: Mapping[str, Any], lane_address: str) -> PaidBatch | None:
        single = read_single(transaction)
        if single is None or transaction["to"].lower() == self._vault.lower():
            return None
        ref = str(transaction["hash"])
        [inclusion] = await self._reads.inclusions([ref], complete=True)
        if not inclusion.executed:
            return None
        return PaidBatch(
            batch_id=single.batch_id,
            root=single.root,
            asset=self._assets[vault.NATIVE],
            lane_address=lane_address,
            transaction=_signed(ref, transaction),
            inclusion=replace(inclusion, paid_minor=single.value_wei),
            rows=((str(to_checksum_address(single.wallet)), single.value_wei),),
            single=True,
        )

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
