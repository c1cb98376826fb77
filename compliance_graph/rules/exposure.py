"""Exposure: the share of an account's inflow or outflow that comes from, or ends at, a category.

    MIXER ──90──► a ──90──► WALLET ◄──10── b        in: 90% from a mixer, two hops

Sums below ``least_worth`` say nothing whatever their share: anybody can send dust to anybody.
"""

from itertools import pairwise

from compliance_graph.policy import Category
from compliance_graph.rules.findings import PPM, Account, Finding, Step, View
from compliance_graph.rules.peers import branches, with_kind

_BRANCHES = 4
_ALWAYS = (-(2**62), 2**62)


def find(account: Account) -> tuple[Finding, ...]:
    """One finding per category and direction that crosses its threshold."""
    view, node = account.view, account.node
    found = []
    for outgoing in (False, True):
        shares, total = view.exposures.of(node, outgoing)
        if not shares.any() or view.is_service(node):
            continue
        for category in view.policy.categories:
            share = float(shares[category.number - 1])
            if share * total >= view.policy.least_worth:
                finding = _finding(account, category, outgoing, share, total)
                found += [finding] if finding else []
    return tuple(found)


def _finding(
    account: Account, category: Category, outgoing: bool, share: float, total: float
) -> Finding | None:
    share_ppm = min(PPM, round(share * PPM))
    threshold_ppm = category.out_ppm if outgoing else category.in_ppm
    if share_ppm < min(category.note_ppm, threshold_ppm):
        return None
    severity = category.severity if share_ppm >= threshold_ppm else "note"
    steps, in_order = _path(account.view, account.node, category.number, outgoing)
    if not in_order:
        severity = "note"  # no money can have come this way: it left before it arrived
    way = "sent ends at" if outgoing else "received comes from"
    verb = f"{share:.1%} of what this account {way} the category {category.name}"
    hops = f"{len(steps)} hop{'s' if len(steps) != 1 else ''} away at the nearest shown"
    direct = _direct(account, category.number, outgoing)
    detail = f"{verb} (worth {round(share * total)}, {direct:.1%} directly; {hops})"
    if not in_order:
        detail += "; no order of the payments lets value flow along the path"
    code = f"exposure.{category.name}.{'out' if outgoing else 'in'}"
    return Finding(code, severity, detail, share_ppm, steps)


def _direct(account: Account, kind: int, outgoing: bool) -> float:
    """Of the payments that patterns look at, the share with the category itself."""
    payments = account.sent if outgoing else account.received
    total = float(payments.worth.sum())
    if not total:
        return 0.0
    by = account.sent_to if outgoing else account.received_by
    return float(with_kind(payments.worth, by.places, by.kinds, kind).sum()) / total


def _path(view: View, node: int, kind: int, outgoing: bool) -> tuple[tuple[Step, ...], bool]:
    """The heaviest way that time allows; else the heaviest way, and that time forbids it."""
    for timed in (True, False):
        budget = [view.policy.steps_max]
        nodes = _walk(view, node, kind, outgoing, [node], None, timed, budget)
        if nodes:
            pairs = list(pairwise(nodes))
            if not outgoing:
                pairs = [(b, a) for a, b in reversed(pairs)]
            return view.steps(*pairs), timed
    return (), True


def _walk(
    view: View,
    node: int,
    kind: int,
    outgoing: bool,
    path: list[int],
    bound_s: int | None,
    timed: bool,
    budget: list[int],
) -> list[int] | None:
    """Depth first, the heaviest contribution first. ``bound_s``: incoming, value must arrive no
    later than the last payment onwards; outgoing, leave no earlier than the first one in."""
    if budget[0] <= 0 or len(path) > 2 * view.policy.hops:
        return None
    budget[0] -= 1
    payments, tables = view.payments(node, outgoing), view.exposures
    earliest_s, latest_s = _ALWAYS
    if timed and bound_s is not None:
        earliest_s, latest_s = (bound_s, latest_s) if outgoing else (earliest_s, bound_s)
    known = tables.late_shares(payments.peers, kind, outgoing)
    columns = (payments.peers, payments.worth, payments.time_s, earliest_s, latest_s, outgoing)
    shares = tables.sides[outgoing].shares
    peers, bounds = branches(*columns, tables.kinds, shares, known, kind, _BRANCHES)
    for peer, bound in zip(peers.tolist(), bounds.tolist(), strict=True):
        if peer in path:
            continue
        if tables.kind(peer) == kind:
            return [*path, peer]
        found = _walk(view, peer, kind, outgoing, [*path, peer], bound, timed, budget)
        if found:
            return found
    return None
