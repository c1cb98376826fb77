"""Wires the transfer graph: the screening that reads it, and the job that follows the chains.

Imported parts are heavy (numpy, compiled loops): only where a deployment has a graph.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import logging
from bridge.settings import Settings
from bridge.storage.database import open_pool
from bridge.storage.queries import Queries
from bridge.worker import Job
from chain.deployment import Deployment
from chain.network import Network
from chain.registry import load_network
from compliance_graph.screener import ListScreener
from settlement.errors import TidegateError
from settlement.money import Asset
from settlement.ports.clock import Clock
from settlement.ports.screening import ScreeningPort
from settlement.ports.transfers import TransferFeed

if TYPE_CHECKING:
    from compliance_graph.policy import Policy
    from compliance_graph.screening import Neighbours
    from compliance_graph.store import GraphStore

FOLLOW_S = 2.0
"""How often a worker looks for new blocks."""


async def open_graph(
    stack: AsyncExitStack,
    settings: Settings,
    lists: ListScreener,
    deployments: Mapping[str, Deployment],
    pool: Any,
    clock: Clock,
) -> ScreeningPort:
    """Lists and graph, where the deployment has one; else the lists alone."""
    if not settings.graph:
        # Said at every start: who leaves it out should not find out from a case.
        logging.get("graph").warning("screening_by_lists_alone", why="TIDEGATE_GRAPH is false")
        return lists
    for name in ("compliance_graph.screening", "compliance_graph.judge"):
        await asyncio.to_thread(import_module, name)  # takes a second
    return await _opened(stack, settings, lists, deployments, pool, clock)


async def _opened(
    stack: AsyncExitStack,
    settings: Settings,
    lists: ListScreener,
    deployments: Mapping[str, Deployment],
    pool: Any,
    clock: Clock,
) -> ScreeningPort:
    from compliance_graph.judge import ShippedModel
    from compliance_graph.live import LiveGraph
    from compliance_graph.screening import GraphScreener
    from compliance_graph.store import GraphStore

    policy, store = graph_policy(settings), GraphStore(pool)
    # Word for word, so that its verdicts can be made again when another one has taken its place.
    await Queries(pool).keep_policy(policy.version, policy_text(settings), clock.now())
    own = [a for d in deployments.values() for a in (*d.contracts, *d.lanes)]
    screener = GraphScreener(
        lists,
        LiveGraph(store, policy.worth, Path(settings.state_dir) / "graph"),
        policy,
        labels=[Path(text) for text in settings.graph_labels],
        own=own,
        model=ShippedModel(),
        neighbours=_neighbours(stack, settings, store, deployments),
        history=Queries(pool),
        keeper=Queries(pool),
        clock=clock,
        log=logging.get("graph"),
    )
    return await stack.enter_async_context(screener.kept_fresh())


def graph_policy(settings: Settings) -> "Policy":
    """The packaged policy, or the deployment's. Raises ``PolicyError``."""
    from compliance_graph.policy import complete_policy

    return complete_policy(policy_text(settings).encode())


def policy_text(settings: Settings) -> str:
    """The policy's file. Raises ``PolicyError``."""
    from compliance_graph.policy import read_policy

    path = Path(settings.graph_policy) if settings.graph_policy else None
    return read_policy(path).decode()


def _neighbours(
    stack: AsyncExitStack,
    settings: Settings,
    store: "GraphStore",
    deployments: Mapping[str, Deployment],
) -> "Neighbours | None":
    from compliance_graph.sources.indexer import Indexer

    if not settings.graph_indexers:
        return None
    assets = {name: _assets(load_network(name), d) for name, d in deployments.items()}
    urls = {name: url for name, url in settings.graph_indexers.items() if name in assets}
    indexer = Indexer(store, urls, assets, log=logging.get("graph"))
    stack.push_async_callback(indexer.close)
    return indexer


def _assets(network: Network, deployment: Deployment) -> dict[str, Asset]:
    """By contract, in lower case; native coin has none."""
    tokens = {token.address.lower(): deployment.asset(token.code) for token in deployment.tokens}
    return {**tokens, "": network.native}


def open_feed(stack: AsyncExitStack, network: Network, deployment: Deployment) -> TransferFeed:
    """Reads a chain's transfers through a client of its own."""
    from chain.evm.transfers import EvmTransfers
    from chain.rpc import RpcClient

    rpc = RpcClient(
        deployment.rpc_urls,
        quorum=deployment.quorum,
        block_ms=network.block_ms,
        log=logging.get("graph"),
    )
    stack.push_async_callback(rpc.close)
    return EvmTransfers(network, deployment, rpc)


@asynccontextmanager
async def graph_jobs(
    settings: Settings, deployments: Mapping[str, Deployment], dsn: str
) -> AsyncIterator[list[tuple[Job, float]]]:
    """What a worker does for the graph beside the stages."""
    if not settings.graph:
        yield []
        return
    from compliance_graph.store import GraphStore

    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(await open_pool(dsn, 1, 3))
        feeds = [open_feed(stack, load_network(name), d) for name, d in deployments.items()]
        yield [(Following(GraphStore(pool), feeds).beat, FOLLOW_S)]


class Following:
    """Follows every chain's head; of several workers one at a time does."""

    def __init__(self, store: "GraphStore", feeds: Sequence[TransferFeed]) -> None:
        self._store, self._feeds = store, feeds
        self._log = logging.get("graph")
        self._busy = asyncio.Lock()

    async def beat(self) -> None:
        """Never raises: the next beat tries again."""
        if self._busy.locked():
            return
        try:
            async with self._busy, self._store.alone() as leading:
                if leading:
                    await asyncio.gather(*map(self._follow, self._feeds))
        except Exception as error:
            self._log.error("following_failed", error=repr(error))

    async def _follow(self, feed: TransferFeed) -> None:
        from compliance_graph.follow import follow

        try:
            await follow(self._store, feed)
        except TidegateError as error:
            self._log.warning("chain_not_followed", network=feed.network, error=str(error))
