"""What a rule says, and what it reads: a finding with its evidence, an account's own payments."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from compliance_graph.addressbook import AddressBook
from compliance_graph.exposure import Exposures
from compliance_graph.graph import Floats, GrowingGraph, Ints
from compliance_graph.kernels import compiled
from compliance_graph.labels import SERVICE, Kinds
from compliance_graph.policy import Policy, Severity
from compliance_graph.rules.peers import grouped, paid

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """Payments from one account to another: their worth in hundredths of the policy's unit, how
    many, and when the first and the last was, in seconds since 1970."""

    src: str
    dst: str
    worth_cents: int
    count: int
    first_s: int
    last_s: int


@dataclass(frozen=True, slots=True)
class Finding:
    """``share_ppm`` is the share that crossed the threshold, ``evidence`` the path or the payments
    that an officer should look at."""

    code: str
    severity: Severity
    detail: str
    share_ppm: int
    evidence: tuple[Step, ...]

    def as_json(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in _FINDING}
        steps = tuple({name: getattr(step, name) for name in _STEP} for step in self.evidence)
        return {**found, "evidence": steps}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> "Finding":
        steps = tuple(Step(**step) for step in stored["evidence"])
        return Finding(**{**stored, "evidence": steps})


_FINDING, _STEP = (tuple(f.name for f in fields(kind)) for kind in (Finding, Step))


@dataclass(frozen=True, slots=True)
class Payments:
    """One direction of an account, oldest first: nothing to itself, no dust. Shapes (n,)."""

    peers: Ints
    worth: Floats
    time_s: Ints

    def __len__(self) -> int:
        return len(self.peers)


@dataclass
class View:
    """All that a rule may read."""

    graph: GrowingGraph
    exposures: Exposures
    book: AddressBook
    policy: Policy
    _payments: dict[tuple[int, bool], tuple[int, Payments]] = field(default_factory=dict)

    def payments(self, node: int, outgoing: bool, enough: int | None = None) -> Payments:
        """The latest ``transfers_max`` that are worth more than dust; of whom only a few matter,
        the latest ``enough``, and perhaps more than that."""
        most = self.policy.transfers_max
        enough = most if enough is None else min(enough, most)
        key = (node, outgoing)
        held, known = self._payments.get(key, (0, None))
        if known is None or held < enough:
            known = _payments(self, node, outgoing, enough)
            self._payments[key] = (most if len(known) < enough else enough), known
        return known

    def is_service(self, node: int) -> bool:
        return self.exposures.kind(node) == SERVICE

    def steps(self, *pairs: tuple[int, int]) -> tuple[Step, ...]:
        """Each pair's payments, summed up."""
        return tuple(self._step(src, dst) for src, dst in pairs)

    def _step(self, src: int, dst: int) -> Step:
        sent = self.payments(src, True)
        worth, first_s, last_s = paid(sent.peers, sent.worth, sent.time_s, dst)
        if not len(worth):  # among so many that the receiver's side is the shorter one
            sent = self.payments(dst, False)
            worth, first_s, last_s = paid(sent.peers, sent.worth, sent.time_s, src)
        cents, names = round(100 * float(worth.sum())), (self.book.name(src), self.book.name(dst))
        return Step(*names, cents, len(worth), first_s, last_s)


@dataclass
class Account:
    """The screened account as the patterns see it."""

    view: View
    node: int

    @cached_property
    def received(self) -> Payments:
        return self.view.payments(self.node, False)

    @cached_property
    def sent(self) -> Payments:
        return self.view.payments(self.node, True)

    @cached_property
    def received_by(self) -> "ByPeer":
        return ByPeer.of(self.view, self.received)

    @cached_property
    def sent_to(self) -> "ByPeer":
        return ByPeer.of(self.view, self.sent)


@dataclass(frozen=True, slots=True)
class ByPeer:
    """``peers`` in the order of their first payment, with their ``kinds`` and that payment's row
    (``first``), shapes (n_peers,); ``places`` (n_payments,) tells which of them each is with."""

    peers: Ints
    kinds: Kinds
    first: Ints
    places: Ints

    @staticmethod
    def of(view: View, payments: Payments) -> "ByPeer":
        peers, places, first = grouped(payments.peers)
        return ByPeer(peers, view.exposures.kinds_of(peers), first, places)


def _payments(view: View, node: int, outgoing: bool, enough: int) -> Payments:
    dust, most = view.policy.dust, view.policy.transfers_max
    side = view.exposures.sides[outgoing]
    peers, worth, time_s = _NONE
    if node < len(side.totals):
        columns = (side.start, side.peers, side.amount, side.time_s)
        peers, worth, time_s = _latest(*columns, node, dust, enough)
    if not view.graph.has_late(node, outgoing):
        return Payments(peers, worth, time_s)
    late = [
        (dst if outgoing else src, amount, at)
        for src, dst, amount, _, at in view.graph.late_of(node, outgoing)[-most:]
        if src != dst and amount >= dust
    ]
    if late:
        far, amounts, times = zip(*late, strict=True)
        peers = np.concatenate([peers, np.array(far, dtype=np.int64)])
        worth = np.concatenate([worth, np.array(amounts, dtype=np.float64)])
        time_s = np.concatenate([time_s, np.array(times, dtype=np.int64)])
        newest = np.argsort(time_s, kind="stable")[-enough:]
        peers, worth, time_s = peers[newest], worth[newest], time_s[newest]
    return Payments(peers, worth, time_s)


@compiled
def _latest(start, ends, amount, time_s, node, dust, most):  # type: ignore[no-untyped-def]
    """Walks back from the newest, so that the cost is bounded by what is kept, dust aside."""
    begin, row = start[node], start[node + 1]
    left = min(most, row - begin)
    peers = np.empty(left, dtype=np.int64)
    worth = np.empty(left, dtype=np.float64)
    times = np.empty(left, dtype=np.int64)
    while row > begin and left > 0:
        row -= 1
        if ends[row] != node and amount[row] >= dust:
            left -= 1
            peers[left], worth[left], times[left] = ends[row], amount[row], time_s[row]
    return peers[left:], worth[left:], times[left:]


_NONE = (np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=np.int64))
