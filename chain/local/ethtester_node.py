"""A chain of py-evm that mines for itself and can be rebuilt from its journal.

py-evm (set up by eth-tester) executes; this file decides what is in which block. Every block's
inputs (time and signed transactions) go to an append-only journal before anybody is told of them.
Execution is deterministic, so replaying the journal gives the same blocks with the same hashes:
orders settled in an earlier run can still be verified.
"""

import json
import time
from pathlib import Path
from typing import Any

from eth.vm.spoof import SpoofTransaction
from eth_tester.backends.pyevm.main import (  # type: ignore[import-untyped]
    PyEVMBackend,
    get_default_genesis_params,
)
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from chain.local.accounts import DEV_ACCOUNTS_COUNT, DEV_MNEMONIC
from chain.local.ethtester_format import MinedBlock
from chain.local.ethtester_pool import MAX_TRANSACTION_GAS, Pool, Refused, check_transaction

_DEV_BALANCE_WEI = 10_000 * 10**18
_ZERO_ADDRESS = bytes(20)


class Node:
    """The chain: blocks, pool, and execution without mining. Not thread-safe."""

    def __init__(self, *, chain_id: int, journal_path: Path | None = None) -> None:
        self.chain_id = chain_id
        self.automine = True
        self.blocks: list[MinedBlock] = []
        self.positions: dict[bytes, tuple[int, int]] = {}
        self.pool = Pool()
        self._time_offset_s = 0
        self._snapshots: dict[int, int] = {}
        self._journal_path = journal_path
        entries = _read_journal(journal_path)
        genesis_time = entries[0]["genesis"] if entries else int(time.time())
        self._chain = _build_chain(chain_id, genesis_time)
        genesis = self._chain.get_canonical_block_by_number(0)
        self.blocks.append(MinedBlock(genesis, ()))
        self._replay(entries[1:])
        if not entries:
            self._record({"genesis": genesis_time})

    # Reading

    @property
    def head(self) -> MinedBlock:
        return self.blocks[-1]

    def state(self, at: MinedBlock | None = None) -> Any:
        """The state after block ``at`` (default: the newest). Changes to it are never kept."""
        return self._chain.get_vm(at_header=(at or self.head).block.header).state

    @property
    def next_base_fee_wei(self) -> int:
        return int(self._chain.header.base_fee_per_gas)

    # Transactions

    def send_raw(self, raw: bytes) -> bytes:
        """Pool a signed transaction, mine it when it can be; returns its hash."""
        transaction = self._decode(raw)
        if self.pool.find(transaction.hash):
            raise Refused("already known")
        state = self.state()
        check_transaction(
            transaction,
            chain_id=self.chain_id,
            nonce=state.get_nonce(transaction.sender),
            balance=state.get_balance(transaction.sender),
            block_gas_limit=self._chain.header.gas_limit,
        )
        self.pool.add(transaction)
        if self.automine and self._executable(state):
            self.mine()
        return bytes(transaction.hash)

    def execute(self, request: dict[str, Any], at: MinedBlock, gas: int) -> Any:
        """Run a call on top of ``at`` and forget it; returns py-evm's computation."""
        vm = self._chain.get_vm(at_header=self._chain.create_header_from_parent(at.block.header))
        sender, price = request["from"], vm.state.base_fee
        # The caller of a dry run pays nothing: give it what the gas will take away again.
        vm.state.set_balance(sender, vm.state.get_balance(sender) + gas * price)
        unsigned = vm.get_transaction_builder().create_unsigned_transaction(
            nonce=vm.state.get_nonce(sender),
            gas_price=price,
            gas=gas,
            to=request["to"],
            value=request["value"],
            data=request["data"],
        )
        try:
            return vm.state.apply_transaction(SpoofTransaction(unsigned, from_=sender))
        except ValidationError as problem:
            raise Refused(str(problem)) from None

    def max_call_gas(self) -> int:
        return int(min(self._chain.header.gas_limit, MAX_TRANSACTION_GAS))

    # Mining

    def mine(self) -> None:
        """Mine one block of whatever the pool can execute; perhaps an empty one."""
        timestamp = max(
            int(time.time()) + self._time_offset_s, self.head.block.header.timestamp + 1
        )
        self._open_block(timestamp)
        included, receipts = self._fill_block()
        self._record(
            {"time": timestamp, "transactions": [bytes(t.encode()).hex() for t in included]}
        )
        self._close_block(receipts)
        self.pool.drop_below(self._nonces(self.state()))

    def increase_time(self, seconds: int) -> int:
        """Move the clock of the coming blocks; returns the whole offset, in seconds."""
        self._time_offset_s += seconds
        return self._time_offset_s

    def snapshot(self) -> int:
        identifier = len(self._snapshots) + 1
        self._snapshots[identifier] = self.head.number
        return identifier

    def revert(self, identifier: int) -> bool:
        """Go back to a snapshot: later blocks and their transactions are gone."""
        number = self._snapshots.get(identifier)
        if number is None or number > self.head.number:
            return False
        self._record({"revert": number})
        self._truncate(number)
        self.pool = Pool()
        return True

    def _decode(self, raw: bytes) -> Any:
        try:
            transaction = self._chain.get_vm().get_transaction_builder().decode(raw)
            transaction.validate()
            transaction.check_signature_validity()
        except Exception as problem:  # py-evm and rlp raise a dozen unrelated types here
            raise Refused(f"invalid transaction: {problem}") from None
        return transaction

    def _executable(self, state: Any) -> list[Any]:
        return self.pool.executable(self._nonces(state), self.next_base_fee_wei)

    def _nonces(self, state: Any) -> dict[bytes, int]:
        return {sender: state.get_nonce(sender) for sender in self.pool.senders()}

    def _open_block(self, timestamp: int) -> None:
        header = self._chain.create_header_from_parent(self.head.block.header)
        # The "random" of each block must come out the same in a replay.
        mix_hash = keccak(header.parent_hash)
        self._chain.header = header.copy(
            timestamp=timestamp, mix_hash=mix_hash, coinbase=_ZERO_ADDRESS
        )

    def _fill_block(self) -> tuple[list[Any], list[Any]]:
        included: list[Any] = []
        receipts: list[Any] = []
        progress = True
        while progress:
            progress = False
            for transaction in self._executable(self._chain.get_vm().state):
                free_gas = self._chain.header.gas_limit - self._chain.header.gas_used
                if transaction.gas > free_gas:
                    continue
                self.pool.drop(transaction)
                try:
                    receipts.append(self._chain.apply_transaction(transaction)[1])
                except ValidationError:
                    continue  # an earlier transaction of this block spent what it needed
                included.append(transaction)
                progress = True
        return included, receipts

    def _close_block(self, receipts: list[Any]) -> None:
        block = self._chain.mine_block()
        mined = MinedBlock(block, tuple(receipts))
        self.blocks.append(mined)
        for index, transaction in enumerate(block.transactions):
            self.positions[bytes(transaction.hash)] = (mined.number, index)

    def _truncate(self, number: int) -> None:
        for mined in self.blocks[number + 1 :]:
            for transaction in mined.block.transactions:
                self.positions.pop(bytes(transaction.hash), None)
        del self.blocks[number + 1 :]
        self._chain.header = self._chain.create_header_from_parent(self.head.block.header)

    # Journal

    def _record(self, entry: dict[str, Any]) -> None:
        if self._journal_path is None:
            return
        with self._journal_path.open("a") as journal:
            journal.write(json.dumps(entry) + "\n")

    def _replay(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            if "revert" in entry:
                self._truncate(entry["revert"])
                continue
            self._open_block(entry["time"])
            decoded = (self._decode(bytes.fromhex(raw)) for raw in entry["transactions"])
            self._close_block([self._chain.apply_transaction(t)[1] for t in decoded])


def _build_chain(chain_id: int, genesis_time: int) -> Any:
    backend = PyEVMBackend.from_mnemonic(
        DEV_MNEMONIC,
        num_accounts=DEV_ACCOUNTS_COUNT,
        hd_path="m/44'/60'/0'/0",
        genesis_state_overrides={"balance": _DEV_BALANCE_WEI},
        genesis_parameters=get_default_genesis_params({"timestamp": genesis_time}),
    )
    # eth-tester makes one class per chain and offers no parameter for its id.
    type(backend.chain).chain_id = chain_id
    return backend.chain


def _read_journal(path: Path | None) -> list[dict[str, Any]]:
    """The entries; a last line cut off by a crash was told to nobody, and is removed."""
    if path is None or not path.exists():
        return []
    complete = path.read_bytes().rpartition(b"\n")[0]
    path.write_bytes(complete + b"\n" if complete else b"")
    return [json.loads(line) for line in complete.splitlines()]
