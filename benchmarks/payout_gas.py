"""What a payout costs on-chain: the vault beside single transfers and the loop anybody would write.

``python -m benchmarks.payout_gas --json``: on one anvil in one run, the gas of each transaction's
receipt divided by its recipients, so that calldata and the 21,000 of every transaction are in it.
No access lists, nobody skipped, the vault with everything it does: role, pause, lock, root, window,
event. The token is OpenZeppelin's ERC20 compiled by the legacy pipeline at 200 runs; amounts have
four bytes that are not zero.

Bars, per recipient: fresh at most 26,120 in a batch of 200 and 25,930 in one of 500; holders of the
token at most 9,020 and 8,830.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chain.artifacts import load_artifact
from chain.evm import vault
from chain.local.accounts import dev_accounts
from chain.local.anvil import AnvilOptions, start_anvil
from settlement.ports.chain import Payout

SIZES = (1, 10, 100, 200, 500)
SINGLES = 20
STOCK = 10**24
BARS = {
    "erc20_fresh_200": 26_120,
    "erc20_existing_200": 9_020,
    "erc20_fresh_500": 25_930,
    "erc20_existing_500": 8_830,
}
_GAS_LIMIT = 28_000_000
_OWNER, _SETTLER, _HOLDER = (account.address for account in dev_accounts()[:3])


class Chain:
    """The node, asked directly: its development accounts sign for themselves."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)

    def rpc(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self._http.post("", json=request).json()
        if "error" in answer:
            raise SystemExit(f"{method}: {answer['error']}")
        return answer["result"]

    def send(self, sender: str, to: str | None, data: bytes, value: int = 0) -> dict[str, Any]:
        """Send, wait, and return the receipt of a transaction that succeeded."""
        transaction = {
            "from": sender,
            "data": "0x" + data.hex(),
            "value": hex(value),
            "gas": hex(_GAS_LIMIT),
        }
        if to is not None:
            transaction["to"] = to
        ref = self.rpc("eth_sendTransaction", transaction)
        deadline = time.monotonic() + 60
        while (receipt := self.rpc("eth_getTransactionReceipt", ref)) is None:
            if time.monotonic() > deadline:
                raise SystemExit(f"{ref} was not mined")
        if receipt["status"] != "0x1":
            raise SystemExit(f"{ref} reverted")
        return dict(receipt)

    def deploy(self, name: str, types: Sequence[str] = (), values: Sequence[Any] = ()) -> str:
        code = load_artifact(name).bytecode + encode(types, values)
        return str(to_checksum_address(self.send(_OWNER, None, code)["contractAddress"]))


class Bench:
    """The contracts, stocked, and the ways to pay."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._random = random.Random(7)
        self._batch_id = 0
        self._wallets: list[str] = []
        self.token = chain.deploy("BenchToken", ["uint256"], [4 * STOCK])
        self.loop = chain.deploy("PullAndTransfer")
        self.vault = chain.deploy(
            "Vault",
            ["address", "address", "address", "address[]"],
            [_OWNER, _OWNER, _OWNER, [_SETTLER]],
        )
        for holder in (_HOLDER, self.vault, self.loop):
            self._to_token(_OWNER, "transfer", holder, STOCK)
        for owner, spender in ((_OWNER, self.vault), (_HOLDER, self.loop)):
            self._to_token(owner, "approve", spender, 2**256 - 1)
        for asset in (self.token, vault.NATIVE):
            chain.send(_OWNER, self.vault, vault.admin_data("listAsset", asset, STOCK, 10**6))
        chain.send(_OWNER, self.vault, b"", 10**18)

    def recipients(self, count: int) -> list[str]:
        """Addresses that nobody ever used, of random bytes as real ones are."""
        return [to_checksum_address(self._random.randbytes(20)) for _ in range(count)]

    def amounts(self, count: int) -> list[int]:
        """Four bytes each, none of them zero."""
        draw = self._random.randint
        return [int.from_bytes(bytes(draw(1, 255) for _ in range(4))) for _ in range(count)]

    def by_vault(self, asset: str, wallets: list[str]) -> int:
        self._batch_id += 1
        rows = zip(wallets, self.amounts(len(wallets)), strict=True)
        payouts = [Payout(f"ord_{i}", wallet, amount) for i, (wallet, amount) in enumerate(rows)]
        root = "0x" + keccak(text=f"batch {self._batch_id}").hex()
        data = vault.pay_batch_data(self._batch_id, root, asset, payouts)
        receipt = self._chain.send(_SETTLER, self.vault, data)
        outcome = vault.outcome(receipt, self.vault)
        if not outcome.paid or outcome.skipped:
            raise SystemExit(f"batch {self._batch_id}: {outcome}")
        return int(receipt["gasUsed"], 16)

    def by_loop(self, asset: str, wallets: list[str]) -> int:
        amounts = self.amounts(len(wallets))
        if asset == vault.NATIVE:
            call, types, values = "payNative", ["address[]", "uint256[]"], [wallets, amounts]
        else:
            call = "payToken"
            types, values = ["address", "address[]", "uint256[]"], [asset, wallets, amounts]
        data = keccak(text=f"{call}({','.join(types)})")[:4] + encode(types, values)
        value = sum(amounts) if asset == vault.NATIVE else 0
        return int(self._chain.send(_HOLDER, self.loop, data, value)["gasUsed"], 16)

    def singly(self, asset: str, wallets: list[str]) -> int:
        used = 0
        for wallet, amount in zip(wallets, self.amounts(len(wallets)), strict=True):
            if asset == vault.NATIVE:
                receipt = self._chain.send(_HOLDER, wallet, b"", amount)
            else:
                receipt = self._to_token(_HOLDER, "transfer", wallet, amount)
            used += int(receipt["gasUsed"], 16)
        return used

    def _to_token(self, sender: str, function: str, account: str, amount: int) -> dict[str, Any]:
        selector = keccak(text=f"{function}(address,uint256)")[:4]
        data = selector + encode(["address", "uint256"], [account, amount])
        return self._chain.send(sender, self.token, data)


@contextmanager
def open_bench() -> Iterator[Bench]:
    """A chain of its own, without the cap on a transaction's gas: 500 fresh accounts exceed it."""
    with tempfile.TemporaryDirectory(prefix="tidegate-gas-") as folder:
        options = AnvilOptions(finality_interval_s=None, tx_gas_limit=False)
        local = start_anvil(Path(folder), options=options)
        try:
            yield Bench(Chain(local.url))
        finally:
            local.stop()


def measure(bench: Bench, sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """Gas per recipient, rounded to whole units; the vault's keys bare, the others' prefixed."""
    found: dict[str, Any] = {}
    for name, asset in (("erc20", bench.token), ("native", vault.NATIVE)):
        for prefix, pay in (("", bench.by_vault), ("loop_", bench.by_loop)):
            for size in sizes:
                wallets = bench.recipients(size)
                for holders in ("fresh", "existing"):
                    found[f"{prefix}{name}_{holders}_{size}"] = round(pay(asset, wallets) / size)
        wallets = bench.recipients(SINGLES)
        for holders in ("fresh", "existing"):
            gas = bench.singly(asset, wallets) / SINGLES
            found[f"single_{name}_{holders}"] = round(gas)
    return found


def table(found: dict[str, Any]) -> str:
    """The same figures for a person."""
    lines = [f"{'gas per recipient':24}{'single':>9}{'batch':>8}{'loop':>9}{'vault':>9}{'bar':>9}"]
    for name in ("erc20", "native"):
        for holders in ("fresh", "existing"):
            for size in SIZES:
                key = f"{name}_{holders}_{size}"
                lines.append(
                    f"{f'{name}, {holders}':24}{found[f'single_{name}_{holders}']:>9,}{size:>8}"
                    f"{found[f'loop_{key}']:>9,}{found[key]:>9,}{BARS.get(key, ''):>9}"
                )
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and end with status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args()
    with open_bench() as bench:
        found = measure(bench)
    missed = {key: found[key] for key, bar in BARS.items() if found[key] > bar}
    print(json.dumps({**found, "bars": BARS, "missed": missed}) if asked.json else table(found))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
