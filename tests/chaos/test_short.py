"""A short storm with every kind of disturbance, and proof that the audit is not blind."""

import pytest

from chain.local.anvil import find_anvil
from tests.chaos.guards import is_caught, options_for
from tests.chaos.options import Options
from tests.chaos.run import Verdict, run

pytestmark = pytest.mark.skipif(
    find_anvil() is None, reason="anvil is absent: needs Node.js and `npm ci --omit=dev`"
)


def told(verdict: Verdict) -> str:
    return "\n".join([*map(str, verdict.findings), *verdict.stories, str(verdict.report["logs"])])


async def test_a_storm_loses_nothing_and_pays_nobody_twice():
    """Kills, faults, frozen workers and reorganisations; then chain, Stripe and books agree."""
    verdict = await run(Options(orders=30, kills=6, reorgs=2, seed=1))
    assert verdict.clean, told(verdict)
    assert (verdict.report["orders"], verdict.report["kills"]) == (30, 6)
    assert verdict.report["reorgs"] == 2
    assert verdict.report["completed"] > 10
    assert sum(verdict.report["faults"].values()) > 50


async def test_the_audit_sees_what_a_worker_without_finality_loses():
    """A guard switched off must not go unnoticed; all of them: ``make chaos-sabotage``."""
    verdict = await run(options_for("finality", sabotaged=True))
    assert is_caught(verdict, "finality"), told(verdict)
    verdict.forget()
