"""How fast captured orders become completed ones, next to what else one could have built.

``python -m benchmarks.settlement --orders 20000 --json`` measures, in one run on one PostgreSQL
(fsync on) and one anvil (blocks of one second, finality two blocks later): the product's worker
processes; (a) the same rows written by plain SQL; (b) the same worker with one transaction per
order; (c) one procrastinate job per order and step. A rate is taken between the 10th and the 90th
percentile of completions; those by backlog are medians of three, taken in turn.

``floor_ratio`` compares with the mean of the floors just before and after it. Bars:
``floor_ratio`` at least 0.4, ``vs_single_tx`` 3, ``vs_procrastinate`` 10, ``growth`` 1.3.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks import settlement_floor, settlement_jobs
from benchmarks.settlement_world import (
    BLOCK_GAS_LIMIT,
    SLOTS_IN_AN_EPOCH,
    World,
    completed,
    open_world,
)

LANES = 8
SINGLE_ORDERS = 300
JOB_ORDERS = 300
GROWTH_ORDERS = 8_000
GROWTH_BACKLOGS = (1_000, 10_000, 100_000)
GROWTH_ROUNDS = 3
LIMIT_S = 600.0
LEAST_ORDERS = 10


async def rate(
    world: World, orders: int, workers: int, *arguments: str, backlog: int = 0
) -> dict[str, Any]:
    """Orders per second of ``workers`` processes over ``orders`` completions.

    ``backlog`` more orders wait all the while. Also the largest worker's peak memory, in MB.
    """
    await world.forget_payments()
    dsn = await world.stage(orders + backlog)
    running = [world.worker(dsn, number, *arguments) for number in range(workers)]
    try:
        moments = await completed(dsn, orders, LIMIT_S, running)
        memory = max(_peak_mb(worker.pid) for worker in running)
        cpu = sum(_cpu_s(worker.pid) for worker in running) * 1_000 / orders
    finally:
        for worker in running:
            worker.stop(0)
    low, high = moments[orders // 10], moments[orders * 9 // 10]
    if low == high:
        raise SystemExit(f"{orders} orders completed at one moment: a rate takes more --orders")
    return {"orders_per_s": orders * 0.8 / (high - low), "worker_mb": memory, "cpu_ms": cpu}


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no peak memory of process {pid}")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def floor(world: World, orders: int) -> float:
    return await settlement_floor.orders_per_s(await world.stage(orders), orders)


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    async with open_world(folder, options.lanes) as world:
        by_workers: dict[int, dict[str, Any]] = {}
        floors = [await floor(world, options.orders)]
        for workers in options.workers:
            row = await rate(world, options.orders, workers)
            floors.append(await floor(world, options.orders))
            # The machine's speed changes by half within minutes: so by the floors beside it.
            row["ratio"] = row["orders_per_s"] / mean(floors[-2:])
            by_workers[workers] = row
            _say(f"{workers} workers: {row}, between floors {floors[-2:]}")
        best = max(by_workers, key=lambda count: by_workers[count]["orders_per_s"])
        ours = by_workers[best]["orders_per_s"]
        report = {
            "orders_per_s": round(ours, 1),
            "floor_ratio": round(by_workers[best]["ratio"], 3),
            "floor_ratio_by_workers": {
                str(count): round(row["ratio"], 3) for count, row in by_workers.items()
            },
            "floor_orders_per_s": [round(value, 1) for value in floors],
            "workers_best": best,
            "orders_per_s_by_workers": {
                str(count): round(row["orders_per_s"], 1) for count, row in by_workers.items()
            },
            "worker_cpu_ms_per_order": {
                str(count): round(row["cpu_ms"], 3) for count, row in by_workers.items()
            },
        }
        rows = list(by_workers.values())
        if not options.quick:
            report |= await _others(world, ours, best, rows)
        return report | {"worker_mb": round(max(row["worker_mb"] for row in rows), 1)}


async def _others(
    world: World, ours: float, workers: int, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """What else one could have built, and growth; what was measured is added to ``rows``."""
    rows.append(await rate(world, SINGLE_ORDERS, workers, "1"))
    single = rows[-1]["orders_per_s"]
    _say(f"one transaction per order: {single:.1f}/s")
    jobs = await settlement_jobs.orders_per_s(await world.stage(JOB_ORDERS), JOB_ORDERS)
    _say(f"one job per order and step: {jobs:.1f}/s")
    growth = await _growth(world, workers, rows)
    return {
        "vs_single_tx": round(ours / single, 2),
        "vs_procrastinate": round(ours / jobs, 2),
        "single_tx_orders_per_s": round(single, 1),
        "procrastinate_orders_per_s": round(jobs, 1),
        "growth": round(max(growth.values()) / min(growth.values()), 3),
        "orders_per_s_by_backlog": {str(n): round(value, 1) for n, value in growth.items()},
    }


async def _growth(world: World, workers: int, rows: list[dict[str, Any]]) -> dict[int, float]:
    """Orders per second by backlog: the median of rounds that alternate, since one process's
    neighbours and the chain's age weigh more than the backlog does."""
    rates: dict[int, list[float]] = {waiting: [] for waiting in GROWTH_BACKLOGS}
    for _ in range(GROWTH_ROUNDS):
        for waiting in GROWTH_BACKLOGS:
            row = await rate(world, GROWTH_ORDERS, workers, backlog=waiting)
            rates[waiting].append(row["orders_per_s"])
            rows.append(row)
            _say(f"backlog of {waiting}: {row}")
    return {waiting: median(measured) for waiting, measured in rates.items()}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _orders(text: str) -> int:
    """Fewer have no rate between the 10th and the 90th percentile of completions."""
    if not text.isdecimal() or int(text) < LEAST_ORDERS:
        raise argparse.ArgumentTypeError(f"a number of at least {LEAST_ORDERS}, not {text!r}")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--orders",
        type=_orders,
        default=20_000,
        help="below some thousand the rate is one block's, and says little",
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--lanes", type=int, default=LANES)
    parser.add_argument("--quick", action="store_true", help="only ours and the floor")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tidegate-settlement-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the database may run as another user
        report = asyncio.run(measure(folder, options))
    report |= {
        "orders": options.orders,
        "lanes": options.lanes,
        "batch": settlement_floor.BATCH,
        "block_s": 1,
        "block_gas_limit": BLOCK_GAS_LIMIT,
        "slots_in_an_epoch": SLOTS_IN_AN_EPOCH,
        "fsync": True,
        "cpus": os.cpu_count(),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(report) if options.json else json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
