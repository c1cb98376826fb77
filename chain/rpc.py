"""JSON-RPC to the nodes of one network: several endpoints, failover, votes, typed errors.

Hand-made rather than web3.py's provider, because batches of ``eth_sendRawTransaction`` are refused
there, and because an endpoint's trouble must end in a type of :mod:`chain.errors`, not in a text.

Asking another endpoint is always safe here: reads change nothing, and a signed transaction has one
effect however often and wherever it is sent. Three ways to ask: :meth:`RpcClient.call` and
:meth:`RpcClient.batch` the best endpoint that answers, :meth:`RpcClient.poll` all of them for what
money depends on, :meth:`RpcClient.broadcast` to send. One endpoint is asked the same way and as
often in each.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

import httpx

from chain import endpoints
from chain.endpoints import EndpointHealth, lag_blocks, reference_head, score_ms
from chain.errors import AlreadyKnown, MethodUnavailable, NoQuorum, UnclearAnswer
from chain.quorum import majority
from chain.rpc_endpoint import Call, Endpoint, label
from settlement.errors import ChainError, ChainUnknown
from settlement.ports.notification import Log, NullLog

T = TypeVar("T")
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError)


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class RpcClient:
    """Calls to the nodes of one network.

    ``quorum`` endpoints must agree where it matters: by default the only one, or the majority.
    ``block_ms`` tells how much older an answer is for each block that its endpoint lags behind.
    Once a quorum has answered a poll for heights, the others get as long again, at least
    ``grace_ms``.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        quorum: int | None = None,
        block_ms: int = 1_000,
        timeout_ms: int = 10_000,
        grace_ms: int = 100,
        batch_calls_max: int = 100,
        log: Log | None = None,
        now_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        self.quorum = majority(len(urls)) if quorum is None else quorum
        if not 1 <= self.quorum <= len(urls):
            raise ValueError(f"at least one endpoint is needed, and a quorum of 1 to {len(urls)}")
        # httpx's client adds redirects, cookies and proxies to its transport, for a third of the
        # time of each request; nodes need none of them.
        self._http = httpx.AsyncHTTPTransport(trust_env=False, verify=_tls())
        self._grace_ms = grace_ms
        self._now_ms = now_ms
        self._block_ms = block_ms
        self._under_way: set[asyncio.Task[Any]] = set()
        self._endpoints = [
            Endpoint(
                url,
                name,
                self._http,
                timeout_ms=timeout_ms,
                batch_calls_max=batch_calls_max,
                now_ms=now_ms,
                log=log or NullLog(),
            )
            for url, name in zip(urls, _labels(urls), strict=True)
        ]

    def __repr__(self) -> str:
        return f"<RpcClient {', '.join(one.label for one in self._endpoints)}>"

    async def close(self) -> None:
        """Also ends what was still asked when the answer was already clear."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._http.aclose()

    async def call(self, method: str, *params: Any) -> Any:
        """The ``result`` of one call. Raises kinds of :class:`~settlement.errors.ChainError`."""
        [answer] = await self._ask(lambda one: one.ask([(method, params)], as_batch=False))
        if isinstance(answer, ChainError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The result of every call, in order; a call that failed has its ``ChainError`` instead.

        Never raises for a node's sake. Long batches are cut to what nodes accept.
        """
        return await self._ask(lambda one: one.batch(calls)) if calls else []

    async def poll(
        self,
        ask: Callable[[Endpoint], Awaitable[T]],
        is_decided: Callable[[Sequence[T], int], bool] | None = None,
        *,
        everybody: bool = False,
    ) -> list[T]:
        """What at least a quorum of endpoints answered to the same question, asked at once.

        Ends when ``is_decided`` by the answers and the number still outstanding; without it, when
        the rest takes longer than a quorum did. With a quorum of one the best endpoint that answers
        speaks for all, unless ``everybody`` is to be heard. Raises :class:`NoQuorum` for too few
        answers; with one endpoint, its own error.
        """
        if self.quorum == 1 and not (everybody and len(self._endpoints) > 1):
            return [await self._first(ask)]
        ready, paused = self._split()
        chosen = ready + paused[: max(0, self.quorum - len(ready))]
        pending = {self._start(_ballot(ask, one)) for one in chosen}
        ballots: list[T] = []
        errors: list[ChainError] = []
        started_ms, grace_s = self._now_ms(), None
        while pending and len(ballots) + len(pending) >= self.quorum:
            if len(ballots) >= self.quorum:
                if is_decided is None:
                    grace_s = grace_s or max(self._grace_ms, self._now_ms() - started_ms) / 1000
                elif is_decided(ballots, len(pending)):
                    break
            done, pending = await asyncio.wait(
                pending, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                answer = task.result()
                if isinstance(answer, ChainError):
                    errors.append(answer)
                else:
                    ballots.append(answer)
        if len(ballots) < self.quorum:
            raise _too_few(self.quorum, ballots, errors)
        return ballots

    async def broadcast(self, raw: bytes) -> None:
        """Send a signed transaction to every endpoint that is not paused, and to the paused ones
        when all others refuse for a reason that may pass. One that takes or knows it is enough.

        Raises the most hopeful of the errors: one open question keeps the effect open.
        """
        errors: list[ChainError] = []
        for wave in self._split():
            if errors and not most_hopeful(errors).transient:
                break
            pending = {self._start(_send(one, raw)) for one in wave}
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                answers = [task.result() for task in done]
                if None in answers:
                    return
                errors += [answer for answer in answers if answer is not None]
        raise most_hopeful(errors)

    def rank(self, one: Endpoint) -> float:
        """The endpoint's score: less is better."""
        return score_ms(one.health, self._reference(), self._block_ms)

    def endpoints(self) -> list[EndpointHealth]:
        """Every endpoint as operators see it, in the order of the configuration."""
        now_ms, reference = self._now_ms(), self._reference()
        return [
            EndpointHealth(
                label=one.label,
                score_ms=round(score_ms(one.health, reference, self._block_ms)),
                latency_ms=round(one.health.latency_ms),
                head=one.health.head,
                lag_blocks=lag_blocks(one.health, reference),
                is_paused=endpoints.is_paused(one.health, now_ms),
                failing_since=_moment(one.health.failing_since_ms, now_ms),
                last_error=one.health.last_error,
            )
            for one in self._endpoints
        ]

    async def _ask(self, ask: Callable[[Endpoint], Awaitable[list[Any]]]) -> list[Any]:
        """Answers of the first endpoint that has none but lasting errors; else the errors kept."""
        best: list[Any] | None = None
        for one in self._candidates():
            answers = await ask(one)
            best = answers if best is None else list(map(_better, best, answers))
            if not any(isinstance(a, ChainError) and _elsewhere(a) for a in answers):
                break
        assert best is not None
        return best

    async def _first(self, ask: Callable[[Endpoint], Awaitable[T]]) -> T:
        errors: list[ChainError] = []
        for one in self._candidates():
            answer = await _ballot(ask, one)
            if not isinstance(answer, ChainError):
                return answer
            errors.append(answer)
            if not _elsewhere(answer):
                break
        raise most_hopeful(errors)

    def _candidates(self) -> list[Endpoint]:
        """In the order to ask them; of the paused, only the one whose pause is over first."""
        ready, paused = self._split()
        return ready + paused[:1]

    def _split(self) -> tuple[list[Endpoint], list[Endpoint]]:
        healths = [one.health for one in self._endpoints]
        ready, paused = endpoints.split(healths, self._now_ms(), self.quorum, self._block_ms)
        return [self._endpoints[i] for i in ready], [self._endpoints[i] for i in paused]

    def _reference(self) -> int | None:
        return reference_head([one.health for one in self._endpoints], self.quorum)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A request goes on when nobody waits for it any more: it tells about its endpoint."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes longer than a hundred requests: once per process."""
    return httpx.create_ssl_context(trust_env=False)


def most_hopeful(errors: Sequence[ChainError]) -> ChainError:
    """Unknown before refused, what may pass later before what will not; of equals the first."""
    return min(errors, key=lambda error: (not isinstance(error, ChainUnknown), not error.transient))


async def _ballot(ask: Callable[[Endpoint], Awaitable[T]], one: Endpoint) -> T | ChainError:
    """The endpoint's answer, or why it has no say."""
    try:
        return await ask(one)
    except ChainError as error:
        return error
    except _MALFORMED as problem:
        unclear = UnclearAnswer(f"{one.label} answered nonsense: {type(problem).__name__}")
        unclear.__cause__ = problem
        return unclear


async def _send(one: Endpoint, raw: bytes) -> ChainError | None:
    try:
        await one.call("eth_sendRawTransaction", "0x" + raw.hex())
    except AlreadyKnown:
        return None
    except ChainError as error:
        return error
    return None


def _better(first: Any, second: Any) -> Any:
    """Of two endpoints' answers to one call, the one to go by."""
    if not isinstance(first, ChainError):
        return first
    if not isinstance(second, ChainError):
        return second
    if not second.transient and not isinstance(second, MethodUnavailable):
        return second
    return most_hopeful([first, second])


def _elsewhere(error: ChainError) -> bool:
    """Whether another endpoint may answer what this one did not."""
    return error.transient or isinstance(error, MethodUnavailable)


def _too_few(quorum: int, ballots: Sequence[Any], errors: Sequence[ChainError]) -> NoQuorum:
    kinds = ", ".join(sorted({type(error).__name__ for error in errors}))
    return NoQuorum(f"{quorum} endpoints must answer, {len(ballots)} did ({kinds})")


def _labels(urls: Sequence[str]) -> list[str]:
    """Two URLs of one host are told apart by a number."""
    names = [label(url) for url in urls]
    return [
        name if names.count(name) == 1 else f"{name}#{names[: i + 1].count(name)}"
        for i, name in enumerate(names)
    ]


def _moment(then_ms: int | None, now_ms: int) -> datetime | None:
    if then_ms is None:
        return None
    return datetime.now(UTC) - timedelta(milliseconds=now_ms - then_ms)
