"""Wake-ups between processes: LISTEN/NOTIFY as a hint that spares polling, never as a fact.

NOTIFY takes a database-wide lock at commit, so it never runs inside a transaction that accepts
or moves anything: a background task sends it afterwards, on a connection of its own, one at a
time. However many ask while one is on its way, one more follows.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import asyncpg

WORK = "tidegate_work"
"""An order was accepted or nudged: workers may have something to do."""
EVENTS = "tidegate_events"
"""Order events were written: streams may have something to send."""

_LISTENS = """
    SELECT EXISTS (SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = $1)
"""
_BETWEEN_S = 0.01
"""The first hint leaves at once; under load one in a hundredth of a second stands for many."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0


class Wake:
    """``notify`` is fire-and-forget; ``listen`` calls back on every hint and after reconnects.

    Lost hints are normal (a server restarts, a connection breaks): whoever listens also looks by
    itself now and then.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._wanted: set[str] = set()
        self._asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the background task that sends; needs no server yet."""
        self._keep(self._send_forever())

    def notify(self, channel: str) -> None:
        """Ask for one NOTIFY soon; returns at once, never raises."""
        self._wanted.add(channel)
        self._asked.set()

    def listen(self, channels: Sequence[str], callback: Callable[[str], None]) -> None:
        """Call ``callback(channel)`` in the event loop on each hint.

        Also once per channel whenever the connection is (again) there, since hints may have been
        lost before.
        """
        self._keep(self._listen_forever(tuple(channels), callback))

    async def stop(self) -> None:
        """End all tasks and close their connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _send_forever(self) -> None:
        await _with_connections(self._dsn, self._send, "tidegate-notifies")

    async def _send(self, connection: Any) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            channels, self._wanted = self._wanted, set()
            try:
                for channel in sorted(channels):
                    await connection.execute("SELECT pg_notify($1, '')", channel)
            except BaseException:
                self._wanted |= channels  # sent after the reconnect
                self._asked.set()
                raise
            await asyncio.sleep(_BETWEEN_S)

    async def _listen_forever(
        self, channels: tuple[str, ...], callback: Callable[[str], None]
    ) -> None:
        def hint(_connection: Any, _pid: int, channel: str, _payload: str) -> None:
            callback(channel)

        async def listen(connection: Any) -> None:
            for channel in channels:
                await connection.add_listener(channel, hint)
            for channel in channels:
                callback(channel)
            await _closed(connection)

        await _with_connections(self._dsn, listen, _listener_name(channels[0]))


async def announce(pool: Any, channel: str) -> None:
    """One NOTIFY at once, from a process that ends soon; after what it announces is committed."""
    await pool.execute("SELECT pg_notify($1, '')", channel)


async def somebody_listens(pool: Any, channel: str) -> bool:
    """Whether any process listens on ``channel`` (as its first one) in this database now."""
    return bool(await pool.fetchval(_LISTENS, _listener_name(channel)))


def _listener_name(channel: str) -> str:
    return f"tidegate-listens:{channel}"


async def _with_connections(
    dsn: str, work: Callable[[Any], Coroutine[Any, Any, None]], name: str
) -> None:
    """Run ``work`` on one connection after another, for ever, with growing pauses."""
    pause_s = _FIRST_PAUSE_S
    while True:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(dsn, server_settings={"application_name": name})
            pause_s = _FIRST_PAUSE_S
            try:
                await work(connection)
            finally:
                connection.terminate()
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


async def _closed(connection: Any) -> None:
    """Return when the connection has ended."""
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _connection: ended.set())
    if not connection.is_closed():
        await ended.wait()
