"""What an account's counterparties say: their statistics and ages, and small patterns with them.

At most :data:`PEERS_MAX` counterparties of each side are read, evenly thinned over the history,
and for patterns :data:`MOTIF_PEERS_MAX` of them: the cost of a hub is bounded, in training and in
serving alike.
"""

import math
from typing import Any

import numpy as np

from compliance_graph.kernels import (
    BRIEF,
    SPREAD,
    brief_into,
    compiled,
    inner,
    log_second,
    spread_into,
    thinned,
)
from compliance_graph.nodetable import COLUMNS, PLAIN_COLUMNS

PEERS_MAX = 256
MOTIF_PEERS_MAX = 64
MOTIF_ROWS_MAX = 64
HUB_PAIRS = 50
WEIGHTED = (0, 1, 4, 6, 7)
ENDS = 9
WIDTH = len(COLUMNS)
_WEIGHTED = np.array(WEIGHTED)
SENDER, RECEIVER = 1, 2


def peer_names(prefix: str) -> list[str]:
    """Names of what :func:`peers_into` fills for one side, in its order."""
    names = [f"{prefix}.{column}.{b}" for column in COLUMNS for b in BRIEF]
    for kind in ("age", "rest", "older", "outlives"):
        names += [f"{prefix}.time.{kind}.{s}" for s in SPREAD]
    names += [f"{prefix}.time.fresh", f"{prefix}.time.final"]
    names += [f"{prefix}.shape.leaf", f"{prefix}.shape.hub"]
    names += [f"{prefix}.{end}.{column}" for end in ("head", "tail") for column in COLUMNS[:ENDS]]
    names += [f"{prefix}.rel.weighted.{COLUMNS[c]}" for c in WEIGHTED]
    return names + [f"{prefix}.rel.top.{column}" for column in COLUMNS]


def motif_names() -> list[str]:
    """Names of what :func:`motifs_into` fills, in its order."""
    ways = ("in_in", "in_out", "out_in", "out_out")
    names = ["two_way", "self", *(f"tie_{w}" for w in ways), *(f"ties_{w}" for w in ways)]
    return [f"motif.shape.{name}" for name in (*names, "converge", "onward")]


@compiled
def around_into(
    node: int, amounts: bool,
    in_start: Any, in_size: Any, in_peer: Any, _c: Any, in_amount: Any, in_time: Any,
    out_start: Any, out_size: Any, out_peer: Any, _d: Any, out_amount: Any, out_time: Any,
    values: Any, first_s: Any, last_s: Any, out: Any, at: int,
) -> None:  # fmt: skip
    """Motifs, then the peers of each side; arrays as of an index of pairs."""
    kept_in = in_start[node] + thinned(in_size[node], PEERS_MAX)
    kept_out = out_start[node] + thinned(out_size[node], PEERS_MAX)
    senders, receivers = in_peer[kept_in], out_peer[kept_out]
    at = motifs_into(node, senders, receivers, out_start, out_size, out_peer, out, at)
    for side in range(2):
        peers = senders if side == 0 else receivers
        amount = in_amount[kept_in] if side == 0 else out_amount[kept_out]
        time = in_time[kept_in] if side == 0 else out_time[kept_out]
        degree = in_size[peers] + out_size[peers]
        at = peers_into(
            node, peers, amount, time, degree, values, first_s, last_s, amounts, out, at
        )


@inner
def peers_into(
    node: int, peers: Any, amounts: Any, times: Any, degree: Any,
    values: Any, first_s: Any, last_s: Any, with_amounts: bool, out: Any, at: int,
) -> int:  # fmt: skip
    """``peers`` of one side (thinned, by time) and their pairs' columns; ``degree`` of each."""
    n = len(peers)
    end = at + 7 * WIDTH + 40 + 2 * ENDS + len(_WEIGHTED) + WIDTH
    if not n:
        return end
    known = np.empty(n)
    for c in range(WIDTH if with_amounts else PLAIN_COLUMNS):
        kept = 0
        for peer in peers:
            value = values[peer, c]
            if not math.isnan(value):
                known[kept] = value
                kept += 1
        brief_into(known[:kept], out, at + 7 * c)
    at = ages_into(node, peers, times, first_s, last_s, out, at + 7 * WIDTH)
    leaf, hub = 0, 0
    for pairs in degree:
        leaf += pairs < 2
        hub += pairs > HUB_PAIRS
    out[at], out[at + 1] = leaf / n, hub / n
    for c in range(ENDS):
        out[at + 2 + c] = values[peers[0], c]
        out[at + 2 + ENDS + c] = values[peers[n - 1], c]
    if with_amounts:
        by_weight_into(peers, amounts, values, out, at + 2 + 2 * ENDS)
    return end


@inner
def ages_into(
    node: int, peers: Any, times: Any, first_s: Any, last_s: Any, out: Any, at: int
) -> int:
    """How old the peers were when they met the account, and who was there before and after."""
    n = len(peers)
    ages = np.empty((4, n))
    fresh, final = 0, 0
    for i in range(n):
        first, last = first_s[peers[i]], last_s[peers[i]]
        ages[0, i] = log_second(times[i] - first)
        ages[1, i] = log_second(last - times[i])
        ages[2, i] = log_second(first_s[node] - first)
        ages[3, i] = log_second(last - last_s[node])
        fresh += times[i] == first
        final += times[i] == last
    for kind in range(4):
        at = spread_into(ages[kind], out, at)
    out[at], out[at + 1] = fresh / n, final / n
    return at + 2


@inner
def by_weight_into(peers: Any, amounts: Any, values: Any, out: Any, at: int) -> None:
    """The peers weighted by the value moved, and the one that moved most."""
    for i in range(len(_WEIGHTED)):
        total, sums = 0.0, 0.0
        for k in range(len(peers)):
            value = values[peers[k], _WEIGHTED[i]]
            if not math.isnan(value):
                total += amounts[k]
                sums += amounts[k] * value
        if total > 0:
            out[at + i] = sums / total
    at += len(_WEIGHTED)
    top = peers[np.argmax(amounts)]
    for c in range(WIDTH):
        out[at + c] = values[top, c]


@inner
def empty_table(most: int) -> Any:
    """An open hash table for so many keys, and their flags; no larger than it has to be, so that
    what the account's features are made of stays in the processor's cache."""
    size = 8
    while size < 2 * most:
        size *= 2
    return np.full(size, -1), np.zeros(size, np.int64)


@inner
def found(table: Any, flags: Any, key: int) -> int:
    """The key's flags in an open hash table, 0 where it is not."""
    mask = len(table) - 1
    at = (key * 2654435761) & mask
    while table[at] >= 0:
        if table[at] == key:
            return int(flags[at])
        at = (at + 1) & mask
    return 0


@inner
def mark(table: Any, flags: Any, key: int, flag: int) -> bool:
    """Add a flag to the key; True when it was not there before."""
    mask = len(table) - 1
    at = (key * 2654435761) & mask
    while table[at] >= 0 and table[at] != key:
        at = (at + 1) & mask
    fresh = table[at] < 0
    table[at] = key
    flags[at] |= flag
    return bool(fresh)


@inner
def motifs_into(
    node: int, senders: Any, receivers: Any, out_start: Any, out_size: Any, out_peer: Any,
    out: Any, at: int,
) -> int:  # fmt: skip
    """Triangles, two-way ties, cycles of three, and chains through the peers."""
    table, flags = empty_table(len(senders) + len(receivers))
    either, both, own = 0, 0, False
    for peer in senders:
        either += mark(table, flags, peer, SENDER)
        own |= peer == node
    for peer in receivers:
        fresh = mark(table, flags, peer, RECEIVER)
        either += fresh
        both += not fresh
    out[at], out[at + 1] = both / max(1, either), own
    targets = 0
    for peer in receivers[max(0, len(receivers) - MOTIF_PEERS_MAX) :]:
        targets += min(out_size[peer], MOTIF_ROWS_MAX)
    seen, none = empty_table(targets)
    onward, distinct = 0, 0
    for side in range(2):
        peers = senders if side == 0 else receivers
        to_in, to_out = 0, 0
        peers = peers[max(0, len(peers) - MOTIF_PEERS_MAX) :]
        for peer in peers:
            begin = out_start[peer]
            for target in out_peer[begin : begin + min(out_size[peer], MOTIF_ROWS_MAX)]:
                flag = found(table, flags, target)
                to_in += (flag & SENDER) > 0
                to_out += (flag & RECEIVER) > 0
                if side == 1:
                    onward += 1
                    distinct += mark(seen, none, target, 1)
        if len(peers):
            out[at + 2 + 2 * side] = to_in / len(peers)
            out[at + 3 + 2 * side] = to_out / len(peers)
        out[at + 6 + 2 * side] = math.log1p(to_in)
        out[at + 7 + 2 * side] = math.log1p(to_out)
    if len(receivers):
        if onward:
            out[at + 10] = distinct / onward
        out[at + 11] = math.log1p(onward)
    return at + 12
