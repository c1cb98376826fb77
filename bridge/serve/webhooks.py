"""Tells the local Stripe emulator where our API listens, once per data folder."""

from typing import Any

import stripe

from bridge.payments.stripe import EVENT_TYPES
from bridge.serve.folder import DataFolder, DemoSecrets, save_secrets

PATH = "/v1/webhooks/stripe"
_OURS = {"tidegate": "demo"}


async def ensure_endpoint(
    folder: DataFolder, secrets: DemoSecrets, stripe_base: str, api_url: str
) -> DemoSecrets:
    """The endpoint with our URL, and its secret in the result.

    The secret is told only when an endpoint is made. So one whose secret did not reach the disk
    (a kill in between) is deleted and made anew.
    """
    client = stripe.StripeClient(
        secrets.stripe_key,
        base_addresses={"api": stripe_base},
        http_client=stripe.HTTPXClient(timeout=30),
    )
    endpoints = client.v1.webhook_endpoints
    known = None
    for endpoint in (await endpoints.list_async({"limit": 100})).data:
        if endpoint.id == secrets.webhook_id:
            known = endpoint
        elif (endpoint.metadata or {}) and endpoint.to_dict()["metadata"] == _OURS:
            await endpoints.delete_async(endpoint.id)
    url = api_url + PATH
    if known is not None:
        if known.url != url:
            await endpoints.update_async(known.id, {"url": url})
        return secrets
    params: Any = {"url": url, "enabled_events": list(EVENT_TYPES), "metadata": _OURS}
    made = await endpoints.create_async(params)
    return save_secrets(folder, secrets, webhook_id=made.id, webhook_secret=made.secret or "")
