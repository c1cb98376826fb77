"""Webhook endpoints (https://docs.stripe.com/api/webhook_endpoints)."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..core import Call, Emulator, Route
from ..errors import invalid
from ..ids import new_id, webhook_secret
from ..params import (
    EXPAND,
    METADATA,
    PAGE,
    boolean,
    listed,
    merge_metadata,
    required,
    text,
    unsupported,
)
from ..store import Json
from ..views import page


def create(emulator: Emulator, call: Call) -> Json:
    """Register an endpoint; this answer is the only one that shows its secret."""
    params = call.params
    secret = webhook_secret()
    endpoint = emulator.add(
        "we",
        {
            "id": new_id("we"),
            "object": "webhook_endpoint",
            "api_version": params.get("api_version"),
            "application": None,
            "created": emulator.now(),
            "description": params.get("description"),
            "enabled_events": _events(params["enabled_events"]),
            "livemode": False,
            "metadata": merge_metadata({}, params.get("metadata")),
            "status": "enabled",
            "url": _url(params["url"]),
            "_secret": secret,
        },
    )
    return {**endpoint, "secret": secret}


def retrieve(emulator: Emulator, call: Call) -> Json:
    """Return an endpoint without its secret."""
    return emulator.find(call.target, "we")


def update(emulator: Emulator, call: Call) -> Json:
    """Change an endpoint; ``disabled`` stops new deliveries."""
    before, params = emulator.find(call.target, "we"), call.params
    changes: Json = {}
    if "description" in params:
        changes["description"] = params["description"]
    if "url" in params:
        changes["url"] = _url(params["url"])
    if "enabled_events" in params:
        changes["enabled_events"] = _events(params["enabled_events"])
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        changes["metadata"] = merge_metadata(before["metadata"], params["metadata"])
    return emulator.change(before, **changes)


def delete(emulator: Emulator, call: Call) -> Json:
    """Delete an endpoint; its planned deliveries are given up."""
    endpoint = emulator.find(call.target, "we")
    emulator.store.delete("webhook_endpoints", endpoint["id"])
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def list_all(emulator: Emulator, call: Call) -> Json:
    """List endpoints."""
    return page(emulator, call, "we")


def _events(kinds: list[str]) -> list[str]:
    if not kinds:
        message = "You must specify at least one event."
        raise invalid(message, code="parameter_missing", param="enabled_events")
    return kinds


def _url(url: str | None) -> str:
    try:
        parts = urlsplit(url or "")
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid("Invalid URL: an explicit scheme is needed.", code="url_invalid", param="url")
    return str(url)


_BASE = "/v1/webhook_endpoints"
_FIELDS = (*text("description"), *METADATA, *EXPAND)
ROUTES = (
    Route(
        "POST",
        _BASE,
        create,
        (
            *required(text("url")),
            *required(listed("enabled_events")),
            *text("api_version"),
            *_FIELDS,
            *unsupported("connect"),
        ),
    ),
    Route("GET", _BASE, list_all, PAGE),
    Route("GET", _BASE + "/{id}", retrieve, EXPAND),
    Route(
        "POST",
        _BASE + "/{id}",
        update,
        (*text("url"), *listed("enabled_events"), *boolean("disabled"), *_FIELDS),
    ),
    Route("DELETE", _BASE + "/{id}", delete),
)
