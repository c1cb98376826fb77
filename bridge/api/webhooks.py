"""Notifications from the payment provider: verified, stored, answered; worked later.

The signature covers the raw body, so nothing is parsed before it fits. Storing ignores an event
id that is known, so that any number of deliveries, at the same moment or years apart, have one
effect and all get a 2xx (https://docs.stripe.com/webhooks#best-practices).
"""

from typing import Any

import msgspec
from litestar import Request, post

from bridge.api.auth import OPEN
from bridge.api.errors import WebhookInvalid
from bridge.api.request import header
from bridge.api.services import services_of
from bridge.storage.wake import WORK

BODY_MAX_BYTES = 1024 * 1024


class Received(msgspec.Struct, kw_only=True):
    received: bool = True


@post(
    "/v1/webhooks/stripe",
    opt={"permission": OPEN},
    status_code=200,
    request_max_body_size=BODY_MAX_BYTES,
    summary="Receive a Stripe event",
    tags=["webhooks"],
    security=[{}],
)
async def receive_stripe(request: Request[Any, Any, Any]) -> Received:
    """Stripe's own format, signed in ``Stripe-Signature``; 300 s of tolerance."""
    services = services_of(request)
    body = await request.body()
    signature = header(request.scope, b"stripe-signature")
    try:
        if not signature:
            raise WebhookInvalid("the Stripe-Signature header is missing")
        event = services.verify_webhook(body, signature)
    except WebhookInvalid:
        services.metrics.webhooks.labels("refused").inc()
        raise
    new = await services.store.receive([event], services.clock.now())
    services.metrics.webhooks.labels("new" if new else "duplicate").inc()
    if new:
        services.wake.notify(WORK)
    return Received()


HANDLERS = (receive_stripe,)
