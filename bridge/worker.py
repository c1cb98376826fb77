"""The clock of the pipeline: ticks every stage on time, and at once when something happened.

APScheduler gives the regular beat, which alone suffices; wake-ups (LISTEN/NOTIFY) only save the
waiting. Any number of workers may run: rows are claimed, lanes are leased, and a tick that runs
twice changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bridge.storage.wake import EVENTS, WORK, Wake
from settlement.batch import Lane
from settlement.errors import NetworkStopped, TidegateError
from settlement.pipeline import TICKS, Tick, take_lanes, work_lane
from settlement.ports.bundle import Ports
from settlement.stages import identity, inbox

SWEEP_BACK = timedelta(days=3)
"""How far a worker's first sweep looks back: as long as Stripe itself repeats deliveries."""
GATHER_S = 0.003
"""How long news of moved orders waits for more of its kind."""
VERIFY_S = 15
"""How often each chain is asked whether it is still the one we know."""


Job = Callable[[], Awaitable[None]]


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


class Lanes:
    """The beat of settling: every lane that this worker gets is worked by a task of its own.

    A lane whose node is slow holds up no other. What was announced while a lane was worked makes
    it be taken once more.
    """

    name = "settle"

    def __init__(
        self,
        ports: Ports,
        moved: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._ports = ports
        self._moved = moved
        self._spawn = spawn
        self._beats = 0
        self._taking = False
        self._again = False

    async def beat(self) -> None:
        """Take what is free; never raises, since the next beat tries again."""
        self._beats += 1
        await self._take()

    async def _take(self) -> None:
        self._again = True
        if self._taking:
            return
        self._taking = True
        try:
            while self._again:
                self._again = False
                for network in self._ports.chains:
                    await self._take_of(network)
        finally:
            self._taking = False

    async def _take_of(self, network: str) -> None:
        try:
            lanes = await take_lanes(self._ports, network)
        except Exception as error:
            self._ports.log.error("lanes_not_taken", network=network, error=repr(error))
            return
        for lane in lanes:
            self._spawn(self._work(lane))

    async def _work(self, lane: Lane) -> None:
        beats = self._beats
        try:
            moved = await work_lane(self._ports, lane)
        except TidegateError as error:
            self._ports.log.warning("lane_interrupted", lane=lane.address, error=str(error))
            return
        except Exception as error:
            self._ports.log.error("lane_failed", lane=lane.address, error=repr(error))
            return
        if moved:
            self._moved()
        elif beats != self._beats:
            await self._take()


class Worker:
    """Runs every stage until :meth:`stop`, and ``jobs`` beside them, each every so many seconds.

    A job never raises; it is not begun again while it runs.
    """

    def __init__(
        self,
        ports: Ports,
        wake: Wake,
        *,
        tick_ms: int,
        sweep_s: int,
        jobs: Sequence[tuple[Job, float]] = (),
    ) -> None:
        self._ports = ports
        self._jobs = jobs
        self._wake = wake
        self._tick_ms = tick_ms
        self._sweep_s = sweep_s
        self._stages: list[Stage | Lanes] = [
            Stage(name, tick, ports, self._moved)
            for name, tick in TICKS.items()
            if name != "settle"
        ]
        self._stages.append(Lanes(ports, self._moved, self._spawn))
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._stopping = False
        self._pulse_is_due = False
        self._swept_at: datetime | None = None
        self._verifying = asyncio.Lock()
        self._sweeping = asyncio.Lock()

    async def start(self) -> None:
        """Verify every network, then begin to tick; one that does not answer holds up no other."""
        self._ports.unseen.update(self._ports.chains)
        await self.verify()
        for stage in self._stages:
            self._every(stage.beat, self._tick_ms / 1000)
        self._every(self.verify, VERIFY_S)
        self._every(self.sweep, self._sweep_s)
        for job, seconds in self._jobs:
            self._every(job, seconds)
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
        await self._ports.store.leave_lanes(self._ports.worker)

    def pulse(self) -> None:
        """Tick every stage now."""
        for stage in self._stages:
            self._spawn(stage.beat())

    async def verify(self) -> None:
        """Stop networks that are not what they were, and see how far the others are.

        One look at a time, however slow it is.
        """
        if self._verifying.locked():
            return
        async with self._verifying:
            for network in self._ports.chains:
                try:
                    await self._look_at(network)
                except NetworkStopped:
                    continue  # stored and logged where it was found
                except Exception as error:  # a node may answer anything at all
                    self._ports.log.warning("verify_failed", network=network, error=repr(error))

    async def _look_at(self, network: str) -> None:
        await identity.verify(self._ports, network)
        self._ports.unseen.discard(network)
        head = await self._ports.chains[network].head()
        await self._ports.store.note_head(network, head, self._ports.clock.now())

    async def sweep(self) -> None:
        """Fetch what lost webhooks would have told, back to the last sweep that succeeded.

        One at a time: sweeps that pile up while the provider is slow would keep it slow.
        """
        if not self._sweeping.locked():
            async with self._sweeping:
                await self._sweep()

    async def _sweep(self) -> None:
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
        """What one stage moved, the next can take; and somebody may be watching.

        Many lanes and stages that move at the same time wake everybody once.
        """
        if not self._pulse_is_due:
            self._pulse_is_due = True
            asyncio.get_running_loop().call_later(GATHER_S, self._tell)

    def _tell(self) -> None:
        self._pulse_is_due = False
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
