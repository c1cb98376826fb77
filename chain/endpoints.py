"""How good an endpoint is, and whether to ask it now. Pure: the caller brings the clock.

The score is how old an endpoint's answer is when it reaches us: its latency, plus the blocks by
which it trails the others times the time between blocks. Trouble opens a circuit: the endpoint is
paused, each time for twice as long, never for longer than a bound. Whoever asks orders endpoints by
:func:`split`, and falls back on the paused ones: there is always somebody to ask.

Moments are in milliseconds of a clock that never goes back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

PAUSE_FIRST_MS = 1_000
PAUSE_MAX_MS = 30_000
RETRY_AFTER_MAX_MS = 300_000
"""An endpoint may ask for a longer pause than our own, within reason."""
UNCLEAR_MAX = 3
"""One call that a node cannot answer must not pause the node; this many in a row do."""
_LATENCY_ASSUMED_MS = 100.0
_NEW_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Health:
    """What we know of one endpoint.

    ``latency_ms`` is an exponentially weighted mean of the requests that were answered. ``trips``
    counts the times in a row that the circuit opened; ``unclear`` the answers in a row that made no
    sense. ``last_error`` names the newest trouble, also after it is over.
    """

    latency_ms: float = _LATENCY_ASSUMED_MS
    head: int | None = None
    trips: int = 0
    unclear: int = 0
    failing_since_ms: int | None = None
    failed_at_ms: int | None = None
    paused_until_ms: int = 0
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """What an operator sees of an endpoint; its ``label`` shows no credentials.

    ``score_ms``: how old its answers are, less is better. ``lag_blocks`` counts from the height
    that a quorum has reached. ``is_paused``: left alone for now. ``failing_since`` is ``None`` for
    a healthy one, ``last_error`` stays.
    """

    label: str
    score_ms: int
    latency_ms: int
    head: int | None
    lag_blocks: int
    is_paused: bool
    failing_since: datetime | None
    last_error: str | None


def is_paused(health: Health, now_ms: int) -> bool:
    """Whether the circuit is open. A moment later it is half open: one request tries it."""
    return now_ms < health.paused_until_ms


def asked(health: Health, now_ms: int) -> Health:
    """A request leaves. The one that tries a half-open circuit keeps others from trying it too."""
    if health.trips == 0 or is_paused(health, now_ms):
        return health
    return replace(health, paused_until_ms=now_ms + _pause_ms(health.trips))


def answered(health: Health, started_ms: int, now_ms: int) -> Health:
    """An answer came. One to a question older than the trouble does not end the trouble."""
    took = now_ms - started_ms
    mean = (1 - _NEW_SHARE) * health.latency_ms + _NEW_SHARE * took
    if health.failed_at_ms is not None and started_ms < health.failed_at_ms:
        return replace(health, latency_ms=mean)
    return Health(latency_ms=mean, head=health.head, last_error=health.last_error)


def failed(
    health: Health, kind: str, started_ms: int, now_ms: int, retry_after_ms: int = 0
) -> Health:
    """No answer, or one that asks us to go away: the circuit opens.

    Requests that were under way together fail together: they are one trouble, and do not make
    the pause grow.
    """
    known = health.failed_at_ms is not None and started_ms < health.failed_at_ms
    trips = max(health.trips, 1) if known else health.trips + 1
    pause_ms = max(_pause_ms(trips), min(retry_after_ms, RETRY_AFTER_MAX_MS))
    since_ms = now_ms if health.failing_since_ms is None else health.failing_since_ms
    return replace(
        health,
        trips=trips,
        failing_since_ms=since_ms,
        failed_at_ms=health.failed_at_ms if known else now_ms,
        paused_until_ms=max(health.paused_until_ms, now_ms + pause_ms),
        last_error=kind,
    )


def puzzled(health: Health, kind: str, started_ms: int, now_ms: int) -> Health:
    """An answer that made no sense: perhaps the question's fault, so only a series counts."""
    unclear = health.unclear + 1
    if unclear >= UNCLEAR_MAX:
        return replace(failed(health, kind, started_ms, now_ms), unclear=unclear)
    return replace(health, unclear=unclear, last_error=kind)


def saw_head(health: Health, number: int) -> Health:
    """Its newest block, as it says."""
    return replace(health, head=number)


def reference_head(healths: Sequence[Health], quorum: int) -> int | None:
    """The height that ``quorum`` endpoints have reached: a single boast must not age the others."""
    heads = sorted((h.head for h in healths if h.head is not None), reverse=True)
    return heads[quorum - 1] if len(heads) >= quorum else None


def lag_blocks(health: Health, reference: int | None) -> int:
    """Blocks behind the reference; whoever claims to be ahead of it gains nothing."""
    if reference is None or health.head is None:
        return 0
    return max(0, reference - health.head)


def score_ms(health: Health, reference: int | None, block_ms: int) -> float:
    """The age of its answers. Less is better."""
    return health.latency_ms + lag_blocks(health, reference) * block_ms


def split(
    healths: Sequence[Health], now_ms: int, quorum: int, block_ms: int
) -> tuple[list[int], list[int]]:
    """Indices of those to ask, best first, and of the paused ones, soonest over first.

    Half-open circuits come after the closed ones: they are tried, and relied on last.
    """
    reference = reference_head(healths, quorum)

    def rank(index: int) -> tuple[bool, float, int]:
        health = healths[index]
        return health.trips > 0, score_ms(health, reference, block_ms), index

    paused = [i for i, health in enumerate(healths) if is_paused(health, now_ms)]
    ready = [i for i in range(len(healths)) if i not in paused]
    return sorted(ready, key=rank), sorted(paused, key=lambda i: (healths[i].paused_until_ms, i))


def _pause_ms(trips: int) -> int:
    return int(min(PAUSE_FIRST_MS * 2 ** min(trips - 1, 16), PAUSE_MAX_MS))
