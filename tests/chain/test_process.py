"""Child processes: what is said when they fail, and that none outlives its parent."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from chain.errors import ChildExited, FolderBusy, ForeignChain, NotReadyInTime
from chain.local.local_chain import LocalChain, verify_ready
from chain.local.process import (
    ChildProcess,
    FolderLock,
    first_outgoing_port,
    free_port,
    port_is_free,
)
from tests.chain.waiting import is_running, wait_for

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the parent-death signal exists on Linux alone"
)
SLEEPER = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('deaf', flush=True); time.sleep(600)"
)


def child(tmp_path: Path, code: str) -> ChildProcess:
    return ChildProcess("child", [sys.executable, "-c", code], log_path=tmp_path / "child.log")


def test_a_child_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """The reason stands in its log, so the log's end stands in the error."""
    failing = child(tmp_path, "print('the reason'); raise SystemExit(3)")
    with pytest.raises(ChildExited, match="status 3:\nthe reason"):
        failing.wait_until(lambda: False, limit_s=10)


def test_a_child_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """Waiting has a limit."""
    sleeper = child(tmp_path, SLEEPER)
    with pytest.raises(NotReadyInTime):
        sleeper.wait_until(lambda: False, limit_s=0.1)
    sleeper.kill()


def test_a_child_deaf_to_the_asking_is_killed(tmp_path: Path) -> None:
    """Stopping has a limit as well."""
    deaf = child(tmp_path, STUBBORN)
    deaf.wait_until(lambda: "deaf" in deaf.log_tail(), limit_s=10)
    assert deaf.stop(limit_s=0.1) == -signal.SIGKILL
    assert not deaf.alive


def test_a_stranger_on_our_port_is_not_taken_for_our_child(
    chain: LocalChain, tmp_path: Path
) -> None:
    """Another chain answering there would pass every other check."""
    sleeper = child(tmp_path, SLEEPER)
    port = int(chain.url.rpartition(":")[2])
    with pytest.raises(ForeignChain):
        verify_ready(sleeper, port, chain.chain_id, limit_s=5)
    sleeper.kill()


def test_a_chain_with_another_id_is_not_ours(chain: LocalChain) -> None:
    """The right process on the right port, and still the wrong chain."""
    port = int(chain.url.rpartition(":")[2])
    with pytest.raises(ForeignChain, match="serves chain 31337, not 1"):
        verify_ready(chain.process, port, 1, limit_s=5)


def test_a_folder_has_one_worker_at_a_time(tmp_path: Path) -> None:
    """The second is told who is there; after the first has gone it may start."""
    first = FolderLock(tmp_path)
    first.record_owner(4711)
    with pytest.raises(FolderBusy, match="pid 4711"):
        FolderLock(tmp_path, limit_s=0.1)
    first.release()
    FolderLock(tmp_path, limit_s=0.1).release()


def test_a_folder_stays_locked_while_the_child_lives(tmp_path: Path) -> None:
    """A parent that died must not leave the folder to two chains."""
    lock = FolderLock(tmp_path)
    sleeper = ChildProcess(
        "child",
        [sys.executable, "-c", SLEEPER],
        log_path=tmp_path / "log",
        inherit=[lock.descriptor],
    )
    lock.release()
    with pytest.raises(FolderBusy):
        FolderLock(tmp_path, limit_s=0.1)
    sleeper.kill()
    FolderLock(tmp_path, limit_s=5).release()


@on_linux
def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """``kill -9`` gives the parent no time to clean up; the system does it."""
    program = f"""
import os, signal, sys
from pathlib import Path
from chain.local.process import ChildProcess
log = Path({str(tmp_path)!r}) / "log"
child = ChildProcess("c", [sys.executable, "-c", {SLEEPER!r}], log_path=log)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    parent = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert parent.returncode == -signal.SIGKILL
    wait_for(lambda: not is_running(int(parent.stdout)), "the child's death")


@on_linux
def test_a_child_survives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    """Linux counts the forking thread as the parent; here a thread must not count."""
    started: list[ChildProcess] = []
    thread = threading.Thread(target=lambda: started.append(child(tmp_path, STUBBORN)))
    thread.start()
    thread.join()
    [survivor] = started
    survivor.wait_until(lambda: "deaf" in survivor.log_tail(), limit_s=10)
    assert survivor.alive
    survivor.kill()


def test_a_free_port_is_free_and_a_listening_one_is_not(chain: LocalChain) -> None:
    """What the launchers decide by."""
    assert port_is_free(free_port())
    assert not port_is_free(int(chain.url.rpartition(":")[2]))
    assert chain.process.listens_on(int(chain.url.rpartition(":")[2])) in (True, None)


def test_outgoing_connections_are_never_given_a_port_that_was_drawn(tmp_path: Path) -> None:
    """A child that is down for a moment, or not yet up, finds its port free all the same."""
    for range_file in ("20000\t60999\n", "", "no numbers"):
        known = tmp_path / "range"
        known.write_text(range_file)
        first = first_outgoing_port(known)
        assert first == (20_000 if range_file.startswith("2") else 49_152)
    assert first_outgoing_port(tmp_path / "none") == 49_152
    assert all(free_port() < first_outgoing_port() for _ in range(50))
