"""The payment port on Stripe, through the official SDK's asynchronous client.

The same code talks to Stripe and to the local emulator; only the API base differs. Every answer
is reduced to the few facts that the core decides on; an unknown status means *pending*.
The SDK's own retries are off: a lost answer is settled by our next look at the order, under the
same idempotency key (https://docs.stripe.com/api/idempotent_requests).
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import stripe

from settlement.errors import InvalidInput, PaymentError, PaymentRefused, PaymentUnknown
from settlement.facts import order_facts
from settlement.ids import OrderId, payment_key
from settlement.order import Order
from settlement.ports.payment import (
    Intent,
    IntentStatus,
    ProviderEvent,
    Refund,
    RefundStatus,
)

PROVIDER = "stripe"

EVENT_TYPES: Final = (
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "charge.captured",
    "charge.refunded",
    "charge.refund.updated",
    "charge.dispute.created",
    "charge.dispute.closed",
    "refund.created",
    "refund.updated",
    "refund.failed",
)
"""What a webhook endpoint must subscribe to, and what the sweep asks for."""

_REFUND_STATUS = {
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.FAILED,
}
_DISPUTE_WITHOUT_LOSS: Final = frozenset({"won", "warning_closed", "prevented"})
"""https://docs.stripe.com/api/disputes/object#dispute_object-status"""
_EXPAND_CHARGE: Final = {"expand": ["latest_charge"]}


class StripePayments:
    """``settlement.ports.payment`` on one Stripe account. ``facts_key`` signs what an intent's
    metadata says of its order."""

    def __init__(
        self,
        api_key: str,
        *,
        api_base: str | None = None,
        timeout_s: int = 20,
        facts_key: str | None = None,
    ) -> None:
        self._facts_key = facts_key
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=0,
            http_client=stripe.HTTPXClient(timeout=timeout_s),
        )

    async def create_intent(self, order: Order) -> Intent:
        params: Any = {
            "amount": order.gross.amount_minor,
            "currency": order.gross.asset.code.lower(),
            "capture_method": "manual",
            "payment_method_types": ["card"],
            "metadata": order_facts(order, self._facts_key),
        }
        options: Any = {"idempotency_key": payment_key(order.id, "intent")}
        return _intent(await _answer(self._client.v1.payment_intents.create_async(params, options)))

    async def retrieve_intent(self, intent_id: str) -> Intent:
        params: Any = _EXPAND_CHARGE
        intent = _intent(
            await _answer(self._client.v1.payment_intents.retrieve_async(intent_id, params))
        )
        if intent.disputed:
            return replace(intent, disputed=await self._still_disputed(intent_id))
        return intent

    async def _still_disputed(self, intent_id: str) -> bool:
        """A charge stays marked as disputed after we won; only its disputes tell how they ended."""
        params: Any = {"payment_intent": intent_id, "limit": 100}
        page = await _answer(self._client.v1.disputes.list_async(params))
        statuses = {dispute["status"] for dispute in page["data"]}
        return not statuses or not statuses <= _DISPUTE_WITHOUT_LOSS

    async def capture(self, intent_id: str, amount_minor: int, key: str) -> Intent:
        params: Any = {"amount_to_capture": amount_minor, **_EXPAND_CHARGE}
        call = self._client.v1.payment_intents.capture_async(
            intent_id, params, {"idempotency_key": key}
        )
        return _intent(await _answer(call))

    async def cancel(self, intent_id: str, key: str) -> Intent:
        params: Any = _EXPAND_CHARGE
        call = self._client.v1.payment_intents.cancel_async(
            intent_id, params, {"idempotency_key": key}
        )
        return _intent(await _answer(call))

    async def refund(
        self, intent_id: str, amount_minor: int, order_id: OrderId, key: str
    ) -> Refund:
        params: Any = {
            "payment_intent": intent_id,
            "amount": amount_minor,
            "metadata": {"order_id": order_id},
        }
        call = self._client.v1.refunds.create_async(params, {"idempotency_key": key})
        return _refund(await _answer(call))

    async def refunds_of(self, intent_id: str) -> Sequence[Refund]:
        """Oldest first. A charge has few refunds; 100 is Stripe's largest page.

        What a partial capture releases is listed like a refund, but it moved no money: it has
        no balance transaction. It is left out.
        """
        params: Any = {"payment_intent": intent_id, "limit": 100}
        page = await _answer(self._client.v1.refunds.list_async(params))
        return [_refund(item) for item in reversed(page["data"]) if not _is_release(item)]

    async def intents_since(self, created_at: datetime) -> Sequence[Intent]:
        """Oldest first; all pages."""
        params = {"created": {"gte": int(created_at.timestamp())}, "expand": ["data.latest_charge"]}
        pages = await self._pages(self._client.v1.payment_intents.list_async, params)
        return [_intent(item) for item in pages]

    async def annotate(self, intent_id: str, metadata: Mapping[str, str], key: str) -> None:
        """Members of the intent's metadata are set one by one; others stay as they are."""
        params: Any = {"metadata": dict(metadata)}
        call = self._client.v1.payment_intents.update_async(
            intent_id, params, {"idempotency_key": key}
        )
        await _answer(call)

    async def events_since(self, created_at: datetime) -> Sequence[ProviderEvent]:
        """Oldest first; all pages. Stripe keeps events for 30 days."""
        params = {"types": list(EVENT_TYPES), "created": {"gte": int(created_at.timestamp())}}
        pages = await self._pages(self._client.v1.events.list_async, params)
        return [provider_event(item) for item in pages]

    async def _pages(self, list_: Callable[[Any], Awaitable[Any]], params: Any) -> list[Any]:
        """Everything that ``list_`` has, oldest first."""
        found: list[Any] = []
        while True:
            page = await _answer(list_({**params, "limit": 100}))
            found.extend(page["data"])
            if not page["has_more"] or not page["data"]:
                return found[::-1]
            params = {**params, "starting_after": page["data"][-1]["id"]}


_NAME = re.compile(r"[\x21-\x7e]{1,255}")

_NOT_AN_EVENT = (
    stripe.SignatureVerificationError,
    ValueError,  # not JSON, not UTF-8
    AttributeError,  # JSON, signed, but no object
    KeyError,
    TypeError,
    OverflowError,  # a time beyond any calendar
    RecursionError,
)


def verify_webhook(payload: bytes, header: str, secrets: Sequence[str]) -> ProviderEvent:
    """Check a delivery's signature and age (300 s) on its raw body.

    Several secrets are accepted while one is being rolled. Source:
    https://docs.stripe.com/webhooks#verify-manually. Raises
    :class:`~settlement.errors.InvalidInput` for a forged, stale or unreadable delivery.
    """
    for secret in secrets:
        with suppress(*_NOT_AN_EVENT):
            event = stripe.Webhook.construct_event(payload, header, secret, tolerance=300)
            found = provider_event(event.to_dict())
            if _NAME.fullmatch(found.id) and _NAME.fullmatch(found.type):
                return found
    raise InvalidInput("the Stripe-Signature header does not match the body", param=None)


def provider_event(event: Mapping[str, Any]) -> ProviderEvent:
    """Which payment intent (and order, by its metadata) an event is about."""
    subject = event["data"]["object"]
    is_intent = subject.get("object") == "payment_intent"
    return ProviderEvent(
        id=event["id"],
        type=event["type"],
        created_at=_instant(event["created"]),
        intent_id=subject["id"] if is_intent else subject.get("payment_intent"),
        order_id=(subject.get("metadata") or {}).get("order_id"),
        body=event,
    )


async def _answer(call: Awaitable[Any]) -> dict[str, Any]:
    """The one map from the SDK's errors to ours."""
    try:
        answer: dict[str, Any] = (await call).to_dict()
    except stripe.CardError as error:
        raise PaymentRefused(str(error), reason=error.code or "card_error") from error
    except stripe.IdempotencyError as error:
        raise PaymentRefused(str(error), reason=error.code or "idempotency_error") from error
    except stripe.RateLimitError as error:
        raise PaymentUnknown(str(error)) from error
    except stripe.InvalidRequestError as error:
        if error.http_status == 409:  # the first request with this key is still running
            raise PaymentUnknown(str(error)) from error
        raise PaymentRefused(str(error), reason=error.code or "invalid_request") from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise PaymentError(f"Stripe refuses our API key: {error.user_message}") from error
    except stripe.StripeError as error:
        raise PaymentUnknown(str(error)) from error
    return answer


def _intent(data: Mapping[str, Any]) -> Intent:
    charge = data.get("latest_charge")
    details: Mapping[str, Any] = charge if isinstance(charge, Mapping) else {}
    card = (details.get("payment_method_details") or {}).get("card") or {}
    failure = data.get("last_payment_error") or {}
    return Intent(
        id=data["id"],
        status=_status(data["status"]),
        amount_minor=data["amount"],
        currency=data["currency"].upper(),
        order_id=(data.get("metadata") or {}).get("order_id"),
        client_secret=data.get("client_secret"),
        charge_id=details.get("id") or (charge if isinstance(charge, str) else None),
        authorized_at=_instant(details["created"]) if details.get("paid") else None,
        capture_before=_instant(card["capture_before"]) if card.get("capture_before") else None,
        received_minor=data.get("amount_received") or 0,
        refunded_minor=_refunded(details),
        disputed=bool(details.get("disputed")),
        facts=data.get("metadata") or {},
        decline_code=failure.get("decline_code") or failure.get("code"),
    )


def _refunded(charge: Mapping[str, Any]) -> int:
    """Captured money that went back; a released part of the hold does not count."""
    if not charge.get("captured"):
        return 0
    released = charge["amount"] - charge["amount_captured"]
    return int(max(charge["amount_refunded"] - released, 0))


def _is_release(refund: Mapping[str, Any]) -> bool:
    return refund.get("status") == "succeeded" and refund.get("balance_transaction") is None


def _status(text: str) -> IntentStatus:
    try:
        return IntentStatus(text)
    except ValueError:
        return IntentStatus.UNKNOWN


def _refund(data: Mapping[str, Any]) -> Refund:
    status = _REFUND_STATUS.get(data.get("status") or "", RefundStatus.PENDING)
    return Refund(data["id"], status, data["amount"])


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
