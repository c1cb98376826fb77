"""What only a worker knows, for Prometheus: how its RPC endpoints behave.

Served from a thread of its own, on the address that the API listens on, when
``TIDEGATE_WORKER_METRICS_PORT`` names a port. Reading an endpoint's health talks to nobody.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from chain.endpoints import EndpointHealth

Endpoints = Callable[[], Sequence[EndpointHealth]]
_LABELS = ("network", "endpoint")


class EndpointCollector(Collector):
    """Gauges of every endpoint of every network, read when somebody asks."""

    def __init__(self, networks: Mapping[str, Endpoints]) -> None:
        self._networks = networks

    def collect(self) -> Iterator[GaugeMetricFamily]:
        paused = _family("endpoint_paused", "1: it fails, and is left alone for a while.")
        lag = _family("endpoint_lag_blocks", "Behind the height that a quorum has reached.")
        latency = _family("endpoint_latency_milliseconds", "How long an answer takes.")
        score = _family("endpoint_score_milliseconds", "How old its answers are; less is better.")
        for network, endpoints in self._networks.items():
            for one in endpoints():
                where = (network, one.label)
                paused.add_metric(where, int(one.is_paused))
                lag.add_metric(where, one.lag_blocks)
                latency.add_metric(where, one.latency_ms)
                score.add_metric(where, one.score_ms)
        yield from (paused, lag, latency, score)


def _family(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tidegate_{name}", text, labels=_LABELS)


def serve(port: int, host: str, networks: Mapping[str, Endpoints]) -> Callable[[], None]:
    """Answer at ``http://host:port/metrics`` until the returned function is called.

    Raises ``OSError`` when the port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(EndpointCollector(networks))
    server: Any
    server, thread = start_http_server(port, host, registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
