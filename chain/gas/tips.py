"""What inclusion costs beside the base fee: from what recent blocks have taken. Pure, integers."""

from collections.abc import Sequence

WITHIN_BLOCKS = (1, 2, 5, 10)
LEVELS = (50, 75, 90)
"""How often, in percent, the tip would have been enough."""

_RECENT = 120
_ENTRY = 0
"""The lowest percentile that the history keeps: little that a block takes pays less."""


def tips_within_wei(
    tips: Sequence[tuple[int, ...] | None],
) -> dict[int, tuple[int, ...]]:
    """For each of :data:`WITHIN_BLOCKS`, one tip per level of :data:`LEVELS`, rising.

    Within n blocks the cheapest of n is enough: the least entry tip of every n consecutive blocks
    of recent ones, and of those the quantile. Empty where no block told its tips.
    """
    entry = [tip[_ENTRY] for tip in list(tips)[-_RECENT:] if tip]
    answers: dict[int, tuple[int, ...]] = {}
    for within in WITHIN_BLOCKS:
        least = sorted(
            min(entry[at : at + within]) for at in range(max(len(entry) - within + 1, 0))
        )
        if least:
            answers[within] = tuple(
                least[min(len(least) * level // 100, len(least) - 1)] for level in LEVELS
            )
    return answers
