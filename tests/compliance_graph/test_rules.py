"""Each rule with a drawn example that it finds, and beside it the ordinary life that it leaves."""

import re

import pytest

from compliance_graph.policy import (
    PolicyError,
    complete_policy,
    load_policy,
    parse_policy,
    read_policy,
)
from compliance_graph.rules import evaluate
from compliance_graph.rules.findings import Finding
from compliance_graph.rules.relief import PEERS_MAX, reliefs
from tests.compliance_graph.town import DAY_S, POLICY, drawn, findings, town

DAY = DAY_S / 3600


def relief(view, name):
    node = view.book.number(name)
    return reliefs(view, node, evaluate(view, node))


def codes(view, name):
    return set(findings(view, name))


def test_refuses_a_policy_with_a_hole(tmp_path):
    """A threshold that somebody forgot must not be a threshold of zero."""
    import importlib.resources

    text = (importlib.resources.files("compliance_graph") / "policy.toml").read_text()
    for line in ("least_steps = 3", "hops = 4", "note_ppm = 50000"):
        with pytest.raises(PolicyError, match=line.split()[0]):
            parse_policy(text.replace(line, "", 1).encode())
    with pytest.raises(PolicyError, match="severity"):
        parse_policy(text.replace('severity = "note"', 'severity = "block"').encode())
    path = tmp_path / "policy.toml"
    path.write_text(text + "\n# ours\n")
    assert load_policy(path).version != POLICY.version


def test_a_policy_from_before_a_threshold_replays_but_judges_nobody():
    """Who upgrades is told what to add; verdicts that were made by the old file stay replayable."""
    older = re.sub(rb"payment_ppm = .*\n", b"", read_policy())
    with pytest.raises(PolicyError, match=r"rule\.pass_through\.payment_ppm.* = 500000"):
        complete_policy(older)
    assert parse_policy(older).rules["pass_through"].at("payment_ppm") == 500_000


def test_direct_exposure_shows_the_payment():
    """
    MIXER ──600──► wallet ◄──400── shop          60% from a mixer, directly
    """
    view = town([("M", "w", 600, 1), ("shop", "w", 400, 2)], {"M": "mixer"})
    found = findings(view, "w")["exposure.mixer.in"]
    assert (found.severity, found.share_ppm, drawn(found)) == ("review", 600_000, ["M>w"])
    assert found.evidence[0].worth_cents == 60_000
    assert Finding.from_json(found.as_json()) == found
    assert codes(view, "shop") == set()


def test_exposure_through_hops_is_diluted_and_shows_the_path():
    """
    MIXER ──500──► a ──500──► b ──900──► wallet
    shop ──────500─┘                                 half of everything that a passed on
    """
    rows = [("M", "a", 500, 1), ("shop", "a", 500, 2), ("a", "b", 900, 3), ("b", "w", 900, 4)]
    found = findings(town(rows, {"M": "mixer"}), "w")["exposure.mixer.in"]
    assert (found.share_ppm, drawn(found)) == (500_000, ["M>a", "a>b", "b>w"])
    assert "3 hops" in found.detail


def test_what_would_change_an_exposure_is_the_fewest_payments():
    """
    MIXER ──600──► a ──600──► wallet ◄──300── MIXER      without a 75%, without both nothing
                              shop ──100──┘
    """
    rows = [("M", "a", 600, 1), ("a", "w", 600, 2), ("M", "w", 300, 3), ("shop", "w", 100, 4)]
    many = [(f"M{i}", "v", 100, i) for i in range(9)]
    for late in ([], [("late", "shop", 1, 9)]):
        view = town([*rows, *many], {"M": "mixer", **{f"M{i}": "mixer" for i in range(9)}}, late)
        [found] = relief(view, "w")
        assert (found["without"], found["share_ppm"]) == (["a", "M"], 0)
        assert (found["least_ppm"], found["is_enough"]) == (100_000, True)
        [found] = relief(view, "v")  # more than are shown
        assert (len(found["without"]), found["is_enough"]) == (PEERS_MAX, False)
        assert relief(view, "shop") == []
    sent = town([("w", "a", 800, 1), ("a", "D", 800, 2), ("w", "b", 200, 3)], {"D": "darknet"})
    [found] = relief(sent, "w")
    assert (found["code"], found["without"]) == ("exposure.darknet.out", ["a"])


def test_exposure_of_what_was_sent_is_told_apart():
    """
    wallet ──800──► a ──800──► DARKNET
    """
    view = town([("w", "a", 800, 1), ("a", "D", 800, 2)], {"D": "darknet"})
    found = findings(view, "w")["exposure.darknet.out"]
    assert (found.severity, drawn(found)) == ("review", ["w>a", "a>D"])


def test_value_is_not_followed_through_a_service():
    """
    PHISHER ──900──► EXCHANGE ──900──► wallet        the exchange pays from everybody's money
    """
    view = town([("P", "X", 900, 1), ("X", "w", 900, 2)], {"P": "phishing", "X": "service"})
    assert codes(view, "w") == set()
    assert codes(view, "X") == set()


def test_money_cannot_flow_back_in_time():
    """
    MIXER ──900 (day 9)──► a ──900 (day 1)──► wallet     a paid before it got anything bad
    """
    view = town([("M", "a", 900, 9 * DAY), ("a", "w", 900, 1 * DAY)], {"M": "mixer"})
    found = findings(view, "w")["exposure.mixer.in"]
    assert found.severity == "note"
    assert "no order of the payments" in found.detail


def test_what_came_after_the_snapshot_counts_at_once():
    """
    MIXER ──900──► a   (snapshot)   a ──900──► b ──900──► wallet    (seconds ago)
    """
    view = town(
        [("M", "a", 900, 1), ("old", "shop", 5, 1)],
        {"M": "mixer", "N": "stolen"},
        late=[("a", "b", 900, 2), ("b", "w", 900, 3), ("N", "w", 300, 4)],
    )
    found = findings(view, "w")
    assert found["exposure.mixer.in"].share_ppm == 750_000
    assert drawn(found["exposure.mixer.in"]) == ["M>a", "a>b", "b>w"]
    assert found["exposure.stolen.in"].share_ppm == 250_000


def test_cycles_show_the_rounds():
    """
         ┌──900──► b ──900──┐
    wallet                  wallet            everything came back, in two rounds
         └──900──► c ─► d ──┘
    """
    rows = [("w", "b", 900, 1), ("b", "w", 900, 2), ("w", "c", 900, 3)]
    rows += [("c", "d", 900, 4), ("d", "w", 900, 5), ("w", "shop", 100, 6)]
    found = findings(town(rows), "w")["pattern.cycles"]
    assert found.share_ppm == 947_368
    assert {"w>b", "b>w", "w>c", "c>d", "d>w"} == set(drawn(found))
    through_exchange = town(rows, {"b": "service", "d": "service"})
    assert "pattern.cycles" not in codes(through_exchange, "w")


def test_structuring_just_below_a_limit():
    """
    9,900 ─┐
    9,800 ─┼─► wallet          all within a tenth below 10,000, in one week
    9,950 ─┤
    9,700 ─┘
    """
    sums = (9900, 9800, 9950, 9700)
    view = town([(f"a{i}", "w", worth, i * DAY) for i, worth in enumerate(sums)])
    found = findings(view, "w")["pattern.structuring.in"]
    assert "below a worth of 10000" in found.detail
    honest = (9900, 10100, 10400, 9800, 10900, 9950, 9700)
    view = town([(f"a{i}", "w", worth, i * DAY) for i, worth in enumerate(honest)])
    assert "pattern.structuring.in" not in codes(view, "w")


def test_structuring_of_what_is_sent_is_told_apart():
    """
              ┌─► 2,990
    wallet ───┼─► 2,950          all within a tenth below 3,000, in one week
              ├─► 2,800
              └─► 2,999
    """
    sums = (2990, 2950, 2800, 2999)
    rows = [("shop", "w", 12_000, 0), *[("w", f"z{i}", s, i * DAY) for i, s in enumerate(sums, 1)]]
    view = town(rows)
    found = findings(view, "w")["pattern.structuring.out"]
    assert (found.severity, found.share_ppm) == ("note", 1_000_000)
    assert "4 payments out within 7 days" in found.detail
    assert drawn(found) == [f"w>z{i}" for i in range(1, 5)]
    assert "pattern.structuring.in" not in codes(view, "w")
    rent = town(
        [("shop", "w", 12_000, 0), *[("w", "z", s, i * 9 * DAY) for i, s in enumerate(sums)]]
    )
    assert "pattern.structuring.out" not in codes(rent, "w")


def test_a_peel_chain_is_followed_both_ways():
    """
    src ─10000─► a ─9000─► b ─8000─► wallet ─7000─► d
                 └─1000    └─1000    └─1000
    """
    rows = [("src", "a", 10_000, 0), ("shop", "src", 50_000, 0)]
    for i, (src, dst) in enumerate([("a", "b"), ("b", "w"), ("w", "d")], 1):
        rows += [(src, dst, 10_000 - 1000 * i, i), (src, f"slice{i}", 1000, i)]
    for name in ("w", "a", "d"):
        found = findings(town(rows), name)["pattern.peel_chain"]
        assert drawn(found) == ["a>b", "b>w", "w>d"]
    fee_payer = town([("shop", "w", 10_000, 0), ("w", "x", 9990, 1), ("w", "y", 10, 1)])
    assert "pattern.peel_chain" not in codes(fee_payer, "w")


def test_fan_in_and_fan_out():
    """
    a0 ─┐                 ┌─► z0
    …   ┼─► wallet ───────┼─► …          thirty strangers within a day, each way
    a29 ┘                 └─► z29
    """
    rows = [(f"a{i}", "w", 100, i / 2) for i in range(30)]
    rows += [("w", f"z{i}", 100, 5 * DAY + i / 2) for i in range(30)]
    assert {"pattern.fan_in", "pattern.fan_out"} <= codes(town(rows), "w")
    slow = town([(f"a{i}", "w", 100, i * DAY) for i in range(30)])
    assert "pattern.fan_in" not in codes(slow, "w")


def test_rapid_pass_through():
    """
    a ──500──► wallet ──500──► x        ten minutes later, again and again
    b ──700──► wallet ──700──► y
    """
    rows = []
    for i in range(4):
        rows += [(f"a{i}", "w", 500, i * DAY), ("w", f"x{i}", 495, i * DAY + 0.2)]
    found = findings(town(rows), "w")["pattern.pass_through"]
    assert found.share_ppm == 990_000
    deposit = town(rows, {f"x{i}": "service" for i in range(4)})
    assert "pattern.pass_through" not in codes(deposit, "w")
    keeps = town([(s, d, w, h + (48 if s == "w" else 0)) for s, d, w, h in rows])
    assert "pattern.pass_through" not in codes(keeps, "w")


def test_when_a_payment_counts_as_gone_is_the_policys():
    """
    a ──4000──► wallet ──4000──► x
    b ──4000──► wallet ──4000──► y
    c ──1000──► wallet ───400──► z        gone, or kept: only with it there are three
    """
    rows = [("a", "w", 4000, 0), ("w", "x", 4000, 0.2), ("b", "w", 4000, DAY)]
    rows += [("w", "y", 4000, DAY + 0.2), ("c", "w", 1000, 2 * DAY), ("w", "z", 400, 2 * DAY + 0.2)]
    assert "pattern.pass_through" not in codes(town(rows), "w")
    text = read_policy().replace(b"payment_ppm = 500000", b"payment_ppm = 400000")
    assert "pattern.pass_through" in codes(town(rows, policy=complete_policy(text)), "w")


def test_dormancy_then_burst():
    """
    day 0 ●●            200 days of silence            ●●●●●●●●●●●● within a day
    """
    rows = [("a", "w", 5000, 0), ("b", "w", 5000, 1)]
    rows += [("w", f"z{i}", 800, 201 * DAY + i) for i in range(12)]
    found = findings(town(rows), "w")["pattern.dormant_burst"]
    assert "after 200 days" in found.detail
    steady = town([("w", f"z{i}", 800, i * DAY * 15) for i in range(14)])
    assert "pattern.dormant_burst" not in codes(steady, "w")
