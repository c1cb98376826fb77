"""Wires the transfer graph: the screening that reads it, and the job that follows the chains.

Imported parts are heavy (numpy, compiled loops): only where a deployment has a graph.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import logging
from bridge.settings import Settings
from bridge.worker import Job
from chain.deployment import Deployment
from chain.network import Network
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
    networks: Mapping[str, Network],
    pool: Any,
    clock: Clock,
) -> ScreeningPort:
    """Lists and graph, where the deployment has one; else the lists alone."""
    if not settings.graph:
        return lists
    # Off the loop: the imports alone take a second.
    return await asyncio.to_thread(_import) and await _opened(
        stack, settings, lists, deployments, networks, pool, clock
    )


def _import() -> bool:
    import compliance_graph.screening

    return bool(compliance_graph.screening)


async def _opened(
    stack: AsyncExitStack,
    settings: Settings,
    lists: ListScreener,
    deployments: Mapping[str, Deployment],
    networks: Mapping[str, Network],
    pool: Any,
    clock: Clock,
) -> ScreeningPort:
    from compliance_graph.live import LiveGraph
    from compliance_graph.screening import GraphScreener
    from compliance_graph.store import GraphStore

    policy, store = graph_policy(settings), GraphStore(pool)
    screener = GraphScreener(
        lists,
        LiveGraph(store, policy.worth, Path(settings.state_dir) / "graph"),
        policy,
        labels=[Path(text) for text in settings.graph_labels],
        neighbours=_neighbours(stack, settings, store, deployments, networks),
        clock=clock,
        log=logging.get("graph"),
    )
    return await stack.enter_async_context(screener.kept_fresh())


def graph_policy(settings: Settings) -> "Policy":
    """The packaged policy, or the deployment's. Raises ``PolicyError``."""
    from compliance_graph.policy import load_policy

    return load_policy(Path(settings.graph_policy) if settings.graph_policy else None)


def _neighbours(
    stack: AsyncExitStack,
    settings: Settings,
    store: "GraphStore",
    deployments: Mapping[str, Deployment],
    networks: Mapping[str, Network],
) -> "Neighbours | None":
    from compliance_graph.sources.indexer import Indexer

    if not settings.graph_indexers:
        return None
    assets = {name: _assets(networks[name], deployment) for name, deployment in deployments.items()}
    urls = {name: url for name, url in settings.graph_indexers.items() if name in assets}
    indexer = Indexer(store, urls, assets, log=logging.get("graph"))
    stack.push_async_callback(indexer.close)
    return indexer


def _assets(network: Network, deployment: Deployment) -> dict[str, Asset]:
    """By contract, in lower case; native coin has none."""
    tokens = {token.address.lower(): deployment.asset(token.code) for token in deployment.tokens}
    return {"": network.native, **tokens}


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


def graph_jobs(
    stack: AsyncExitStack,
    settings: Settings,
    deployments: Mapping[str, Deployment],
    networks: Mapping[str, Network],
    pool: Any,
) -> list[tuple[Job, float]]:
    """What a worker does for the graph beside the stages. One worker at a time follows."""
    if not settings.graph:
        return []
    from compliance_graph.follow import follow
    from compliance_graph.store import GraphStore

    store, log = GraphStore(pool), logging.get("graph")
    feeds = [open_feed(stack, networks[name], deployments[name]) for name in deployments]
    busy = asyncio.Lock()

    async def job() -> None:
        if busy.locked():
            return
        async with busy, store.alone() as leading:
            for feed in feeds if leading else ():
                try:
                    await follow(store, feed)
                except TidegateError as error:
                    log.warning("chain_not_followed", network=feed.network, error=str(error))
                except Exception as error:
                    log.error("following_failed", network=feed.network, error=repr(error))

    return [(job, FOLLOW_S)]
