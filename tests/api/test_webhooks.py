"""Webhooks from the payment provider: forged, stale, huge, doubled; then one that counts."""

import asyncio

import httpx
import pytest

from settlement.ids import new_id
from tests.api.world import Api, is_problem, stripe_event, stripe_signature

PATH = "/v1/webhooks/stripe"


async def deliver(api: Api, body: bytes, signature: str | None) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    if signature is not None:
        headers["Stripe-Signature"] = signature
    return await api.http.post(PATH, content=body, headers=headers)


async def stored(api: Api, event_id: str) -> int:
    return int(await api.store.pool.fetchval("SELECT count(*) FROM inbox WHERE id = $1", event_id))


@pytest.mark.parametrize("signature", [None, "", "nonsense", "t=1,v1=00", "v1=00", "t=x,v1=x"])
async def test_a_webhook_without_a_valid_signature_is_refused(
    api: Api, signature: str | None
) -> None:
    """Nothing is stored."""
    event_id = new_id("evt")
    answer = await deliver(api, stripe_event(event_id), signature)
    is_problem(answer, 400, "webhook_signature_invalid")
    assert await stored(api, event_id) == 0


async def test_a_forged_webhook_is_refused(api: Api) -> None:
    """Signed with another secret, or with a body changed after signing."""
    event_id = new_id("evt")
    body = stripe_event(event_id)
    forged = stripe_signature(body, secret="whsec_someone_else")
    is_problem(await deliver(api, body, forged), 400, "webhook_signature_invalid")
    changed = body.replace(b"pi_1", b"pi_2")
    answer = await deliver(api, changed, stripe_signature(body))
    is_problem(answer, 400, "webhook_signature_invalid")
    assert await stored(api, event_id) == 0


async def test_a_stale_webhook_is_refused(api: Api) -> None:
    """Over 300 seconds old: a recording, or a clock that is wrong."""
    event_id = new_id("evt")
    body = stripe_event(event_id)
    answer = await deliver(api, body, stripe_signature(body, age_s=301))
    is_problem(answer, 400, "webhook_signature_invalid")
    assert (await deliver(api, body, stripe_signature(body, age_s=290))).status_code == 200


async def test_a_huge_webhook_is_refused(api: Api) -> None:
    """Over a mebibyte; up to there a webhook may be larger than other requests."""
    body = stripe_event(new_id("evt"), padding="x" * 1_100_000)
    is_problem(await deliver(api, body, stripe_signature(body)), 413, "body_too_large")
    body = stripe_event(new_id("evt"), padding="x" * 900_000)
    assert (await deliver(api, body, stripe_signature(body))).status_code == 200


async def test_a_signed_body_that_is_not_an_event_is_refused(api: Api) -> None:
    """Even with the right secret, it is a 400 and not a 500."""
    for body in (b"not json", b"[]", b"{}", b"\xff\xfe"):
        answer = await deliver(api, body, stripe_signature(body))
        assert answer.status_code == 400, (body, answer.text)


async def test_two_deliveries_at_the_same_moment_have_one_effect(api: Api) -> None:
    """Both get a 2xx; one row is stored."""
    event_id = new_id("evt")
    body = stripe_event(event_id)
    signature = stripe_signature(body)
    answers = await asyncio.gather(*(deliver(api, body, signature) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert await stored(api, event_id) == 1
    later = await deliver(api, body, stripe_signature(body))
    assert later.status_code == 200
    assert await stored(api, event_id) == 1


async def test_a_webhook_needs_no_api_key(api: Api) -> None:
    """The signature is its key, and the answer says nothing but that it arrived."""
    body = stripe_event(new_id("evt"))
    answer = await deliver(api, body, stripe_signature(body))
    assert (answer.status_code, answer.json()) == (200, {"received": True})
