"""One chain and one Stripe emulator for all flows; a fresh deployment for each."""

import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bridge.storage import postgres
from chain.local.anvil import AnvilOptions, find_anvil
from chain.local.launcher import start_local_chain
from chain.local.local_chain import LocalChain
from chain.local.process import ChildProcess
from tests.chain.world import World
from tests.flows.bridge import Bridge, open_bridge
from tests.support.postgres import execute

needs_anvil = pytest.mark.skipif(
    find_anvil() is None, reason="anvil is absent: needs Node.js and `npm ci --omit=dev`"
)


@pytest.fixture
async def flow_dsn(postgres_server: postgres.Server, database_template: str) -> AsyncIterator[str]:
    """A migrated database of the test's own, copied from the template."""
    name = f"flow_{uuid.uuid4().hex[:12]}"
    copy = f"CREATE DATABASE {name} TEMPLATE {database_template} STRATEGY FILE_COPY"
    await execute(postgres_server.dsn, copy)
    yield postgres_server.dsn_for(name)
    await execute(postgres_server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def flow_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChain]:
    """anvil where it is installed, else eth-tester; tests mine for themselves."""
    options = AnvilOptions(finality_interval_s=None)
    chain = start_local_chain(tmp_path_factory.mktemp("chain"), anvil_options=options)
    yield chain
    chain.stop()


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
    flow_dsn: str, flow_chain: LocalChain, emulator_url: str, tmp_path: Path
) -> AsyncIterator[Bridge]:
    """A deployment with a stocked vault, a tenant and its keys."""
    world = World(flow_chain.url)
    opened = await open_bridge(flow_dsn, world, emulator_url, tmp_path)
    yield opened
    for close in opened.closing:
        await close()
    world.close()
