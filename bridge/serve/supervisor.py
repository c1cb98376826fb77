"""The API and the worker as children: started, watched, started again, stopped."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bridge.serve.backing import Backing, child_environment, start_child
from bridge.serve.folder import DataFolder
from chain.errors import ChildExited, NotReadyInTime
from chain.local.process import ChildProcess, free_port, port_is_free
from settlement.errors import TidegateError

READY_LIMIT_S = 60.0
RESTARTS_MAX = 5
RESTART_WINDOW_S = 60.0
_WATCH_S = 0.3
_READY_PAUSE_S = 0.05


class PortProblem(TidegateError):
    """The port that people were told is taken; the message says what to do."""

    code = "port_taken"


class PartEnded(TidegateError):
    """A part that nothing works without has ended by itself."""

    code = "part_ended"


def choose_port(wanted: int, *, may_move: bool) -> int:
    """``wanted``, or a free one for 0; with ``may_move`` also when it is taken.

    Raises :class:`PortProblem`.
    """
    if wanted == 0:
        return free_port()
    if port_is_free(wanted):
        return wanted
    if may_move:
        return free_port()
    raise PortProblem(
        f"port {wanted} on 127.0.0.1 is taken by another program; stop that program, or choose "
        f'another port: make run ARGS="--port {free_port()}" (or TIDEGATE_PORT)'
    )


@dataclass
class Processes:
    """Our own two programs. ``told`` hears what a person should know about them."""

    folder: DataFolder
    environment: dict[str, str]
    told: Callable[[str], None]
    _running: dict[str, ChildProcess] = field(default_factory=dict)
    _restarts: list[float] = field(default_factory=list)

    async def start(self, stack: AsyncExitStack) -> None:
        """Start both; the stack stops them, the worker first."""
        for name in ("api", "worker"):
            await self._start(stack, name)

    async def ready(self, api_url: str) -> None:
        """Wait until every part of ``/readyz`` is.

        Raises:
            ChildExited: the API or the worker ended.
            NotReadyInTime: with the parts that are not ready.
        """
        deadline = time.monotonic() + READY_LIMIT_S
        reason = "no answer"
        async with httpx.AsyncClient(base_url=api_url, timeout=5.0, trust_env=False) as http:
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.HTTPError, ValueError):
                    answer = (await http.get("/readyz")).json()
                    if answer["ready"]:
                        return
                    reason = str(answer["parts"])
                self._all_alive()
                await asyncio.sleep(_READY_PAUSE_S)
        raise NotReadyInTime(f"the API is not ready after {READY_LIMIT_S:g} s: {reason}")

    async def watch(self, stack: AsyncExitStack, backing: Backing) -> None:
        """Start again what ends; never returns.

        Raises :class:`PartEnded` when a part ends that cannot be started again under the others'
        feet, or when one ends again and again.
        """
        while True:
            await asyncio.sleep(_WATCH_S)
            _check_backing(backing)
            for name, child in list(self._running.items()):
                if not child.alive:
                    await self._start_again(stack, name, child)

    async def _start_again(self, stack: AsyncExitStack, name: str, child: ChildProcess) -> None:
        now = time.monotonic()
        self._restarts = [at for at in self._restarts if now - at < RESTART_WINDOW_S] + [now]
        if len(self._restarts) > RESTARTS_MAX:
            raise PartEnded(f"the {name} keeps ending ({how_it_ended(child)}); {_log(child)}")
        self.told(f"the {name} ended ({how_it_ended(child)}); it is started again")
        await self._start(stack, name)

    async def _start(self, stack: AsyncExitStack, name: str) -> None:
        command = [sys.executable, "-m", "bridge.cli", name]
        self._running[name] = await start_child(
            stack, name, command, self.environment, self.folder.log(name)
        )

    def _all_alive(self) -> None:
        for name, child in self._running.items():
            if not child.alive:
                raise ChildExited(f"the {name} ended ({how_it_ended(child)}); {_log(child)}")


def environment(folder: DataFolder, port: int, backing: Backing, **values: str) -> dict[str, str]:
    """What the API and the worker are told. Secrets travel here, never in a command line."""
    told = {
        "DATABASE_URL": backing.database.dsn,
        "TIDEGATE_HOST": "127.0.0.1",
        "TIDEGATE_PORT": str(port),
        "TIDEGATE_STATE_DIR": str(folder.root),
        "TIDEGATE_GRAPH": os.environ.get("TIDEGATE_GRAPH", "true"),
        **values,
    }
    if backing.stripe_base:
        told["STRIPE_API_BASE"] = backing.stripe_base
    return child_environment(**told)


def how_it_ended(child: ChildProcess) -> str:
    """``SIGKILL``, or ``status 1``."""
    code = child.returncode
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"status {code}"


def _log(child: ChildProcess) -> str:
    tail = child.log_tail()
    return f"its log is {child.log_path}" + (f" and ends with:\n{tail}" if tail else "")


def _check_backing(backing: Backing) -> None:
    if not backing.chain.alive:
        raise PartEnded(f"the local chain ended; {_log(backing.chain.process)}")
    if backing.emulator is not None and not backing.emulator.alive:
        raise PartEnded(f"the Stripe emulator ended; {_log(backing.emulator)}")
    database = backing.database
    if database.owned and not _alive(database.pid):
        log = Path(database.folder) / "server.log"
        raise PartEnded(f"PostgreSQL ended; its log is {log}")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
