"""A made market for the screening benchmark, and the service over it without a database."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from compliance_graph.graph import TransferGraph, Transfers
from compliance_graph.live import LiveGraph
from compliance_graph.policy import load_policy
from compliance_graph.screener import ListScreener
from compliance_graph.screening import GraphScreener
from compliance_graph.store import Read, Source
from settlement.ports.clock import SystemClock
from settlement.ports.notification import NullLog

HUBS = 10
HUB_PEERS = 20_000
LISTED = 600


def made_graph(edges: int, seed: int = 0) -> TransferGraph:
    """Popular accounts are paid more often; the first ten are hubs of 20,000 counterparties."""
    rng = np.random.default_rng(seed)
    nodes = max(edges // 2, 2 * HUB_PEERS)
    rest = edges - HUBS * HUB_PEERS if edges > 2 * HUBS * HUB_PEERS else edges // 2
    src = (nodes * rng.random(rest) ** 1.5).astype(np.int64)
    dst = (nodes * rng.random(rest) ** 2.5).astype(np.int64)
    per_hub = (edges - rest) // HUBS
    peers = np.concatenate([rng.choice(nodes, per_hub, replace=False) for _ in range(HUBS)])
    hubs = np.repeat(np.arange(HUBS), per_hub)
    out = rng.random(len(hubs)) < 0.5
    return TransferGraph.build(
        Transfers(
            np.concatenate((src, np.where(out, hubs, peers))),
            np.concatenate((dst, np.where(out, peers, hubs))),
            rng.lognormal(0, 2, rest + len(hubs)),
            np.ones(rest + len(hubs), dtype=np.int64),
            1_600_000_000 + rng.integers(0, 40_000_000, rest + len(hubs)),
        ),
        nodes,
    )


def names_of(n_nodes: int) -> list[str]:
    """An address for each account, as hexadecimal digits of its number."""
    return [f"0x{node * 0x9E3779B97F4A7C15 % 2**160:040x}" for node in range(n_nodes)]


class HeldStore:
    """Stands for the tables: everything is there from the start, nothing comes."""

    def __init__(self, graph: TransferGraph, names: list[str]) -> None:
        self._graph, self._names = graph, names

    async def sources(self) -> list[Source]:
        n, now = len(self._graph.rows), datetime.now(UTC)
        return [Source(1, "bench", "file", "ethereum", n, n, n, None, n, 0, True, now, 0)]

    async def last_ids(self) -> tuple[int, int]:
        return len(self._graph.rows), len(self._graph.rows)

    async def names(self, first: int) -> list[str]:
        return self._names[first:]

    async def read(self, after_id: int, last_id: int, worth: Mapping[str, float]) -> Read:  # noqa: ARG002
        ids = np.arange(after_id + 1, last_id + 1)
        return Read(ids, self._graph.rows.take(slice(after_id, last_id)))

    async def anchor(self, transfer_id: int) -> str:
        return str(transfer_id)


async def screener_over(graph: TransferGraph, names: list[str], folder: Path, model: Any) -> Any:
    """The service's own door, warm."""
    lists = folder / "listed.csv"
    rows = [f"ETH,{name}" for name in names[-LISTED:]]
    lists.write_text("asset,address\n" + "\n".join(rows) + "\n")
    store: Any = HeldStore(graph, names)
    live = LiveGraph(store, {}, folder / "live")
    screener = GraphScreener(
        ListScreener([lists]), live, load_policy(), model=model, clock=SystemClock(), log=NullLog()
    )
    await screener.refresh()
    return screener
