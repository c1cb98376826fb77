"""Starts anvil (Foundry's development node) as a child process that remembers its chain.

Quirks this file absorbs: anvil says "address in use" only in its log while a stranger already
answers on the port; ``finalized`` stands still on an idle chain; and a kill in the middle of a dump
leaves half a state file.
"""

import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from chain.errors import BinaryMissing, PortTaken
from chain.local.accounts import DEV_ACCOUNTS_COUNT, DEV_MNEMONIC, LOCAL_CHAIN_ID
from chain.local.housekeeper import Housekeeper
from chain.local.local_chain import LocalChain, verify_ready
from chain.local.process import LOOPBACK, ChildProcess, FolderLock, free_port, port_is_free
from chain.local.state_file import StateFile

_PROJECT_ROOT = Path(__file__).resolve().parents[2]
_START_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class AnvilOptions:
    """How the chain behaves.

    ``block_time_s``: ``None`` mines each transaction at once. ``finality_interval_s``: how often an
    empty block is mined while a transaction is not final yet; ``None`` never (tests of finality
    mine for themselves). ``preserve_historical_states`` answers state queries about old blocks
    after a restart, at about 80 kB of state file per block. ``block_gas_limit`` ``None`` is anvil's
    own 30 million. ``binary`` names an anvil instead of
    the one that :func:`find_anvil` finds.
    """

    chain_id: int = LOCAL_CHAIN_ID
    block_time_s: int | None = None
    slots_in_an_epoch: int = 1
    finality_interval_s: float | None = 1.0
    state_interval_s: int = 1
    preserve_historical_states: bool = False
    tx_gas_limit: bool = True
    block_gas_limit: int | None = None
    binary: Path | None = None


def find_anvil(named: Path | None = None) -> Path | None:
    """The anvil that ``npm ci`` put beside the project, else the one on ``PATH``, else ``None``.

    ``named`` is the only candidate when given.
    """
    if named is not None:
        return named if named.is_file() else None
    for candidate in sorted(_PROJECT_ROOT.glob("node_modules/@foundry-rs/anvil-*/bin/anvil")):
        if _runs_here(candidate):
            return candidate
    on_path = shutil.which("anvil")
    return Path(on_path) if on_path else None


def start_anvil(
    folder: Path, *, port: int | None = None, options: AnvilOptions | None = None
) -> LocalChain:
    """Start anvil on the chain kept in ``folder`` and wait until it answers.

    ``port`` ``None`` or 0 takes a free one. Raises the kinds of
    :class:`~chain.errors.LocalChainError`.
    """
    options = options or AnvilOptions()
    binary = find_anvil(options.binary)
    if binary is None:
        raise BinaryMissing("anvil is not installed; `npm ci --omit=dev` in the project gets it")
    lock = FolderLock(folder)
    try:
        state = StateFile(folder / "anvil-state.json")
        note = state.prepare()
        port = port or free_port()
        process = _launch(binary, folder, state, port, options, lock)
    except BaseException:
        lock.release()
        raise
    url = f"http://{LOOPBACK}:{port}"
    keeper = Housekeeper(
        process,
        url,
        state=state,
        slots_in_an_epoch=options.slots_in_an_epoch,
        finality_interval_s=options.finality_interval_s,
    )
    return LocalChain(
        kind="anvil",
        url=url,
        chain_id=options.chain_id,
        process=process,
        notes=(note,) if note else (),
        before_stop=(keeper.stop,),
        after_stop=(lock.release,),
    )


def _launch(
    binary: Path,
    folder: Path,
    state: StateFile,
    port: int,
    options: AnvilOptions,
    lock: FolderLock,
) -> ChildProcess:
    if not port_is_free(port):
        raise PortTaken(f"port {port} on {LOOPBACK} is taken by another program")
    process = ChildProcess(
        "anvil",
        _command(binary, folder, state, port, options),
        log_path=folder / "anvil.log",
        inherit=(lock.descriptor,),
    )
    lock.record_owner(process.pid)
    try:
        verify_ready(process, port, options.chain_id, _START_LIMIT_S)
    except BaseException:
        process.stop()
        raise
    return process


def _command(
    binary: Path, folder: Path, state: StateFile, port: int, options: AnvilOptions
) -> list[str]:
    command = [str(binary), "--quiet", "--host", LOOPBACK, "--port", str(port)]
    command += ["--chain-id", str(options.chain_id)]
    command += ["--mnemonic", DEV_MNEMONIC, "--accounts", str(DEV_ACCOUNTS_COUNT)]
    command += ["--state", str(state.path), "--state-interval", str(options.state_interval_s)]
    command += ["--slots-in-an-epoch", str(options.slots_in_an_epoch)]
    command += ["--cache-path", str(folder / "cache"), "--no-cors"]
    if options.block_time_s is not None:
        command += ["--block-time", str(options.block_time_s)]
    if options.preserve_historical_states:
        command.append("--preserve-historical-states")
    if options.block_gas_limit is not None:
        command += ["--gas-limit", str(options.block_gas_limit)]
    if options.tx_gas_limit:
        command.append("--enable-tx-gas-limit")
    return command


def _runs_here(binary: Path) -> bool:
    system = {"linux": "linux", "darwin": "darwin"}.get(sys.platform, sys.platform)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return binary.parts[-3] == f"anvil-{system}-{machine}"
