"""The programs that stand behind the API and the worker on one machine: database, chain, Stripe.

Each is started in its own thread (they take a second each) and stopped in reverse order by the
exit stack. A cancellation that arrives in the middle of a start waits for it, so that nothing is
started behind the back of whoever stops.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bridge.serve.folder import DataFolder
from bridge.settings import Settings
from bridge.storage import migrate, postgres
from chain.local.anvil import find_anvil
from chain.local.launcher import start_local_chain
from chain.local.local_chain import LocalChain
from chain.local.process import ChildProcess

T = TypeVar("T")

STOP_LIMIT_S = 10.0
_EMULATOR_LIMIT_S = 30.0
_PROXY_EXEMPT = "127.0.0.1,localhost"


@dataclass(frozen=True, slots=True)
class Backing:
    """What runs. ``emulator`` is ``None`` when Stripe itself is used."""

    database: postgres.Server
    chain: LocalChain
    emulator: ChildProcess | None
    stripe_base: str | None


async def start_backing(
    stack: AsyncExitStack, folder: DataFolder, settings: Settings, chain_kind: str
) -> Backing:
    """Start all three side by side; the database comes back migrated.

    Raises the first failure (:class:`~bridge.storage.postgres.PostgresError`,
    :class:`~chain.errors.LocalChainError`) once the others have been stopped or are on the stack.
    """
    try:
        async with asyncio.TaskGroup() as group:
            database = group.create_task(
                _started(stack, lambda: _database(folder, settings), lambda server: server.stop())
            )
            chain = group.create_task(
                _started(stack, lambda: _chain(folder, chain_kind), lambda chain: chain.stop())
            )
            emulator = group.create_task(
                _started(stack, lambda: _emulator(folder, settings), _stop_emulator)
            )
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    child, base = emulator.result()
    return Backing(database.result(), chain.result(), child, base)


def anvil_available() -> bool:
    """Whether the chain will be anvil when nobody asks for another."""
    return find_anvil() is not None


async def start_child(
    stack: AsyncExitStack, name: str, command: list[str], env: Mapping[str, str], log: Path
) -> ChildProcess:
    """One of our own programs as a child whose output goes to ``log``."""
    start = lambda: ChildProcess(name, command, log_path=log, env=env)  # noqa: E731
    return await _started(stack, start, lambda child: child.stop(STOP_LIMIT_S))


def child_environment(**values: str) -> dict[str, str]:
    """Our environment and ``values``; loopback never goes through a proxy."""
    exempt = ",".join(filter(None, (os.environ.get("NO_PROXY"), _PROXY_EXEMPT)))
    return {**os.environ, "NO_PROXY": exempt, "no_proxy": exempt, **values}


async def _started(stack: AsyncExitStack, start: Callable[[], T], stop: Callable[[T], object]) -> T:
    task = asyncio.ensure_future(asyncio.to_thread(start))
    try:
        running = await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            stop(await task)
        raise
    stack.push_async_callback(asyncio.to_thread, stop, running)
    return running


def _database(folder: DataFolder, settings: Settings) -> postgres.Server:
    server = postgres.use_or_start(settings.database_url, folder.postgres)
    try:
        migrate.upgrade(server.dsn)
    except BaseException:
        server.stop()
        raise
    return server


def _chain(folder: DataFolder, kind: str) -> LocalChain:
    return start_local_chain(folder.chain, prefer=kind)


def _emulator(folder: DataFolder, settings: Settings) -> tuple[ChildProcess | None, str | None]:
    if settings.stripe_api_key is not None:
        return None, settings.stripe_api_base
    port_file = folder.port_file("stripe")
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bridge.payments.emulator.server", "--port", "0"]
    command += ["--state", str(folder.stripe_state), "--port-file", str(port_file)]
    child = ChildProcess(
        "the Stripe emulator", command, log_path=folder.log("stripe"), env=child_environment()
    )
    try:
        child.wait_until(port_file.exists, _EMULATOR_LIMIT_S)
    except BaseException:
        child.stop()
        raise
    return child, f"http://127.0.0.1:{port_file.read_text().strip()}"


def _stop_emulator(emulator: tuple[ChildProcess | None, str | None]) -> None:
    if emulator[0] is not None:
        emulator[0].stop(STOP_LIMIT_S)
