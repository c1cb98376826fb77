"""Plain, synchronous hands for the contract tests: deploy, send, call, and read what happened.

Independent of the adapter on purpose: a fault in the code that pays must not hide in the code that
checks the payment.
"""

import itertools
import json
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
from eth_account import Account
from web3 import Web3
from web3.contract import Contract

from chain.artifacts import load_artifact
from chain.local.accounts import DevAccount, dev_accounts

DOLLAR = 10**6
LIMIT = 10**30
DELAY_S = 90_000  # a day, and what blocks of a quick chain may be ahead of the clock
NATIVE = "0x" + "00" * 20
_fresh = itertools.count(0xF00000)
_web3 = Web3()  # costs 20 ms each time


class Reverted(Exception):
    """A dry run failed: ``name`` is the contract's error, ``args`` its members."""

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        super().__init__(name, values)
        self.name = name
        self.values = values


@dataclass
class Outcome:
    """A mined transaction: its status, gas, and the decoded events of the vault."""

    succeeded: bool
    gas_used: int
    events: list[tuple[str, dict[str, Any]]]

    def skipped(self) -> list[int]:
        return [values["index"] for name, values in self.events if name == "PayoutSkipped"]

    def batch_paid(self) -> dict[str, Any]:
        [values] = [values for name, values in self.events if name == "BatchPaid"]
        return values


def fresh_address() -> str:
    """An address that nobody used before on any chain of this run."""
    return Web3.to_checksum_address(f"0x{next(_fresh):040x}")


def word(recipient: str, amount: int) -> bytes:
    """A row of one word: 20 bytes and 12."""
    return bytes.fromhex(recipient[2:]) + amount.to_bytes(12)


class World:
    """One vault that pays out dollars and native coin, one dollar, the keys, and a connection."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30, trust_env=False, verify=False)
        self.owner, self.settler, self.pauser, self.stranger, self.second = dev_accounts()[:5]
        self.safe = fresh_address()
        settlers = [self.settler.address, self.second.address]
        self.vault = self.deploy(
            "Vault", self.owner.address, self.pauser.address, self.safe, settlers
        )
        self.dollar = self.deploy("DemoDollar", self.owner.address)
        for listing in (
            self.dollar.functions.mint(self.owner.address, DOLLAR),
            self.dollar.functions.approve(self.vault.address, DOLLAR),
            self.vault.functions.listAsset(self.dollar.address, LIMIT, DOLLAR),
            self.vault.functions.listAsset(NATIVE, LIMIT, 0),
        ):
            assert self.do(listing, self.owner).succeeded

    @cached_property
    def escrow(self) -> Contract:
        """The escrow contract, for those who need one."""
        return self.deploy("Escrow")

    def close(self) -> None:
        self.http.close()

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self.ask(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    def ask(self, method: str, *params: Any) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return dict(self.http.post("", json=request).json())

    def stock(self, amount: int) -> None:
        self.do(self.dollar.functions.mint(self.vault.address, amount), self.owner)

    def drain(self, amount: int) -> None:
        """Another settler of the same vault was faster, under a batch id far from ours."""
        row = word(fresh_address(), amount)
        assert self.do(self.pay(2**200 + next(_fresh), [row]), self.second).succeeded

    def balance(self, account: str) -> int:
        return int(self.call(self.dollar.functions.balanceOf(account)))

    def deploy(self, name: str, *args: Any) -> Contract:
        artifact = load_artifact(name)
        blank = _web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        creation = blank.constructor(*args).data_in_transaction
        return self.at(name, self.create(creation))

    def at(self, name: str, address: str) -> Contract:
        return _web3.eth.contract(address=address, abi=load_artifact(name).abi)

    def create(self, code: str) -> str:
        receipt = self.send(self.owner, None, code)
        assert receipt["status"] == "0x1", receipt
        return Web3.to_checksum_address(receipt["contractAddress"])

    def call(self, function: Any, sender: DevAccount | None = None) -> Any:
        """Dry-run; the decoded result, or :class:`Reverted`."""
        request = {
            "to": function.address,
            "data": function._encode_transaction_data(),
            "from": (sender or self.owner).address,
        }
        answer = self.ask("eth_call", request, "latest")
        if "error" in answer:
            raise self._reverted(answer["error"])
        values = _web3.codec.decode(
            [output["type"] for output in function.abi["outputs"]],
            bytes.fromhex(answer["result"][2:]),
        )
        return values[0] if len(values) == 1 else values

    def do(self, function: Any, sender: DevAccount, gas: int = 8_000_000) -> Outcome:
        """Send and wait until mined."""
        data = function._encode_transaction_data()
        receipt = self.send(sender, function.address, data, gas=gas)
        return Outcome(
            receipt["status"] == "0x1", int(receipt["gasUsed"], 16), self._events(receipt)
        )

    def pay(
        self, batch_id: int, payouts: list[bytes], *, root: str = "0x" + "ab" * 32, token: str = ""
    ) -> Any:
        """The vault's ``payBatch`` call; the dollar unless ``token`` says otherwise."""
        asset = token or self.dollar.address
        return self.vault.functions.payBatch(batch_id, root, asset, 32, b"".join(payouts))

    def announce(self, function: Any) -> Any:
        """Announce the owner's call and let its time come; returns the call."""
        data = function._encode_transaction_data()
        assert self.do(self.vault.functions.announce(data), self.owner).succeeded
        self.rpc("evm_increaseTime", DELAY_S)
        self.rpc("evm_mine")
        return function

    def send(
        self, sender: DevAccount, to: str | None, data: str, *, value: int = 0, gas: int = 8_000_000
    ) -> dict[str, Any]:
        """Sign, send and wait for the receipt."""
        raw = self.sign(sender, to=to, data=data, value=value, gas=gas)
        return self.wait_for_receipt(self.rpc("eth_sendRawTransaction", raw))

    def sign(self, sender: DevAccount, *, to: str | None, **fields: Any) -> str:
        """The raw bytes (``0x`` hex) of a transaction; ``fields`` replace the defaults."""
        transaction = {
            "chainId": int(self.rpc("eth_chainId"), 16),
            "nonce": int(self.rpc("eth_getTransactionCount", sender.address, "latest"), 16),
            "value": 0,
            "data": "0x",
            "gas": 100_000,
            "maxFeePerGas": 10 * 10**9,
            "maxPriorityFeePerGas": 10**9,
            **fields,
        }
        if to is not None:
            transaction["to"] = to
        return Account.sign_transaction(transaction, sender.private_key).raw_transaction.to_0x_hex()

    def wait_for_receipt(self, hash_: str) -> dict[str, Any]:
        deadline = time.monotonic() + 10
        while (receipt := self.rpc("eth_getTransactionReceipt", hash_)) is None:
            assert time.monotonic() < deadline, "no receipt within 10 s"
        return dict(receipt)

    def _events(self, receipt: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for log in receipt["logs"]:
            if log["address"].lower() != self.vault.address.lower():
                continue
            ready = {
                **log,
                "topics": [bytes.fromhex(topic[2:]) for topic in log["topics"]],
                "data": bytes.fromhex(log["data"][2:]),
            }
            for event in self.vault.events:
                if Web3.keccak(text=event.signature) == ready["topics"][0]:
                    decoded = event().process_log(ready)
                    found.append((decoded["event"], dict(decoded["args"])))
        return found

    def _reverted(self, error: dict[str, Any]) -> Exception:
        data = error.get("data")
        if not isinstance(data, str) or len(data) < 10:
            return AssertionError(f"no revert data: {json.dumps(error)}")
        raw = bytes.fromhex(data[2:])
        for contract in (self.vault, self.dollar):
            for entry in contract.abi:
                if entry["type"] != "error":
                    continue
                types = [member["type"] for member in entry["inputs"]]
                if Web3.keccak(text=f"{entry['name']}({','.join(types)})")[:4] == raw[:4]:
                    values = _web3.codec.decode(types, raw[4:])
                    names = [member["name"] for member in entry["inputs"]]
                    return Reverted(entry["name"], dict(zip(names, values, strict=True)))
        return AssertionError(f"unknown revert data {data}")


def deploy_code(world: World, runtime_hex: str) -> str:
    """Put hand-written runtime code (up to 255 bytes) on the chain; returns its address."""
    return world.create(f"0x60{len(runtime_hex) // 2:02x}8060095f395ff3{runtime_hex}")
