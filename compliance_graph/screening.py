"""Lists, graph, rules and model behind the screening port.

Without a graph in memory nobody is judged (``ScreeningUnavailable``: orders wait); a graph that has
not been read lately, and an indexer that does not answer, are abstentions. Whoever judges reads one
consistent picture: a new one is made beside it and takes its place.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from compliance_graph.assessment import (
    INCOMPLETE,
    INDEXER,
    STALE,
    UNKNOWN,
    Facts,
    ModelAnswer,
    assess,
    decided_by_silence,
)
from compliance_graph.exposure import Exposures
from compliance_graph.follow import KIND
from compliance_graph.graph import GrowingGraph
from compliance_graph.labels import Labels, read_entities
from compliance_graph.lists.addresses import normal_form
from compliance_graph.live import Held, LiveGraph, coverage_json
from compliance_graph.policy import Policy
from compliance_graph.rules import View, evaluate
from compliance_graph.rules.relief import reliefs
from compliance_graph.screener import ListScreener
from compliance_graph.warm import warm_rules
from settlement.errors import ScreeningUnavailable
from settlement.ids import TenantId
from settlement.ports.clock import Clock
from settlement.ports.notification import Log
from settlement.ports.screening import (
    NONE,
    Outcome,
    Scope,
    Subject,
    UnscoredHistory,
    Verdict,
)

REFRESH_S = 2.0


class Judge(Protocol):
    """A model over one graph. Called in the event loop: a millisecond at most."""

    @property
    def version(self) -> str:
        """Of the model, and of what it measures this graph's accounts by."""
        ...

    @property
    def measure(self) -> str | None:
        """What the version's second part stands for, to be kept for replay; ``None``: nothing."""
        ...

    def answer(self, node: int) -> ModelAnswer: ...

    def explained(self, node: int, name_of: Callable[[int], str]) -> Mapping[str, Any] | None:
        """What moved the score, for an officer; ``None`` where the model abstains. Some 50 ms."""
        ...


class Model(Protocol):
    @property
    def version(self) -> str:
        """Before it was laid over any graph. Cheap."""
        ...

    def over(self, graph: GrowingGraph) -> Judge:
        """Ready to judge that graph's accounts, those of its delta too. Called in a thread."""
        ...


class ModelKeeper(Protocol):
    async def keep_model(self, version: str, content: str, now: datetime) -> None:
        """Once per version, for good."""
        ...


class Neighbours(Protocol):
    """Where transfers of a wallet are looked up that no source has seen."""

    async def learn(self, network: str, address: str) -> bool:
        """Bring the wallet's transfers into the store; whether an answer came in time."""
        ...

    def has_expired(self, network: str, address: str) -> bool:
        """Whether what was learnt of the wallet is too old."""
        ...


@dataclass(frozen=True, slots=True)
class Picture:
    """One state of graph and labels. Its delta grows; the rest is fixed."""

    held: Held
    exposures: Exposures
    judge: Judge | None
    versions: Mapping[str, str]
    revision: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict and where it came from; no ``node``: the graph was not asked, or knows nobody."""

    verdict: Verdict
    facts: Facts
    node: int | None = None
    picture: Picture | None = None


class GraphScreener:
    """Implements :class:`settlement.ports.screening.ScreeningPort`."""

    def __init__(
        self,
        lists: ListScreener,
        graph: LiveGraph,
        policy: Policy,
        *,
        labels: Sequence[Path] = (),
        own: Sequence[str] = (),
        model: Model | None = None,
        neighbours: Neighbours | None = None,
        history: UnscoredHistory | None = None,
        keeper: ModelKeeper | None = None,
        clock: Clock,
        log: Log,
    ) -> None:
        self._lists, self._graph, self._policy = lists, graph, policy
        self._label_paths, self._own = labels, own
        self._model, self._neighbours = model, neighbours
        self._clock, self._log, self._history = clock, log, history
        self._keeper = keeper
        self._labels: Labels | None = None
        self._picture: Picture | None = None
        self._refreshed_s = 0.0

    async def screen(self, subject: Subject) -> Verdict:
        return self.explained(await self.judged(subject))

    async def judged(self, subject: Subject) -> Judged:
        """The verdict, and what its explanation needs."""
        listed = await self._lists.listed(subject)
        facts = Facts(
            tenant_id=subject.tenant_id,
            amount=subject.amount,
            listed=listed.outcome,
            list_reasons=listed.reasons,
            list_versions=listed.versions,
            allowance_spares=listed.evidence.get("allowance_spares", True),
            counted=subject.scope is Scope.COUNTED,
        )
        if listed.outcome is Outcome.BLOCK:
            facts = self._stated(facts, self._picture)
            return Judged(assess(facts, self._policy), facts)
        if subject.scope is Scope.LISTS:
            facts = self._stated(facts, self._picture)
            versions = {**listed.versions, **facts.versions, "policy": self._policy.version}
            return Judged(replace(listed, versions=versions, coverage=facts.coverage), facts)
        facts, node, picture = await self._looked_at(subject, facts)
        facts = await self._with_unscored(subject, facts)
        return Judged(assess(facts, self._policy), facts, node, picture)

    def _stated(self, facts: Facts, picture: Picture | None) -> Facts:
        """The facts with what stood ready to judge by, whether or not it is asked."""
        model = NONE if self._model is None else self._model.version
        if picture is not None and picture.judge is not None:
            model = picture.judge.version
        versions = {**(picture.versions if picture else {}), "model": model}
        coverage = {"sources": coverage_json(self._graph.coverage)}
        return replace(facts, versions=versions, coverage=coverage)

    async def _with_unscored(self, subject: Subject, facts: Facts) -> Facts:
        """The facts with what was cleared unscored before, where that decides."""
        history = self._history
        if history is None or subject.scope is not Scope.ALL:
            return facts
        if not decided_by_silence(facts, self._policy):
            return facts
        since = self._clock.now() - timedelta(days=self._policy.window_days)
        return replace(facts, unscored=await history.unscored(subject, since))

    def explained(self, judged: Judged) -> Verdict:
        """The same verdict; for an officer, who has more time than a customer, with the reasons of
        the model as evidence, and what would change what the rules found."""
        node, picture = judged.node, judged.picture
        if judged.verdict.outcome is not Outcome.REVIEW or node is None or picture is None:
            return judged.verdict
        why: Mapping[str, Any] | None = None
        if picture.judge is not None:
            why = picture.judge.explained(node, picture.held.book.name)
        rules = reliefs(self._view(picture), node, judged.facts.findings)
        if rules:
            why = {**(why or {}), "rules": rules}
        return assess(replace(judged.facts, explanation=why), self._policy)

    def _view(self, picture: Picture) -> View:
        return View(picture.held.graph, picture.exposures, picture.held.book, self._policy)

    async def vetoed(
        self, network: str, wallets: Sequence[str], tenant_id: TenantId
    ) -> frozenset[str]:
        return await self._lists.vetoed(network, wallets, tenant_id)

    async def refresh(self) -> None:
        """Take in what is new, and make a new picture where the old one no longer fits."""
        book = await self._lists.book()
        if self._labels is None:
            self._labels = await asyncio.to_thread(read_entities, self._label_paths, self._policy)
        await self._graph.refresh()
        await self._graph.compact()
        held, revision = self._graph.held, book.revision
        old = self._picture
        if old is None or old.held is not held or old.revision != revision:
            labels = self._labels.with_listed(book.labelled(), self._policy)
            labels = labels.with_sanctioned(book.blocked(self._clock.now()), self._policy)
            labels = labels.with_services(self._own)
            picture = await asyncio.to_thread(self._taken, held, labels, revision)
            judge = picture.judge
            if self._keeper is not None and judge is not None and judge.measure is not None:
                # Before anybody is judged by it.
                await self._keeper.keep_model(judge.version, judge.measure, self._clock.now())
            self._picture = picture
        self._refreshed_s = time.monotonic()

    def _gap(self, network: str) -> str | None:
        """What is lacking: the wallet's own chain was not read to its end, or it, or the graph,
        ends too long ago. A node that is stuck tells the same old block every time."""
        most_s = self._policy.stale_after_s
        since_s = int(self._clock.now().timestamp()) - most_s
        own = [s for s in self._graph.coverage if (s.kind, s.network) == (KIND, network)]
        if not all(stand.complete for stand in own):
            return INCOMPLETE
        late = any(min(stand.read_at_s, stand.block_time_s or 0) < since_s for stand in own)
        return STALE if late or time.monotonic() - self._refreshed_s > most_s else None

    def _taken(self, held: Held, labels: Labels, revision: tuple[object, ...]) -> Picture:
        """Computed once per snapshot and revision of the lists: about a second per million."""
        size = len(self._policy.categories)
        exposures = Exposures(held.graph, held.book, labels, self._policy.hops, size)
        judge = None if self._model is None else self._model.over(held.graph)
        if self._picture is None:
            warm_rules(self._policy)
            # What is held by now stays: looking it through for garbage would cost a tenth of a
            # second in the middle of some screening.
            gc.collect()
            gc.freeze()
        versions = {f"labels:{name}": text for name, text in labels.versions.items()}
        return Picture(held, exposures, judge, versions, revision)

    @contextlib.asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator["GraphScreener"]:
        """Refreshed in the background for the length of the block."""
        task = asyncio.create_task(self._keep_fresh())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep_fresh(self) -> None:
        while True:
            try:
                await self.refresh()
            except Exception as error:
                self._log.warning("graph_not_refreshed", error=repr(error))
            await asyncio.sleep(REFRESH_S)

    async def _looked_at(self, subject: Subject, facts: Facts) -> tuple[Facts, int | None, Picture]:
        """The facts with what graph, rules and model say; the account's number, if it has one."""
        if self._picture is None:
            raise ScreeningUnavailable("the transfer graph has not been read yet")
        address, abstained = normal_form(subject.wallet), None
        others, network = self._neighbours, subject.network
        if others is not None and (
            self._graph.number(address) is None or others.has_expired(network, address)
        ):
            if await others.learn(network, address):
                await self._graph.refresh()
            else:
                abstained = INDEXER
        picture = self._picture
        node = picture.held.book.number(address)
        if node is None and abstained is None:
            abstained = UNKNOWN
        abstained = self._gap(subject.network) or abstained
        known: dict[str, Any] = {}
        if node is not None:
            known["findings"] = evaluate(self._view(picture), node)
            if picture.judge is not None:
                known["answer"] = picture.judge.answer(node)
        full = replace(self._stated(facts, picture), abstained=abstained, **known)
        return full, node, picture
