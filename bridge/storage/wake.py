"""Wake-ups between processes: LISTEN/NOTIFY as a hint that spares polling, never as a fact.

NOTIFY takes a database-wide lock at commit, so it never runs inside a transaction that accepts
or moves anything: a background task sends it afterwards, coalesced.
"""

from collections.abc import Callable, Sequence

WORK = "tidegate_work"
EVENTS = "tidegate_events"


class Wake:
    """``notify`` is fire-and-forget; ``listen`` calls back on every hint and after reconnects."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def start(self) -> None:
        raise NotImplementedError

    def notify(self, channel: str) -> None:
        """Ask for one NOTIFY soon; returns at once, never raises."""
        raise NotImplementedError

    def listen(self, channels: Sequence[str], callback: Callable[[str], None]) -> None:
        """Call ``callback(channel)`` in the event loop on each hint."""
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError
