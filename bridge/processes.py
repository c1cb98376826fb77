"""The two processes of a deployment, run until SIGTERM or SIGINT: ``api`` and ``worker``.

Both end by themselves within seconds when asked, and are ended hard when something inside does
not: a worker that outlived its supervisor would hold leases that nobody expects.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from bridge import logging, worker_metrics
from bridge.app import create_app, uvicorn_config
from bridge.bootstrap import (
    check_facts_keys,
    database_url,
    deployments_path,
    open_ports,
    open_services,
    open_wake,
)
from bridge.clocks import check_clock, clock_jobs
from bridge.gas import gas_jobs
from bridge.graph import graph_jobs
from bridge.list_refresh import list_jobs
from bridge.settings import Settings, SettingsError
from bridge.storage.store import PostgresStore
from bridge.worker import Worker
from chain.deployment import load_deployments
from chain.evm.client import EvmChain
from settlement.ports.bundle import Ports
from settlement.schedule import Policy

STOP_LIMIT_S = 15.0
BACKLOG = 1024


def run_api(settings: Settings, port_file: Path | None = None) -> None:
    """Serve the API. Raises :class:`SettingsError` when its port cannot be had."""
    listener = _listen(settings.host, settings.port)
    if port_file is not None:
        _write_port(port_file, listener.getsockname()[1])
    uvloop.run(_api(settings, listener))


def run_worker(settings: Settings) -> None:
    """Tick the pipeline."""
    uvloop.run(_until_asked(lambda stop: _worker(settings, stop)))


async def _api(settings: Settings, listener: socket.socket) -> None:
    async with open_services(settings) as services:
        lease_ms, log = Policy().lane_lease_ms, logging.get("api")
        await check_clock(services.queries.pool, services.clock, lease_ms, log)
        config = uvicorn_config(create_app(services), settings.host, settings.port)
        server = uvicorn.Server(config)
        # uvicorn stops in order and then raises the signal again; by then it has been obeyed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        await server.serve(sockets=[listener])
        _end_hard_later()


async def _worker(settings: Settings, stop: asyncio.Event) -> None:
    check_facts_keys(settings)  # not in open_ports: a rebuild may have to run without them, once
    wake = await open_wake(database_url(settings))
    deployments = load_deployments(deployments_path(settings))
    try:
        async with (
            open_ports(settings) as ports,
            graph_jobs(settings, deployments, database_url(settings)) as follows,
        ):
            store = ports.store
            assert isinstance(store, PostgresStore)
            await check_clock(store.pool, ports.clock, ports.policy.lane_lease_ms, ports.log)
            clocks = clock_jobs(store.pool, ports.clock, ports.log)
            worker = Worker(
                ports,
                wake,
                tick_ms=settings.tick_ms,
                sweep_s=settings.sweep_s,
                jobs=[
                    *gas_jobs(ports.gas, settings, ports.store),
                    *list_jobs(settings),
                    *follows,
                    *clocks,
                ],
            )
            with _shown(settings, ports):
                await worker.start()
                _collect_rarely()
                ports.log.info("worker_started", networks=sorted(ports.chains))
                await stop.wait()
                await worker.stop()
    finally:
        await wake.stop()


def _collect_rarely() -> None:
    """A batch is thousands of objects that die in order: looking for cycles among them took a tenth
    of a busy worker's time. What is here by now lives for ever."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@contextlib.contextmanager
def _shown(settings: Settings, ports: Ports) -> Iterator[None]:
    """What the worker alone knows, to whoever watches it."""
    if settings.worker_metrics_port == 0:
        yield
        return
    networks = {n: c.endpoints for n, c in ports.chains.items() if isinstance(c, EvmChain)}
    try:
        stop = worker_metrics.serve(settings.worker_metrics_port, settings.host, networks)
    except OSError as error:
        raise SettingsError(
            f"TIDEGATE_WORKER_METRICS_PORT: cannot listen on it: {error.strerror}"
        ) from error
    try:
        yield
    finally:
        stop()


async def _until_asked(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    stop = asyncio.Event()

    def ask() -> None:
        _end_hard_later()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    await run(stop)


def _end_hard_later() -> None:
    timer = threading.Timer(STOP_LIMIT_S, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; set TIDEGATE_PORT to another port"
        ) from error


def _write_port(path: Path, port: int) -> None:
    """In one step, so that a waiting reader never sees half of it."""
    draft = path.with_suffix(".tmp")
    draft.write_text(f"{port}\n")
    os.replace(draft, path)
