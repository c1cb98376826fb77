"""The one thing about tomorrow's fee that is exact: how the base fee follows from gas used.

EIP-1559: ``target = gas_limit // elasticity`` and, with floor divisions throughout,
``next = base + max(base * (used - target) // target // denominator, 1)`` above the target,
``next = base - base * (target - used) // target // denominator`` below it. Networks choose other
denominators, elasticities and minima, and change them; :func:`infer` reads them from the blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log1p


@dataclass(frozen=True, slots=True)
class Parameters:
    """A network's fee market. Ethereum's are the defaults; ``minimum_wei`` 0 means no floor."""

    denominator: int = 8
    elasticity: int = 2
    minimum_wei: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """What the recurrence reads from a header. Gas in units, the fee in wei per unit."""

    base_fee_wei: int
    gas_used: int
    gas_limit: int


ETHEREUM = Parameters()
FEE_WEI_MAX = 1 << 63
"""Nine coins per unit of gas, which is nobody's fee."""

_ELASTICITIES = (2, 6, 10, 3, 4, 5, 8, 12, 16, 20)
_EXACT_SHARE_MIN = 0.9


def next_base_fee_wei(block: Block, parameters: Parameters = ETHEREUM) -> int:
    """The base fee of the block after ``block``, exact to the wei.

    Raises ``ValueError`` for a block that no chain can hold.
    """
    _check(block)
    base = block.base_fee_wei
    target = max(block.gas_limit // parameters.elasticity, 1)
    if block.gas_used == target:
        following = base
    elif block.gas_used > target:
        rise = base * (block.gas_used - target) // target // parameters.denominator
        following = base + max(rise, 1)
    else:
        following = base - base * (target - block.gas_used) // target // parameters.denominator
    return max(following, parameters.minimum_wei)


def step_bounds(parameters: Parameters = ETHEREUM) -> tuple[float, float]:
    """The smallest and largest change of the log base fee in one block."""
    return (
        log1p(-1 / max(parameters.denominator, 2)),
        log1p((parameters.elasticity - 1) / parameters.denominator),
    )


class Reach:
    """How far the base fee can get from here, block by block; each block is worked out once.

    So many empty or full blocks: all that is certain without any history. Exact integers, so
    floors accumulate as on chain. The highest is capped where it stops meaning anything
    (:data:`FEE_WEI_MAX`).
    """

    def __init__(self, base_fee_wei: int, parameters: Parameters = ETHEREUM) -> None:
        if base_fee_wei < 0:
            raise ValueError("a base fee is not negative")
        self._parameters = parameters
        self._most = max(FEE_WEI_MAX, base_fee_wei)
        self._path = [(base_fee_wei, base_fee_wei)]
        self._rests = False

    @property
    def steps(self) -> int:
        """How many blocks were worked out so far."""
        return len(self._path) - 1

    def bounds_wei(self, blocks: int) -> tuple[int, int]:
        """The lowest and highest base fee that ``blocks`` blocks can lead to."""
        if blocks < 0:
            raise ValueError("a horizon is not negative")
        denominator, rise = self._parameters.denominator, self._parameters.elasticity - 1
        while len(self._path) <= blocks and not self._rests:
            low, high = self._path[-1]
            low = max(low - low // denominator, self._parameters.minimum_wei)
            high = min(high + max(high * rise // denominator, 1), self._most)
            # Hours are many blocks, and most of them change nothing more.
            self._rests = (low, high) == self._path[-1]
            self._path.append((low, high))
        return self._path[min(blocks, len(self._path) - 1)]


def bounds_wei(
    base_fee_wei: int, blocks: int, parameters: Parameters = ETHEREUM
) -> tuple[int, int]:
    """One horizon of :class:`Reach`."""
    return Reach(base_fee_wei, parameters).bounds_wei(blocks)


def infer(blocks: Sequence[Block], fallback: Parameters = ETHEREUM) -> Parameters:
    """The parameters that explain consecutive ``blocks``; ``fallback`` where they explain nothing.

    Each elasticity leaves, per pair of blocks, an interval of denominators whose floors give just
    that change. The pair that most blocks agree with wins, if at least nine in ten do. The
    minimum is a fee that stays although blocks lie below their target, or the fallback's while no
    fee is below it.
    """
    for block in blocks:
        _check(block)
    best, agreed, counted = fallback, 0, 0
    for elasticity in _ELASTICITIES:
        denominator, votes, voters = _denominator(blocks, elasticity)
        if votes > agreed:
            best = Parameters(denominator, elasticity, fallback.minimum_wei)
            agreed, counted = votes, voters
    if counted == 0 or agreed < _EXACT_SHARE_MIN * counted:
        best = fallback
    minimum = _minimum_wei(blocks, best) or fallback.minimum_wei
    if any(block.base_fee_wei < minimum for block in blocks):
        minimum = 0
    return Parameters(best.denominator, best.elasticity, minimum)


def _denominator(blocks: Sequence[Block], elasticity: int) -> tuple[int, int, int]:
    """The denominator most pairs agree on, how many agree, and how many had a say."""
    edges: list[tuple[int, int]] = []
    voters = 0
    for before, after in pairwise(blocks):
        target = before.gas_limit // elasticity
        pull = before.base_fee_wei * abs(before.gas_used - target) // max(target, 1)
        change = after.base_fee_wei - before.base_fee_wei
        if pull < 1000 or abs(change) < 8:
            continue
        voters += 1
        if (change > 0) == (before.gas_used > target):
            low, high = pull // (abs(change) + 1) + 1, pull // abs(change)
            if low <= high:
                edges += [(low, 1), (high + 1, -1)]
    best, most, depth = 8, 0, 0
    for value, step in sorted(edges):
        depth += step
        if depth > most:
            best, most = value, depth
    return best, most, voters


def _minimum_wei(blocks: Sequence[Block], parameters: Parameters) -> int:
    """A fee that stood still twice where the recurrence wanted it lower; 0: none was seen."""
    free = Parameters(parameters.denominator, parameters.elasticity)
    held: list[int] = [
        after.base_fee_wei
        for before, after in pairwise(blocks)
        if after.base_fee_wei > next_base_fee_wei(before, free)
        and before.gas_used < before.gas_limit // parameters.elasticity
    ]
    lowest = min((block.base_fee_wei for block in blocks), default=0)
    return lowest if held.count(lowest) >= 2 else 0


def fullness_per_target(
    fee_wei: int, following_wei: int, parameters: Parameters = ETHEREUM
) -> float:
    """How far gas used lay from its target, as a share of it, told by two base fees alone."""
    if fee_wei <= 0:
        raise ValueError("a base fee of zero tells nothing about its block")
    share = (following_wei / fee_wei - 1) * parameters.denominator
    return min(max(share, -1.0), float(parameters.elasticity - 1))


def _check(block: Block) -> None:
    if block.base_fee_wei < 0 or block.gas_limit <= 0 or not 0 <= block.gas_used <= block.gas_limit:
        raise ValueError(f"no chain holds such a block: {block}")
