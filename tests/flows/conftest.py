"""One chain and one Stripe emulator for all flows; for each the contracts as they were
deployed, and an empty database."""

import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.storage import postgres
from chain.local.anvil import AnvilOptions, find_anvil
from chain.local.launcher import start_local_chain
from chain.local.local_chain import LocalChain
from chain.local.process import ChildProcess
from tests.chain.world import World
from tests.flows.backups import Backups
from tests.flows.bridge import Bridge, open_bridge
from tests.support.postgres import EMPTY, execute

needs_anvil = pytest.mark.skipif(
    find_anvil() is None, reason="anvil is absent: needs Node.js and `npm ci --omit=dev`"
)


@pytest.fixture
async def flow_dsn(migrated_dsn: str) -> str:
    """A migrated, empty database."""
    await execute(migrated_dsn, EMPTY)
    return migrated_dsn


@pytest.fixture(scope="session")
def flow_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChain]:
    """anvil where it is installed, else eth-tester; tests mine for themselves."""
    options = AnvilOptions(finality_interval_s=None)
    chain = start_local_chain(tmp_path_factory.mktemp("chain"), anvil_options=options)
    yield chain
    chain.stop()


@pytest.fixture(scope="session")
def flow_contracts(flow_chain: LocalChain) -> Iterator[World]:
    """Vault, dollar and escrow contract, deployed once."""
    world = World(flow_chain.url)
    assert world.escrow.address  # before any snapshot, or undoing would take it along
    yield world
    world.close()


@contextmanager
def undone(chain: LocalChain, contracts: World) -> Iterator[World]:
    """The contracts as they were deployed, at the real time, and so again afterwards, whatever
    failed: a snapshot knows nothing of transactions that wait, of mining and of the next fee."""
    anvil = chain.kind == "anvil"
    snapshot = contracts.rpc("evm_snapshot")
    fee = next_base_fee(contracts) if anvil else None
    try:
        yield contracts
    finally:
        if anvil:
            contracts.rpc("anvil_dropAllTransactions")
        assert contracts.rpc("evm_revert", snapshot)
        if anvil:  # which goes back in time as well
            contracts.rpc("evm_setAutomine", True)
            contracts.rpc("anvil_setNextBlockBaseFeePerGas", fee)
            contracts.rpc("evm_setTime", int(time.time()))


def next_base_fee(contracts: World) -> str:
    """Of the block that has not been mined yet, in wei as hex."""
    history = contracts.rpc("eth_feeHistory", "0x1", "latest", [])
    return str(history["baseFeePerGas"][-1])


@pytest.fixture
def flow_world(flow_chain: LocalChain, flow_contracts: World) -> Iterator[World]:
    """Contracts that nobody has used."""
    with undone(flow_chain, flow_contracts) as world:
        yield world


@pytest.fixture(scope="session")
def emulator_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Stripe emulator in a process of its own."""
    folder: Path = tmp_path_factory.mktemp("emulator")
    port_file = folder / "port"
    command = [
        sys.executable,
        *("-m", "bridge.payments.emulator.server"),
        *("--port-file", str(port_file)),
    ]
    child = ChildProcess("emulator", command, log_path=folder / "log", env=dict(os.environ))
    child.wait_until(port_file.exists, 20)
    yield f"http://127.0.0.1:{port_file.read_text().strip()}"
    child.stop()


@pytest.fixture
async def bridge(
    flow_dsn: str, flow_world: World, emulator_url: str, tmp_path: Path
) -> AsyncIterator[Bridge]:
    """A deployment with a stocked vault, a tenant and its keys."""
    opened = await open_bridge(flow_dsn, flow_world, emulator_url, tmp_path)
    yield opened
    for close in opened.closing:
        await close()


@pytest.fixture
async def backups(
    postgres_server: postgres.Server,
    flow_dsn: str,
    flow_world: World,
    emulator_url: str,
    tmp_path: Path,
) -> AsyncIterator[Backups]:
    """A deployment whose database can be copied and put back."""

    async def open_on(dsn: str, fresh: bool) -> Bridge:
        return await open_bridge(dsn, flow_world, emulator_url, tmp_path, fresh=fresh)

    made = Backups(postgres_server, flow_dsn, open_on, flow_world)
    yield made
    await made.close()
