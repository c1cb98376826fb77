"""One run from start to verdict."""

import os
import shutil
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.chaos import evidence as evidence_module
from tests.chaos import scenarios, story
from tests.chaos.audit import Finding, audit
from tests.chaos.customers import Customer, Lists, prepare
from tests.chaos.evidence import Evidence
from tests.chaos.options import BLOCK_S, POLICY, SLOTS_IN_AN_EPOCH, Options
from tests.chaos.storm import Storm, drain, drawn
from tests.chaos.system import System, start

KINDS = ("lost", "paid_twice", "stuck", "unbalanced")


@dataclass
class Verdict:
    """``report`` is what ``--json`` prints; ``stories`` are for whoever has to find out why."""

    report: dict[str, Any]
    findings: list[Finding]
    stories: list[str]

    @property
    def clean(self) -> bool:
        return not self.findings

    def forget(self) -> None:
        """Remove the run's folder (some 60 MB): only a failure's is worth keeping."""
        shutil.rmtree(self.report["logs"], ignore_errors=True)
        self.report["logs"] = None


async def run(options: Options) -> Verdict:
    """Start everything, disturb it, let it drain, stop it, audit it."""
    folder = options.folder or Path(tempfile.mkdtemp(prefix="tidegate-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    async with AsyncExitStack() as stack:
        system = await start(stack, replace(options, folder=folder), folder)
        lists = Lists(folder / "listed.csv")
        provoked: list[Customer] = []
        storm = Storm(system, drawn(options.seed, options.orders), lists)
        await prepare(system, storm.customers, lists)
        if options.scenario is not None:
            await scenarios.provoke(system, options.scenario, lists, provoked)
        else:
            await system.bring_up(["api", *system.workers()])
        if options.faults and options.orders:
            system.let_faults_loose()
        await storm.rage()
        took = await drain(system, options.drain_limit_s)
        for name in list(system.children):
            await system.take_down(name)
        found = await evidence_module.gather(system, lists.blocked)
        found = _with_customers(found, provoked + storm.customers)
        findings = audit(found)
        report = _report(system, storm, found, findings)
        report["seconds_to_drain"] = None if took is None else round(took, 1)
        report["seconds"] = round(time.monotonic() - begun, 1)
        stories = story.tell(found, findings, provoked + storm.customers, folder)
    verdict = Verdict(report, findings, stories)
    if verdict.clean and options.folder is None:
        verdict.forget()
    return verdict


def _with_customers(found: Evidence, customers: list[Customer]) -> Evidence:
    return replace(
        found,
        acknowledged=frozenset(c.order_id for c in customers if c.order_id),
        customer_errors={c.number: c.error for c in customers if c.error},
    )


def _report(
    system: System, storm: Storm, found: Evidence, findings: list[Finding]
) -> dict[str, Any]:
    options = system.options
    statuses = Counter(order["status"] for order in found.rows["orders"])
    counts = Counter(finding.kind for finding in findings)
    return {
        "orders": len(found.rows["orders"]),
        "captured": sum(1 for intent in found.intents if intent["amount_received"]),
        "completed": statuses["completed"],
        "refunded": statuses["refunded"],
        "kills": storm.kills,
        "reorgs": storm.reorgs,
        "faults": system.faults_seen(),
        **{kind: counts[kind] for kind in KINDS},
        "statuses": dict(sorted(statuses.items())),
        "batches": dict(Counter(batch["status"] for batch in found.rows["batches"])),
        "transactions_reorganised_away": system.chain.dropped,
        "seed": options.seed,
        "workers": options.workers,
        "sabotage": options.sabotage,
        "conditions": {
            "lanes": options.lanes,
            "endpoints": len(system.rpcs),
            "block_s": BLOCK_S,
            "blocks_to_final": 2 * SLOTS_IN_AN_EPOCH,
            "restarts": system.restarts,
            "reorg_depths": storm.depths,
            "quote_life_s": options.quote_life_s,
            "policy": dict(POLICY),
            "assets": dict(Counter(c.asset for c in storm.customers)),
            "batch_kinds": dict(Counter(batch["kind"] for batch in found.rows["batches"])),
            "kinds_of_customers": dict(Counter(c.kind for c in storm.customers)),
            "cpus": os.cpu_count(),
        },
        "logs": str(system.folder),
    }
