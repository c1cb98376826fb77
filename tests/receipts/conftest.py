"""One vault on a real chain, and batches in it that its settlers paid, well or badly."""

import importlib.machinery
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chain.evm import merkle
from chain.evm.proofs import prove
from chain.local.anvil import AnvilOptions, find_anvil
from chain.local.launcher import start_local_chain
from settlement.money import Asset
from settlement.ports.chain import BatchCall, Payout
from tests.chain.world import World, fresh_address, word

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "verify-receipt"
Receipt = dict[str, Any]
needs_anvil = pytest.mark.skipif(
    find_anvil() is None, reason="anvil is absent: needs Node.js and `npm ci --omit=dev`"
)


@dataclass
class Shop:
    """Pays batches by hand and writes receipts about them, as the API words them."""

    world: World
    url: str
    batches: int = 100
    vault: Any = None
    ids: dict[int, list[str]] = field(default_factory=dict)

    def orders(self, count: int, amount: int = 5_000_000) -> list[Payout]:
        """Orders that nobody else has, of like amounts and to wallets of their own."""
        self.batches += 1
        names = [f"ord_{self.batches}_{row}" for row in range(count)]
        return [Payout(name, fresh_address(), amount + i) for i, name in enumerate(names)]

    def pay(
        self,
        stated: list[Payout],
        *,
        paid: list[Payout] | None = None,
        asset: str = "",
        final: bool = True,
    ) -> list[Receipt]:
        """One batch whose root states ``stated`` and whose rows pay ``paid``: receipts of all."""
        asset, vault = asset or self.world.dollar.address, self.vault or self.world.vault
        self.batches += 1
        leaves = [merkle.leaf(i, row, asset) for i, row in enumerate(stated)]
        root = "0x" + merkle.root(leaves).hex()
        rows = b"".join(word(row.wallet, row.amount_minor) for row in paid or stated)
        call = vault.functions.payBatch(self.batches, root, asset, 32, rows)
        data = call._encode_transaction_data()
        mined = self.world.send(self.world.settler, vault.address, data)
        assert mined["status"] == "0x1"
        if final:
            self.world.rpc("anvil_mine", "0x3")
        return [self._receipt(stated, index, asset, mined) for index in range(len(stated))]

    def _receipt(
        self, rows: list[Payout], index: int, asset: str, mined: dict[str, Any]
    ) -> Receipt:
        dollars = Asset("DUSD", 6, "local")
        proof = prove(BatchCall(self.batches, dollars, tuple(rows)), asset, index)
        return {
            "object": "receipt",
            "version": 1,
            "order_id": rows[index].order_id,
            "order_hash": proof.order_hash,
            "network": "local",
            "chain_id": 31337,
            "vault": (self.vault or self.world.vault).address,
            "batch_id": str(self.batches),
            "root": proof.root,
            "index": index,
            "recipient": rows[index].wallet,
            "asset_address": asset,
            "amount_minor": str(rows[index].amount_minor),
            "proof": list(proof.siblings),
            "transaction": mined["transactionHash"],
            "block_number": int(mined["blockNumber"], 16),
            "block_hash": mined["blockHash"],
            "finality": {"rule": "finalized", "depth_blocks": None},
        }


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """anvil with a finalized block that lags behind the head."""
    options = AnvilOptions(finality_interval_s=None)
    chain = start_local_chain(tmp_path_factory.mktemp("chain"), anvil_options=options)
    world = World(chain.url)
    world.stock(10**12)
    world.rpc("anvil_setBalance", world.vault.address, hex(10**20))
    yield Shop(world, chain.url)
    world.close()
    chain.stop()


@pytest.fixture(scope="session")
def paid(shop: Shop) -> list[Receipt]:
    """A final batch of three."""
    return shop.pay(shop.orders(3))


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The script as a module, from a copy so that nothing is written beside it."""
    copy = tmp_path_factory.mktemp("script") / "verify_receipt.py"
    shutil.copy(SCRIPT, copy)
    loader = importlib.machinery.SourceFileLoader("verify_receipt", str(copy))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@dataclass
class Answer:
    """What the script found: its exit status, and the state of each check by its name."""

    status: int
    said: dict[str, Any]

    def state(self, name: str) -> str:
        """The worst state of the checks of that name, over all endpoints."""
        order = ["failed", "unchecked", "note", "ok"]
        states = [c["state"] for c in self.said["checks"] if c["name"] == name]
        return min(states, key=order.index)

    def failed(self) -> set[str]:
        return {c["name"] for c in self.said.get("checks", []) if c["state"] == "failed"}


Verify = Callable[..., Answer]


@pytest.fixture
def verify(script: Any, shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run the script on a receipt (or on any text) against the chain, or other endpoints."""

    def run(
        receipt: Any, *options: str, urls: tuple[str, ...] = (), as_json: bool = True
    ) -> Answer:
        file = tmp_path / "receipt.json"
        file.write_text(receipt if isinstance(receipt, str) else json.dumps(receipt))
        endpoints = [part for url in urls or (shop.url,) for part in ("--rpc-url", url)]
        try:
            flags = ["--json"] if as_json else []
            status = script.main([str(file), *endpoints, *flags, *options])
        except SystemExit as ended:
            status = ended.code
        out = capsys.readouterr().out
        return Answer(status, json.loads(out) if as_json else {"text": out})

    return run
