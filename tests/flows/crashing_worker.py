"""A real worker process that kills itself right after one outside call, before storing its result.

``run("payment.capture")`` wraps that one method of that one port; ``run(None)`` is an ordinary
worker. Settings come from the environment, as in production.
"""

import asyncio
import os
import signal
from dataclasses import replace
from typing import Any

from bridge.bootstrap import database_url, open_ports, open_wake
from bridge.settings import load
from bridge.worker import Worker
from settlement.ports.bundle import Ports
from settlement.schedule import Policy


class KillsItself:
    """Everything of ``port``, except that the process dies when ``method`` has returned.

    A call about nothing (no changes to apply) is no effect, and nothing to die behind.
    """

    def __init__(self, port: Any, method: str) -> None:
        self._port = port
        self._method = method

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if name != self._method:
            return attribute

        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = await attribute(*args, **kwargs)
            if not args or args[0] != []:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


def crash_after(ports: Ports, point: str) -> Ports:
    """``point``: ``payment.<method>``, ``store.<method>`` or ``chain.<method>``."""
    port, _, method = point.partition(".")
    if port == "chain":
        chains = {name: KillsItself(chain, method) for name, chain in ports.chains.items()}
        return replace(ports, chains=chains)
    return replace(ports, **{port: KillsItself(getattr(ports, port), method)})


async def main(point: str | None) -> None:
    settings = load()
    lease_ms = int(os.environ.get("LEASE_MS", "1000"))
    policy = Policy(lease_ms=lease_ms, lane_lease_ms=lease_ms, poll_ms=250)
    async with open_ports(settings, policy=policy) as ports:
        wake = await open_wake(database_url(settings))
        worker = Worker(crash_after(ports, point) if point else ports, wake, tick_ms=100, sweep_s=1)
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        await worker.start()
        await stopped.wait()
        await worker.stop()
        await wake.stop()


def run(point: str | None) -> None:
    asyncio.run(main(point))
