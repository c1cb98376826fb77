"""Synthetic fee markets, and the real ones where they are."""

import os
from pathlib import Path

import numpy as np
import pytest

from chain.gas import artifact
from chain.gas.recurrence import Block, next_base_fee_wei
from chain.gas.windows import BlockWindow


def market(count: int, *, seed: int = 7, start_wei: int = 20 * 10**9) -> BlockWindow:
    """Blocks whose demand falls with the fee: mean-reverting, as real ones are."""
    random = np.random.default_rng(seed)
    fees, used, limit = [start_wei], [], 30_000_000
    for _ in range(count):
        pressure = 0.5 - 0.6 * np.log(fees[-1] / start_wei) + random.normal(0, 0.3)
        used.append(int(np.clip(pressure, 0, 1) * limit))
        fees.append(next_base_fee_wei(Block(fees[-1], used[-1], limit)))
    numbers = np.arange(1000, 1000 + count)
    return BlockWindow(
        "synthetic",
        numbers,
        1_700_000_000.0 + 12.0 * np.arange(count),
        np.array(fees[:-1], np.float64),
        np.array(used),
        np.full(count, limit),
    )


def write(window: BlockWindow, path: Path) -> Path:
    assert window.times is not None
    lines = ["number,timestamp,base_fee_wei"]
    for number, second, fee in zip(window.numbers, window.times, window.fees, strict=True):
        lines.append(f"{number},{int(second)},{int(fee)}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def model() -> artifact.Model:
    return artifact.load()


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded blocks."""
    data = os.environ.get("TIDEGATE_DATA")
    if not data or not (Path(data) / "gas").is_dir():
        pytest.skip("TIDEGATE_DATA names no folder with recorded blocks in gas/")
    return Path(data) / "gas"
