"""How long one screening takes inside the service: ``python -m benchmarks.screening --json``.

A made graph of ``--edges`` transfers (many small accounts, some hubs of 20,000 counterparties)
is asked through the door that the order flow uses: lists, rules, features, model, verdict. One
address in twenty is a hub. Reported: p50 and p99 of warm single screenings (until the verdict
stands, and with the explanations that reviews are given before they are stored), addresses per
second in bulk, the time to load, memory, and the same at ten times the edges; and, in the same run
and over the same addresses, a plain ``k_hop_subgraph`` with a two-layer PyTorch Geometric SAGE
beside the model's share and the whole verdict (extra ``train``; without it ``vs_pyg`` is null and
``vs_pyg_missing`` says so).

What the figures leave out stands beside them (``conditions``): the tables are held in memory, so a
whole screening is without SQL; hubs above :data:`~compliance_graph.scoring.PAIRS_MAX` are beyond
the model, which abstains, while lists and rules still judge them; ``bulk_per_s`` is the model alone
(``score_many``); PyTorch Geometric is not asked about hubs.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.screening_world import HUBS, made_graph, names_of, screener_over
from compliance_graph.graph import GrowingGraph, TransferGraph
from compliance_graph.judge import GraphJudge, ShippedModel
from compliance_graph.policy import load_policy
from compliance_graph.scoring import PAIRS_MAX, PAIRS_MIN
from compliance_graph.warm import made_up, warm_rules
from settlement.ids import TenantId
from settlement.money import Asset, Money
from settlement.ports.screening import Outcome, Subject

HUB_SHARE = 20
CONDITIONS = {
    "whole": "lists, rules, features, model and verdict in memory; no SQL, no indexer is asked",
    "hubs": f"above {PAIRS_MAX} counterparties the model abstains; lists and rules judge",
    "bulk_per_s": "the model alone: Scorer.score_many in batches, hubs included as abstentions",
    "vs_pyg": "the same accounts without the hubs, a plain network of two layers, untrained",
}
PYG_ASKED = 200


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of each call."""

    seconds: "np.ndarray[Any, np.dtype[np.float64]]"

    def at(self, percent: float) -> float:
        return round(float(np.percentile(self.seconds, percent)) * 1000, 4)


class TimedModel(ShippedModel):
    """The shipped model; remembers its judge and how long it took to make."""

    judge: GraphJudge
    seconds: float

    def over(self, graph: GrowingGraph) -> GraphJudge:
        start = time.perf_counter()
        self.judge = super().over(graph)
        self.seconds = time.perf_counter() - start
        return self.judge


def asked_nodes(graph: TransferGraph, n: int, seed: int = 1) -> list[int]:
    """Accounts with enough history for the model, each twentieth a hub."""
    degrees = np.diff(graph.out_start) + np.diff(graph.in_start)
    known = np.flatnonzero(degrees >= PAIRS_MIN)
    chosen = np.random.default_rng(seed).choice(known, n)
    chosen[::HUB_SHARE] = np.arange(len(chosen[::HUB_SHARE])) % HUBS
    return [int(node) for node in chosen]


@dataclass(frozen=True, slots=True)
class Screened:
    """``whole`` is a screening as the order flow asks for it, ``verdict`` the part of it until the
    verdict stands; the rest is the explanation, which only ``reviews`` have."""

    whole: Timed
    verdict: Timed
    reviews: "np.ndarray[Any, np.dtype[np.bool_]]"

    def report(self) -> dict[str, Any]:
        none, hubs = not self.reviews.any(), slice(None, None, HUB_SHARE)
        spent = self.whole.seconds - self.verdict.seconds
        return {
            "p50_ms": self.verdict.at(50),
            "p99_ms": self.verdict.at(99),
            "p99_meaning": "until the verdict stands, reviews included; explanations come after",
            "hub_p99_ms": Timed(self.verdict.seconds[hubs]).at(99),
            "p99_with_explanations_ms": self.whole.at(99),
            "reviews_per_cent": round(100 * float(self.reviews.mean()), 2),
            "review_p99_ms": None if none else Timed(self.whole.seconds[self.reviews]).at(99),
            "explanation_p99_ms": None if none else Timed(spent[self.reviews]).at(99),
        }


async def screened(screener: Any, wallets: Sequence[str]) -> Screened:
    """One after another, as the worker asks: the two halves of ``GraphScreener.screen``."""
    whole, verdict = np.zeros(len(wallets)), np.zeros(len(wallets))
    reviews = np.zeros(len(wallets), dtype=bool)
    amount = Money(25_00, Asset("USD", 2))
    for i, wallet in enumerate(wallets):
        subject = Subject(TenantId("bench"), "ethereum", wallet, amount=amount)
        start = time.perf_counter()
        judged = await screener.judged(subject)
        verdict[i] = time.perf_counter() - start
        reviews[i] = screener.explained(judged).outcome is Outcome.REVIEW
        whole[i] = time.perf_counter() - start
    return Screened(Timed(whole), Timed(verdict), reviews)


async def restarted(graph: TransferGraph, names: list[str], folder: Path) -> float:
    """Seconds until a service that was started again can screen: its snapshot is there."""
    start = time.perf_counter()
    await screener_over(graph, names, folder, ShippedModel())
    return time.perf_counter() - start


def memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def measured(edges: int, asked: int, with_pyg: bool) -> dict[str, Any]:
    """Everything at one size."""
    start = time.perf_counter()
    warm_rules(load_policy())
    ShippedModel().over(made_up())
    compiled_s = time.perf_counter() - start
    graph = made_graph(edges)
    names = names_of(graph.n_nodes)
    with tempfile.TemporaryDirectory() as folder:
        graph.save(Path(folder) / "graph")
        del graph
        gc.collect()
        start = time.perf_counter()
        loaded = TransferGraph.load(Path(folder) / "graph")
        mapped_s = time.perf_counter() - start
        model = TimedModel()
        start = time.perf_counter()
        screener = await screener_over(loaded, names, Path(folder), model)
        whole_s = time.perf_counter() - start
        judge = model.judge
        nodes = asked_nodes(loaded, asked)
        wallets = [names[node] for node in nodes]
        await screened(screener, wallets[:200])
        whole = await screened(screener, wallets)
        found = {
            "edges": edges,
            "accounts": loaded.n_nodes,
            "asked": asked,
            "abstained": sum(
                score.abstained is not None for score in judge.scorer.score_many(judge.index, nodes)
            ),
            **whole.report(),
            "model_p50_ms": (alone := scored(judge, nodes)).at(50),
            "model_p99_ms": alone.at(99),
            "explain_p99_ms": explained(judge, nodes[:100]).at(99),
            "bulk_per_s": bulk(judge, nodes),
            "load_s": {
                "compiled_code": round(compiled_s, 2),
                "map": round(mapped_s, 3),
                "index_of_the_model": round(model.seconds, 2),
                "everything": round(whole_s, 2),
            },
            "memory_mb": memory_mb(),
            "conditions": CONDITIONS,
        }
        again = await restarted(loaded, names, Path(folder))
        found["load_s"]["everything_from_the_snapshot"] = round(again, 2)
        if with_pyg:
            found |= beside_pyg(loaded, judge, nodes, whole.verdict)
    return found


def scored(judge: GraphJudge, nodes: Sequence[int]) -> Timed:
    """The model alone: features and trees."""
    seconds = np.zeros(len(nodes))
    for i, node in enumerate(nodes):
        start = time.perf_counter()
        judge.score(node)
        seconds[i] = time.perf_counter() - start
    return Timed(seconds)


def explained(judge: GraphJudge, nodes: Sequence[int]) -> Timed:
    """A whole explanation, as a review asks for it."""
    seconds = np.zeros(len(nodes))
    for i, node in enumerate(nodes):
        start = time.perf_counter()
        judge.explained(node)
        seconds[i] = time.perf_counter() - start
    return Timed(seconds)


def bulk(judge: GraphJudge, nodes: Sequence[int], batch: int = 256) -> int:
    """Addresses per second, in batches."""
    index, scorer = judge.index, judge.scorer
    start = time.perf_counter()
    for at in range(0, len(nodes), batch):
        scorer.score_many(index, nodes[at : at + batch])
    return round(len(nodes) / (time.perf_counter() - start))


def beside_pyg(
    graph: TransferGraph, judge: GraphJudge, nodes: Sequence[int], whole: Timed
) -> dict[str, Any]:
    """The plain way: cut two hops with ``k_hop_subgraph``, then a small SAGE, on the same nodes."""
    try:
        from benchmarks.screening_pyg import plain_seconds
    except ImportError as error:
        return {"vs_pyg": None, "vs_pyg_missing": f"extra train is not installed: {error.name}"}
    asked = [node for i, node in enumerate(nodes) if i % HUB_SHARE][:PYG_ASKED]
    plain = Timed(plain_seconds(graph, asked))
    own = scored(judge, asked)
    ratio = float(np.median(plain.seconds) / np.median(whole.seconds))
    return {
        "vs_pyg": round(ratio, 1),
        "vs_pyg_model_alone": round(float(np.median(plain.seconds) / np.median(own.seconds)), 1),
        "pyg_p50_ms": plain.at(50),
        "pyg_p99_ms": plain.at(99),
        "vs_pyg_meaning": "median of k_hop_subgraph and forward over median of a whole verdict",
    }


def grown(edges: int, asked: int) -> dict[str, Any]:
    """The same at another size, in a process of its own: memory is the process's highest."""
    command = [sys.executable, "-m", "benchmarks.screening", "--edges", str(edges)]
    command += ["--asked", str(asked), "--alone", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--asked", type=int, default=4000, help="addresses to ask about")
    parser.add_argument("--alone", action="store_true", help="this size only, without PyG")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    report = asyncio.run(measured(asked.edges, asked.asked, not asked.alone))
    if not asked.alone:
        report["ten_times"] = grown(10 * asked.edges, asked.asked)
        keys = ("p50_ms", "p99_ms", "bulk_per_s", "memory_mb")
        report["growth_at_ten_times"] = {
            key: round(report["ten_times"][key] / report[key], 2) for key in keys
        }
        report["load_average"] = [round(load, 1) for load in os.getloadavg()]
        report["cores"] = os.cpu_count()
    print(json.dumps(report, indent=1) if asked.json else "\n".join(map(_line, report.items())))


def _line(item: tuple[str, Any]) -> str:
    return f"{item[0]}: {item[1]}"


if __name__ == "__main__":
    main()
