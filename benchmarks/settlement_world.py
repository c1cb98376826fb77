"""A deployment to settle on: PostgreSQL, anvil, one vault with several lanes, worker processes.

Every measurement gets a database of its own and wallets that nobody has paid before, and can have
the chain as it was when the vault was new: anvil works out its whole state with every block, so
that one on which 60,000 wallets were paid already costs twice as much per order as a fresh one.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks import backlog
from bridge.bootstrap import open_chain
from bridge.storage import migrate, postgres
from bridge.storage.store import PostgresStore
from chain.deployment import Deployment, Token, save_deployment
from chain.evm.treasury import DEMO_DOLLAR, DEMO_DOLLAR_SCALE, Treasury
from chain.local.accounts import dev_accounts
from chain.local.anvil import AnvilOptions, start_anvil
from chain.local.local_chain import LocalChain
from chain.local.process import ChildProcess
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers import SignedBytes
from chain.signers.keystore import create_keystore, load_keystore
from settlement.ledger import journal
from settlement.ledger.accounts import PLATFORM, Account
from settlement.money import Money

STOCK_MINOR = 10**20
GAS_WEI = 10**24
PASSWORD = "bench"
BLOCK_GAS_LIMIT = 1_000_000_000
"""Some thirty times mainnet's: what is measured shall be the software, not a block that is full."""
SLOTS_IN_AN_EPOCH = 1
"""A block is final two blocks later."""
_IDS_APART = 10**6
_POLL_S = 0.1


@dataclass
class World:
    """What stays: server, chain, contracts, keys. ``stages`` counts the databases made so far,
    ``fresh`` names the snapshot of the chain before anybody was paid."""

    folder: Path
    server: postgres.Server
    chain: LocalChain
    deployment: Deployment
    fresh: str
    stages: int = field(default=0)

    async def stage(self, orders: int) -> str:
        """A fresh database with ``orders`` captured orders; its DSN."""
        self.stages += 1
        name = f"stage_{self.stages}"
        await _execute(self.server.dsn, f"CREATE DATABASE {name} TEMPLATE migrated")
        dsn = self.server.dsn_for(name)
        await self._register(dsn)
        await backlog.fill(dsn, self.stages * 10_000_000, orders)
        await _execute(self.server.dsn, "CHECKPOINT")
        return dsn

    async def forget_payments(self) -> None:
        """Take the chain back to where the vault was new. What was staged on it is worth nothing
        from then on."""
        rpc = RpcClient([self.chain.url])
        try:
            await rpc.call("anvil_dropAllTransactions")
            if not await rpc.call("evm_revert", self.fresh):
                raise RuntimeError("the chain has lost its snapshot")
            self.fresh = await rpc.call("evm_snapshot")
            await rpc.call("evm_setTime", int(time.time()))  # a revert takes its clock back
        finally:
            await rpc.close()

    async def _register(self, dsn: str) -> None:
        chain = open_chain(NETWORK, self.deployment, {})
        store = await PostgresStore.connect(dsn)
        try:
            now = datetime.now(UTC)
            await store.register_network("local", await chain.identity(), now)
            for lane in self.deployment.lanes:
                await store.register_lane("local", lane, await chain.nonce(lane))
            stock = Money(STOCK_MINOR, self.deployment.asset(DEMO_DOLLAR))
            gas = Money(GAS_WEI, NETWORK.native)
            vault = journal.treasury_funded(stock, Account.VAULT)
            await store.book(backlog.TENANT, "fund:vault", vault, now)
            hot = journal.treasury_funded(gas, Account.HOT_WALLET)
            await store.book(PLATFORM, "fund:gas", hot, now)
            await store.pool.execute("SELECT setval('batch_ids', $1)", self.stages * _IDS_APART)
        finally:
            await store.close()
            await chain.close()

    def worker(self, dsn: str, number: int, *arguments: str) -> ChildProcess:
        """A worker process; with ``arguments`` the benchmark's own entry, else the product's."""
        command = [sys.executable, "-m", "bridge.cli", "worker"]
        if arguments:
            command = [sys.executable, "-m", "benchmarks.settlement_worker", *arguments]
        env = {
            **os.environ,
            "DATABASE_URL": dsn,
            "TIDEGATE_STATE_DIR": str(self.folder),
            "STRIPE_API_KEY": "sk_test_bench",
            "STRIPE_API_BASE": "http://127.0.0.1:9",  # nobody listens: no order needs the card
            "TIDEGATE_LOG_LEVEL": "warning",
            "TIDEGATE_GRAPH": "false",  # screening comes before the capture, where this begins
        }
        log = self.folder / f"worker-{self.stages}-{number}.log"
        return ChildProcess("worker", command, log_path=log, env=env)


@asynccontextmanager
async def open_world(
    folder: Path, lanes: int, *, block_time_s: int | None = 1
) -> AsyncIterator[World]:
    """Start everything; ``lanes`` signing accounts, each with ample gas money. Without a block
    time, every transaction is mined at once."""
    async with AsyncExitStack() as stack:
        server = postgres.start(folder / "postgres")
        stack.callback(server.stop)
        await _execute(server.dsn, "CREATE DATABASE migrated")
        await asyncio.to_thread(migrate.upgrade, server.dsn_for("migrated"))
        options = AnvilOptions(
            block_time_s=block_time_s,
            slots_in_an_epoch=SLOTS_IN_AN_EPOCH,
            finality_interval_s=None,
            state_interval_s=3_600,
            block_gas_limit=BLOCK_GAS_LIMIT,
        )
        chain = start_anvil(folder / "chain", options=options)
        stack.callback(chain.stop)
        deployment, fresh = await _deploy(folder, chain.url, lanes)
        yield World(folder, server, chain, deployment, fresh)


async def _deploy(folder: Path, url: str, lanes: int) -> tuple[Deployment, str]:
    """What is there, and the snapshot of it."""
    keys = folder / "keystore"
    keys.mkdir()
    (keys / "password").touch(mode=0o600)
    (keys / "password").write_text(PASSWORD)
    addresses = [_lane(keys, n) for n in range(lanes)]
    owner = _owner(keys)
    rpc = RpcClient([url])
    try:
        treasury = Treasury(NETWORK, rpc, owner)
        token = await treasury.deploy_demo_dollar()
        vault = await treasury.deploy_vault(addresses)
        await treasury.list_demo_dollar(vault, token, STOCK_MINOR)
        await _deliver(treasury, await treasury.prepare_mint(token, vault, STOCK_MINOR))
        for address in addresses:
            await rpc.call("anvil_setBalance", address, hex(GAS_WEI))
        fresh = await rpc.call("evm_snapshot")
    finally:
        await rpc.close()
    tokens = (Token(DEMO_DOLLAR, DEMO_DOLLAR_SCALE, token),)
    deployment = Deployment("local", (url,), vault, tokens, tuple(addresses))
    save_deployment(folder / "deployments.json", deployment)
    return deployment, fresh


def _lane(keys: Path, number: int) -> str:
    draft = keys / f"draft-{number}"
    address = create_keystore(draft, PASSWORD, scrypt_n=2**12)
    draft.rename(keys / f"{address}.json")
    return address


def _owner(keys: Path) -> Any:
    path = keys / "owner"
    key = bytes.fromhex(dev_accounts()[0].private_key[2:])
    create_keystore(path, PASSWORD, private_key=key, scrypt_n=2**12)
    return load_keystore(path, PASSWORD)


async def _deliver(treasury: Treasury, signed: SignedBytes) -> None:
    await treasury.deliver(signed.raw)


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def completed(
    dsn: str, wanted: int, limit_s: float, workers: Sequence[ChildProcess] = ()
) -> list[float]:
    """Wait for ``wanted`` completions; their moments in seconds, in order.

    Raises :class:`RuntimeError` when they do not come within ``limit_s`` or a worker ends.
    """
    connection = await asyncpg.connect(dsn)
    deadline = time.monotonic() + limit_s
    try:
        while True:
            done = await connection.fetchval(
                "SELECT count(*) FROM orders WHERE status = 'completed'"
            )
            if done >= wanted:
                break
            for worker in workers:
                if not worker.alive:
                    raise RuntimeError(f"a worker ended: {worker.log_tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{done} of {wanted} orders completed in {limit_s:g} s")
            await asyncio.sleep(_POLL_S)
        rows = await connection.fetch(
            "SELECT extract(epoch FROM created_at)::float8 AS at FROM order_events"
            " WHERE type = 'order.completed' ORDER BY created_at LIMIT $1",
            wanted,
        )
        return [row["at"] for row in rows]
    finally:
        await connection.close()
