"""Where everything stands, as Prometheus gauges: what the database knows, read when it is asked.

Read at most every few seconds however many ask, and never longer than :data:`READ_LIMIT_S`: a
monitor must get an answer most of all when the database gives none. Ages are in seconds and 0
where there is nothing to be old.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge

from bridge.fee_gauges import FeeGauges
from bridge.storage.records import Standing

READ_LIMIT_S = 2.0
KEPT_S = 3.0

Read = Callable[[], Awaitable[Standing]]


class StandingGauges:
    """The gauges, in the registry of whoever shows them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            made = Gauge(f"tidegate_{name}", text, labels, registry=registry)
            self._labelled.append(made)
            return made

        self._labelled: list[Gauge] = []
        self._up = Gauge(
            "tidegate_database_up", "1: the database answered the monitor.", registry=registry
        )
        self._stopped = gauge("network_stopped", "1: nothing is signed.", "network")
        self._paused = gauge("network_paused", "1: nothing new is planned.", "network")
        self._head = gauge("network_head_block", "Newest block that a worker saw.", "network")
        self._final = gauge("network_final_block", "Newest final block that it saw.", "network")
        self._head_age = gauge(
            "network_head_age_seconds", "Since a worker saw the chain move.", "network"
        )
        self._workers = gauge("network_workers", "Workers seen within a minute.", "network")
        self._lane_low = gauge("lane_low", "1: cannot pay for gas.", "network", "lane")
        self._lane_paused = gauge("lane_paused", "1: takes nothing new.", "network", "lane")
        self._lane_open = gauge("lane_open_batches", "Under way.", "network", "lane")
        self._open = gauge("batches_open", "Not decided yet.", "network", "status")
        self._open_age = gauge(
            "batch_open_oldest_seconds", "Since the oldest of them was planned.", "network"
        )
        self._attempts = gauge("batch_attempts", "Signed transactions of open batches.", "network")
        self._attempts_most = gauge(
            "batch_attempts_most", "The most of any one open batch.", "network"
        )
        self._waiting = gauge(
            "orders_waiting", "Authorised or captured, and in no batch.", "network", "hold_reason"
        )
        self._waiting_age = gauge(
            "order_waiting_oldest_seconds", "Since the oldest was authorised.", "network"
        )
        self._fees = FeeGauges(gauge)
        self._list_age = gauge(
            "list_age_seconds", "Since it was last looked at whole, by list.", "list"
        )
        self._version_age = gauge(
            "list_version_age_seconds", "Since its newest version was taken over.", "list"
        )
        self._cases = Gauge("tidegate_cases_waiting", "Not decided.", registry=registry)
        self._case_age = Gauge(
            "tidegate_case_waiting_oldest_seconds",
            "Since the oldest of them was opened.",
            registry=registry,
        )
        self._dead = Gauge(
            "tidegate_inbox_dead_letters", "Provider events given up.", registry=registry
        )
        self._inbox_age = Gauge(
            "tidegate_inbox_oldest_seconds",
            "Since the oldest unworked one came.",
            registry=registry,
        )
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def refresh(self, read: Read, now: Callable[[], datetime]) -> None:
        """Show what ``read`` finds, unless that was done a moment ago. Never raises."""
        async with self._reading:
            if self._read_at and time.monotonic() - self._read_at < KEPT_S:
                return
            standing = None
            with contextlib.suppress(Exception):  # whatever it was, the monitor sees it is not up
                async with asyncio.timeout(READ_LIMIT_S):
                    standing = await read()
            self._read_at = time.monotonic()
            self._forget()
            self._up.set(standing is not None)
            if standing is not None:
                self._show(standing, now())

    def _forget(self) -> None:
        """Old values would lie: what is unknown is absent, or no number."""
        for gauge in self._labelled:
            gauge.clear()
        for plain in (self._dead, self._inbox_age, self._cases, self._case_age):
            plain.set(math.nan)

    def _show(self, standing: Standing, now: datetime) -> None:
        for state in standing.networks:
            self._stopped.labels(state.name).set(state.stop_reason is not None)
            self._paused.labels(state.name).set(state.paused_at is not None)
            if state.head_number is not None and state.final_number is not None:
                self._head.labels(state.name).set(state.head_number)
                self._final.labels(state.name).set(state.final_number)
                self._head_age.labels(state.name).set(_age_s(state.head_at, now))
            self._workers.labels(state.name).set(standing.workers.get(state.name, 0))
            self._show_batches(standing, state.name, now)
            self._show_waiting(standing, state.name, now)
        for record in standing.lanes:
            lane = record.state.lane
            where = (lane.network, lane.address)
            self._lane_low.labels(*where).set(lane.low_since is not None)
            self._lane_paused.labels(*where).set(lane.paused_at is not None)
            self._lane_open.labels(*where).set(record.open_batches)
        self._fees.show(standing.fees, now)
        for one in standing.lists:
            self._list_age.labels(one.name).set(_age_s(one.looked_at, now))
            self._version_age.labels(one.name).set(_age_s(one.version_at, now))
        self._cases.set(standing.cases)
        self._case_age.set(_age_s(standing.oldest_case_at, now))
        self._dead.set(standing.dead_letters)
        self._inbox_age.set(_age_s(standing.oldest_event_at, now))

    def _show_batches(self, standing: Standing, network: str, now: datetime) -> None:
        batches = [row for row in standing.batches if row.network == network]
        for row in batches:
            self._open.labels(network, row.status.value).set(row.batches)
        self._open_age.labels(network).set(
            max((_age_s(row.oldest_at, now) for row in batches), default=0)
        )
        self._attempts.labels(network).set(sum(row.attempts for row in batches))
        self._attempts_most.labels(network).set(
            max((row.attempts_most for row in batches), default=0)
        )

    def _show_waiting(self, standing: Standing, network: str, now: datetime) -> None:
        waiting = [row for row in standing.waiting if row.network == network]
        for row in waiting:
            self._waiting.labels(network, row.reason.value).set(row.orders)
        self._waiting_age.labels(network).set(
            max((_age_s(row.oldest_at, now) for row in waiting), default=0)
        )


def _age_s(moment: datetime | None, now: datetime) -> int:
    return 0 if moment is None else max(round((now - moment).total_seconds()), 0)
