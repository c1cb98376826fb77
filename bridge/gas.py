"""Wires the gas port of a worker. Imported parts are heavy (numpy, the forests): workers alone."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bridge import logging
from bridge.serve.parent import end_with_parent
from bridge.settings import Settings, SettingsError
from bridge.storage.hindsight import HindsightStore
from bridge.storage.store import PostgresStore
from bridge.worker import Job
from chain.evm.client import EvmChain
from chain.gas.history import KEPT_BLOCKS
from chain.network import Network
from settlement.ports.clock import Clock, SystemClock
from settlement.ports.gas import GasPort
from settlement.ports.store import Store

if TYPE_CHECKING:
    from chain.gas.service import GasService
    from chain.gas.store import GasStore

LOOK_S = 1.0
"""How often a worker looks for new heads; a decision looks for itself."""
SCORE_S = 60.0
"""How often decisions whose deadline has passed are held against hindsight."""
DUE_S = 600.0
"""How often a worker asks the database whether a training is due."""


def gas_service(
    settings: Settings, networks: Mapping[str, Network], chains: Mapping[str, EvmChain], pool: Any
) -> "GasService":
    """The gas port that follows every network; its tables are in the same database."""
    from chain.gas import artifact
    from chain.gas.history import History
    from chain.gas.service import GasService

    store = HindsightStore(pool)
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


def gas_jobs(gas: GasPort, settings: Settings, store: Store) -> list[tuple[Job, float]]:
    """What a worker does for its gas port beside the stages: a job, and its seconds."""
    from chain.gas.service import GasService
    from chain.gas.store import GasStore

    if not isinstance(gas, GasService) or not isinstance(store, PostgresStore):
        return []
    jobs: list[tuple[Job, float]] = [(gas.refresh, LOOK_S), (gas.score, SCORE_S)]
    if settings.gas_retrain_h and find_spec("lightgbm") is not None:
        jobs.append((Training(settings, GasStore(store.pool)).beat, DUE_S))
    return jobs


class Training:
    """`tidegate gas train --due` in a process of its own: minutes of work that must delay no order.

    When it is due is known to the database alone, so that restarts and other workers change
    nothing about it.
    """

    def __init__(self, settings: Settings, store: "GasStore") -> None:
        self._every = timedelta(hours=settings.gas_retrain_h)
        self._env = {**os.environ, "DATABASE_URL": str(settings.database_url)}
        self._store = store
        self._process: asyncio.subprocess.Process | None = None

    async def beat(self) -> None:
        """Begin it when it is due, unless it still runs. It ends with this one. Never raises."""
        log = logging.get("gas")
        try:
            if self._process is not None and self._process.returncode is None:
                return
            if not await due(self._store, datetime.now(UTC), self._every):
                return
            command = [sys.executable, "-m", "bridge.cli", "gas", "train", "--due"]
            self._process = await asyncio.create_subprocess_exec(
                *command, env=self._env, preexec_fn=gently
            )
        except Exception as error:  # the next beat tries again
            log.warning("gas_training_not_begun", error=repr(error))
        else:
            log.info("gas_training_begun", pid=self._process.pid)


async def due(store: "GasStore", now: datetime, every: timedelta) -> list[str]:
    """The followed networks whose training is due."""
    from chain.gas.retrain import is_due

    known = await store.trained()
    return [network for network, when in known.items() if is_due(now, every, *when)]


def gently() -> None:
    """In the child: the least priority, and no life beyond its parent's."""
    end_with_parent()
    os.nice(19)


Train = Callable[[Any, str, datetime], Awaitable[str]]


async def train_in_turn(
    pool: Any,
    clock: Clock,
    networks: Sequence[str],
    *,
    due_every: timedelta | None = None,
    train: Train | None = None,
) -> AsyncIterator[str]:
    """A line for people per network: those named or all that are followed, and of them those alone
    that are due where ``due_every`` is given. One process of a deployment trains at a time; a
    second one ends at once. Raises what :func:`retrain` does."""
    from chain.gas.store import GasStore

    store = GasStore(pool)
    async with store.training() as is_ours:
        if not is_ours:
            yield "another training is under way"
            return
        # Asked again under the lock: another worker may just have done it.
        wanted = networks or await store.trained()
        if due_every is not None:
            wanted = await due(store, clock.now(), due_every)
        for network in wanted:
            now = clock.now()
            await store.begin_training(network, now)
            yield await (train or retrain)(pool, network, now)


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
