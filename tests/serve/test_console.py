"""The console: refusals in one line, keys that are shown once, everything written down."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.api.auth import key_digest
from bridge.cli import cli
from bridge.console.faults import in_one_line
from bridge.storage.pages import Page
from bridge.storage.queries import Queries
from bridge.storage.store import PostgresStore
from tests.support.builders import NOW, provider_event

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(database_dsn: str, tmp_path: Path) -> Say:
    """Runs one command on the module's database: its status, and what it said or why it failed."""

    def run(*words: str, **environment: str) -> tuple[int, str]:
        told = {"DATABASE_URL": database_dsn, "TIDEGATE_STATE_DIR": str(tmp_path), **environment}
        result = CliRunner().invoke(cli, list(words), env=told)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            message = in_one_line(result.exception)
            assert message is not None, result.exception
            return 1, message
        return result.exit_code, result.output

    return run


def test_without_a_database_the_message_names_the_variable(say: Say, tmp_path: Path) -> None:
    """No folder of `serve`, no DATABASE_URL: there is nothing to connect to."""
    status, said = say("keys", "list", DATABASE_URL="")
    assert status == 1
    assert f"there is no database in {tmp_path}: set DATABASE_URL" in said


def test_a_database_without_schema_asks_for_a_migration(say: Say, postgres_server: object) -> None:
    """The bare database of the server was never migrated."""
    status, said = say("tenants", "list", DATABASE_URL=str(postgres_server.dsn_for("postgres")))  # type: ignore[attr-defined]
    assert (status, "run `tidegate migrate`" in said) == (1, True)


def test_a_wrong_password_is_named_but_not_shown(say: Say, database_dsn: str) -> None:
    """A connection string never reaches the terminal."""
    head, _, tail = database_dsn.partition("@")
    wrong = f"{head.rpartition(':')[0]}:wrong-password@{tail}"
    status, said = say("tenants", "list", DATABASE_URL=wrong)
    assert status == 1
    assert "refuses the user or password" in said
    assert "wrong-password" not in said


def test_a_bad_setting_is_named(say: Say) -> None:
    """Before anything is opened."""
    status, said = say("tenants", "list", TIDEGATE_PORT="eighty")
    assert status == 1
    assert said.startswith("TIDEGATE_PORT:")


async def test_an_unknown_tenant_is_refused(say: Say, postgres_store: PostgresStore) -> None:
    """With and without a name."""
    assert "make one with `tidegate tenants create NAME`" in await aside(say, "keys", "list")
    assert "no tenant ten_x" in await aside(say, "keys", "create", "--tenant", "ten_x")
    assert await Queries(postgres_store.pool).tenants() == []


async def test_a_key_is_shown_once_and_works_until_revoked(
    say: Say, postgres_store: PostgresStore
) -> None:
    """Standard output is the key alone; lists show its ends; a revoked key opens nothing."""
    queries = Queries(postgres_store.pool)
    tenant_id = (await aside(say, "tenants", "create", "Shop")).strip()
    said = (await aside(say, "keys", "create", "--role", "operator")).splitlines()
    token = said[-1]
    login = await queries.login(key_digest(token))
    assert login is not None
    assert (login.tenant.id, login.key.role, token[:11]) == (tenant_id, "operator", "tg_sk_test_")
    listed = await aside(say, "keys", "list")
    assert login.key.id in listed
    assert token not in listed

    assert "is revoked" in await aside(say, "keys", "revoke", login.key.id)
    assert "revoked before" in await aside(say, "keys", "revoke", login.key.id)
    assert await queries.login(key_digest(token)) is None
    actions = [row.action for row in (await queries.audit_log(tenant_id, Page())).rows]
    assert actions == ["key.revoked", "key.created", "tenant.created"]


async def test_replaying_asks_for_what_was_given_up(
    say: Say, postgres_store: PostgresStore
) -> None:
    """Neither nothing nor something unknown is replayed; what is, is written down."""
    assert "name events, or say --all" in await aside(say, "inbox", "replay")
    assert "none of these events" in await aside(say, "inbox", "replay", "evt_unknown")
    assert "no event was given up" in await aside(say, "inbox", "list")
    assert "0 events" in await aside(say, "inbox", "replay", "--all")
    queries = Queries(postgres_store.pool)
    assert (await queries.audit_log(None, Page())).rows == []
    await postgres_store.receive([provider_event("evt_1")], NOW)
    await postgres_store.defer_inbox("evt_1", NOW, error="boom", dead=True)
    assert "1 event will be" in await aside(say, "inbox", "replay", "--all")
    [line] = (await queries.audit_log(None, Page())).rows
    assert (line.action, line.data) == ("inbox.replayed", {"count": 1, "events": "all"})


@pytest.mark.usefixtures("postgres_store")
async def test_treasury_says_when_nothing_is_deployed(say: Say) -> None:
    """A deployment without a chain has nothing to compare."""
    assert "no network is deployed" in await aside(say, "treasury", "status")
    assert "no network is deployed" in await aside(say, "networks", "list")


async def aside(say: Say, *words: str) -> str:
    """The command's words; in a thread of its own, since it runs a loop of its own."""
    return (await asyncio.to_thread(say, *words))[1]
