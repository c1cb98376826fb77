"""A small town of accounts by name: who paid whom, and who is known as what, as drawn."""

from collections.abc import Iterable, Mapping

from compliance_graph.addressbook import AddressBook
from compliance_graph.exposure import Exposures
from compliance_graph.graph import GrowingGraph, TransferGraph, Transfers
from compliance_graph.labels import SERVICE, Labels
from compliance_graph.policy import Policy, load_policy
from compliance_graph.rules import Finding, View, evaluate
from tests.compliance_graph.made import DAY_S, START_S

POLICY = load_policy()
HOUR_S = 3600
Row = tuple[str, str, float, float]
"""``(src, dst, worth, hours)`` since the town was founded."""


def town(
    rows: Iterable[Row],
    known: Mapping[str, str] | None = None,
    late: Iterable[Row] = (),
    policy: Policy = POLICY,
) -> View:
    """``known`` maps a name to a category or ``service``; ``late`` rows come after the snapshot."""
    rows, late = list(rows), list(late)
    names = list(dict.fromkeys(name for src, dst, *_ in rows for name in (src, dst)))
    book = AddressBook.of(names)
    book.extend(
        list(
            dict.fromkeys(n for src, dst, *_ in late for n in (src, dst) if book.number(n) is None)
        )
    )

    def numbered(some: list[Row]) -> Transfers:
        return Transfers.of(
            (number(src), number(dst), worth, 1, START_S + round(hours * HOUR_S))
            for src, dst, worth, hours in some
        )

    def number(name: str) -> int:
        found = book.number(name)
        assert found is not None
        return found

    graph = GrowingGraph(TransferGraph.build(numbered(rows), len(names)))
    graph.append(numbered(late))
    kinds = {category.name: category.number for category in policy.categories}
    labels = Labels({n: kinds.get(k, SERVICE) for n, k in (known or {}).items()}, {})
    exposures = Exposures(graph, book, labels, policy.hops, len(policy.categories))
    return View(graph, exposures, book, policy)


def findings(view: View, name: str) -> dict[str, Finding]:
    """By code; a code that occurs twice is a mistake."""
    node = view.book.number(name)
    assert node is not None
    found = evaluate(view, node)
    by_code = {finding.code: finding for finding in found}
    assert len(by_code) == len(found)
    return by_code


def drawn(finding: Finding) -> list[str]:
    """The evidence as arrows."""
    return [f"{step.src}>{step.dst}" for step in finding.evidence]


__all__ = ["DAY_S", "POLICY", "Row", "drawn", "findings", "town"]
