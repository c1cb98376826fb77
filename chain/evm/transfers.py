"""``settlement.ports.transfers`` for EVM networks: native coin and listed tokens, block by block.

Native coin moves by a transaction's own value, if it did not revert; tokens by ERC-20's
``Transfer(address,address,uint256)`` (https://eips.ethereum.org/EIPS/eip-20). Native coin that a
contract sends on inside a transaction is in neither: that takes traces, which few nodes keep.

One endpoint's word is enough here: what is read feeds a screening and moves no money, and blocks
that do not fit their parents are read again.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from eth_utils.crypto import keccak

from chain.deployment import Deployment
from chain.errors import UnclearAnswer
from chain.evm.reads import Reads
from chain.evm.receipts import unwrap
from chain.network import Network
from chain.rpc import RpcClient
from settlement.errors import ChainUnknown
from settlement.ports.transfers import NATIVE_POSITION, ChainTransfer, TransferBlock

TRANSFER_TOPIC = "0x" + keccak(text="Transfer(address,address,uint256)").hex()


class EvmTransfers:
    """Reads with a client of its own: a back-fill must not slow down what settles orders."""

    def __init__(self, network: Network, deployment: Deployment, rpc: RpcClient) -> None:
        self.network = network.name
        self._native = network.native
        self._tokens = {token.address.lower(): token for token in deployment.tokens}
        self._rpc = rpc
        self._reads = Reads(rpc, deployment.vault, network.finality_depth_blocks)

    async def heights(self) -> tuple[int, int]:
        head = await self._reads.head()
        return head.number, head.final_number

    async def blocks(self, first: int, last: int) -> Sequence[TransferBlock]:
        numbers = [hex(number) for number in range(first, last + 1)]
        calls: list[Any] = [("eth_getBlockByNumber", (number, True)) for number in numbers]
        blocks = unwrap(await self._rpc.batch(calls))
        if any(block is None for block in blocks):
            raise ChainUnknown(f"not every block from {first} to {last} is known yet")
        logs = await self._logs(numbers[0], numbers[-1])
        reverted = await self._reverted(blocks)
        try:
            return self._joined(blocks, logs, reverted)
        except (LookupError, TypeError, ValueError) as error:
            raise UnclearAnswer(f"blocks {first} to {last} make no sense: {error!r}") from error

    async def close(self) -> None:
        await self._rpc.close()

    async def _logs(self, first: str, last: str) -> list[Mapping[str, Any]]:
        if not self._tokens:
            return []
        wanted = {
            "fromBlock": first,
            "toBlock": last,
            "address": list(self._tokens),
            "topics": [TRANSFER_TOPIC],
        }
        return list(await self._rpc.call("eth_getLogs", wanted))

    async def _reverted(self, blocks: Sequence[Mapping[str, Any]]) -> set[str]:
        """Of the transactions that carry native coin, those that moved none."""
        refs = [tx["hash"] for block in blocks for tx in block["transactions"] if _carries(tx)]
        calls: list[Any] = [("eth_getTransactionReceipt", (ref,)) for ref in refs]
        receipts = unwrap(await self._rpc.batch(calls))
        if any(receipt is None for receipt in receipts):
            raise ChainUnknown("a receipt is missing: perhaps a reorganisation is under way")
        return {
            receipt["transactionHash"] for receipt in receipts if int(receipt["status"], 16) == 0
        }

    def _joined(
        self,
        blocks: Sequence[Mapping[str, Any]],
        logs: Sequence[Mapping[str, Any]],
        reverted: set[str],
    ) -> list[TransferBlock]:
        by_block: dict[str, list[ChainTransfer]] = {block["hash"]: [] for block in blocks}
        for block in blocks:
            by_block[block["hash"]] += self._native_of(block, reverted)
        for log in logs:
            if log["blockHash"] not in by_block:
                raise ChainUnknown("logs of another block: a reorganisation is under way")
            by_block[log["blockHash"]] += self._token_of(log)
        for before, after in pairwise(blocks):
            if after["parentHash"] != before["hash"]:
                raise ChainUnknown("blocks of two branches: a reorganisation is under way")
        return [
            TransferBlock(
                int(block["number"], 16),
                block["hash"],
                block["parentHash"],
                int(block["timestamp"], 16),
                tuple(by_block[block["hash"]]),
            )
            for block in blocks
        ]

    def _native_of(self, block: Mapping[str, Any], reverted: set[str]) -> Iterator[ChainTransfer]:
        native = self._native
        for tx in block["transactions"]:
            if _carries(tx) and tx["hash"] not in reverted:
                ends = tx["from"].lower(), tx["to"].lower()
                yield ChainTransfer(
                    tx["hash"], NATIVE_POSITION, native.code, native.scale, *ends, _value(tx)
                )

    def _token_of(self, log: Mapping[str, Any]) -> Iterator[ChainTransfer]:
        """Nothing for a log of three indexed fields, as ERC-721 writes them."""
        token, topics = self._tokens[log["address"].lower()], log["topics"]
        amount = int(log["data"], 16) if len(topics) == 3 and log["data"] != "0x" else 0
        if amount and not log.get("removed"):
            src, dst = ("0x" + topic[-40:].lower() for topic in topics[1:])
            at = int(log["logIndex"], 16)
            ref = log["transactionHash"]
            yield ChainTransfer(ref, at, token.code, token.scale, src, dst, amount)


def _value(tx: Mapping[str, Any]) -> int:
    return int(tx["value"], 16)


def _carries(tx: Mapping[str, Any]) -> bool:
    return tx["to"] is not None and _value(tx) > 0
