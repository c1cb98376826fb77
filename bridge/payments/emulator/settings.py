"""What may be set when the emulator starts; every default is Stripe's own where it has one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

API_VERSION = "2026-08-26.dahlia"

DAY_SECONDS = 86_400


@dataclass(frozen=True)
class EmulatorSettings:
    """Settings of one emulator.

    ``authorization_seconds`` is the validity of an uncaptured card authorisation
    (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method, 7 days);
    ``expiry_lag_seconds`` is how long after that Stripe's own cancellation may take to arrive.
    ``retry_delays_seconds`` are the waits between webhook attempts in real time, not in the
    emulator's settable time; the last one is repeated until ``webhook_attempts_max``.
    ``public_url`` is where browsers find the 3-D Secure page; without it the ``Host`` of the
    latest request is used.
    """

    state_path: Path | None = None
    public_url: str | None = None
    authorization_seconds: int = 7 * DAY_SECONDS
    expiry_lag_seconds: int = 0
    idempotency_seconds: int = DAY_SECONDS
    funds_delay_seconds: int = 2 * DAY_SECONDS
    refund_delay_seconds: int = 60
    webhook_timeout_seconds: float = 10.0
    webhook_attempts_max: int = 40
    retry_delays_seconds: tuple[float, ...] = field(
        default=(0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
    )
