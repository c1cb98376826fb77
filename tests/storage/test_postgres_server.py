"""The embedded server: what it survives, and that it outlives nobody."""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from bridge.storage import postgres
from tests.support.waiting import eventually_sync

HOLDER = """
import signal, sys
from pathlib import Path
from bridge.storage import postgres
server = postgres.start(Path(sys.argv[1]), fsync=False)
print(server.pid, flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder, created once: making one is the slow part."""
    folder = tmp_path_factory.mktemp("private") / "data"
    folder.parent.chmod(0o700)  # as below /root: nobody else may pass
    postgres.start(folder, fsync=False).stop()
    return folder


@pytest.fixture
def holder(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that runs the server: the process, and the server's pid."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()


def gone(pid: int) -> bool:
    """Whether the process has ended (a zombie that init has yet to reap has)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def ask(dsn: str, question: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_data_of_another_major_version_is_refused(folder: Path) -> None:
    """With advice, before the server is touched."""
    version = folder / "cluster" / "PG_VERSION"
    kept = version.read_text()
    version.write_text("15\n")
    try:
        with pytest.raises(postgres.FolderUnusable, match="made by PostgreSQL 15"):
            postgres.start(folder)
    finally:
        version.write_text(kept)


def test_a_taken_port_is_a_clear_error_and_leaves_nothing_behind(folder: Path) -> None:
    """The message carries the server's own log; the next start works."""
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        with pytest.raises(postgres.PostgresNotStarted, match="could not bind"):
            postgres.start(folder, port=squatter.getsockname()[1], fsync=False)
    postgres.start(folder, fsync=False).stop()


def test_a_wrong_password_is_refused(folder: Path) -> None:
    """Other users of the machine reach the port, not the data."""
    server = postgres.start(folder, fsync=False)
    try:
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(server.dsn.replace("tidegate:", "tidegate:not"), "SELECT 1")
        assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
        assert server.dsn not in repr(server)
    finally:
        server.stop()


def test_no_parent_folder_is_opened_to_others(folder: Path) -> None:
    """The private folder is as private as before, and the server ran all the same."""
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    server = postgres.start(folder, fsync=False)
    try:
        assert ask(server.dsn, "SELECT current_setting('server_version_num')::int / 10000") == 18
    finally:
        server.stop()


def test_the_server_writes_safely_unless_told_otherwise(folder: Path) -> None:
    """fsync and synchronous commit are on by default, and it listens on the loopback only."""
    server = postgres.start(folder)
    try:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert ask(server.dsn, f"SHOW {setting}") == "on"
        assert ask(server.dsn, "SHOW listen_addresses") == "127.0.0.1"
    finally:
        server.stop()


def test_a_second_process_joins_and_its_stop_ends_nothing(
    folder: Path, holder: tuple[subprocess.Popen[str], int]
) -> None:
    """One server per folder, whoever asks."""
    process, pid = holder
    joined = postgres.start(folder)
    assert (joined.owned, joined.pid) == (False, pid)
    joined.stop()
    assert ask(joined.dsn, "SELECT 1") == 1
    assert process.poll() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="parent-death signals are Linux")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_does_not_outlive_a_killed_parent(
    holder: tuple[subprocess.Popen[str], int], number: int
) -> None:
    """However the parent ends."""
    process, pid = holder
    process.send_signal(number)
    process.wait()
    eventually_sync(lambda: gone(pid), what="the end of the server")


def test_a_start_right_after_a_killed_run_works_on_the_same_data(
    folder: Path, holder: tuple[subprocess.Popen[str], int]
) -> None:
    """While the old server is still shutting down, or just has."""
    process, pid = holder
    before = postgres.start(folder)
    ask(before.dsn, "CREATE TABLE IF NOT EXISTS kept (n int)")
    process.kill()
    process.wait()
    server = postgres.start(folder, fsync=False)
    try:
        assert server.owned
        assert server.pid != pid
        assert ask(server.dsn, "SELECT count(*) FROM kept") == 0
    finally:
        server.stop()


def test_a_killed_servers_pid_file_does_not_stop_the_next_start(folder: Path) -> None:
    """Not even when its pid belongs to somebody else by now."""
    server = postgres.start(folder, fsync=False)
    pid_file = folder / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    again = postgres.start(folder, fsync=False)
    try:
        assert again.owned
        assert ask(again.dsn, "SELECT 1") == 1
    finally:
        again.stop()


def test_a_half_made_folder_is_made_again(tmp_path: Path) -> None:
    """A first run that was killed while creating leaves only leftovers."""
    (tmp_path / "cluster.new").mkdir()
    (tmp_path / "cluster.new" / "PG_VERSION").write_text("18\n")
    (tmp_path / "password").write_text("half")
    server = postgres.start(tmp_path, fsync=False)
    try:
        assert ask(server.dsn, "SELECT current_database()") == "tidegate"
    finally:
        server.stop()


def test_a_configured_database_is_used_instead(tmp_path: Path) -> None:
    """DATABASE_URL wins, and nothing is created."""
    url = "postgresql://someone@db.example/tidegate"
    server = postgres.use_or_start(url, tmp_path / "unused")
    server.stop()
    assert (server.dsn, server.owned) == (url, False)
    assert not (tmp_path / "unused").exists()


def test_starting_writes_nothing_to_the_terminal(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its words are in server.log."""
    postgres.start(folder, fsync=False).stop()
    assert capfd.readouterr() == ("", "")
    assert "ready to accept connections" in (folder / "server.log").read_text()
