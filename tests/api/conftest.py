"""One server per module; each test gets a tenant that no other test knows."""

from collections.abc import AsyncIterator

import pytest

from bridge.storage.store import PostgresStore
from tests.api.world import Api, open_api


@pytest.fixture(scope="module")
async def server(module_store: PostgresStore, database_dsn: str) -> AsyncIterator[Api]:
    async with open_api(module_store, database_dsn) as api:
        yield api


@pytest.fixture
async def api(server: Api) -> Api:
    server.clock.ahead *= 0
    return await server.new_tenant()
