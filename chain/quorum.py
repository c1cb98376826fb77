"""What may be believed when several endpoints are asked the same. Pure.

As long as fewer than ``quorum`` endpoints lie or lag, whatever ``quorum`` of them say in the same
words has been said by at least one that does neither.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

from chain.errors import NoQuorum

T = TypeVar("T", bound=Hashable)


def majority(endpoints: int) -> int:
    """More than half: no two majorities can contradict each other."""
    return endpoints // 2 + 1


def agreed(ballots: Sequence[T], quorum: int, what: str) -> T:
    """The one answer that ``quorum`` gave. Raises :class:`NoQuorum` without one, or with two."""
    chosen = [answer for answer, votes in Counter(ballots).items() if votes >= quorum]
    if len(chosen) != 1:
        raise NoQuorum(f"{quorum} endpoints must agree about {what}; {len(ballots)} answered")
    return chosen[0]


def is_decided(ballots: Sequence[T], quorum: int, outstanding: int) -> bool:
    """Whether one answer has its quorum, or none can reach it any more."""
    most = max(Counter(ballots).values(), default=0)
    return most >= quorum or most + outstanding < quorum


def quorum_highest(values: Sequence[int], quorum: int) -> int:
    """The highest number that ``quorum`` of the values reach: no fewer can raise it by lying.

    Raises :class:`NoQuorum` for fewer values than that.
    """
    if len(values) < quorum:
        raise NoQuorum(f"{quorum} endpoints must answer; {len(values)} did")
    return sorted(values, reverse=True)[quorum - 1]
