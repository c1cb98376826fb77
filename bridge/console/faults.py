"""Which faults are foreseen, and what a person is told of them."""

import socket

import asyncpg

from bridge.settings import SettingsError
from settlement.errors import ChainUnknown, TidegateError


def in_one_line(error: BaseException) -> str | None:
    """What happened and what to do; ``None`` for a fault that is a bug of ours.

    Never repeats a connection string, which holds a password.
    """
    if isinstance(error, ChainUnknown):
        return f"no node of the network answers ({error}); is it running? `tidegate serve` runs one"
    if isinstance(error, SettingsError | TidegateError):
        return str(error)
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return "the database has no (or an old) schema; run `tidegate migrate` first"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return "the database refuses the user or password of DATABASE_URL"
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return "the database that DATABASE_URL names does not exist"
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return "there is no such tenant; `tidegate tenants list` shows them"
    if isinstance(error, socket.gaierror):
        return f"a host name cannot be found ({error.strerror}); is DATABASE_URL right?"
    if isinstance(error, ConnectionError | TimeoutError | asyncpg.CannotConnectNowError):
        return f"the database does not answer ({type(error).__name__}); is DATABASE_URL right?"
    if isinstance(error, OSError):
        return str(error)
    return None
