"""``python -m tests.chaos``: see ``--help``. Exit status 0 only when the audit finds nothing."""

import argparse
import asyncio
import json
import sys

from tests.chaos.guards import SABOTAGED_DRAIN_S
from tests.chaos.options import Options
from tests.chaos.run import KINDS, Verdict, run
from tests.chaos.sabotage import GUARDS


def main() -> int:
    arguments = _parse()
    if arguments.list_guards:
        for guard in GUARDS.values():
            print(f"{guard.name:24} {guard.finding:12} {guard.protects}")
        return 0
    guard = arguments.sabotage or arguments.scenario
    orders, kills, reorgs = (0, 0, 0) if guard else (500, 100, 10)
    options = Options(
        orders=orders if arguments.orders is None else arguments.orders,
        kills=kills if arguments.kills is None else arguments.kills,
        reorgs=reorgs if arguments.reorgs is None else arguments.reorgs,
        seed=arguments.seed,
        workers=arguments.workers,
        faults=not arguments.no_faults,
        sabotage=arguments.sabotage,
        scenario=guard,
        drain_limit_s=SABOTAGED_DRAIN_S if arguments.sabotage else Options().drain_limit_s,
    )
    verdict = asyncio.run(run(options))
    if arguments.json:
        print(json.dumps(verdict.report))
    else:
        _show(verdict)
    if not verdict.clean:
        _explain(verdict)
    return 0 if verdict.clean else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--orders", type=int, help="default: 500")
    parser.add_argument("--kills", type=int, help="default: 100")
    parser.add_argument("--reorgs", type=int, help="default: 10")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--no-faults", action="store_true", help="kills and reorgs alone")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--sabotage", choices=sorted(GUARDS), help="switch this guard off")
    parser.add_argument(
        "--scenario", choices=sorted(GUARDS), help="bring about what this guard is there for"
    )
    parser.add_argument("--list-guards", action="store_true")
    return parser.parse_args()


def _show(verdict: Verdict) -> None:
    report = verdict.report
    for name in ("orders", "captured", "completed", "refunded", "kills", "reorgs"):
        print(f"{name:12} {report[name]:6}")
    print(f"{'faults':12} {sum(report['faults'].values()):6}")
    for kind, count in report["faults"].items():
        print(f"   {kind:28} {count}")
    for kind in KINDS:
        print(f"{kind:12} {report[kind]:6}")
    print(f"drained in {report['seconds_to_drain']} s; {report['seconds']} s in all")


def _explain(verdict: Verdict) -> None:
    for finding in verdict.findings:
        print(f"{finding.kind}: {finding.about}: {finding.text}", file=sys.stderr)
    for told in verdict.stories:
        print(f"\n{told}", file=sys.stderr)
    print(f"\nlogs: {verdict.report['logs']}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
