"""A machine whose clock is off does not start to lease anything."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.clocks import check_clock, clock_apart_ms, clock_jobs
from bridge.processes import run_api, run_worker
from bridge.settings import Settings, SettingsError, load
from bridge.storage.store import PostgresStore
from tests.support.engine import Notes
from tests.support.postgres import execute

LEASE_MS = 10_000


class Shifted:
    """A clock that is so many seconds ahead."""

    def __init__(self, seconds: float) -> None:
        self.by = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


@pytest.fixture
def slow_database(database_dsn: str) -> Iterator[str]:
    """Its clock is a minute behind ours."""
    name = database_dsn.rpartition("/")[2].partition("?")[0]
    body = "SELECT pg_catalog.clock_timestamp() - interval '1 minute'"
    made = (
        "CREATE SCHEMA slow",
        f"CREATE FUNCTION slow.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ {body} $$",
        f"ALTER DATABASE {name} SET search_path = slow, pg_catalog, public",
    )
    asyncio.run(execute(database_dsn, *made))
    yield database_dsn
    gone = (f"ALTER DATABASE {name} RESET search_path", "DROP SCHEMA slow CASCADE")
    asyncio.run(execute(database_dsn, *gone))


@pytest.mark.parametrize("run", [run_api, run_worker])
def test_neither_api_nor_worker_starts_beside_a_database_with_another_time(
    run: Callable[[Settings], None], slow_database: str, tmp_path: Path
) -> None:
    """The message says which way it is off."""
    told = {
        "DATABASE_URL": slow_database,
        "STRIPE_API_KEY": "sk_test_wiring",
        "TIDEGATE_STATE_DIR": str(tmp_path),
        "TIDEGATE_PORT": "0",
        "TIDEGATE_GRAPH": "false",
    }
    with pytest.raises(SettingsError, match=r"clock is (59|60).\d s ahead of the database's"):
        run(load(told))


@pytest.mark.parametrize(("seconds", "side"), [(5.5, "ahead of"), (-5.5, "behind")])
async def test_more_than_half_a_lease_is_refused(
    postgres_store: PostgresStore, seconds: float, side: str
) -> None:
    """Two such machines could be a whole lease apart."""
    log = Notes()
    with pytest.raises(SettingsError, match=side):
        await check_clock(postgres_store.pool, Shifted(seconds), LEASE_MS, log)
    assert log.count("clock_apart") == 1


@pytest.mark.parametrize(("seconds", "said"), [(0, 0), (0.5, 0), (3, 1), (-3, 1)])
async def test_more_than_a_second_is_said_and_less_is_not(
    postgres_store: PostgresStore, seconds: float, said: int
) -> None:
    """At the start, and by a running worker every minute, which goes on."""
    log, clock = Notes(), Shifted(seconds)
    await check_clock(postgres_store.pool, clock, LEASE_MS, log)
    assert log.count("clock_apart") == said
    [(look, _every_s)] = clock_jobs(postgres_store.pool, clock, log)
    await look()
    assert log.count("clock_apart") == 2 * said
    assert abs(await clock_apart_ms(postgres_store.pool, clock) - seconds * 1_000) < 500
