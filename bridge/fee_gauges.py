"""How fees stand and how good the forecasts are, as Prometheus gauges.

In gwei and ether, since Prometheus counts in floats; the exact figures are in the API.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from prometheus_client import Gauge

from bridge.storage.fees import FeeReport, Outlook

_GWEI = 10**9
_ETHER = 10**18

MakeGauge = Callable[..., Gauge]


class FeeGauges:
    """Made with the registry's own ``gauge`` function, which forgets old values."""

    def __init__(self, gauge: MakeGauge) -> None:
        self._age = gauge("gas_outlook_age_seconds", "Since a worker saw fees.", "network")
        self._fee = gauge("gas_base_fee_gwei", "What the next block asks for.", "network")
        self._coverage = gauge(
            "gas_forecast_coverage",
            "Share of fees inside the 80% band of late.",
            *("network", "blocks"),
        )
        self._drift = gauge(
            "gas_forecast_drift",
            "Mean miss of the median over the band's width: 0 is centred.",
            *("network", "blocks"),
        )
        self._quoted = gauge(
            "network_fee_quoted_ether", "Quoted for batches of the last day.", "network"
        )
        self._paid = gauge("network_fee_paid_ether", "Booked for the same batches.", "network")
        self._captured = gauge(
            "gas_saving_captured",
            "Share of perfect foresight's saving on the last day.",
            "network",
        )

    def show(self, fees: Mapping[str, tuple[Outlook, FeeReport]], now: datetime) -> None:
        for network, (outlook, report) in fees.items():
            age = (now - outlook.seen_at).total_seconds()
            self._age.labels(network).set(max(round(age), 0))
            self._fee.labels(network).set(int(outlook.content["next_fee_wei"]) / _GWEI)
            for blocks, quality in outlook.content["watch"].items():
                self._coverage.labels(network, blocks).set(quality["coverage"])
                self._drift.labels(network, blocks).set(quality["drift"])
            self._quoted.labels(network).set(report.quoted_wei / _ETHER)
            self._paid.labels(network).set(report.paid_wei / _ETHER)
            if report.captured_millionths is not None:
                self._captured.labels(network).set(report.captured_millionths / 1_000_000)
