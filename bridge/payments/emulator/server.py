"""Runs the emulator as a process of its own on 127.0.0.1.

``python -m bridge.payments.emulator.server --port 0 --state FILE --port-file FILE``
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from .app import create_emulator
from .settings import EmulatorSettings

_HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 2


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or the parent's death; return the exit status."""
    options = _options(arguments)
    if not options.detached:
        _die_with_parent()
    try:
        listener = socket.create_server((_HOST, options.port))
    except OSError as error:
        print(f"stripe emulator: port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    port = listener.getsockname()[1]
    url = f"http://{_HOST}:{port}"
    settings = EmulatorSettings(
        state_path=options.state,
        public_url=options.public_url or url,
        authorization_seconds=options.authorization_seconds,
    )
    config = uvicorn.Config(
        create_emulator(settings),
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # For a signal before uvicorn listens to it, and for the one that uvicorn raises again after
    # it has ended cleanly.
    signal.signal(signal.SIGTERM, stop)
    if options.port_file is not None:
        _write_port(options.port_file, port)
    print(f"stripe emulator on {url}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bridge.payments.emulator.server")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state", type=Path, help="journal file; without it nothing is kept")
    parser.add_argument("--port-file", type=Path, help="where to write the port taken")
    parser.add_argument("--public-url", help="where browsers find the 3-D Secure page")
    parser.add_argument(
        "--authorization-seconds",
        type=int,
        default=EmulatorSettings.authorization_seconds,
        help="validity of an uncaptured authorisation",
    )
    parser.add_argument("--detached", action="store_true", help="outlive the parent process")
    return parser.parse_args(arguments)


def _write_port(path: Path, port: int) -> None:
    """Write the port in one step, so that a waiting reader never sees half of it."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(f"{port}\n")
    os.replace(beside, path)


def _die_with_parent() -> None:
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        # The parent was gone before the signal was asked for.
        raise SystemExit(1)


if __name__ == "__main__":
    raise SystemExit(main())
