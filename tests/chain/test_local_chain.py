"""The local chain of both kinds: what keeps it from starting, and what it remembers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chain.errors import BinaryMissing, FolderBusy, LocalChainError, PortTaken, StateFileUnusable
from chain.local.anvil import AnvilOptions, start_anvil
from chain.local.ethtester import EthTesterOptions, start_ethtester
from chain.local.jsonrpc import LocalRpc
from chain.local.launcher import start_local_chain
from chain.local.local_chain import LocalChain
from chain.local.process import FolderLock
from tests.chain.conftest import KINDS, needs_anvil
from tests.chain.waiting import is_running, wait_for
from tests.chain.world import World, fresh_address, word

Start = Callable[..., LocalChain]
MISSING = AnvilOptions(binary=Path("/nowhere/anvil"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts chains that are stopped when the test ends, however it ends."""
    running: list[LocalChain] = []

    def start_one(kind: str = "anvil", folder: Path = tmp_path, **options: object) -> LocalChain:
        settings: dict[str, object] = {"finality_interval_s": None, **options}
        port = settings.pop("port", None)
        if kind == "anvil":
            chain = start_anvil(folder, port=port, options=AnvilOptions(**settings))
        else:
            settings.pop("finality_interval_s")
            chain = start_ethtester(folder, port=port, options=EthTesterOptions(**settings))
        running.append(chain)
        return chain

    yield start_one
    for chain in running:
        if chain.alive:
            chain.kill()


def port_of(chain: LocalChain) -> int:
    return int(chain.url.rpartition(":")[2])


def dumped_height(folder: Path) -> int:
    try:
        return int(json.loads((folder / "anvil-state.json").read_text())["best_block_number"])
    except (OSError, ValueError):
        return -1


def test_a_taken_port_is_named(kind: str, start: Start, chain: LocalChain) -> None:
    """A fixed port in use is the commonest trouble of a second start."""
    with pytest.raises(PortTaken, match=str(port_of(chain))):
        start(kind, port=port_of(chain))


def test_a_folder_in_use_is_refused(kind: str, start: Start, tmp_path: Path) -> None:
    """Two chains writing one state would ruin it; the message names the first."""
    first = FolderLock(tmp_path)
    first.record_owner(4711)
    with pytest.raises(FolderBusy, match="pid 4711"):
        start(kind)
    first.release()


def test_a_missing_anvil_is_named_or_replaced(tmp_path: Path) -> None:
    """Asked for by name it is missing; merely preferred, eth-tester stands in and says so."""
    with pytest.raises(BinaryMissing, match="npm ci"):
        start_anvil(tmp_path, options=MISSING)
    fallback = start_local_chain(tmp_path, anvil_options=MISSING)
    assert fallback.kind == "eth-tester"
    assert "anvil is not installed" in fallback.notes[0]
    assert fallback.stop() == 0


def test_an_unknown_kind_of_chain_is_refused(tmp_path: Path) -> None:
    """A typo does not start something else."""
    with pytest.raises(LocalChainError, match="ganache"):
        start_local_chain(tmp_path, prefer="ganache")


@needs_anvil
@pytest.mark.parametrize("content", ["", "{", '{"blocks": [', "[]"])
def test_a_damaged_state_without_a_copy_is_refused(
    start: Start, tmp_path: Path, content: str
) -> None:
    """Starting anew in silence would hide that settled orders are gone."""
    (tmp_path / "anvil-state.json").write_text(content)
    with pytest.raises(StateFileUnusable, match=r"anvil-state\.json"):
        start()


@needs_anvil
def test_a_damaged_state_is_replaced_by_the_last_complete_copy(
    start: Start, tmp_path: Path
) -> None:
    """``kill -9`` in the middle of a dump costs the newest blocks and says so."""
    first = start()
    LocalRpc(first.url).call("evm_mine")
    block = LocalRpc(first.url).call("eth_getBlockByNumber", "0x1", False)
    copy = tmp_path / "anvil-state.good.json"
    wait_for(lambda: copy.exists() and '"0x1"' in copy.read_text(), "a copy with block 1")
    first.kill()
    state = tmp_path / "anvil-state.json"
    state.write_text(state.read_text()[:-100])
    second = start()
    assert "damaged" in second.notes[0]
    assert LocalRpc(second.url).call("eth_getBlockByNumber", "0x1", False) == block
    assert list(tmp_path.glob("anvil-state.damaged-*"))


def settle_one(chain: LocalChain) -> tuple[World, str, dict[str, object]]:
    """Pay one recipient through a vault: the world, the recipient, and the log request."""
    world, alice = World(chain.url), fresh_address()
    world.stock(100)
    world.do(world.pay(1, [word(alice, 77)]), world.settler)
    return world, alice, {"address": world.vault.address, "fromBlock": "0x0"}


def recall(chain: LocalChain, wanted: dict[str, object]) -> list[object]:
    """Everything that a later run verifies: blocks, logs, and every transaction's receipt."""
    rpc = LocalRpc(chain.url)
    head = int(rpc.call("eth_blockNumber"), 16)
    blocks = [rpc.call("eth_getBlockByNumber", hex(n), False) for n in range(head + 1)]
    hashes = [hash_ for block in blocks for hash_ in block["transactions"]]
    receipts = [rpc.call("eth_getTransactionReceipt", hash_) for hash_ in hashes]
    transactions = [rpc.call("eth_getTransactionByHash", hash_) for hash_ in hashes]
    assert hashes
    return [[b["hash"] for b in blocks], receipts, transactions, rpc.call("eth_getLogs", wanted)]


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        pytest.param("anvil", "stop", marks=needs_anvil),
        pytest.param("anvil", "kill", marks=needs_anvil),
        ("eth-tester", "kill"),
    ],
)
def test_a_restarted_chain_is_the_same_chain(
    kind: str, end: str, start: Start, tmp_path: Path
) -> None:
    """Stopped or killed: same hashes from genesis on, same receipts, logs, balances; it goes on."""
    first = start(kind)
    world, alice, wanted = settle_one(first)
    before = recall(first, wanted)
    height = int(world.rpc("eth_blockNumber"), 16)
    if (kind, end) == ("anvil", "kill"):
        wait_for(lambda: dumped_height(tmp_path) == height, "the dump of the newest block")
    assert (first.stop() if end == "stop" else first.kill()) in (0, -signal.SIGKILL)
    second = start(kind, port=port_of(first))
    assert recall(second, wanted) == before
    assert world.balance(alice) == 77
    assert world.do(world.pay(2, [word(alice, 1)]), world.settler).succeeded
    assert int(LocalRpc(second.url).call("eth_getBlockByNumber", "finalized", False)["number"], 16)


def test_a_chain_saves_itself_when_its_parent_is_killed(
    kind: str, start: Start, tmp_path: Path
) -> None:
    """The parent-death signal asks the chain to end, so that it dumps what it has."""
    program = f"""
import os, signal
from pathlib import Path
from chain.local.anvil import AnvilOptions
from chain.local.launcher import start_local_chain
from chain.local.jsonrpc import LocalRpc
chain = start_local_chain(Path({str(tmp_path)!r}), prefer={kind!r},
                          anvil_options=AnvilOptions(state_interval_s=3600))
rpc = LocalRpc(chain.url)
rpc.call("evm_mine")
print(chain.process.pid, rpc.call("eth_getBlockByNumber", "0x1", False)["hash"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    parent = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    pid, block_hash = parent.stdout.split()
    wait_for(lambda: not is_running(int(pid)), "the chain's end")
    again = start(kind, folder=tmp_path / kind)
    assert LocalRpc(again.url).call("eth_getBlockByNumber", "0x1", False)["hash"] == block_hash


@needs_anvil
def test_the_finality_clock_runs_while_something_waits_and_then_rests(start: Start) -> None:
    """A transaction becomes final on an idle chain; afterwards no empty blocks pile up."""
    chain = start(finality_interval_s=0.05)
    rpc = LocalRpc(chain.url)
    owner, other = chain.accounts[:2]
    transfer = {"from": owner.address, "to": other.address, "value": "0x1"}
    rpc.call("eth_sendTransaction", transfer)
    wait_for(
        lambda: rpc.call("eth_getBlockByNumber", "finalized", False)["number"] == "0x1", "finality"
    )
    height = rpc.call("eth_blockNumber")
    assert height == "0x3"
    rpc.call("eth_sendTransaction", transfer)
    wait_for(
        lambda: rpc.call("eth_getBlockByNumber", "finalized", False)["number"] == "0x4", "finality"
    )
    assert rpc.call("eth_blockNumber") == "0x6"


def test_a_block_time_mines_by_the_clock(kind: str, start: Start) -> None:
    """The other way of mining: blocks come without transactions."""
    chain = start(kind, block_time_s=1 if kind == "anvil" else 0.1)
    rpc = LocalRpc(chain.url)
    wait_for(lambda: int(rpc.call("eth_blockNumber"), 16) >= 1, "a block without a transaction")


def test_no_key_stands_in_a_command_line(chain: LocalChain) -> None:
    """Process lists are public; only the public development phrase may stand there."""
    if not sys.platform.startswith("linux"):
        pytest.skip("process lists are read from /proc")
    command = Path(f"/proc/{chain.process.pid}/cmdline").read_bytes().decode()
    assert not [a for a in chain.accounts if a.private_key[2:] in command]
    assert os.fspath(chain.process.log_path.parent) in command
