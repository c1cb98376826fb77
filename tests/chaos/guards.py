"""``python -m tests.chaos.guards``: every guard, once with and once without.

With it the disturbance ends well; without it the audit must report what the guard's row says.
Exit status 0 only when both hold for all of them.
"""

import argparse
import asyncio
import sys

from tests.chaos.options import Options
from tests.chaos.run import Verdict, run
from tests.chaos.sabotage import GUARDS

SABOTAGED_DRAIN_S = 20.0
"""What is stuck stays stuck: no need to wait as long for it."""


def options_for(guard: str, *, sabotaged: bool, seed: int = 1) -> Options:
    """The guard's own disturbance and nothing else."""
    return Options(
        orders=0,
        kills=0,
        reorgs=0,
        seed=seed,
        scenario=guard,
        sabotage=guard if sabotaged else None,
        drain_limit_s=SABOTAGED_DRAIN_S if sabotaged else Options().drain_limit_s,
    )


def is_caught(verdict: Verdict, guard: str) -> bool:
    return bool(verdict.report[GUARDS[guard].finding] > 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.guards", description=__doc__)
    parser.add_argument("guards", nargs="*", help="default: all")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    failed = 0
    for guard in arguments.guards or GUARDS:
        honest = asyncio.run(run(options_for(guard, sabotaged=False, seed=arguments.seed)))
        broken = asyncio.run(run(options_for(guard, sabotaged=True, seed=arguments.seed)))
        good = honest.clean and is_caught(broken, guard)
        failed += not good
        told = ", ".join(sorted({f"{f.kind}: {f.text}"[:100] for f in broken.findings})[:2])
        print(f"{'ok  ' if good else 'FAIL'} {guard:20} {told}", flush=True)
        if good:
            broken.forget()
        else:
            for verdict in (honest, broken):
                print(f"     {verdict.report['logs']}: {verdict.findings}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
