"""What a chaos run is asked for, and the numbers that make failures quick."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LEASE_MS = 4_000
READY = "chaos worker ready"
"""What a worker says once it ticks."""
BLOCK_S = 0.3
SLOTS_IN_AN_EPOCH = 3
"""``finalized`` is twice as many blocks behind the head (anvil)."""
REORG_DEPTH_MAX = 2 * SLOTS_IN_AN_EPOCH - 1
STOCK_MINOR = 10_000_000 * 10**6
STOCK_WEI = 1_000 * 10**18
GAS_MONEY_WEI = 4 * 10**18
"""Of each lane. Fresh accounts get their coins out of it, and by the vault when it runs low."""

POLICY: Mapping[str, int] = {
    "lease_ms": LEASE_MS,
    "lane_lease_ms": 4_000,
    "sign_patience_ms": 20_000,
    "poll_ms": 300,
    "retry_ms_max": 2_000,
    "rebroadcast_ms": 1_000,
    "bump_ms": 4_000,
    "concurrency": 8,
    "inbox_attempts_max": 60,
}
"""Of :class:`settlement.schedule.Policy`: everything comes round again within seconds."""

RPC_RATES: tuple[Mapping[str, float], ...] = (
    {
        "drop_before": 0.01,
        "drop_after": 0.02,
        "timeout_after": 0.003,
        "http_429": 0.01,
        "wrapped_error": 0.1,
        "said_twice": 0.1,
        "lagging_receipt": 0.05,
    },
    {
        "stale_head": 0.2,
        "lagging_receipt": 0.2,
        "stale_answer": 0.1,
        "http_500": 0.02,
        "timeout_before": 0.003,
        "drop_after": 0.02,
        "wrapped_error": 0.1,
    },
    {
        "outage": 0.01,
        "http_500": 0.05,
        "drop_before": 0.05,
        "timeout_after": 0.005,
        "stale_head": 0.05,
        "stale_answer": 0.05,
        "wrapped_error": 0.2,
        "lie_final": 0.05,
        "lie_reverted": 0.1,
    },
)
"""One per endpoint: a fair one, one that lags, one that is often away and sometimes lies."""

STRIPE_RATES: Mapping[str, float] = {
    "drop_before": 0.01,
    "drop_after": 0.03,
    "timeout_before": 0.002,
    "timeout_after": 0.004,
    "http_500": 0.01,
    "http_500_after": 0.01,
    "http_429": 0.02,
    "said_twice": 0.03,
}

WEBHOOK_RATES: Mapping[str, float] = {
    "webhook_lost": 0.15,
    "webhook_duplicated": 0.15,
    "webhook_reordered": 0.2,
    "webhook_answer_lost": 0.05,
}


@dataclass(frozen=True, slots=True)
class Options:
    """``quote_life_s`` bounds how long an order that nobody pays keeps the end waiting.

    ``scenario`` brings about what the guard of that name is there for, before anything else;
    ``sabotage`` switches that guard off.
    """

    orders: int = 40
    kills: int = 8
    reorgs: int = 2
    seed: int = 1
    workers: int = 3
    lanes: int = 3
    faults: bool = True
    sabotage: str | None = None
    scenario: str | None = None
    quote_life_s: int = 30
    drain_limit_s: float = 120.0
    folder: Path | None = None
