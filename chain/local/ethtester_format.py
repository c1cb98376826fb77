"""Blocks, transactions, receipts and logs of py-evm in the shapes of the Ethereum JSON-RPC.

Source: execution-apis (ethereum/execution-apis, schemas ``block``, ``transaction``, ``receipt``).
eth-tester's own serialisers are made for its Python API: snake case, log indices per transaction.
"""

from dataclasses import dataclass
from typing import Any

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from rlp import encode as rlp_encode  # type: ignore[import-untyped]

Json = dict[str, Any]
DYNAMIC_FEE_TYPE = 2


@dataclass(frozen=True, slots=True)
class MinedBlock:
    """A block of py-evm, and the receipts of its transactions in order."""

    block: Any
    receipts: tuple[Any, ...]

    @property
    def number(self) -> int:
        return int(self.block.number)

    @property
    def hash(self) -> bytes:
        return bytes(self.block.hash)


def quantity(value: int) -> str:
    """``0x`` hex without leading zeros."""
    return hex(value)


def data(value: bytes) -> str:
    """``0x`` hex of every byte."""
    return "0x" + bytes(value).hex()


def address(value: bytes) -> str | None:
    """Checksummed; ``None`` for the empty recipient of a contract's creation."""
    return to_checksum_address(value) if value else None


def block_json(mined: MinedBlock, *, full_transactions: bool) -> Json:
    header = mined.block.header
    transactions = [
        transaction_json(mined, index) if full_transactions else data(transaction.hash)
        for index, transaction in enumerate(mined.block.transactions)
    ]
    return {
        "number": quantity(header.block_number),
        "hash": data(mined.hash),
        "parentHash": data(header.parent_hash),
        "nonce": data(header.nonce),
        "sha3Uncles": data(header.uncles_hash),
        "logsBloom": data(header.bloom.to_bytes(256, "big")),
        "transactionsRoot": data(header.transaction_root),
        "receiptsRoot": data(header.receipt_root),
        "stateRoot": data(header.state_root),
        "miner": to_checksum_address(header.coinbase),
        "difficulty": quantity(header.difficulty),
        "totalDifficulty": quantity(0),
        "mixHash": data(header.mix_hash),
        "extraData": data(header.extra_data),
        "size": quantity(len(rlp_encode(mined.block))),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "baseFeePerGas": quantity(header.base_fee_per_gas),
        "withdrawals": [],
        "withdrawalsRoot": data(header.withdrawals_root),
        "blobGasUsed": quantity(header.blob_gas_used),
        "excessBlobGas": quantity(header.excess_blob_gas),
        "parentBeaconBlockRoot": data(header.parent_beacon_block_root),
        "transactions": transactions,
        "uncles": [],
    }


def transaction_json(mined: MinedBlock | None, index: int, pooled: Any = None) -> Json:
    """A transaction in a block, or a ``pooled`` one (block members ``null``)."""
    transaction = mined.block.transactions[index] if mined else pooled
    kind = transaction_type(transaction)
    fields: Json = {
        "type": quantity(kind),
        "hash": data(transaction.hash),
        "nonce": quantity(transaction.nonce),
        "blockHash": data(mined.hash) if mined else None,
        "blockNumber": quantity(mined.number) if mined else None,
        "transactionIndex": quantity(index) if mined else None,
        "from": address(transaction.sender),
        "to": address(transaction.to),
        "value": quantity(transaction.value),
        "gas": quantity(transaction.gas),
        "gasPrice": quantity(effective_gas_price(transaction, mined)),
        "input": data(transaction.data),
        "r": quantity(transaction.r),
        "s": quantity(transaction.s),
        "v": quantity(transaction.y_parity if kind else transaction.v),
    }
    if kind:
        fields["chainId"] = quantity(transaction.chain_id)
        fields["yParity"] = fields["v"]
        fields["accessList"] = [
            {"address": address(account), "storageKeys": [data(k.to_bytes(32, "big")) for k in ks]}
            for account, ks in transaction.access_list
        ]
    if kind >= DYNAMIC_FEE_TYPE:
        fields["maxFeePerGas"] = quantity(transaction.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = quantity(transaction.max_priority_fee_per_gas)
    return fields


def receipt_json(mined: MinedBlock, index: int) -> Json:
    transaction, receipt = mined.block.transactions[index], mined.receipts[index]
    gas_before = mined.receipts[index - 1].gas_used if index else 0
    first_log = sum(len(earlier.logs) for earlier in mined.receipts[:index])
    return {
        "type": quantity(transaction_type(transaction)),
        "transactionHash": data(transaction.hash),
        "transactionIndex": quantity(index),
        "blockHash": data(mined.hash),
        "blockNumber": quantity(mined.number),
        "from": address(transaction.sender),
        "to": address(transaction.to),
        "contractAddress": None if transaction.to else created_address(transaction),
        "cumulativeGasUsed": quantity(receipt.gas_used),
        "gasUsed": quantity(receipt.gas_used - gas_before),
        "effectiveGasPrice": quantity(effective_gas_price(transaction, mined)),
        "logs": [
            log_json(mined, index, first_log + position, log)
            for position, log in enumerate(receipt.logs)
        ],
        "logsBloom": data(receipt.bloom.to_bytes(256, "big")),
        # Since Byzantium (EIP-658) the field that held the state root holds the status.
        "status": quantity(int.from_bytes(receipt.state_root, "big")),
    }


def log_json(mined: MinedBlock, transaction_index: int, log_index: int, log: Any) -> Json:
    return {
        "address": address(log.address),
        "topics": [data(topic.to_bytes(32, "big")) for topic in log.topics],
        "data": data(log.data),
        "blockNumber": quantity(mined.number),
        "blockHash": data(mined.hash),
        "transactionHash": data(mined.block.transactions[transaction_index].hash),
        "transactionIndex": quantity(transaction_index),
        "logIndex": quantity(log_index),
        "removed": False,
    }


def transaction_type(transaction: Any) -> int:
    """EIP-2718 type; 0 for a legacy transaction."""
    return int(getattr(transaction, "type_id", 0) or 0)


def effective_gas_price(transaction: Any, mined: MinedBlock | None) -> int:
    """What a unit of gas cost, in wei; of a pooled transaction its cap."""
    if mined is None or transaction_type(transaction) < DYNAMIC_FEE_TYPE:
        return int(transaction.max_fee_per_gas)
    base_fee = mined.block.header.base_fee_per_gas
    return int(min(transaction.max_fee_per_gas, base_fee + transaction.max_priority_fee_per_gas))


def created_address(transaction: Any) -> str:
    """Where a creating transaction puts its contract (Yellow Paper, section 7)."""
    return to_checksum_address(keccak(rlp_encode([transaction.sender, transaction.nonce]))[-20:])
