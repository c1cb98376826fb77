"""The benchmark runs, and what it measures stays under the bars that it names."""

from benchmarks.payout_gas import BARS, measure, open_bench, table
from tests.chain.conftest import needs_anvil


@needs_anvil
def test_a_payout_costs_no_more_than_the_bars() -> None:
    """On a real chain, calldata and intrinsic cost included, in batches of 200 and 500."""
    with open_bench() as bench:
        found = measure(bench)
    assert {key: found[key] for key, bar in BARS.items() if found[key] > bar} == {}
    assert "erc20, fresh" in table(found)
