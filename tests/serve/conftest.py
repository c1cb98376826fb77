"""A development chain with a vault and a dollar, for what the treasury does on it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chain.deployment import Deployment, Token
from chain.evm.client import EvmChain
from chain.evm.treasury import Treasury
from chain.local.accounts import dev_accounts
from chain.local.anvil import AnvilOptions
from chain.local.launcher import start_local_chain
from chain.local.local_chain import LocalChain
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers.keystore import create_keystore, load_keystore


@dataclass
class Ground:
    """The owner's hands, the adapter that reads, and what was deployed."""

    treasury: Treasury
    rpc: RpcClient
    chain: EvmChain
    deployment: Deployment
    genesis: str


@pytest.fixture(scope="module")
def local_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChain]:
    options = AnvilOptions(finality_interval_s=None)
    chain = start_local_chain(tmp_path_factory.mktemp("treasury"), anvil_options=options)
    yield chain
    chain.stop()


@pytest.fixture
async def ground(local_chain: LocalChain, tmp_path: Path) -> AsyncIterator[Ground]:
    """New contracts for every test, owned by the first development account."""
    key = bytes.fromhex(dev_accounts()[0].private_key[2:])
    create_keystore(tmp_path / "owner.json", "a password", private_key=key, scrypt_n=2**12)
    rpc = RpcClient([local_chain.url])
    treasury = Treasury(NETWORK, rpc, load_keystore(tmp_path / "owner.json", "a password"))
    lane = dev_accounts()[7].address
    token, vault = await treasury.deploy_demo_dollar(), await treasury.deploy_vault([lane])
    deployment = Deployment("local", (local_chain.url,), vault, (Token("DUSD", 6, token),), (lane,))
    chain = EvmChain(NETWORK, deployment, rpc, {})
    yield Ground(treasury, rpc, chain, deployment, (await chain.identity()).genesis_hash)
    await rpc.close()
