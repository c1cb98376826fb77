"""A real chain process for every test here, of both kinds, and the contracts on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.local.anvil import AnvilOptions, find_anvil
from chain.local.launcher import start_local_chain
from chain.local.local_chain import LocalChain
from tests.chain.world import World

needs_anvil = pytest.mark.skipif(
    find_anvil() is None, reason="anvil is absent: needs Node.js and `npm ci --omit=dev`"
)
KINDS = [pytest.param("anvil", marks=needs_anvil), "eth-tester"]


@pytest.fixture(scope="session", params=KINDS)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A local chain without a finality clock: tests mine for themselves."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    options = AnvilOptions(finality_interval_s=None)
    running: LocalChain = start_local_chain(folder, prefer=request.param, anvil_options=options)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def deployed(chain: LocalChain) -> Iterator[World]:
    """A vault, a dollar and an escrow contract on the chain, deployed once."""
    shared = World(chain.url)
    assert shared.escrow.address  # before the first snapshot, or undoing would take it along
    yield shared
    shared.close()


@pytest.fixture
def world(deployed: World) -> Iterator[World]:
    """The fresh vault and dollar; what a test does to the chain is undone after it."""
    snapshot = deployed.rpc("evm_snapshot")
    yield deployed
    assert deployed.rpc("evm_revert", snapshot)
