"""The PostgreSQL server that comes with us, for machines that have none."""

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Server:
    """A running server; ``owned``: started by us, so :meth:`stop` ends it."""

    dsn: str
    folder: Path
    owned: bool

    def stop(self) -> None:
        raise NotImplementedError


def start(
    folder: Path, *, port: int | None = None, fsync: bool = True, limit_s: float = 60.0
) -> Server:
    """Start (or join) the server whose data is in ``folder``; create it on first use."""
    raise NotImplementedError
