"""The whole deployment as processes, and every way to hurt it."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import httpx

from bridge.serve.backing import child_environment
from bridge.serve.webhooks import PATH as WEBHOOK_PATH
from chain.deployment import Deployment
from chain.local.accounts import dev_accounts
from chain.local.process import ChildProcess, free_port
from tests.chaos import worker, world
from tests.chaos.backing import Chain, Database, Emulator
from tests.chaos.options import (
    BLOCK_S,
    READY,
    REORG_DEPTH_MAX,
    RPC_RATES,
    STOCK_MINOR,
    STRIPE_RATES,
    WEBHOOK_RATES,
    Options,
)
from tests.emulator.servers import served
from tests.support.faulty_rpc import FaultyRpc
from tests.support.faulty_stripe import FaultyStripe, FaultyWebhooks
from tests.support.forked import ForkedProcess
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
READY_LIMIT_S = 90.0
_WATCH_S = 0.1


@dataclass
class System:
    """Everything that runs. ``pause`` paces the actors and ends at once when the run ends."""

    options: Options
    folder: Path
    database: Database
    chain: Chain
    emulator: Emulator
    deployment: Deployment
    rpcs: list[FaultyRpc]
    stripe_proxy: FaultyStripe
    webhooks: FaultyWebhooks
    api_url: str
    environment: dict[str, str]
    children: dict[str, ChildProcess | ForkedProcess] = field(default_factory=dict)
    stall: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    supervised: bool = False
    restarts: int = 0
    mining: asyncio.Event = field(default_factory=asyncio.Event)
    _starts: Counter[str] = field(default_factory=Counter)
    _kept_down: set[str] = field(default_factory=set)

    # Life --------------------------------------------------------------------------------------

    async def pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), seconds)

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    def launch(self, name: str) -> None:
        """Start (or start again) ``api`` or ``worker-N``."""
        self._kept_down.discard(name)
        self._starts[name] += 1
        environment = dict(self.environment)
        log = self.folder / "logs" / f"{name}.{self._starts[name]}.log"
        if name == "api":
            command = [sys.executable, "-m", "bridge.cli", "api"]
            self.children[name] = ChildProcess(name, command, log_path=log, env=environment)
            return
        if point := self.stall.pop(name, None):
            environment["CHAOS_STALL"] = point
        self.children[name] = ForkedProcess(name, worker.run, environment, log)

    async def bring_up(self, names: list[str]) -> None:
        """Start what is not running yet, and wait until it works."""
        for name in names:
            if name not in self.children:
                self.launch(name)
        if not self.supervised:
            self.supervised = True
            self.keep(self.supervise())
        await asyncio.gather(*(self.ready(name) for name in names))

    async def ready(self, name: str) -> None:
        """Wait until this process works, however often it is started until then."""
        if name == "api":
            await eventually(self._api_answers, limit_s=READY_LIMIT_S, what="the API ready")
            return
        await eventually(
            lambda: READY in self.children[name].log_path.read_text(errors="replace"),
            limit_s=READY_LIMIT_S,
            what=f"{name} ready",
        )

    async def _api_answers(self) -> bool:
        async with httpx.AsyncClient(
            base_url=self.api_url, timeout=5, trust_env=False, verify=False
        ) as http:
            with suppress(httpx.HTTPError):
                return (await http.get("/healthz")).status_code == 200
        return False

    async def command(self, *arguments: str) -> str:
        """What an operator types after ``tidegate``; returns what it told, whether or not it
        succeeded."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge.cli", *arguments),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await process.communicate()
        (self.folder / "logs" / f"{'-'.join(arguments)}.log").write_bytes(told)
        return told.decode(errors="replace")

    async def ask(self, query: str, *arguments: Any) -> Any:
        """One value out of the database; ``None`` while it is down."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(self.database.dsn)
            try:
                return await connection.fetchval(query, *arguments)
            finally:
                await connection.close()
        return None

    async def supervise(self) -> None:
        """What ends is started again, as any supervisor would."""
        while not self.ended.is_set():
            for name, child in list(self.children.items()):
                if not child.alive and name not in self._kept_down:
                    self.restarts += 1
                    self.launch(name)
            await self.pause(_WATCH_S)

    async def mine(self) -> None:
        while not self.ended.is_set():
            with suppress(httpx.HTTPError):
                if self.mining.is_set():
                    await self.chain.mine()
            await self.pause(BLOCK_S)

    # Hurting -----------------------------------------------------------------------------------

    @property
    def owner(self) -> str:
        """Who owns vault and token, and got the vault's probe back."""
        return dev_accounts()[0].address

    def workers(self) -> list[str]:
        return [f"worker-{number}" for number in range(self.options.workers)]

    async def kill(self, target: str, rng: Random) -> None:
        """SIGKILL, in whatever the process is doing."""
        if target == "postgres":
            await asyncio.to_thread(self.database.kill)
        elif target == "backend":
            await asyncio.to_thread(self.database.kill_backend, rng)
        else:
            await eventually(
                lambda: self._signalled(self.children[target], signal.SIGKILL),
                limit_s=READY_LIMIT_S,
                what=f"{target} killed",
            )
        self.counts[f"killed_{target.partition('-')[0]}"] += 1

    async def take_down(self, name: str) -> None:
        """End a process in order and leave it ended."""
        self._kept_down.add(name)
        await asyncio.to_thread(self.children[name].stop)

    async def freeze(self, name: str, seconds: float) -> None:
        """SIGSTOP past the lease, then let it go on as if nothing had happened."""
        child = self.children[name]
        if self._signalled(child, signal.SIGSTOP):
            self.counts["worker_frozen"] += 1
            await self.pause(seconds)
        self.thaw(child)

    def thaw(self, child: ChildProcess | ForkedProcess) -> None:
        self._signalled(child, signal.SIGCONT)

    def _signalled(self, child: ChildProcess | ForkedProcess, number: signal.Signals) -> bool:
        """Whether there was a process to signal: it may have ended by itself just now."""
        if not child.alive:
            return False
        try:
            os.kill(child.pid, number)
        except ProcessLookupError:
            return False
        return True

    def all_faults(self) -> list[Any]:
        sources = [*self.rpcs, self.stripe_proxy, self.webhooks]
        return [source.faults for source in sources]

    def lift_faults(self) -> None:
        for faults in self.all_faults():
            faults.lift()
        for child in self.children.values():
            self.thaw(child)

    def let_faults_loose(self) -> None:
        for number, rpc in enumerate(self.rpcs):
            rpc.faults.rates = RPC_RATES[number]
        self.stripe_proxy.faults.rates = STRIPE_RATES
        self.webhooks.faults.rates = WEBHOOK_RATES

    def faults_seen(self) -> dict[str, int]:
        """By kind, counted where they were made."""
        total: Counter[str] = Counter(self.counts)
        for prefix, sources in (("rpc", self.rpcs), ("stripe", [self.stripe_proxy])):
            for source in sources:
                for kind, count in source.faults.counts.items():
                    total[f"{prefix}_{kind}"] += count
        total.update(self.webhooks.faults.counts)
        return dict(sorted(total.items()))


async def start(stack: AsyncExitStack, options: Options, folder: Path) -> System:
    """Start all of it; the stack stops all of it."""
    database, chain, emulator = await asyncio.gather(
        _kept(stack, lambda: Database(folder / "postgres")),
        _kept(stack, lambda: Chain(folder / "chain")),
        _kept(stack, lambda: Emulator(folder)),
    )
    lanes = world.create_lanes(folder, options.lanes)
    deployment = await world.deploy(chain.url, lanes, STOCK_MINOR)
    await chain.mine_by_hand()
    api_port = free_port()
    rpcs, stripe_proxy, webhooks = _proxies(options, chain.url, emulator.url, api_port)
    urls = [stack.enter_context(served(app)) for app in (*rpcs, stripe_proxy, webhooks)]
    world.write_deployment(folder, deployment, urls[: len(rpcs)])
    secret = await world.webhook_secret(world.stripe_client(emulator.url), urls[-1] + WEBHOOK_PATH)
    lists = folder / "listed.csv"
    lists.write_text(f"asset,address,action\nETH,0x{'dead' * 10},block\n")
    environment = _environment(options, folder, database.dsn, api_port, urls[-2], secret)
    await world.register(environment, deployment)
    system = System(
        options=options,
        folder=folder,
        database=database,
        chain=chain,
        emulator=emulator,
        deployment=deployment,
        rpcs=rpcs,
        stripe_proxy=stripe_proxy,
        webhooks=webhooks,
        api_url=f"http://127.0.0.1:{api_port}",
        environment=environment,
    )
    stack.push_async_callback(_stop, system)
    system.mining.set()
    system.keep(system.mine())
    return system


def _proxies(
    options: Options, chain_url: str, stripe_url: str, api_port: int
) -> tuple[list[FaultyRpc], FaultyStripe, FaultyWebhooks]:
    rpcs = [
        FaultyRpc(chain_url, rng=_rng(options, f"rpc{n}"), lag_blocks_max=REORG_DEPTH_MAX)
        for n in range(len(RPC_RATES))
    ]
    stripe_proxy = FaultyStripe(stripe_url, rng=_rng(options, "stripe"))
    target = f"http://127.0.0.1:{api_port}{WEBHOOK_PATH}"
    return rpcs, stripe_proxy, FaultyWebhooks(target, rng=_rng(options, "webhooks"))


def _rng(options: Options, actor: str) -> Random:
    return Random(f"{options.seed}:{actor}")


def _environment(
    options: Options, folder: Path, dsn: str, api_port: int, stripe_url: str, secret: str
) -> dict[str, str]:
    told = {
        "DATABASE_URL": dsn,
        "STRIPE_API_KEY": world.STRIPE_KEY,
        "STRIPE_API_BASE": stripe_url,
        "STRIPE_WEBHOOK_SECRET": secret,
        "TIDEGATE_HOST": "127.0.0.1",
        "TIDEGATE_PORT": str(api_port),
        "TIDEGATE_STATE_DIR": str(folder),
        "TIDEGATE_ADDRESS_LISTS": str(folder / "listed.csv"),
        "TIDEGATE_GRAPH": "false",  # a hundred starts would read a graph that knows nobody
        "TIDEGATE_QUOTE_LIFE_S": str(options.quote_life_s),
        "TIDEGATE_TICK_MS": "200",
        "TIDEGATE_SWEEP_S": "8",
        "TIDEGATE_DATABASE_POOL": "8",
        "TIDEGATE_ACCESS_LOG": "false",
        "PYTHONPATH": str(ROOT),
    }
    if options.sabotage:
        told["CHAOS_SABOTAGE"] = options.sabotage
    clean = {
        name: value
        for name, value in child_environment().items()
        if not name.startswith(("STRIPE_", "TIDEGATE_", "DATABASE_URL", "CHAOS_"))
    }
    return {**clean, **told}


async def _kept(stack: AsyncExitStack, start_it: Callable[[], Any]) -> Any:
    part = await asyncio.to_thread(start_it)

    async def stop() -> None:
        if asyncio.iscoroutinefunction(part.stop):
            await part.stop()
        else:
            await asyncio.to_thread(part.stop)

    stack.push_async_callback(stop)
    return part


async def _stop(system: System) -> None:
    system.ended.set()
    await asyncio.gather(*system.tasks, return_exceptions=True)
    for child in system.children.values():
        system.thaw(child)
        await asyncio.to_thread(child.stop, 5.0)
