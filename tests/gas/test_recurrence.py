"""EIP-1559's recurrence, and what a chain's own blocks tell about its parameters."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.gas import windows
from chain.gas.recurrence import (
    Block,
    Parameters,
    bounds_wei,
    fullness_per_target,
    infer,
    next_base_fee_wei,
)


def test_a_block_with_more_gas_than_its_limit_is_refused():
    """Such a header is a fault of the endpoint, not a market."""
    with pytest.raises(ValueError, match="no chain holds"):
        next_base_fee_wei(Block(10**9, 31_000_000, 30_000_000))


def test_the_specifications_own_examples_hold():
    """The vectors that go-ethereum tests its implementation with."""
    limit = 20_000_000
    for used, expected in ((10_000_000, 10**9), (9_000_000, 987_500_000), (11_000_000, 1012500000)):
        assert next_base_fee_wei(Block(10**9, used, limit)) == expected


def test_a_full_block_raises_even_one_wei():
    """The rise is at least 1 wei, or a fee of a few wei could never leave."""
    assert next_base_fee_wei(Block(1, 30_000_000, 30_000_000)) == 2


def test_a_minimum_holds():
    """OP-stack networks may set a floor below which empty blocks don't lead."""
    assert next_base_fee_wei(Block(100, 0, 30), Parameters(minimum_wei=95)) == 95


@given(
    base=st.integers(10**6, 10**13),
    shares=st.lists(st.integers(0, 1000), min_size=30, max_size=60),
    parameters=st.sampled_from([Parameters(8, 2), Parameters(50, 6), Parameters(250, 10)]),
)
def test_parameters_are_read_from_behaviour(base: int, shares: list[int], parameters: Parameters):
    """Whatever a network chose, its blocks then follow from what was inferred."""
    blocks = [Block(base, 0, 60_000_000)]
    for share in shares:
        newest = Block(blocks[-1].base_fee_wei, share * 60_000, 60_000_000)
        blocks = [*blocks[:-1], newest, Block(next_base_fee_wei(newest, parameters), 0, 60_000_000)]
    inferred = infer(blocks[:-1])
    told = sum(abs(a.base_fee_wei - b.base_fee_wei) > 8 for a, b in itertools.pairwise(blocks))
    if told > 20:
        wrong = sum(
            next_base_fee_wei(a, inferred) != b.base_fee_wei for a, b in itertools.pairwise(blocks)
        )
        assert wrong <= 0.1 * len(blocks)


def test_a_denominator_of_250_is_told_from_one_of_8():
    """The exact pair, where the blocks leave no doubt."""
    parameters = Parameters(250, 6)
    blocks = [Block(10**12, 55_000_000, 60_000_000)]
    for step in range(60):
        fee = next_base_fee_wei(blocks[-1], parameters)
        blocks.append(Block(fee, (step * 7_654_321) % 60_000_000, 60_000_000))
    assert infer(blocks) == parameters


def test_a_floor_is_seen_once_empty_blocks_stop_lowering_the_fee():
    """Two blocks below target that leave the fee where it was: that is the minimum."""
    parameters = Parameters(8, 2, 10**6)
    blocks = [Block(1_500_000, 1_000, 30_000_000)]
    for _ in range(12):
        blocks.append(Block(next_base_fee_wei(blocks[-1], parameters), 1_000, 30_000_000))
    assert infer(blocks).minimum_wei == 10**6


def test_without_blocks_the_fallback_stands():
    """Nothing seen, nothing claimed."""
    assert infer([], Parameters(50, 6)) == Parameters(50, 6)


@given(base=st.integers(1, 10**15), used=st.integers(0, 30_000_000), blocks=st.integers(1, 20))
def test_no_path_leaves_the_bounds(base: int, used: int, blocks: int):
    """The fallback without history is certain, to the wei."""
    low, high = bounds_wei(base, blocks)
    fee = base
    for step in range(blocks):
        fee = next_base_fee_wei(Block(fee, (used * (step + 1)) % 30_000_001, 30_000_000))
    assert low <= fee <= high


def test_recorded_blocks_follow_exactly(recorded: Path):
    """Base fees and gas used of real blocks agree within what the file's rounding leaves."""
    window = windows.read(recorded / "eth_l1_2022-01-13_16_full_rounded.csv.gz")
    assert window.gas_used is not None
    assert window.gas_limit is not None
    worst, pairs = 0.0, 0
    for at in range(len(window) - 1):
        if window.numbers[at + 1] - window.numbers[at] == 1:
            used, limit = int(window.gas_used[at]), int(window.gas_limit[at])
            following = next_base_fee_wei(Block(int(window.fees[at]), used, limit))
            worst = max(worst, abs(following / window.fees[at + 1] - 1))
            pairs += 1
    assert pairs > 19_000
    assert worst < 1e-3


def test_recorded_fees_tell_fullness_within_its_limits(recorded: Path):
    """Consecutive real base fees, in wei, never move further than a full or empty block can."""
    window = windows.read(recorded / "eth_l1_2022-07-01_02_spike.csv.gz")
    fees = [int(fee) for fee in window.fees]
    for before, after in itertools.pairwise(fees):
        low, high = bounds_wei(before, 1)
        assert low <= after <= high
        assert -1 <= fullness_per_target(before, after) <= 1
