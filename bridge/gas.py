"""Wires the gas port of a worker. Imported parts are heavy (numpy, the forests): workers alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge import logging
from bridge.settings import Settings
from bridge.worker import Job
from chain.evm.client import EvmChain
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


def gas_jobs(gas: GasPort) -> list[tuple[Job, float]]:
    """What a worker does for its gas port beside the stages: a job, and its seconds."""
    from chain.gas.service import GasService

    if not isinstance(gas, GasService):
        return []
    return [(gas.refresh, LOOK_S), (gas.score, SCORE_S)]
