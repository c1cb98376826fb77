"""``tidegate serve`` from beginning to end: start, set up, sell one order, keep serving, stop."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge import settings as settings_module
from bridge.locks import LockHeld, hold
from bridge.serve import demo, telling
from bridge.serve.backing import Backing, start_backing
from bridge.serve.folder import (
    DataFolder,
    DemoSecrets,
    FolderProblem,
    load_or_draw_secrets,
    save_secrets,
)
from bridge.serve.receipt import Node, write_receipt
from bridge.serve.sample import Access, Bought, SampleFailed, Shop
from bridge.serve.supervisor import Processes, choose_port, environment
from bridge.serve.terminal import Terminal
from bridge.serve.webhooks import ensure_endpoint
from bridge.settings import Settings, SettingsError
from settlement.errors import TidegateError

AMOUNT = "100.00"
_LOCK_LIMIT_S = 1.0
_ONE_REQUEST_S = 1.0
_SWEEP_S_WITHOUT_WEBHOOKS = "2"


@dataclass(frozen=True, slots=True)
class Options:
    """``port`` ``None`` is the configured one; ``chain`` is ``anvil`` or ``eth-tester``."""

    folder: Path
    port: int | None = None
    once: bool = False
    sample: bool = True
    chain: str = "anvil"
    new_chain: bool = False


def run(options: Options, terminal: Terminal) -> int:
    """Serve until the end, Ctrl-C or SIGTERM; returns the exit status.

    130 when it was stopped before the sample order was through, 0 when it was stopped later.
    """
    try:
        return asyncio.run(_with_signals(_Story(options, terminal)))
    except TidegateError as error:
        terminal.fail(str(error))
        return 1


class _Story:
    """One run; ``told`` is set once everything that was asked for has been shown."""

    def __init__(self, options: Options, terminal: Terminal) -> None:
        self._options = options
        self._terminal = terminal
        self._folder = DataFolder(options.folder.expanduser().absolute())
        self.told = False

    async def tell(self) -> int:
        """Raises kinds of :class:`TidegateError`, with everything stopped again."""
        settings = settings_module.load()
        _refuse_real_money(settings)
        self._folder.create()
        try:
            with hold(self._folder.lock, limit_s=_LOCK_LIMIT_S):
                port = self._port(settings)
                async with AsyncExitStack() as stack:
                    return await self._serve(stack, settings, port)
        except LockHeld as error:
            raise FolderProblem(
                f"another `tidegate serve` (process {error.pid}) works on {self._folder.root}; "
                f"stop it (kill {error.pid}), or choose another folder with --data-folder"
            ) from error

    def _port(self, settings: Settings) -> int:
        """The port that people were told, or with ``--once`` any if nobody asked for one."""
        asked = self._options.port is not None or "TIDEGATE_PORT" in os.environ
        wanted = settings.port if self._options.port is None else self._options.port
        return choose_port(wanted, may_move=self._options.once and not asked)

    async def _serve(self, stack: AsyncExitStack, settings: Settings, port: int) -> int:
        say, folder = self._terminal, self._folder
        say.title(f"Tidegate, all of it on this machine (data in {folder.root})")
        if self._options.new_chain:
            self._put_chain_aside()
        begun = time.monotonic()
        secrets = load_or_draw_secrets(folder)
        backing = await start_backing(stack, folder, settings, self._options.chain)
        telling.backing(say, backing, time.monotonic() - begun)
        api_url = f"http://127.0.0.1:{port}"
        env, secrets = await self._environment(settings, backing, secrets, port)
        begun = time.monotonic()
        report = await demo.set_up(settings_module.load(env), secrets, backing.chain.url)
        telling.world(say, report, time.monotonic() - begun)
        begun = time.monotonic()
        processes = Processes(folder, env, say.note)
        await processes.start(stack)
        await processes.ready(api_url)
        say.step("API and worker", time.monotonic() - begun)
        watch = asyncio.ensure_future(processes.watch(stack, backing))
        try:
            return await self._go_on(watch, settings, backing, secrets, api_url)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _go_on(
        self,
        watch: asyncio.Future[None],
        settings: Settings,
        backing: Backing,
        secrets: DemoSecrets,
        api_url: str,
    ) -> int:
        local_stripe = None if backing.emulator is None else backing.stripe_base
        telling.keys(self._terminal, secrets, api_url, local_stripe)
        if self._options.sample:
            access = _access(settings, secrets, api_url)
            stopped = "" if self._options.once else f"{api_url}/docs   Ctrl-C stops everything"
            await _unless(watch, sample_order(access, backing.chain.url, self._terminal, stopped))
        self.told = True
        if not self._options.once:
            await watch
        return 0

    async def _environment(
        self, settings: Settings, backing: Backing, secrets: DemoSecrets, port: int
    ) -> tuple[dict[str, str], DemoSecrets]:
        api_url, values = f"http://127.0.0.1:{port}", {}
        if backing.emulator is not None and backing.stripe_base is not None:
            secrets = await ensure_endpoint(self._folder, secrets, backing.stripe_base, api_url)
            values["STRIPE_API_KEY"] = secrets.stripe_key
            values["STRIPE_WEBHOOK_SECRET"] = secrets.webhook_secret
        elif not settings.stripe_webhook_secrets and "TIDEGATE_SWEEP_S" not in os.environ:
            values["TIDEGATE_SWEEP_S"] = _SWEEP_S_WITHOUT_WEBHOOKS
        found = {"api_url": api_url, "stripe_base": backing.stripe_base or ""}
        secrets = save_secrets(self._folder, secrets, **found)
        return environment(self._folder, port, backing, **values), secrets

    def _put_chain_aside(self) -> None:
        """``--new-chain``: keep what was there, for whoever wants to look."""
        if self._folder.chain.exists():
            aside = self._folder.chain.with_name(f"chain-{int(time.time())}")
            shutil.move(self._folder.chain, aside)
            self._terminal.note(f"the chain so far is kept as {aside}")


async def sample_order(
    access: Access, rpc_url: str | None, terminal: Terminal, serving: str = ""
) -> Bought:
    """Buy, show every status, print the receipt; the last line is ``order <id> completed``.

    ``serving``, when given, is said just before that line. Raises :class:`SampleFailed` with all
    that did not go as it should.
    """
    shop, node = Shop(access), Node(rpc_url) if rpc_url else None
    try:
        terminal.title(f"Buying {AMOUNT} USD of {demo.sample_asset().code} for a fresh wallet")
        bought = await shop.buy(AMOUNT, demo.NETWORK, demo.sample_asset().code, terminal.progress)
        receipt = await write_receipt(shop, bought, node)
    finally:
        await shop.close()
        if node is not None:
            await node.close()
    terminal.title("Receipt")
    terminal.rows(receipt.rows)
    if receipt.problems:
        raise SampleFailed("; ".join(receipt.problems))
    if serving:
        terminal.title(f"Serving {serving}")
    terminal.last(f"order {bought.order['id']} completed")
    return bought


async def _unless(watch: asyncio.Future[None], work: Coroutine[Any, Any, Bought]) -> Bought:
    """``work``, unless a part of the deployment fails first."""
    task = asyncio.ensure_future(work)
    try:
        both: set[asyncio.Future[Any]] = {watch, task}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            watch.result()
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _access(settings: Settings, secrets: DemoSecrets, api_url: str) -> Access:
    """With the emulator a publishable key, as in a browser; with Stripe itself what we have."""
    key = settings.stripe_api_key
    if key is None:
        return Access(
            api_url, secrets.secret_key, secrets.stripe_publishable_key, secrets.stripe_base
        )
    key = os.environ.get("STRIPE_PUBLISHABLE_KEY") or key
    return Access(api_url, secrets.secret_key, key, settings.stripe_api_base)


def _refuse_real_money(settings: Settings) -> None:
    if settings.mode != "test":
        raise SettingsError(
            "TIDEGATE_MODE is live: `tidegate serve` is a demonstration on a local chain; run "
            "`tidegate api` and `tidegate worker` instead"
        )
    key = settings.stripe_api_key
    if key is not None and not key.startswith(("sk_test_", "rk_test_")):
        raise SettingsError(
            "STRIPE_API_KEY is a live key: `tidegate serve` sells worthless tokens on a local "
            "chain and takes test keys only; run `tidegate api` and `tidegate worker` instead"
        )


async def _with_signals(story: _Story) -> int:
    """The first signal stops everything in order; a later one ends us, and with us the rest.

    ``make`` and ``timeout`` pass one request on twice; the second of these is no impatience.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(story.tell())
    asked_at = 0.0

    def stop() -> None:
        nonlocal asked_at
        if asked_at and loop.time() - asked_at > _ONE_REQUEST_S:
            os._exit(130)
        if not asked_at:
            asked_at = loop.time()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        return 0 if story.told else 130
