"""Wires the gas port of a worker. Imported parts are heavy (numpy, the forests): workers alone."""

import asyncio
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bridge import logging
from bridge.serve.parent import end_with_parent
from bridge.settings import Settings, SettingsError
from bridge.worker import Job
from chain.evm.client import EvmChain
from chain.gas.history import KEPT_BLOCKS
from chain.network import Network
from settlement.ports.clock import SystemClock
from settlement.ports.gas import GasPort

if TYPE_CHECKING:
    from chain.gas.service import GasService

LOOK_S = 1.0
"""How often a worker looks for new heads; a decision looks for itself."""
SCORE_S = 60.0
"""How often decisions whose deadline has passed are held against hindsight."""


def gas_service(
    settings: Settings, networks: Mapping[str, Network], chains: Mapping[str, EvmChain], pool: Any
) -> "GasService":
    """The gas port that follows every network; its tables are in the same database."""
    from chain.gas import artifact
    from chain.gas.history import History
    from chain.gas.service import GasService
    from chain.gas.store import GasStore

    store = GasStore(pool)
    histories = {
        name: (networks[name], History(name, chain.fee_market, store))
        for name, chain in chains.items()
    }
    policy = settings.gas_policy
    waits = {n for n in chains if policy == "on" or (policy == "auto" and not networks[n].local)}
    return GasService(
        histories,
        store,
        SystemClock(),
        artifact.load,
        waits=frozenset(waits),
        l1_shares={
            name: share for name, chain in chains.items() if (share := chain.l1_share()) is not None
        },
        log=logging.get("gas"),
    )


def gas_jobs(gas: GasPort, settings: Settings) -> list[tuple[Job, float]]:
    """What a worker does for its gas port beside the stages: a job, and its seconds."""
    from chain.gas.service import GasService

    if not isinstance(gas, GasService):
        return []
    jobs: list[tuple[Job, float]] = [(gas.refresh, LOOK_S), (gas.score, SCORE_S)]
    if settings.gas_retrain_h and find_spec("lightgbm") is not None:
        jobs.append((Training(settings).begin, settings.gas_retrain_h * 3600.0))
    return jobs


class Training:
    """`tidegate gas train` in a process of its own: minutes of work that must delay no order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    async def begin(self) -> None:
        """Start it, unless it still runs. It ends with this process."""
        if self._process is not None and self._process.returncode is None:
            return
        log = logging.get("gas")
        env = {**os.environ, "DATABASE_URL": str(self._settings.database_url)}
        command = [sys.executable, "-m", "bridge.cli", "gas", "train"]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=env, preexec_fn=gently
            )
        except OSError as error:
            log.warning("gas_training_not_begun", error=str(error))
        else:
            log.info("gas_training_begun", pid=self._process.pid)


def gently() -> None:
    """In the child: the least priority, and no life beyond its parent's."""
    end_with_parent()
    os.nice(19)


async def retrain(pool: Any, network: str, now: datetime) -> str:
    """Train a challenger on what is stored of the network, judge it, keep it, perhaps promote it;
    returns a line for people.

    Raises ``SettingsError`` where LightGBM is not installed.
    """
    from chain.gas import artifact
    from chain.gas.retrain import TooLittleHistory, challenge, open_model
    from chain.gas.store import GasStore

    if find_spec("lightgbm") is None:
        raise SettingsError("training needs LightGBM: pip install 'tidegate[gas]'")
    store = GasStore(pool)
    digest = await store.promoted(network)
    champion = open_model(await store.model(network, digest)) if digest else artifact.load()
    rows = await store.recent(network, KEPT_BLOCKS)
    try:
        content, trial = await asyncio.to_thread(challenge, rows, champion)
    except TooLittleHistory as error:
        return f"{network}: {error}"
    await store.save_model(network, content, trial.scores, now, promote=trial.is_better)
    ours, theirs = trial.scores["champion"], trial.scores["challenger"]
    said = "promoted" if trial.is_better else "the champion stays"
    captured = f"captured {theirs['captured']} against {ours['captured']}"
    return f"{network}: {said}; {trial.scores['window']}: {captured}"
