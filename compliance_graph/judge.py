"""The shipped model over one graph that grows: keeps its index of pairs in step with the graph."""

from collections.abc import Callable
from typing import Any

from compliance_graph.explain import explain
from compliance_graph.graph import GrowingGraph
from compliance_graph.pairs import PairIndex
from compliance_graph.scoring import Score, Scorer


class GraphJudge:
    """Making one reads the whole graph (about a second for a million transfers: in a thread);
    asking it afterwards costs a fraction of a millisecond."""

    def __init__(self, scorer: Scorer, graph: GrowingGraph) -> None:
        self._graph = graph
        self._index = PairIndex.of(graph.base.pairs())
        self.scorer = scorer.ranked_within(self._index)

    def score(self, node: int) -> Score:
        return self.scorer.score(self._followed(), node)

    def explained(self, node: int, name_of: Callable[[int], str] = str) -> dict[str, Any] | None:
        """JSON for the case's record; ``None`` where the model abstains."""
        found = explain(self.scorer, self._followed(), node)
        return None if found is None else found.as_json(name_of)

    def _followed(self) -> PairIndex:
        self._index.follow(self._graph)
        return self._index
