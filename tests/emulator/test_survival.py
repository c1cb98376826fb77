"""The emulator as a process: what it answered survives its death."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from bridge.payments.emulator.store import Store
from tests.emulator.conftest import refusal, sdk
from tests.support.waiting import eventually_sync

COMMAND = [sys.executable, "-m", "bridge.payments.emulator.server", "--port", "0"]


def intents(url: str) -> Any:
    """Return the SDK's service for payment intents of one process."""
    return sdk(url).v1.payment_intents


class Process:
    """Starts emulator processes on one state file and ends those it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> tuple[subprocess.Popen[bytes], str]:
        """Start one and return it with its URL."""
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        files = ["--state", str(self.folder / "state.jsonl"), "--port-file", str(port_file)]
        process = subprocess.Popen([*COMMAND, *files], stdout=subprocess.DEVNULL)
        self.running.append(process)
        eventually_sync(port_file.exists, limit_s=15, what="the emulator's port")
        return process, f"http://127.0.0.1:{port_file.read_text().strip()}"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Process]:
    """Give a test a folder for processes, none of which outlives it."""
    processes = Process(tmp_path)
    yield processes
    for process in processes.running:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(10)


async def test_an_answered_effect_survives_kill_9(processes: Process) -> None:
    """After SIGKILL the intent, its secret and the answer of its idempotency key are there."""
    process, url = processes.start()
    params = {
        "amount": 900,
        "currency": "usd",
        "capture_method": "manual",
        "payment_method": "pm_card_threeDSecure2Required",
        "payment_method_types": ["card"],
        "return_url": "https://shop.example/",
        "confirm": True,
    }
    options = {"idempotency_key": "k"}
    first = await intents(url).create_async(params, options)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    _, url = processes.start()
    again = await intents(url).create_async(params, options)
    assert again.to_dict() == first.to_dict()
    moved = await intents(url).retrieve_async(first.id)
    assert moved.client_secret == first.client_secret
    assert moved.next_action.redirect_to_url.url.startswith(url)
    changed = intents(url).create_async({**params, "amount": 901}, options)
    await refusal(changed, stripe.IdempotencyError)


def test_sigterm_ends_it_cleanly(processes: Process) -> None:
    """A stop, even in the midst of starting, is an exit with status 0."""
    process, _ = processes.start()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """When the process that started it is killed, no emulator is left behind."""
    port_file = tmp_path / "port"
    script = f"""
import subprocess, sys
child = subprocess.Popen({[*COMMAND, "--port-file", str(port_file)]!r})
print(child.pid, flush=True)
child.wait()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    eventually_sync(port_file.exists, limit_s=15, what="the emulator's port")
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    eventually_sync(lambda: not _alive(child), limit_s=10, what="the child's end")


def _alive(pid: int) -> bool:
    # A killed child may stay as a zombie (Z) until whoever inherited it looks; it serves no more.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_taken_port_is_said_and_not_retried() -> None:
    """A port in use gives a message and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            [*COMMAND[:-1], port], capture_output=True, text=True, cwd=os.getcwd(), timeout=20
        )
    assert result.returncode == 1
    assert port in result.stderr


def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    """A write cut short belongs to a request that nobody was answered, and is forgotten."""
    path = tmp_path / "state.jsonl"
    store = Store(path)
    store.put("t", "a", {"id": "a"})
    store.commit()
    store.put("t", "b", {"id": "b"})
    store.commit()
    store.close()
    path.write_bytes(path.read_bytes()[:-3])
    again = Store(path)
    assert [row["id"] for row in again.oldest_first("t")] == ["a"]
    again.put("t", "c", {"id": "c"})
    again.commit()
    again.close()
    assert [row["id"] for row in Store(path).oldest_first("t")] == ["a", "c"]


def test_a_rollback_restores_every_row() -> None:
    """Changes, insertions and deletions of a failed request are undone."""
    store = Store()
    store.put("t", "a", {"id": "a", "n": 1})
    store.put("t", "z", {"id": "z"})
    store.commit()
    store.put("t", "a", {"id": "a", "n": 2})
    store.put("t", "b", {"id": "b"})
    store.delete("t", "z")
    store.rollback()
    rows = {row["id"]: row for row in store.oldest_first("t")}
    assert rows == {"a": {"id": "a", "n": 1}, "z": {"id": "z"}}
    assert store.commit() is False
