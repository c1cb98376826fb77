"""Payments summed up by peer, in compiled code: a hub's thousand in a few microseconds."""

import numpy as np

from compliance_graph.kernels import compiled, inner


@compiled
def grouped(peers):  # type: ignore[no-untyped-def]
    """The peers in the order of their first payment, which of them each payment is with, and the
    row of each one's first payment."""
    size = 8
    while size < 2 * len(peers):
        size *= 2
    table = np.full(size, -1, dtype=np.int64)
    places = np.empty(len(peers), dtype=np.int64)
    first = np.empty(len(peers), dtype=np.int64)
    found = 0
    for row in range(len(peers)):
        at = (peers[row] * 2654435761) & (size - 1)
        while table[at] >= 0 and peers[first[table[at]]] != peers[row]:
            at = (at + 1) & (size - 1)
        if table[at] < 0:
            table[at] = found
            first[found] = row
            found += 1
        places[row] = table[at]
    first = first[:found]
    return peers[first], places, first


@compiled
def paid(peers, worth, time_s, peer):  # type: ignore[no-untyped-def]
    """The worths of the payments with one peer, and when the first and the last of them was."""
    rows = np.flatnonzero(peers == peer)
    if not len(rows):
        return worth[:0], 0, 0
    return worth[rows], time_s[rows[0]], time_s[rows[-1]]


@compiled
def with_kind(worth, places, kinds, kind):  # type: ignore[no-untyped-def]
    """The worths of the payments with peers of one kind."""
    kept = np.empty(len(worth))
    n = 0
    for row in range(len(worth)):
        if kinds[places[row]] == kind:
            kept[n] = worth[row]
            n += 1
    return kept[:n]


@compiled
def heaviest(named, places, worth, kinds, without, most):  # type: ignore[no-untyped-def]
    """The ``most`` peers who moved most and are of another kind than ``without``, the heaviest
    first, of equals the lower number first; and how much each moved."""
    sums = np.zeros(len(named))
    for row in range(len(places)):
        sums[places[row]] += worth[row]
    best = np.empty(min(most, len(named)), dtype=np.int64)
    weights = np.empty(len(best))
    held = 0
    for at in range(len(named)):
        if kinds[at] != without and sums[at] > 0.0:
            held = _placed(best, weights, held, at, sums[at], named)
    return named[best[:held]], weights[:held]


@inner
def _placed(best, weights, held, at, weight, named):  # type: ignore[no-untyped-def]
    """Puts one in its place among the heaviest so far, if it is one; how many these are now."""
    place = held
    while place > 0 and _is_before(weight, named[at], weights[place - 1], named[best[place - 1]]):
        place -= 1
    if place < len(best):
        held = min(held + 1, len(best))
        for i in range(held - 1, place, -1):
            best[i], weights[i] = best[i - 1], weights[i - 1]
        best[place], weights[place] = at, weight
    return held


@inner
def _is_before(weight, peer, other_weight, other):  # type: ignore[no-untyped-def]
    return weight > other_weight or (weight == other_weight and peer < other)


@compiled
def branches(  # type: ignore[no-untyped-def]
    peers, worth, time_s, earliest_s, latest_s, outgoing, kinds, shares, known, category, most
):
    """The ``most`` peers that contribute most to a category by payments of that time: their
    numbers, and when the last (incoming) or the first (outgoing) of these payments was.

    ``known`` holds each payment's share where the tables do not, else NaN; it may be empty.
    """
    named, places, first = grouped(peers)
    sums = np.zeros(len(named))
    bounds = np.full(len(named), latest_s if outgoing else earliest_s)
    for row in range(len(peers)):
        if earliest_s <= time_s[row] <= latest_s:
            at = places[row]
            sums[at] += worth[row]
            if (time_s[row] < bounds[at]) == outgoing:
                bounds[at] = time_s[row]
    best = np.empty(min(most, len(named)), dtype=np.int64)
    weights = np.empty(len(best))
    held = 0
    for at in range(len(named)):
        peer = named[at]
        share = known[first[at]] if len(known) else np.nan
        if share != share:
            kind = kinds[peer]
            share = 1.0 if kind == category else 0.0
            if kind == 0:
                share = np.float64(shares[peer, category - 1])
        weight = sums[at] * share
        if weight > 0.0:
            held = _placed(best, weights, held, at, weight, named)
    best = best[:held]
    return named[best], bounds[best]
