"""The test operator's side, under ``/_emulator``: time, deliveries, faults, and what only banks do.

None of it exists at Stripe, so nothing of Tidegate but its tests and demo may call it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Struct

from . import disputing, refunding
from .api import Api
from .core import Emulator
from .errors import ApiError, missing
from .faults import Fault
from .ids import new_id
from .store import Json


class ClockChange(Struct, forbid_unknown_fields=True):
    """Move the time forward, or to a Unix time."""

    advance_seconds: int | None = None
    set_to: int | None = None


class DeliveryMode(Struct, forbid_unknown_fields=True):
    """Disturb webhook deliveries; members left out stay as they are."""

    paused: bool | None = None
    lose_next: int | None = None
    duplicate_next: int | None = None
    reverse: bool | None = None


class FaultOrder(Struct, forbid_unknown_fields=True):
    """Disturb the next ``times`` API requests that match method and path pattern."""

    kind: Literal["http_500", "http_429", "drop_before", "hold_before", "drop_after", "hold_after"]
    method: str = "*"
    path: str = "*"
    times: int = 1


class DisputeOrder(Struct, forbid_unknown_fields=True):
    """Open a dispute on a charge, as a customer's bank would."""

    reason: str = "fraudulent"
    inquiry: bool = False


class RefundOutcome(Struct, forbid_unknown_fields=True):
    """Decide an asynchronous refund, as the card network would."""

    succeeded: bool


def _clock(emulator: Emulator) -> Json:
    return {"now": emulator.now(), **emulator.meta("clock")}


def _fault_view(fault: Fault) -> Json:
    return {
        "id": fault.id,
        "kind": fault.kind,
        "method": fault.method,
        "path": fault.path,
        "times_left": fault.times,
        "holding": fault.holding,
    }


def control(api: Api) -> Router:
    """Return the control routes."""
    handlers = [
        *_state_routes(api),
        *_clock_routes(api),
        *_webhook_routes(api),
        *_fault_routes(api),
        *_bank_routes(api),
    ]
    return Router("/_emulator", route_handlers=handlers)


def _commit(api: Api, change: Callable[[], Any]) -> Any:
    """Run a change as one transaction, then let deliveries go out."""
    try:
        result = change()
        api.emulator.store.commit()
    except BaseException:
        api.emulator.store.rollback()
        raise
    api.sender.wake()
    return result


def _state_routes(api: Api) -> list[Any]:
    @get("/state")
    async def state() -> Json:
        return api.emulator.store.dump()

    @post("/reset", status_code=200)
    async def reset() -> Json:
        api.faults.clear()
        _commit(api, api.emulator.store.clear)
        return {"reset": True}

    return [state, reset]


def _clock_routes(api: Api) -> list[Any]:
    emulator = api.emulator

    @get("/clock")
    async def clock() -> Json:
        return _clock(emulator)

    @post("/clock", status_code=200)
    async def move_clock(data: JSONBody[ClockChange]) -> Json:
        def change() -> None:
            offset = emulator.meta("clock").get("offset_seconds", 0) + (data.advance_seconds or 0)
            if data.set_to is not None:
                offset = data.set_to - int(emulator.real_time())
            emulator.set_meta("clock", {"offset_seconds": offset})
            emulator.run_timers()

        _commit(api, change)
        return _clock(emulator)

    return [clock, move_clock]


def _webhook_routes(api: Api) -> list[Any]:
    emulator = api.emulator

    @get("/webhooks")
    async def mode() -> Json:
        return api.sender.mode()

    @post("/webhooks", status_code=200)
    async def set_mode(data: JSONBody[DeliveryMode]) -> Json:
        given = {
            name: value
            for name in data.__struct_fields__
            if (value := getattr(data, name)) is not None
        }
        _commit(api, lambda: emulator.set_meta("webhooks", {**api.sender.mode(), **given}))
        return api.sender.mode()

    @post("/webhooks/flush", status_code=200)
    async def flush() -> Json:
        api.sender.flush()
        return {"flushed": True}

    @get("/deliveries")
    async def deliveries(
        event: FromQuery[str | None] = None, endpoint: FromQuery[str | None] = None
    ) -> Json:
        rows = [
            row
            for row in emulator.store.oldest_first("deliveries")
            if event in (None, row["event"]) and endpoint in (None, row["endpoint"])
        ]
        return {"data": rows}

    @post("/events/{event_id:str}/resend", status_code=200)
    async def resend(event_id: FromPath[str]) -> Json:
        event = emulator.find(event_id, "evt")
        endpoints = list(emulator.store.oldest_first("webhook_endpoints"))
        rows = _commit(api, lambda: [emulator.deliver(event, one) for one in endpoints])
        return {"data": rows}

    return [mode, set_mode, flush, deliveries, resend]


def _fault_routes(api: Api) -> list[Any]:
    @get("/faults")
    async def faults() -> Json:
        return {"data": [_fault_view(fault) for fault in api.faults.orders.values()]}

    @post("/faults", status_code=200)
    async def order(data: JSONBody[FaultOrder]) -> Json:
        fault = Fault(new_id("fault"), data.kind, data.method.upper(), data.path, data.times)
        api.faults.add(fault)
        return _fault_view(fault)

    @post("/faults/{fault_id:str}/release", status_code=200)
    async def release(fault_id: FromPath[str]) -> Json:
        fault = api.faults.orders.get(fault_id)
        if fault is None:
            raise missing("fault", fault_id)
        fault.released.set()
        return _fault_view(fault)

    @delete("/faults", status_code=200)
    async def clear() -> Json:
        api.faults.clear()
        return {"data": []}

    return [faults, order, release, clear]


def _bank_routes(api: Api) -> list[Any]:
    emulator = api.emulator

    @post("/charges/{charge_id:str}/dispute", status_code=200)
    async def dispute(charge_id: FromPath[str], data: JSONBody[DisputeOrder]) -> Json:
        charge = emulator.find(charge_id, "ch")
        row: Json = _commit(
            api,
            lambda: disputing.open_dispute(emulator, charge, data.reason, inquiry=data.inquiry),
        )
        return row

    @post("/refunds/{refund_id:str}/settle", status_code=200)
    async def settle(refund_id: FromPath[str], data: JSONBody[RefundOutcome]) -> Json:
        refund = emulator.find(refund_id, "re")
        row: Json = _commit(
            api, lambda: refunding.settle(emulator, refund, succeeded=data.succeeded)
        )
        return row

    return [dispute, settle]


def api_error_response(error: ApiError) -> Response[Json]:
    """Return a refusal of a control request in the API's own shape."""
    return Response({"error": error.error}, status_code=error.status)
