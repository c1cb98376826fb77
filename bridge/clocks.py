"""Leases and due dates compare the clocks of several machines: one that is off is found here.

A wrong clock pays nobody twice, since every write carries an epoch. But a worker that is ahead by a
lease takes what others are at work on, again and again, and one that is behind is never in time.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from bridge.settings import SettingsError
from settlement.ports.clock import Clock
from settlement.ports.notification import Log

WARN_ABOVE_MS = 1_000
AGAIN_S = 60.0
_DATABASE_NOW = "SELECT clock_timestamp()"
_LOOKS = 5


async def check_clock(pool: Any, clock: Clock, lease_ms: int, log: Log) -> None:
    """Compare ``clock`` with the database's; tells of more than a second.

    Raises :class:`SettingsError` above half of ``lease_ms``, so that no two machines that have
    started are a lease apart.
    """
    apart_ms = await clock_apart_ms(pool, clock)
    if abs(apart_ms) > WARN_ABOVE_MS:
        log.warning("clock_apart", apart_ms=apart_ms)
    if abs(apart_ms) > lease_ms // 2:
        side = "ahead of" if apart_ms > 0 else "behind"
        raise SettingsError(
            f"this machine's clock is {abs(apart_ms) / 1000:.1f} s {side} the database's, and "
            f"leases last {lease_ms / 1000:.0f} s: set it (chrony, ntpd) before starting here"
        )


def clock_jobs(
    pool: Any, clock: Clock, log: Log
) -> list[tuple[Callable[[], Awaitable[None]], float]]:
    """A running worker goes on whatever its clock does, and says so every minute."""

    async def look() -> None:
        try:
            apart_ms = await clock_apart_ms(pool, clock)
        except Exception as error:  # the database is away, which others tell of
            log.info("clock_not_compared", error=repr(error))
            return
        if abs(apart_ms) > WARN_ABOVE_MS:
            log.warning("clock_apart", apart_ms=apart_ms)

    return [(look, AGAIN_S)]


async def clock_apart_ms(pool: Any, clock: Clock) -> int:
    """How far ``clock`` is ahead of the database's at least; negative: behind.

    By the quickest of a few questions: what its round trip could explain does not count.
    """
    async with pool.acquire() as connection:
        looks = [await _look(connection, clock) for _ in range(_LOOKS)]
    took, middle_apart = min(looks)
    doubt = took / 2
    apart = max(abs(middle_apart) - doubt, timedelta())
    sign = 1 if middle_apart > timedelta() else -1
    return sign * (apart // timedelta(milliseconds=1))


async def _look(connection: Any, clock: Clock) -> tuple[timedelta, timedelta]:
    """How long the question took, and how far our clock was ahead in the middle of it."""
    asked = clock.now()
    theirs = await connection.fetchval(_DATABASE_NOW)
    took = clock.now() - asked
    return took, asked + took / 2 - theirs
