"""The pool, and what every part of the store shares: JSON, error translation, retries."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

import asyncpg
import msgspec

from settlement.errors import InsufficientInventory, InvalidInput, InvariantBroken, TidegateError

T = TypeVar("T")

_DEADLOCK_TRIES = 5


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that comes back to the pool without a round trip.

    Nothing here changes session state, so there is nothing for ``RESET ALL`` to reset; an open
    transaction is still rolled back.
    """

    def get_reset_query(self) -> str:
        return ""


def dumps(value: Any) -> str:
    """Whole numbers of any size stay whole numbers; enums and moments become text."""
    return msgspec.json.encode(value).decode()


async def _init(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=dumps, decoder=msgspec.json.decode
    )


async def open_pool(dsn: str, min_size: int, max_size: int) -> Any:
    """An asyncpg pool whose ``jsonb`` values are Python objects."""
    return await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        connection_class=_Connection,
        init=_init,
        server_settings={"application_name": "tidegate", "timezone": "UTC"},
    )


class Part:
    """One topic of the store; all parts share one pool and one clock."""

    pool: Any

    def now(self) -> datetime:
        """The moment to write where a call carries none."""
        raise NotImplementedError


def broken_guard(error: Exception) -> TidegateError:
    """The core's name for a constraint that stopped a statement."""
    name = getattr(error, "constraint_name", None)
    if name == "ledger_accounts_guard":
        return InsufficientInventory("an account would give out more than it has")
    return InvariantBroken(f"the database refused: {name or error}")


def storable(value: Any) -> Any:
    """A provider's JSON without what PostgreSQL cannot hold: NUL and half surrogate pairs.

    One such character in somebody's free text must not keep an event from being stored.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list) else value


@contextlib.contextmanager
def refusing_unstorable_text() -> Iterator[None]:
    """A caller's text with a NUL or half a surrogate pair is the caller's mistake.

    Raises :class:`~settlement.errors.InvalidInput`.
    """
    try:
        yield
    except (asyncpg.DataError, UnicodeEncodeError) as error:
        raise InvalidInput("a text has characters that cannot be stored") from error


async def retrying(work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` again when PostgreSQL chose it as a deadlock's victim: nothing was written."""
    for _ in range(_DEADLOCK_TRIES - 1):
        try:
            return await work()
        except asyncpg.DeadlockDetectedError:
            continue
    return await work()
