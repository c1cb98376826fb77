"""A worker that differs from the product's in one thing: how many orders a batch may hold."""

import asyncio
import sys

import uvloop

from bridge import logging
from bridge.bootstrap import database_url, open_ports, open_wake
from bridge.settings import load
from bridge.worker import Worker


async def _run(batch_max: int) -> None:
    settings = load()
    logging.configure(settings.log_level)
    wake = await open_wake(database_url(settings))
    async with open_ports(settings) as ports:
        for chain in ports.chains.values():
            chain.max_batch = batch_max
        worker = Worker(ports, wake, tick_ms=settings.tick_ms, sweep_s=settings.sweep_s)
        await worker.start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_run(int(sys.argv[1])))
