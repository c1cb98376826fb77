"""What somebody would try who knows the rules, or who wants to hurt a customer with them."""

import time
from itertools import pairwise

import numpy as np
import pytest

from compliance_graph.addressbook import AddressBook
from compliance_graph.exposure import Exposures
from compliance_graph.graph import GrowingGraph, TransferGraph, Transfers
from compliance_graph.labels import Labels
from compliance_graph.rules import View, evaluate
from tests.compliance_graph.made import START_S
from tests.compliance_graph.town import POLICY, drawn, findings, town


def reviews(view, name):
    return {code for code, found in findings(view, name).items() if found.severity == "review"}


@pytest.mark.parametrize("before", [[], [("shop", "victim", 2000, 0)]])
def test_dust_from_a_sanctioned_wallet_does_not_hurt_its_victim(before):
    """
        SANCTIONED ──0.3──► victim        nobody can choose who sends them dust

    Neither a fresh victim, whose whole inflow it is, nor one with a history.
    """
    dusted = town([*before, *[("S", "victim", 0.3, i) for i in range(50)]], {"S": "sanctioned"})
    assert reviews(dusted, "victim") == set()


def test_splitting_through_fresh_wallets_raises_exposure_all_the_same():
    """
             ┌─► f0  ─┐
    MIXER ───┼─► …   ─┼─► g0 … ──► wallet       as much as by one payment, before and after
             └─► f99 ─┘                         the snapshot
    """
    rows = []
    for i in range(100):
        rows += [("M", f"f{i}", 90, 1), (f"f{i}", f"g{i % 10}", 90, 2)]
    rows += [(f"g{i}", "w", 900, 3) for i in range(10)] + [("shop", "w", 1000, 3)]
    whole = town([("M", "w", 9000, 1), ("shop", "w", 1000, 3)], {"M": "mixer"})
    expected = findings(whole, "w")["exposure.mixer.in"].share_ppm
    for view in (town(rows, {"M": "mixer"}), town([], {"M": "mixer"}, late=rows)):
        found = findings(view, "w")["exposure.mixer.in"]
        assert (found.share_ppm, found.severity) == (expected, "review")
        assert len(found.evidence) == 3


@pytest.mark.parametrize("kept", [0, 100])
def test_what_went_through_more_hops_than_are_followed_is_no_exposure(kept):
    """
    MIXER ─► a ─► b ─► c ─► d ─► wallet        within the hour, three times; each hop keeps a
             └─►  └─►  └─►  └─►                slice, or nothing at all

    A limit, not a guard: who keeps slices leaves a peel chain, the hops themselves are seen to keep
    nothing, but of a wallet that is merely paid at the end of whole sums no rule says anything.
    """
    way, rows = ["M", "a", "b", "c", "d", "w"], []
    for day in range(3 if not kept else 1):
        for hop, (src, dst) in enumerate(pairwise(way)):
            hour = 24 * day + hop / 10
            rows.append((src, dst, 2000 - kept * hop, hour))
            if kept and src != "M":
                rows.append((src, f"slice{hop}", kept, hour))
    view = town(rows, {"M": "mixer"})
    assert "exposure.mixer.in" in findings(view, "d")
    assert set(findings(view, "w")) == ({"pattern.peel_chain"} if kept else set())
    assert ("pattern.pass_through" in findings(view, "d")) == (not kept)


def test_who_passes_on_what_came_from_beyond_the_hops_is_seen():
    """
    MIXER ─► a ─► b ─► c ─► d ─► wallet ─► x     the wallet keeps nothing itself
    """
    way = ["M", "a", "b", "c", "d", "w", "x"]
    rows = [
        (src, dst, 2000, 24 * day + hop / 10)
        for day in range(3)
        for hop, (src, dst) in enumerate(pairwise(way))
    ]
    assert set(findings(town(rows, {"M": "mixer"}), "w")) == {"pattern.pass_through"}


def test_paying_oneself_and_going_round_does_not_dilute_exposure():
    """
    MIXER ──900──► wallet ⟲ 90,000            and nothing of no worth counts
    """
    rows = [("M", "w", 900, 1), ("w", "w", 90_000, 2), ("shop", "w", 0, 3)]
    assert findings(town(rows, {"M": "mixer"}), "w")["exposure.mixer.in"].share_ppm == 1_000_000


def test_a_cycle_neither_loses_nor_breeds_exposure():
    """
    MIXER ──900──► a ⇄ b        a share is a share, however often it goes round
    """
    rows = [("M", "a", 900, 1)]
    rows += [pair for i in range(20) for pair in (("a", "b", 900, 2 + i), ("b", "a", 900, 2.5 + i))]
    view = town(rows, {"M": "mixer"})
    for name in ("a", "b"):
        assert 0 < findings(view, name)["exposure.mixer.in"].share_ppm <= 1_000_000
    late = town([], {"M": "mixer"}, late=rows)
    assert 0 < findings(late, "b")["exposure.mixer.in"].share_ppm <= 1_000_000


def test_dust_cannot_push_a_pattern_out_of_sight():
    """
    9,900 ×4 ──► wallet ◄── 10,000 payments of nothing, later
    """
    rows = [(f"a{i}", "w", 9900, i) for i in range(4)]
    rows += [(f"dust{i}", "w", 0.001, 10 + i / 1000) for i in range(10_000)]
    assert "pattern.structuring.in" in findings(town(rows), "w")


def crowd(peers: int, bad: int) -> View:
    """Account 0 with that many peers on each side; ``bad`` of them are mixers' customers."""
    rng = np.random.default_rng(3)
    n = 2 * peers + 2
    far = np.arange(1, 2 * peers + 1)
    zero, mixer = np.zeros(peers, dtype=np.int64), n - 1
    rows = Transfers(
        np.concatenate([far[:peers], zero, np.full(bad, mixer)]),
        np.concatenate([zero, far[peers:], far[:bad]]),
        np.concatenate([rng.lognormal(3, 1, 2 * peers), np.full(bad, 50.0)]),
        np.ones(2 * peers + bad, dtype=np.int64),
        START_S + np.sort(rng.integers(10**7, size=2 * peers + bad)),
    )
    graph = GrowingGraph(TransferGraph.build(rows, n))
    names = AddressBook.of([str(i) for i in range(n)])
    number = {c.name: c.number for c in POLICY.categories}["mixer"]
    labels = Labels({str(mixer): number}, {})
    return View(
        graph, Exposures(graph, names, labels, POLICY.hops, len(POLICY.categories)), names, POLICY
    )


def test_the_cost_of_a_hub_is_bounded():
    """Twenty times the peers must not cost twenty times the look: only the latest are read."""
    times = {}
    for peers in (5_000, 100_000):
        view = crowd(peers, bad=10)
        evaluate(view, 0)
        begin = time.process_time()
        for _ in range(20):
            evaluate(View(view.graph, view.exposures, view.book, POLICY), 0)
        times[peers] = time.process_time() - begin
    assert times[100_000] < 3 * times[5_000] + 0.02


def test_dust_does_not_hide_rounds():
    """
    wallet ──900──► b ──900──► x ──900──► wallet     afterwards b and c send dust to everybody, and
    wallet ──900──► c ──900──► y ──900──► wallet     x and y get as much
    """
    rows = [("w", "b", 900, 1), ("b", "x", 900, 2), ("x", "w", 900, 3)]
    rows += [("w", "c", 900, 4), ("c", "y", 900, 5), ("y", "w", 900, 6)]
    rows += [(peer, f"dusted{i}", 0.01, 7) for peer in "bc" for i in range(200)]
    rows += [(f"duster{i}", peer, 0.01, 7) for peer in "xy" for i in range(200)]
    for late in ((), [("b", "z", 5, 8), ("z", "x", 5, 9)]):
        found = findings(town(rows, late=late), "w")["pattern.cycles"]
        assert found.share_ppm == 1_000_000
        assert {"w>b", "b>x", "x>w", "w>c", "c>y", "y>w"} <= set(drawn(found))
