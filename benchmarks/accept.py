"""What accepting an order costs, next to the least that any durable route could cost.

``python -m benchmarks.accept --json``: in one run, on one server process and one embedded
PostgreSQL (fsync on), rounds of ``POST /v1/orders`` (a fresh quote each, 1,000 customers)
alternate with rounds of a bare route that inserts one row of the same size. Ratios are of
medians over rounds, so that whatever else the machine does meets both alike.

Bars: ``throughput_ratio_c16`` at least 0.5, ``p50_ratio_c1`` at most 2.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import uvloop
from eth_utils.address import to_checksum_address

from benchmarks.load import Result, ceiling, request, run
from bridge.api.auth import key_digest
from bridge.storage import migrate, postgres
from bridge.storage.queries import Queries
from bridge.storage.records import KeyKind, Role
from bridge.storage.store import PostgresStore
from settlement.ids import new_id
from settlement.limits import Limits
from settlement.money import Asset, Money
from settlement.ports.accepting import Idempotency
from settlement.quote import Line, LineKind, Quote

CUSTOMERS = 1_000
KEY = "tg_sk_test_" + "b" * 43
WALLETS = [to_checksum_address((n + 1 << 40).to_bytes(20, "big")) for n in range(CUSTOMERS)]
USD = Asset("USD", 2)
DUSD = Asset("DUSD", 6, "local")

_COPY_QUOTES = """
    INSERT INTO quotes ({columns})
    SELECT 'qt_usd_' || lpad(n::text, 26, '0'), {rest}
    FROM quotes, generate_series(1, $1::int) AS n
"""


async def prepare(dsn: str, quotes: int) -> None:
    """A tenant with ample limits, its key, and ``quotes`` fresh quotes."""
    store = await PostgresStore.connect(dsn)
    try:
        now = datetime.now(UTC)
        queries = Queries(store.pool)
        ample = {"USD": Limits(100, 10**12, 10**15)}
        tenant = await queries.create_tenant("Bench", livemode=False, limits=ample, now=now)
        await queries.create_key(
            tenant.id,
            key_hash=key_digest(KEY),
            prefix="tg_sk_test_",
            last4=KEY[-4:],
            kind=KeyKind.SECRET,
            role=Role.MERCHANT,
            now=now,
        )
        lines = (
            Line(LineKind.PRINCIPAL, 9_595),
            Line(LineKind.PROCESSING, 320),
            Line(LineKind.NETWORK, 36),
            Line(LineKind.SPREAD, 49),
            Line(LineKind.ROUNDING, 0),
        )
        quote = Quote(
            id=new_id("qt_usd"),
            tenant_id=tenant.id,
            network="local",
            gross=Money(10_000, USD),
            token=Money(95_950_000, DUSD),
            lines=lines,
            rate=Fraction(1, 10_000),
            created_at=now,
            expires_at=now + timedelta(hours=2),
        )
        await store.save_quote(quote, Idempotency(new_id("idem"), "bench"))
        names = await store.pool.fetch(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'quotes' AND column_name <> 'id' ORDER BY ordinal_position"
        )
        rest = ", ".join(row["column_name"] for row in names)
        statement = _COPY_QUOTES.format(columns=f"id, {rest}", rest=rest)
        await store.pool.execute(statement, quotes)
        await store.pool.execute("VACUUM ANALYZE quotes")
    finally:
        await store.close()


class Orders:
    """Prebuilt order requests, each for a quote that no other request names."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> list[bytes]:
        first, self._next = self._next, self._next + count
        return [self._order(number) for number in range(first + 1, first + count + 1)]

    def _order(self, number: int) -> bytes:
        body = {
            "quote_id": f"qt_usd_{number:026d}",
            "wallet": {"network": "local", "address": WALLETS[number % CUSTOMERS]},
            "customer": f"customer-{number % CUSTOMERS:04d}",
            "metadata": {"cart": f"{number:012d}"},
        }
        headers = {
            "Authorization": f"Bearer {KEY}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"bench-{number:026d}",
        }
        return request("/v1/orders", headers, json.dumps(body).encode())


def bare_requests(count: int, row_bytes: int) -> list[bytes]:
    """Bodies that make the bare table's row as wide as an order's."""
    filler = os.urandom(row_bytes).hex()[: max(row_bytes - 64, 1)]
    return [request("/bare", {"Content-Type": "text/plain"}, filler.encode())] * count


async def order_row_bytes(dsn: str) -> int:
    store = await PostgresStore.connect(dsn)
    try:
        size = await store.pool.fetchval("SELECT avg(pg_column_size(o))::int FROM orders o")
        return int(size)
    finally:
        await store.close()


@contextmanager
def server(dsn: str, folder: Path) -> Iterator[int]:
    """The server under test in a process of its own; yields its port."""
    dsn_file = folder / "dsn"
    dsn_file.write_text(dsn)
    dsn_file.chmod(0o600)
    command = [sys.executable, "-m", "benchmarks.accept_server", str(dsn_file)]
    process = subprocess.Popen([*command, str(folder / "api.log")], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start: see {folder / 'api.log'}")
        yield int(line)
    finally:
        process.terminate()
        process.wait(20)


async def measure(dsn: str, port: int, options: argparse.Namespace) -> dict[str, Any]:
    """Alternating rounds at 16 connections and at 1."""
    orders = Orders()
    await _checked(run(port, orders.take(options.warmup), 16))
    row_bytes = await order_row_bytes(dsn)
    await _checked(run(port, bare_requests(options.warmup, row_bytes), 16))
    rounds: dict[str, list[Result]] = {"bare16": [], "order16": [], "bare1": [], "order1": []}
    for number in range(options.rounds):
        for connections, count in ((16, options.requests), (1, options.requests // 4)):
            pairs = [
                (f"bare{connections}", bare_requests(count, row_bytes)),
                (f"order{connections}", orders.take(count)),
            ]
            for name, requests in pairs if number % 2 == 0 else reversed(pairs):
                result = await _checked(run(port, requests, connections))
                rounds[name].append(result)
                _say(f"round {number + 1} {name}: {result.per_second:.0f}/s")
    return {
        **_ratios(rounds),
        "generator_rps_c16": round(await ceiling(bare_requests(20_000, row_bytes), 16)),
        "row_bytes": row_bytes,
    }


def _ratios(rounds: dict[str, list[Result]]) -> dict[str, Any]:
    def median(name: str, of: str) -> float:
        values = {
            "rps": [r.per_second for r in rounds[name]],
            "p50": [r.percentile_ms(50) for r in rounds[name]],
            "p99": [r.percentile_ms(99) for r in rounds[name]],
        }
        return statistics.median(values[of])

    return {
        "throughput_ratio_c16": round(median("order16", "rps") / median("bare16", "rps"), 3),
        "p50_ratio_c1": round(median("order1", "p50") / median("bare1", "p50"), 3),
        "p99_ms_c16": round(median("order16", "p99"), 2),
        "bare_rps_c16": round(median("bare16", "rps")),
        "orders_rps_c16": round(median("order16", "rps")),
        "p50_ms_c1": round(median("order1", "p50"), 3),
        "bare_p50_ms_c1": round(median("bare1", "p50"), 3),
        "bare_p99_ms_c16": round(median("bare16", "p99"), 2),
    }


async def _checked(running: Any) -> Result:
    result: Result = await running
    if result.failures:
        raise RuntimeError(f"{result.failures} requests failed, first: {result.first_failure}")
    return result


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    parser.add_argument("--requests", type=int, default=4_000, help="per round at 16 connections")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1_500)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tidegate-accept-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the database may run as another user
        database = postgres.start(folder / "postgres")
        try:
            migrate.upgrade(database.dsn)
            each = options.requests + options.requests // 4
            asyncio.run(prepare(database.dsn, options.warmup + options.rounds * each))
            with server(database.dsn, folder) as port:
                report = uvloop.run(measure(database.dsn, port, options))
        finally:
            database.stop()
    report |= {
        "requests_c16": options.requests * options.rounds,
        "requests_c1": options.requests // 4 * options.rounds,
        "customers": CUSTOMERS,
        "cpus": os.cpu_count(),
        "fsync": True,
        "access_log": True,
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(report) if options.json else json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
