"""The clock of the pipeline: ticks every stage on time, and at once when something happened.

APScheduler gives the regular beat, which alone suffices; wake-ups (LISTEN/NOTIFY) only save the
waiting. Any number of workers may run: rows are claimed, lanes are leased, and a tick that runs
twice changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bridge.storage.wake import EVENTS, WORK, Wake
from settlement.errors import NetworkStopped, TidegateError
from settlement.pipeline import TICKS, Tick
from settlement.ports.bundle import Ports
from settlement.stages import identity, inbox

SWEEP_BACK = timedelta(days=3)
"""How far a worker's first sweep looks back: as long as Stripe itself repeats deliveries."""
VERIFY_S = 15
"""How often each chain is asked whether it is still the one we know."""


class Stage:
    """One stage's beat: at most one run at a time, and one more if it was asked for meanwhile."""

    def __init__(self, name: str, tick: Tick, ports: Ports, moved: Callable[[], None]) -> None:
        self.name = name
        self._tick = tick
        self._ports = ports
        self._moved = moved
        self._running = False
        self._again = False

    async def beat(self) -> None:
        """Run until nothing is due; never raises, since the next beat tries again."""
        if self._running:
            self._again = True
            return
        self._running = True
        try:
            await self._drain()
        except TidegateError as error:
            self._ports.log.warning("stage_interrupted", stage=self.name, error=str(error))
        except Exception as error:
            self._ports.log.error("stage_failed", stage=self.name, error=repr(error))
        finally:
            self._running = False

    async def _drain(self) -> None:
        while True:
            self._again = False
            if await self._tick(self._ports):
                self._moved()
            elif not self._again:
                return


class Worker:
    """Runs every stage until :meth:`stop`."""

    def __init__(self, ports: Ports, wake: Wake, *, tick_ms: int, sweep_s: int) -> None:
        self._ports = ports
        self._wake = wake
        self._tick_ms = tick_ms
        self._sweep_s = sweep_s
        self._stages = [Stage(name, tick, ports, self._moved) for name, tick in TICKS.items()]
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._stopping = False
        self._swept_at: datetime | None = None

    async def start(self) -> None:
        """Verify every network, then begin to tick."""
        await self.verify()
        for stage in self._stages:
            self._every(stage.beat, self._tick_ms / 1000)
        self._every(self.verify, VERIFY_S)
        self._every(self.sweep, self._sweep_s)
        self._scheduler.start()
        self._wake.listen([WORK], lambda _channel: self.pulse())
        self.pulse()

    async def stop(self) -> None:
        """Let running ticks finish: what they called outside must be stored."""
        self._stopping = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def pulse(self) -> None:
        """Tick every stage now."""
        for stage in self._stages:
            self._spawn(stage.beat())

    async def verify(self) -> None:
        """Stop networks that are not what they were."""
        for network in self._ports.chains:
            try:
                await identity.verify(self._ports, network)
            except NetworkStopped:
                continue  # stored and logged where it was found
            except Exception as error:  # a node may answer anything at all
                self._ports.log.warning("verify_failed", network=network, error=repr(error))

    async def sweep(self) -> None:
        """Fetch what lost webhooks would have told, back to the last sweep that succeeded."""
        now = self._ports.clock.now()
        since = self._swept_at - inbox.SWEEP_OVERLAP if self._swept_at else now - SWEEP_BACK
        try:
            fresh = await inbox.sweep(self._ports, since)
        except Exception as error:
            self._ports.log.warning("sweep_failed", error=repr(error))
            return
        self._swept_at = now
        if fresh:
            self.pulse()

    def _moved(self) -> None:
        """What one stage moved, the next can take; and somebody may be watching."""
        self._wake.notify(EVENTS)
        self.pulse()

    def _every(self, job: Callable[[], Awaitable[None]], seconds: float) -> None:
        async def run() -> None:
            self._spawn(job())

        self._scheduler.add_job(
            run, "interval", seconds=seconds, max_instances=1, coalesce=True, misfire_grace_time=60
        )

    def _spawn(self, work: Awaitable[None]) -> None:
        if self._stopping:
            if asyncio.iscoroutine(work):
                work.close()
            return
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
