"""Both stores behind one fixture: a conformance test runs once over each."""

import pytest

from bridge.storage.memory import MemoryStore
from bridge.storage.store import PostgresStore
from tests.support.builders import Scene


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> MemoryStore | PostgresStore:
    """An empty store of either kind."""
    if request.param == "memory":
        return MemoryStore()
    stored: PostgresStore = request.getfixturevalue("postgres_store")
    return stored


@pytest.fixture
def scene(store: MemoryStore | PostgresStore) -> Scene:
    """A tenant of its own on that store."""
    return Scene(store)
