"""Child processes that end when we end, whatever ends us.

A local chain (or emulator, or worker) that outlives its parent keeps its port and its data folder,
and the next run meets a stranger. So on Linux every child gets a parent-death signal; everywhere
its data folder is locked by a file that the child holds open, and stopping is: ask, wait, kill.
"""

import contextlib
import ctypes
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from chain.errors import ChildExited, FolderBusy, NotReadyInTime, PortTaken

LOOPBACK = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_LOG_TAIL_BYTES = 2_000
_FIRST_PORT = 10_000
_DYNAMIC_PORTS = 49_152
_OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PORT_DRAWS = 100

# Linux sends the parent-death signal when the *thread* that forked ends. One thread that lives as
# long as the interpreter does all the forking, so that callers may come and go on any thread.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def _renew_spawner() -> None:
    global _spawner
    _spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


os.register_at_fork(after_in_child=_renew_spawner)  # threads do not survive a fork


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on at this moment.

    Not one of those that the system gives to outgoing connections: any of the machine's programs
    could be given it between our look and our child's start, or while the child is down.

    Raises :class:`~chain.errors.PortTaken` when none is found.
    """
    below = first_outgoing_port()
    for _ in range(_PORT_DRAWS):
        # Not from `random`, whose state forked processes share: they would draw the same port.
        port = secrets.choice(range(_FIRST_PORT, below))
        if port_is_free(port):
            return port
    raise PortTaken(f"no port from {_FIRST_PORT} to {below - 1} on {LOOPBACK} is free")


def first_outgoing_port(known: Path = _OUTGOING_PORTS) -> int:
    """Start of the range for outgoing connections; that of RFC 6335 where none can be read."""
    try:
        first = int(known.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _DYNAMIC_PORTS
    return first if first > _FIRST_PORT else _DYNAMIC_PORTS


def port_is_free(port: int) -> bool:
    """Whether we could listen on ``port`` now (a port in TIME_WAIT counts as free)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


class ChildProcess:
    """One child: started on construction, stopped by :meth:`stop` or by our own death."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        death_signal: int = signal.SIGTERM,
        inherit: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("wb") as log:
            start = _spawner.submit(_spawn, command, log, env, death_signal, inherit)
            self._popen = start.result()

    def __repr__(self) -> str:
        state = "running" if self.alive else f"ended with {self._popen.returncode}"
        return f"<{self.name} pid={self.pid} {state}>"

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    def log_tail(self) -> str:
        """The last lines that the child wrote."""
        with contextlib.suppress(OSError):
            return self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return ""

    def stop(self, limit_s: float = 10.0) -> int:
        """Ask the child to end (SIGTERM), kill it after ``limit_s``; returns its exit status."""
        if self.alive:
            self._popen.terminate()
        try:
            return self._popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End the child at once (SIGKILL); returns its exit status."""
        if self.alive:
            self._popen.kill()
        return self._popen.wait()

    def wait_until(self, ready: Callable[[], bool], limit_s: float) -> None:
        """Wait until ``ready()`` is true.

        Raises:
            ChildExited: the child ended first.
            NotReadyInTime: ``limit_s`` passed.
        """
        deadline = time.monotonic() + limit_s
        while not ready():
            if not self.alive:
                raise ChildExited(
                    f"{self.name} ended with status {self.returncode}:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise NotReadyInTime(f"{self.name} did not answer within {limit_s:g} s")
            time.sleep(0.02)

    def listens_on(self, port: int) -> bool | None:
        """Whether this very process holds the listening socket of ``port``.

        ``None`` where the operating system gives no cheap answer (not Linux).
        """
        if not sys.platform.startswith("linux"):
            return None
        inodes = _listening_inodes(port)
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) in inodes:
                    return True
        return False


class FolderLock:
    """Says that a process works on a folder. The child inherits it, so that it holds while any of
    us lives, and no longer: the system drops it with the last holder."""

    def __init__(self, folder: Path, limit_s: float = 2.0) -> None:
        """Raises :class:`~chain.errors.FolderBusy` when another holds it for ``limit_s``."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "lock").open("a+")
        deadline = time.monotonic() + limit_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > deadline:
                    self._file.seek(0)
                    owner = self._file.read().strip() or "unknown"
                    self._file.close()
                    raise FolderBusy(
                        f"another chain process (pid {owner}) works on {folder}; "
                        "stop it first, or choose another data folder"
                    ) from None
                time.sleep(0.05)

    @property
    def descriptor(self) -> int:
        return self._file.fileno()

    def record_owner(self, pid: int) -> None:
        """Write who works here, for the message that the next one may have to show."""
        self._file.truncate(0)
        self._file.write(str(pid))
        self._file.flush()

    def release(self) -> None:
        """Give up our own hold; a child that inherited it keeps the lock until it ends."""
        self._file.close()


def _spawn(
    command: Sequence[str],
    log: IO[bytes],
    env: Mapping[str, str] | None,
    death_signal: int,
    inherit: Sequence[int],
) -> subprocess.Popen[bytes]:
    # An own session: Ctrl-C in the terminal reaches us alone, and we stop children in order.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=dict(env) if env is not None else None,
        start_new_session=True,
        pass_fds=tuple(inherit),
        preexec_fn=_die_with_parent(death_signal),
    )


def _die_with_parent(death_signal: int) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # the parent died between fork and here
            os._exit(1)

    return arrange


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                local_port = int(fields[1].rpartition(":")[2], 16)
                if local_port == port and fields[3] == "0A":  # LISTEN
                    found.add(f"socket:[{fields[9]}]")
    return found
