"""Prometheus metrics. Labels are route templates and statuses, never ids: few series, for ever.

https://prometheus.io/docs/practices/naming/
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bridge.standing import StandingGauges

CONTENT_TYPE = CONTENT_TYPE_LATEST

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The API's own series, in a registry of its own so that two apps in one process are two."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "tidegate_http_requests_total",
            "Answers by route, method and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "tidegate_http_request_duration_seconds",
            "Time until the answer was complete.",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.orders_accepted = Counter(
            "tidegate_orders_accepted_total", "New orders.", registry=self.registry
        )
        self.orders_refused = Counter(
            "tidegate_orders_refused_total",
            "Orders refused, by error code.",
            ("code",),
            registry=self.registry,
        )
        self.webhooks = Counter(
            "tidegate_webhooks_received_total",
            "Provider events by outcome: new, duplicate, refused.",
            ("outcome",),
            registry=self.registry,
        )
        self.streams = Gauge(
            "tidegate_event_streams", "Open Server-Sent Event streams.", registry=self.registry
        )
        self.standing = StandingGauges(self.registry)
        self._requests_of: dict[tuple[str, str, int], Counter] = {}
        self._seconds_of: dict[tuple[str, str], Histogram] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. Children are kept, since ``labels()`` is slow on the hot path."""
        counter = self._requests_of.get((method, route, status))
        if counter is None:
            counter = self._requests.labels(method, route, str(status))
            self._requests_of[method, route, status] = counter
            self._seconds_of[method, route] = self._seconds.labels(method, route)
        counter.inc()
        self._seconds_of[method, route].observe(seconds)

    def render(self) -> bytes:
        """The text exposition of every series."""
        return generate_latest(self.registry)
