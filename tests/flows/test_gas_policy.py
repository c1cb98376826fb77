"""The real engine on a chain that replays recorded base fees: waiting pays, and is never late."""

import os
from pathlib import Path

import pytest

from benchmarks.gas_replay import plan, replay
from settlement.quote import Speed
from tests.flows.conftest import needs_anvil

WINDOW = "gas/eth_l1_2022-07-01_02_spike.csv.gz"


@pytest.fixture
def window() -> Path:
    folder = os.environ.get("TIDEGATE_DATA")
    if not folder:
        pytest.skip("TIDEGATE_DATA names no folder with recorded blocks")
    path = Path(folder) / WINDOW
    if not path.exists():
        pytest.skip(f"{WINDOW} is not in TIDEGATE_DATA")
    return path


@needs_anvil
async def test_the_engine_pays_less_with_the_policy_and_every_order_keeps_its_deadline(
    window: Path, tmp_path: Path
) -> None:
    """Two engines, the same orders, the same blocks: one waits for the fee that the policy expects.

    The fee itself is lower, so that not only the larger batches save.
    """
    made = plan(window, first=1_000, orders=4, every=4, speed=Speed.STANDARD)
    found = await replay(tmp_path, made)
    policy, at_once = found["policy"], found["at_once"]
    assert (policy["paid"], at_once["paid"]) == (4, 4)
    assert policy["deadlines_kept"] == 4
    assert int(policy["mean_base_fee_wei"]) < int(at_once["mean_base_fee_wei"])
    assert int(policy["gas_paid_wei"]) < int(at_once["gas_paid_wei"])
    assert policy["reasons"].get("fee_is_low", 0) > 0
