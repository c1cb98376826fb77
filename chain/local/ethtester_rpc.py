"""The JSON-RPC methods that an EVM adapter needs, over a :class:`~chain.local.ethtester_node.Node`.

``safe`` and ``finalized`` equal ``latest``: this chain never reorganises by itself.
Source of shapes and codes: ethereum/execution-apis; revert errors as geth gives them (code 3).
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from eth.exceptions import Revert
from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from chain.local import ethtester_format as fmt
from chain.local.ethtester_node import Node
from chain.local.ethtester_pool import Refused

_ERROR_STRING = bytes.fromhex("08c379a0")  # Error(string)
_SUGGESTED_TIP_WEI = 10**9
# geth stops at 15; a dry run of a large batch takes py-evm half a second, so this stops earlier.
_ESTIMATE_TOLERANCE_PERMILLE = 50


class Methods:
    """``methods[name](*params)`` gives the result, or raises :class:`Refused`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.table: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "tidegate-eth-tester/py-evm",
            "net_version": lambda: str(node.chain_id),
            "eth_chainId": lambda: fmt.quantity(node.chain_id),
            "eth_syncing": lambda: False,
            "eth_blockNumber": lambda: fmt.quantity(node.head.number),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getTransactionCount": self._transaction_count,
            "eth_getBalance": self._balance,
            "eth_getCode": self._code,
            "eth_getStorageAt": self._storage,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate_gas,
            "eth_gasPrice": lambda: fmt.quantity(node.next_base_fee_wei + _SUGGESTED_TIP_WEI),
            "eth_maxPriorityFeePerGas": lambda: fmt.quantity(_SUGGESTED_TIP_WEI),
            "eth_feeHistory": self._fee_history,
            "eth_sendRawTransaction": lambda raw: fmt.data(node.send_raw(_bytes(raw))),
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getBlockReceipts": self._block_receipts,
            "eth_getLogs": self._logs,
            "evm_mine": self._mine,
            "evm_snapshot": lambda: fmt.quantity(node.snapshot()),
            "evm_revert": lambda identifier: node.revert(_integer(identifier)),
            "evm_increaseTime": lambda seconds: node.increase_time(_integer(seconds)),
            "evm_setAutomine": self._set_automine,
        }

    # Blocks and transactions

    def _block(self, tag: Any) -> fmt.MinedBlock | None:
        blocks = self._node.blocks
        if isinstance(tag, dict):  # EIP-1898
            tag = tag.get("blockNumber") or self._number_of(tag.get("blockHash"))
        if tag in (None, "latest", "pending", "safe", "finalized"):
            return blocks[-1]
        number = 0 if tag == "earliest" else _integer(tag)
        return blocks[number] if number < len(blocks) else None

    def _number_of(self, block_hash: Any) -> int:
        wanted = _bytes(block_hash)
        for mined in reversed(self._node.blocks):
            if mined.hash == wanted:
                return mined.number
        raise Refused("header for hash not found")

    def _known_block(self, tag: Any) -> fmt.MinedBlock:
        mined = self._block(tag)
        if mined is None:
            raise Refused("header not found")
        return mined

    def _block_by_number(self, tag: Any, full: bool = False) -> Any:
        mined = self._block(tag)
        return fmt.block_json(mined, full_transactions=full) if mined else None

    def _block_by_hash(self, block_hash: str, full: bool = False) -> Any:
        try:
            return self._block_by_number(self._number_of(block_hash), full)
        except Refused:
            return None

    def _position(self, hash_: str) -> tuple[fmt.MinedBlock, int] | None:
        found = self._node.positions.get(_bytes(hash_))
        return (self._node.blocks[found[0]], found[1]) if found else None

    def _transaction(self, hash_: str) -> Any:
        if found := self._position(hash_):
            return fmt.transaction_json(*found)
        pooled = self._node.pool.find(_bytes(hash_))
        return fmt.transaction_json(None, 0, pooled) if pooled else None

    def _receipt(self, hash_: str) -> Any:
        found = self._position(hash_)
        return fmt.receipt_json(*found) if found else None

    def _block_receipts(self, tag: Any) -> Any:
        mined = self._block(tag)
        if mined is None:
            return None
        return [fmt.receipt_json(mined, index) for index in range(len(mined.receipts))]

    def _logs(self, wanted: dict[str, Any]) -> list[fmt.Json]:
        if "blockHash" in wanted:
            first = last = self._number_of(wanted["blockHash"])
        else:
            first = self._known_block(wanted.get("fromBlock")).number
            newest = self._block(wanted.get("toBlock"))
            last = newest.number if newest else self._node.head.number
        return [
            log
            for mined in self._node.blocks[first : last + 1]
            for index in range(len(mined.receipts))
            for log in fmt.receipt_json(mined, index)["logs"]
            if _log_matches(log, wanted)
        ]

    # State

    def _transaction_count(self, account: str, tag: Any = "latest") -> str:
        sender = _bytes(account)
        nonce = self._node.state(self._known_block(tag)).get_nonce(sender)
        return fmt.quantity(self._node.pool.next_of(sender, nonce) if tag == "pending" else nonce)

    def _balance(self, account: str, tag: Any = "latest") -> str:
        return fmt.quantity(self._node.state(self._known_block(tag)).get_balance(_bytes(account)))

    def _code(self, account: str, tag: Any = "latest") -> str:
        return fmt.data(self._node.state(self._known_block(tag)).get_code(_bytes(account)))

    def _storage(self, account: str, slot: Any, tag: Any = "latest") -> str:
        state = self._node.state(self._known_block(tag))
        return fmt.data(state.get_storage(_bytes(account), _integer(slot)).to_bytes(32, "big"))

    # Execution

    def _call(self, request: dict[str, Any], tag: Any = "latest") -> str:
        call = _call_fields(request)
        gas = min(call["gas"] or self._node.max_call_gas(), self._node.max_call_gas())
        computation = self._node.execute(call, self._known_block(tag), gas)
        _raise_if_failed(computation)
        return fmt.data(computation.output)

    def _estimate_gas(self, request: dict[str, Any], tag: Any = "latest") -> str:
        call, block = _call_fields(request), self._known_block(tag)

        def fails(gas: int) -> bool:
            return bool(self._node.execute(call, block, gas).is_error)

        high = min(call["gas"] or self._node.max_call_gas(), self._node.max_call_gas())
        computation = self._node.execute(call, block, high)
        _raise_if_failed(computation)
        low = max(high - computation.get_gas_remaining(), 21_000) - 1
        if low + 1 < high and not fails(low + 1):
            return fmt.quantity(low + 1)
        step = low * _ESTIMATE_TOLERANCE_PERMILLE // 1000
        while (high - low) * 1000 > high * _ESTIMATE_TOLERANCE_PERMILLE:
            # Most need little above what they used: look near the low end first, in growing steps.
            middle = min((low + high) // 2, low + step)
            low, high = (middle, high) if fails(middle) else (low, middle)
            step *= 2
        return fmt.quantity(high)

    def _fee_history(self, count: Any, newest: Any, percentiles: Any = None) -> fmt.Json:
        last = self._known_block(newest)
        first = max(0, last.number - _integer(count) + 1)
        blocks = self._node.blocks[first : last.number + 1]
        headers = [mined.block.header for mined in blocks]
        if last is self._node.head:
            following = self._node.next_base_fee_wei
        else:
            following = self._node.blocks[last.number + 1].block.header.base_fee_per_gas
        history: fmt.Json = {
            "oldestBlock": fmt.quantity(first),
            "baseFeePerGas": [
                fmt.quantity(fee) for fee in (*(h.base_fee_per_gas for h in headers), following)
            ],
            "gasUsedRatio": [h.gas_used / h.gas_limit for h in headers],
        }
        if percentiles:
            history["reward"] = [_tips(mined, percentiles) for mined in blocks]
        return history

    def _mine(self, _options: Any = None) -> str:
        self._node.mine()
        return "0x0"

    def _set_automine(self, on: bool) -> bool:
        self._node.automine = on
        return True


def _tips(mined: fmt.MinedBlock, percentiles: list[float]) -> list[str]:
    base_fee = mined.block.header.base_fee_per_gas
    tips = sorted(fmt.effective_gas_price(t, mined) - base_fee for t in mined.block.transactions)
    if not tips:
        return ["0x0" for _ in percentiles]
    return [fmt.quantity(tips[int(p * (len(tips) - 1) // 100)]) for p in percentiles]


def _raise_if_failed(computation: Any) -> None:
    if not computation.is_error:
        return
    error = computation.error
    if not isinstance(error, Revert):
        raise Refused(str(error) or type(error).__name__)
    revert_data = bytes(error.args[0]) if error.args else b""
    message = "execution reverted"
    if revert_data[:4] == _ERROR_STRING:
        # When it is not the text it claims to be, the data is in the answer anyway.
        with suppress(DecodingError):
            message += f": {abi_decode(['string'], revert_data[4:])[0]}"
    raise Refused(message, code=3, data=revert_data)


def _call_fields(request: dict[str, Any]) -> dict[str, Any]:
    return {
        "from": _bytes(request.get("from") or "0x" + "00" * 20),
        "to": _bytes(request.get("to") or "0x"),
        "value": _integer(request.get("value") or 0),
        "data": _bytes(request.get("input") or request.get("data") or "0x"),
        "gas": _integer(request.get("gas") or 0),
    }


def _log_matches(log: fmt.Json, wanted: dict[str, Any]) -> bool:
    accounts = wanted.get("address") or []
    accounts = [accounts] if isinstance(accounts, str) else accounts
    if accounts and log["address"].lower() not in {account.lower() for account in accounts}:
        return False
    for position, choice in enumerate(wanted.get("topics") or []):
        if choice is None:
            continue
        choices = [choice] if isinstance(choice, str) else choice
        topic = log["topics"][position] if position < len(log["topics"]) else None
        if topic not in {one.lower() for one in choices}:
            return False
    return True


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str) or not text.startswith("0x"):
        raise Refused(f"invalid argument: {text!r} is no 0x hex string", code=-32602)
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise Refused(f"invalid argument: {text!r} is no 0x hex string", code=-32602) from None


def _integer(value: Any) -> int:
    try:
        return int(value, 16) if isinstance(value, str) else int(value)
    except (TypeError, ValueError):
        raise Refused(f"invalid argument: {value!r} is no quantity", code=-32602) from None
