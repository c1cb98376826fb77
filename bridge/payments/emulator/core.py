"""The emulator's heart: settable time, rows, timers and events, shared by every resource."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import ids
from .errors import missing
from .params import Param
from .settings import API_VERSION, EmulatorSettings
from .store import Json, Store

# id prefix -> (table, the name under which Stripe misses it)
TABLES = {
    "pi": ("payment_intents", "payment_intent"),
    "ch": ("charges", "charge"),
    "re": ("refunds", "refund"),
    "cus": ("customers", "customer"),
    "pm": ("payment_methods", "PaymentMethod"),
    "txn": ("balance_transactions", "balance transaction"),
    "du": ("disputes", "dispute"),
    "evt": ("events", "event"),
    "we": ("webhook_endpoints", "webhook endpoint"),
}


@dataclass
class Call:
    """One API request, after authentication and reading of its parameters."""

    method: str
    path: str
    params: dict[str, Any]
    path_params: dict[str, str]
    publishable: bool
    request_id: str
    idempotency_key: str | None

    @property
    def target(self) -> str:
        """The id in the path."""
        return self.path_params["id"]


Handler = Callable[["Emulator", Call], Json]


@dataclass(frozen=True)
class Route:
    """One endpoint: what it takes and who may call it."""

    method: str
    path: str
    handler: Handler
    params: tuple[Param, ...] = ()
    publishable: bool = False


@dataclass
class Emulator:
    """Everything that one emulated Stripe account knows."""

    settings: EmulatorSettings
    store: Store
    public_url: str
    real_time: Callable[[], float] = time.time
    call: Call | None = None
    timers: dict[str, Callable[[Emulator, Json], None]] = field(default_factory=dict)
    planned: list[str] = field(default_factory=list)

    def now(self) -> int:
        """Return the emulator's Unix time, which tests may move forward."""
        return int(self.real_time()) + int(self.meta("clock").get("offset_seconds", 0))

    def meta(self, name: str) -> Json:
        """Return one of the emulator's own settings that live in its state."""
        return self.store.get("meta", name) or {}

    def set_meta(self, name: str, value: Json) -> None:
        """Replace one of the emulator's own settings."""
        self.store.put("meta", name, value)

    def find(self, row_id: str, prefix: str, param: str = "id") -> Json:
        """Return the object with this id.

        Raises ApiError (404, resource_missing) when there is none of that kind.
        """
        table, resource = TABLES[prefix]
        row = self.store.get(table, row_id)
        if row is None:
            raise missing(resource, row_id, param)
        return row

    def add(self, prefix: str, row: Json) -> Json:
        """Insert a new object, which already has its id."""
        self.store.put(TABLES[prefix][0], row["id"], row)
        return row

    def change(self, row: Json, **changes: Any) -> Json:
        """Replace members of an object and return the new one."""
        table = TABLES[row["id"].split("_")[0]][0]
        return self.store.put(table, row["id"], {**row, **changes})

    def account_id(self) -> str:
        """Return the id of the one account that is emulated."""
        if not self.meta("account"):
            self.set_meta("account", {"id": f"acct_{ids.random_text(16)}"})
        return str(self.meta("account")["id"])

    def schedule(self, kind: str, subject: str, due: int) -> None:
        """Run a timer's action on a subject once the emulator's time has reached ``due``."""
        row: Json = {"id": f"{kind}:{subject}", "kind": kind, "subject": subject, "due": due}
        self.store.put("timers", row["id"], row)

    def unschedule(self, kind: str, subject: str) -> None:
        """Forget a timer, if it is there."""
        self.store.delete("timers", f"{kind}:{subject}")

    def run_timers(self) -> None:
        """Do what has become due since the last time, oldest first."""
        while True:
            due = [row for row in self.store.oldest_first("timers") if row["due"] <= self.now()]
            if not due:
                return
            row = min(due, key=lambda timer: int(timer["due"]))
            self.store.delete("timers", row["id"])
            self.timers[row["kind"]](self, row)

    def emit(self, kind: str, subject: Json, previous: Json | None = None) -> Json:
        """Record an event with the object as it is now, and a delivery per listening endpoint.

        Source: https://docs.stripe.com/api/events/types
        """
        data: Json = {"object": public(subject)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": ids.new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {
                "id": self.call.request_id if self.call else None,
                "idempotency_key": self.call.idempotency_key if self.call else None,
            },
            "type": kind,
        }
        deliveries = [
            self.deliver(event, endpoint)["id"]
            for endpoint in self.store.oldest_first("webhook_endpoints")
            if endpoint["status"] == "enabled" and listens(endpoint, kind)
        ]
        return self.add("evt", {**event, "_deliveries": deliveries})

    def deliver(self, event: Json, endpoint: Json) -> Json:
        """Plan a delivery of an event; the sender takes it after the commit."""
        row = {
            "id": ids.new_id("whd"),
            "event": event["id"],
            "type": event["type"],
            "endpoint": endpoint["id"],
            "url": endpoint["url"],
            "status": "pending",
            "attempts": [],
        }
        self.planned.append(row["id"])
        return self.store.put("deliveries", row["id"], row)


def listens(endpoint: Json, kind: str) -> bool:
    """Return whether an endpoint asked for events of this type."""
    return any(wanted in ("*", kind) for wanted in endpoint["enabled_events"])


def public(row: Json) -> Json:
    """Return an object without the emulator's private members."""
    return {name: value for name, value in row.items() if not name.startswith("_")}


def previous(before: Json, after: Json) -> Json:
    """Return the members that a change replaced, as ``previous_attributes`` of its event."""
    return {name: before.get(name) for name in public(after) if before.get(name) != after[name]}
