"""A running local chain, the same to its users whichever program serves it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from chain.errors import ForeignChain
from chain.local.accounts import DevAccount, dev_accounts
from chain.local.jsonrpc import LocalRpc
from chain.local.process import LOOPBACK, ChildProcess


@dataclass
class LocalChain:
    """``kind`` is ``"anvil"`` or ``"eth-tester"``; ``notes`` are sentences that the person who
    started it should read (a fallback was taken, a state was restored)."""

    kind: str
    url: str
    chain_id: int
    process: ChildProcess
    notes: tuple[str, ...] = ()
    before_stop: tuple[Callable[[], None], ...] = field(default=(), repr=False)
    after_stop: tuple[Callable[[], None], ...] = field(default=(), repr=False)

    @property
    def accounts(self) -> tuple[DevAccount, ...]:
        """The funded accounts."""
        return dev_accounts()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.alive

    def stop(self, limit_s: float = 10.0) -> int:
        """Save the chain and end it (SIGTERM, SIGKILL after ``limit_s``); returns exit status."""
        return self._end(lambda: self.process.stop(limit_s))

    def kill(self) -> int:
        """End it as a crash would (SIGKILL); what was not saved is lost."""
        return self._end(self.process.kill)

    def _end(self, end: Callable[[], int]) -> int:
        for step in self.before_stop:
            step()
        status = end()
        for step in self.after_stop:
            step()
        self.before_stop = self.after_stop = ()
        return status


def verify_ready(process: ChildProcess, port: int, chain_id: int, limit_s: float) -> None:
    """Wait until ``process`` serves the chain that we asked for on ``port``.

    Raises:
        ChildExited, NotReadyInTime: it did not come up.
        ForeignChain: somebody else answers there.
    """
    rpc = LocalRpc(f"http://{LOOPBACK}:{port}")
    try:
        process.wait_until(rpc.answers, limit_s)
        if process.listens_on(port) is False:
            raise ForeignChain(f"another program answers on port {port}, not our {process.name}")
        answered = int(rpc.call("eth_chainId"), 16)
    finally:
        rpc.close()
    if answered != chain_id:
        raise ForeignChain(f"port {port} serves chain {answered}, not {chain_id}")
