"""Compiles before anybody waits: a first screening and its explanation, of an account made up.

Compiled code is kept on disk, but on a fresh installation it takes about half a minute, and a
screening runs in the event loop. ``python -m compliance_graph.warm`` does it when installing.
"""

from compliance_graph.addressbook import AddressBook
from compliance_graph.exposure import Exposures
from compliance_graph.graph import GrowingGraph, TransferGraph, Transfers
from compliance_graph.labels import Labels
from compliance_graph.policy import Policy, load_policy
from compliance_graph.rules import View, evaluate

PEERS = 40
WORTH = 5000.0
HUB, THIEF = 0, 1


def made_up() -> GrowingGraph:
    """A hub with a history long enough for every rule and for the model, and something new."""
    graph = GrowingGraph(TransferGraph.build(Transfers.of(_rows()), PEERS + 1))
    graph.append(Transfers.of([(THIEF, HUB, WORTH, 1, 10_000_000)]))
    return graph


def warm_rules(policy: Policy) -> None:
    """Walk through all that rules have compiled; milliseconds where that was done before."""
    graph = made_up()
    book = AddressBook.of([f"0x{node:040x}" for node in range(PEERS + 1)])
    labels = Labels({book.name(THIEF): policy.categories[0].number}, {})
    for _ in range(2):  # with something new above the snapshot, and without
        exposures = Exposures(graph, book, labels, policy.hops, len(policy.categories))
        evaluate(View(graph, exposures, book, policy), HUB)
        graph.rewind(0)


def _rows() -> list[tuple[int, int, float, int, int]]:
    """Everybody pays the hub and is paid by it within the hour, twice, and so round in circles."""
    return [
        row
        for peer in range(1, PEERS + 1)
        for at_s in (600 * peer, 600 * peer + 300)
        for row in (
            (peer, HUB, 0.95 * WORTH, 1, at_s),
            (HUB, peer, 0.95 * WORTH, 1, at_s + 60),
            (peer, 1 + peer % PEERS, WORTH, 1, at_s),
        )
    ]


if __name__ == "__main__":
    from compliance_graph.judge import ShippedModel

    warm_rules(load_policy())
    ShippedModel().over(made_up())
