"""Starts the eth-tester chain as a child process: the fallback for machines without anvil."""

import sys
from dataclasses import dataclass
from pathlib import Path

from chain.errors import PortTaken
from chain.local.accounts import LOCAL_CHAIN_ID
from chain.local.local_chain import LocalChain, verify_ready
from chain.local.process import LOOPBACK, ChildProcess, FolderLock, free_port, port_is_free

# The first import of py-evm on a slow, cold disk takes most of this.
_START_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class EthTesterOptions:
    """``block_time_s``: ``None`` mines each transaction at once."""

    chain_id: int = LOCAL_CHAIN_ID
    block_time_s: float | None = None


def start_ethtester(
    folder: Path, *, port: int | None = None, options: EthTesterOptions | None = None
) -> LocalChain:
    """Start the chain kept in ``folder`` and wait until it answers.

    ``port`` ``None`` or 0 takes a free one. Raises the kinds of
    :class:`~chain.errors.LocalChainError`.
    """
    options = options or EthTesterOptions()
    lock = FolderLock(folder)
    try:
        port = port or free_port()
        process = _launch(folder, port, options, lock)
    except BaseException:
        lock.release()
        raise
    return LocalChain(
        kind="eth-tester",
        url=f"http://{LOOPBACK}:{port}",
        chain_id=options.chain_id,
        process=process,
        after_stop=(lock.release,),
    )


def _launch(folder: Path, port: int, options: EthTesterOptions, lock: FolderLock) -> ChildProcess:
    if not port_is_free(port):
        raise PortTaken(f"port {port} on {LOOPBACK} is taken by another program")
    command = [sys.executable, "-m", "chain.local.ethtester_server", "--port", str(port)]
    command += ["--chain-id", str(options.chain_id)]
    command += ["--journal", str(folder / "ethtester-journal.jsonl")]
    if options.block_time_s is not None:
        command += ["--block-time", str(options.block_time_s)]
    process = ChildProcess(
        "eth-tester",
        command,
        log_path=folder / "ethtester.log",
        inherit=(lock.descriptor,),
    )
    lock.record_owner(process.pid)
    try:
        verify_ready(process, port, options.chain_id, _START_LIMIT_S)
    except BaseException:
        process.stop()
        raise
    return process
