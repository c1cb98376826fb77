"""What every console command needs: settings, and a connection to the deployment's database."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from bridge import settings as settings_module
from bridge.operating import Doing
from bridge.serve.folder import DataFolder
from bridge.settings import Settings, SettingsError
from bridge.storage import postgres
from bridge.storage.actions import Deed
from bridge.storage.queries import Queries
from bridge.storage.records import Tenant
from bridge.storage.store import PostgresStore
from bridge.storage.wake import WORK, announce
from settlement.errors import NotFound
from settlement.ports.clock import Clock, SystemClock

P = ParamSpec("P")
T = TypeVar("T")

ACTOR = "console"
"""Who the audit log says it was."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One command's hands. ``settings`` name the database that is really used."""

    settings: Settings
    store: PostgresStore
    queries: Queries
    clock: Clock

    async def tenant(self, tenant_id: str | None) -> Tenant:
        """The named tenant, or the only one there is.

        Raises :class:`~settlement.errors.NotFound`, or :class:`SettingsError` when several fit.
        """
        if tenant_id is not None:
            found = await self.queries.tenant(tenant_id)
            if found is None:
                raise NotFound(f"there is no tenant {tenant_id}; see `tidegate tenants list`")
            return found
        tenants = await self.queries.tenants()
        if not tenants:
            raise NotFound("there is no tenant yet; make one with `tidegate tenants create NAME`")
        if len(tenants) > 1:
            known = ", ".join(tenant.id for tenant in tenants)
            raise SettingsError(f"say which tenant with --tenant: {known}")
        return tenants[0]


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    """Connect to ``DATABASE_URL``, or to the embedded server of the data folder.

    A server that ``tidegate serve`` runs is joined; otherwise it runs as long as the command.
    """
    settings = settings_module.load()
    server = None
    if settings.database_url is None:
        server = await asyncio.to_thread(start_database, settings)
        settings = replace(settings, database_url=server.dsn)
    try:
        store = await PostgresStore.connect(str(settings.database_url), 1, 2)
        try:
            yield Desk(settings, store, Queries(store.pool), SystemClock())
        finally:
            await store.close()
    finally:
        if server is not None:
            await asyncio.to_thread(server.stop)


async def act(desk: Desk, doing: Doing) -> Deed | None:
    """Do it, write it down, and tell the workers; what was written down, or ``None`` where nothing
    changed.

    Raises what the work refuses with.
    """
    done = await desk.queries.perform(doing.deed, doing.work, desk.clock.now())
    await announce(desk.store.pool, WORK)
    return done


def start_database(settings: Settings) -> postgres.Server:
    """The embedded server of the data folder, which must have one.

    Raises :class:`SettingsError`.
    """
    folder = DataFolder(Path(settings.state_dir).absolute())
    if not folder.postgres.exists():
        raise SettingsError(
            f"there is no database in {folder.root}: set DATABASE_URL, or TIDEGATE_STATE_DIR to "
            "the data folder of `tidegate serve`"
        )
    return postgres.start(folder.postgres)


def runs(command: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Let an ``async`` function be a command."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return asyncio.run(command(*args, **kwargs))

    return run


def table(rows: Sequence[tuple[str, ...]], heads: tuple[str, ...]) -> str:
    """Columns as wide as their widest cell."""
    every = [heads, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(heads))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in every]
    return "\n".join(line.rstrip() for line in lines)
