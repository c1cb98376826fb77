"""The shipped model over one graph that grows: keeps its index of pairs in step with the graph."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from compliance_graph.artifact import shipped_version
from compliance_graph.assessment import ModelAnswer
from compliance_graph.explain import explain
from compliance_graph.graph import GrowingGraph
from compliance_graph.pairs import PairIndex
from compliance_graph.rescoring import measure_of, packed
from compliance_graph.scoring import Score, Scorer
from compliance_graph.warm import HUB, made_up


class GraphJudge:
    """Making one reads the whole graph (about a second for a million transfers: in a thread);
    asking it afterwards costs a fraction of a millisecond."""

    def __init__(self, scorer: Scorer, graph: GrowingGraph) -> None:
        self._graph = graph
        self._index = PairIndex.of(graph.base)
        self.scorer = scorer.ranked_within(self._index)
        self.measure = measure_of(self.scorer)

    @property
    def version(self) -> str:
        """The model's, and the grid's where the graph is its own measure."""
        return self.scorer.version

    @property
    def index(self) -> PairIndex:
        """In step with the graph."""
        self._index.follow(self._graph)
        return self._index

    def score(self, node: int) -> Score:
        return self.scorer.score(self.index, node)

    def answer(self, node: int) -> ModelAnswer:
        """What the verdict is made from; it may send to review and nothing more."""
        score, read = self.scorer.scored(self.index, node)
        return ModelAnswer(
            score.probability_ppm,
            score.abstained,
            score.model_version,
            score.review,
            None if read is None else packed(read),
        )

    def explained(self, node: int, name_of: Callable[[int], str] = str) -> dict[str, Any] | None:
        """JSON for the case's record; ``None`` where the model abstains."""
        found = explain(self.scorer, self.index, node)
        return None if found is None else found.as_json(name_of)


class ShippedModel:
    """The model of this release, ready for any graph; loaded when it is first laid over one."""

    def __init__(self) -> None:
        self._scorer: Scorer | None = None
        self._last: tuple[GrowingGraph, GraphJudge] | None = None

    @cached_property
    def version(self) -> str:
        """Raises :class:`~compliance_graph.artifact.ArtifactRefused`."""
        return shipped_version()

    def over(self, graph: GrowingGraph) -> GraphJudge:
        """Called in a thread. Raises :class:`~compliance_graph.artifact.ArtifactRefused`."""
        if self._scorer is None:
            self._scorer = Scorer.load()
            first = GraphJudge(self._scorer, made_up())
            first.answer(HUB)
            first.explained(HUB)  # compiled now, not while somebody waits
        if self._last is None or self._last[0] is not graph:
            self._last = (graph, GraphJudge(self._scorer, graph))
        return self._last[1]
