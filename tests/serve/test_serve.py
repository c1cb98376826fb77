"""The whole demonstration, run as a process: what stops it, what it survives, what it shows."""

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
from pathlib import Path

import asyncpg
import pytest

from bridge.locks import hold
from bridge.storage import postgres
from chain.deployment import load_deployments
from chain.evm import vault
from chain.evm.treasury import Treasury
from chain.local.anvil import find_anvil
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers import open_signer
from tests.serve.running import Serving, all_gone, processes_of, tidegate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
needs_anvil = pytest.mark.skipif(
    find_anvil() is None, reason="anvil is absent: needs Node.js and `npm ci --omit=dev`"
)
STATUSES = ["awaiting_payment", "authorized", "cleared", "captured", "submitted", "completed"]


def serve_once(folder: Path, *arguments: str) -> str:
    """A run that must succeed; its text. The last line is the order's."""
    status, out, err = tidegate("serve", "--once", "--data-folder", str(folder), *arguments)
    assert status == 0, out + err
    assert re.fullmatch(r"order ord_\w+ completed", out.rstrip().splitlines()[-1]), out
    all_gone(folder)
    return out


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Nothing is started, and the message offers a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = tidegate("serve", "--port", str(port), "--data-folder", str(tmp_path))
    assert status == 1
    assert re.fullmatch(rf"tidegate: port {port} on 127.0.0.1 is taken .*--port \d+.*\n", err), err
    assert not (tmp_path / "postgres").exists()


def test_a_second_serve_on_the_same_data_names_the_first(tmp_path: Path) -> None:
    """Two supervisors on one folder would fight over a lane and a database."""
    with hold(tmp_path / "serve.lock"):
        status, _, err = tidegate("serve", "--port", "0", "--data-folder", str(tmp_path))
    assert status == 1
    assert f"(process {os.getpid()}) works on {tmp_path}" in err


def test_a_live_stripe_key_is_refused(tmp_path: Path) -> None:
    """Real money must not buy worthless tokens; and the key is not repeated."""
    key = "sk_live_0123456789"
    status, out, err = tidegate(
        "serve", "--once", "--data-folder", str(tmp_path), STRIPE_API_KEY=key
    )
    assert status == 1
    assert "live key" in err
    assert key not in out + err


def test_a_data_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    """A file in the way is a fault of the world, not a traceback."""
    (tmp_path / "file").write_text("")
    status, _, err = tidegate("serve", "--port", "0", "--data-folder", str(tmp_path / "file"))
    assert status == 1
    assert err.startswith("tidegate: cannot write in the data folder")
    assert err.count("\n") == 1


@needs_anvil
def test_a_run_killed_while_it_sets_up_is_finished_by_the_next(tmp_path: Path) -> None:
    """SIGKILL leaves no process; the next run completes, and the one after it verifies."""
    killed = Serving(tmp_path, "serve", "--port", "0")
    killed.says("embedded PostgreSQL")
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    all_gone(tmp_path)

    first = serve_once(tmp_path)
    assert "anvil" in first
    told = [line.split()[2] for line in first.splitlines() if re.match(r" +\d+\.\d\d s", line)]
    assert [status for status in told if status in STATUSES] == STATUSES
    assert "holds         95.95 DUSD (read from the chain)" in first
    assert "chain 999,904.05 = ledger 999,904.05 local:DUSD" in first

    second = serve_once(tmp_path)
    assert "1 earlier order verified on-chain" in second
    assert "stocked" not in second
    assert "chain 999,808.10 = ledger 999,808.10 local:DUSD" in second


def test_a_lost_chain_is_told_and_replaced(tmp_path: Path) -> None:
    """What was in flight is refunded, a new instance stocked, the old one written off."""
    serving = Serving(tmp_path, "serve", "--port", "0", "--chain", "eth-tester")
    serving.says(r"^order ord_\w+ completed")
    asyncio.run(pause_vault(tmp_path))
    waiting = Serving(tmp_path, "sample-order")
    waiting.says(r"held +paused")
    assert serving.end(signal.SIGKILL) == -signal.SIGKILL
    waiting.end(signal.SIGKILL)
    all_gone(tmp_path)
    shutil.rmtree(tmp_path / "chain")

    second = serve_once(tmp_path, "--chain", "eth-tester")
    assert "the chain is not the one that was paid on" in second
    assert "started over on a new chain instance; 1 order in flight will be refunded" in second
    assert "1 earlier order completed on a chain instance that is gone" in second
    assert "stocked with 1,000,000.00 DUSD and 100.00 ETH, 10.00 ETH for gas on its lane" in second
    assert "chain 999,904.05 = ledger 999,904.05 local:DUSD" in second
    assert asyncio.run(statuses(tmp_path)) == ["completed", "refunded", "completed"]


async def pause_vault(folder: Path) -> None:
    """What its owner may do at any time; orders then wait."""
    [deployment] = load_deployments(folder / "deployments.json").values()
    rpc = RpcClient(deployment.rpc_urls)
    keys = folder / "keystore"
    where = {"path": str(keys / "treasury.json"), "password_file": str(keys / "password")}
    owner = Treasury(NETWORK, rpc, open_signer("keystore", where))
    signed = await owner.prepare(deployment.vault, vault.admin_data("pause"))
    await owner.deliver(signed.raw)
    await rpc.close()


async def statuses(folder: Path) -> list[str]:
    """Of all orders, oldest first."""
    server = await asyncio.to_thread(postgres.start, folder / "postgres")
    connection = await asyncpg.connect(server.dsn)
    rows = await connection.fetch("SELECT status FROM orders ORDER BY id")
    await connection.close()
    await asyncio.to_thread(server.stop)
    return [row["status"] for row in rows]


def test_a_killed_worker_is_started_again_and_sigterm_stops_everything(tmp_path: Path) -> None:
    """While it serves: console commands join its database, a part that dies comes back."""
    serving = Serving(tmp_path, "serve", "--port", "0")
    serving.says(r"^order ord_\w+ completed")
    here = {"TIDEGATE_STATE_DIR": str(tmp_path)}

    status, out, _ = tidegate("treasury", "status", **here)
    assert (status, out.count("agree")) == (0, 3), out
    status, out, _ = tidegate("treasury", "fund", "250.5", "DUSD", **here)
    assert status == 0
    assert "250.50 DUSD" in out
    [worker] = [pid for pid, name in processes_of(tmp_path).items() if "bridge.cli worker" in name]
    os.kill(worker, signal.SIGKILL)
    serving.says(r"the worker ended \(SIGKILL\); it is started again")
    status, out, err = tidegate("sample-order", **here)
    assert status == 0, out + err
    assert "chain 1,000,058.60 = ledger 1,000,058.60 local:DUSD" in out

    assert serving.end(signal.SIGTERM) == 0
    all_gone(tmp_path)
