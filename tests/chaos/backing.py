"""PostgreSQL, the chain and Stripe as processes, and how each is disturbed from outside."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx

from bridge.serve.backing import child_environment
from bridge.storage import migrate, postgres
from chain.local.anvil import AnvilOptions, start_anvil
from chain.local.local_chain import LocalChain
from chain.local.process import ChildProcess, free_port
from tests.chaos.options import SLOTS_IN_AN_EPOCH
from tests.support.forked import ForkedProcess
from tests.support.waiting import eventually, eventually_sync

RESTART_TRIES = 5


class Database:
    """A server with every safety of a real one (fsync too): a killed process loses nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._server = postgres.start(folder, port=self._port)
        migrate.upgrade(self._server.dsn)
        self.dsn = self._server.dsn

    def kill(self) -> None:
        """As a power cut: postmaster and backends at once; then started again on its port."""
        victims = [self._server.pid, *children_of(self._server.pid)]
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually_sync(lambda: not any(map(is_alive, victims)), what="the end of PostgreSQL")
        self._server.stop()
        for attempt in range(RESTART_TRIES):
            try:
                self._server = postgres.start(self._folder, port=self._port)
                return
            except postgres.PostgresNotStarted:
                if attempt == RESTART_TRIES - 1:
                    raise

    def back_up(self) -> None:
        """A copy of everything, as it is now; the server is away meanwhile."""
        # With its owner, who is not us where we are root.
        copy = ["cp", "-a", str(self._folder), str(self._backup)]
        self._between(lambda: subprocess.run(copy, check=True))

    def restore(self) -> None:
        """The copy instead of everything that was written since."""

        def put_back() -> None:
            shutil.rmtree(self._folder)
            self._backup.rename(self._folder)

        self._between(put_back)

    @property
    def _backup(self) -> Path:
        return self._folder.with_name(f"{self._folder.name}-backup")

    def _between(self, work: Callable[[], object]) -> None:
        self._server.stop()
        work()
        self._server = postgres.start(self._folder, port=self._port)

    def kill_backend(self, rng: Random) -> None:
        """One backend dies by SIGKILL: the postmaster ends all the others and recovers."""
        backends = sorted(children_of(self._server.pid))
        if backends:
            with suppress(ProcessLookupError):
                os.kill(rng.choice(backends), signal.SIGKILL)

    def stop(self) -> None:
        self._server.stop()


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    return state_of(pid) not in ("", "Z", "X")


def state_of(pid: int) -> str:
    """``R``, ``S``, ``T`` (stopped) and so on; empty when there is no such process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


class Chain:
    """anvil, mined and reorganised by us alone, one after the other."""

    def __init__(self, folder: Path) -> None:
        options = AnvilOptions(
            slots_in_an_epoch=SLOTS_IN_AN_EPOCH, finality_interval_s=None, state_interval_s=3_600
        )
        self._chain: LocalChain = start_anvil(folder, options=options)
        self.url = self._chain.url
        self._http = httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False, verify=False)
        self._one_at_a_time = asyncio.Lock()
        self.dropped = 0
        self.included_again = 0

    async def rpc(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = (await self._http.post("", json=request)).json()
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    async def mine_by_hand(self) -> None:
        """From now on only :meth:`mine` makes blocks."""
        await self.rpc("evm_setAutomine", False)

    async def mine(self) -> None:
        async with self._one_at_a_time:
            await self.rpc("evm_mine")

    async def reorganise(self, depth: int, rng: Random) -> None:
        """Replace the last ``depth`` blocks; of their transactions some come back, elsewhere."""
        async with self._one_at_a_time:
            head = int(await self.rpc("eth_blockNumber"), 16)
            lost: list[str] = []
            for number in range(head - depth + 1, head + 1):
                block = await self.rpc("eth_getBlockByNumber", hex(number), False)
                lost += block["transactions"]
            pairs = []
            if rng.random() < 0.3 and lost:
                raw = await self.rpc("eth_getRawTransactionByHash", lost[0])
                pairs = [[raw, rng.randrange(depth)]]
            await self.rpc("anvil_reorg", depth, pairs)
            self.dropped += len(lost) - len(pairs)
            self.included_again += len(pairs)

    async def recent_transactions(self, depth: int) -> int:
        """How many transactions a reorganisation of this depth would touch."""
        head = int(await self.rpc("eth_blockNumber"), 16)
        found = 0
        for number in range(max(0, head - depth + 1), head + 1):
            block = await self.rpc("eth_getBlockByNumber", hex(number), False)
            found += len(block["transactions"]) if block else 0
        return found

    async def stop(self) -> None:
        await self._http.aclose()
        await asyncio.to_thread(self._chain.stop)


class Emulator:
    """The local Stripe. It keeps its state in memory, so it is never killed."""

    def __init__(self, folder: Path) -> None:
        port_file = folder / "stripe.port"
        command = [sys.executable, "-m", "bridge.payments.emulator.server", "--port", "0"]
        command += ["--port-file", str(port_file)]
        self._child = ChildProcess(
            "the Stripe emulator",
            command,
            log_path=folder / "stripe.log",
            env=child_environment(),
        )
        self._child.wait_until(port_file.exists, 30)
        self.url = f"http://127.0.0.1:{port_file.read_text().strip()}"

    def stop(self) -> None:
        self._child.stop()


async def frozen(child: ChildProcess | ForkedProcess, limit_s: float = 30) -> None:
    """Wait until a process has stopped itself."""
    await eventually(
        lambda: state_of(child.pid) == "T", limit_s=limit_s, what=f"{child.name} frozen"
    )
