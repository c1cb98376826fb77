"""3-D Secure: the customer proves to the bank that the card is theirs, or does not."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe

from tests.emulator.conftest import Bench, refusal

RETURN_URL = "https://shop.example/back?cart=7"
CHALLENGED = ["pm_card_threeDSecure2Required", "pm_card_authenticationRequired"]


async def challenged(bench: Bench, card: str = CHALLENGED[0], **more: Any) -> Any:
    """Return an intent that requires action."""
    intent = await bench.authorised(payment_method=card, return_url=RETURN_URL, **more)
    assert intent.status == "requires_action"
    return intent


def press(bench: Bench, intent: Any, button: str) -> Any:
    """Press a button of the bank's page and return its answer."""
    url = intent.next_action.redirect_to_url.url
    assert url.startswith(bench.url)
    return bench.http.post(url, data={"outcome": button})


async def test_a_failed_authentication_asks_for_another_card(bench: Bench) -> None:
    """Fail leaves no charge, no card and Stripe's authentication failure on the intent."""
    intent = await challenged(bench)
    answer = press(bench, intent, "fail")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["redirect_status"] == ["failed"]
    failed = await bench.v1.payment_intents.retrieve_async(intent.id)
    assert (failed.status, failed.next_action) == ("requires_payment_method", None)
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"
    assert failed.latest_charge is None


async def test_a_card_declined_after_authentication_stays_on_the_intent(bench: Bench) -> None:
    """The browser returns to the shop, and the intent tells of the decline."""
    intent = await challenged(bench, "pm_card_threeDSecureRequiredChargeDeclined")
    assert press(bench, intent, "complete").status_code == 303
    failed = await bench.v1.payment_intents.retrieve_async(intent.id)
    assert failed.status == "requires_payment_method"
    assert failed.last_payment_error.decline_code == "generic_decline"


@pytest.mark.parametrize("option", ["off_session", "error_on_requires_action"])
async def test_nobody_there_to_authenticate_is_a_decline(bench: Bench, option: str) -> None:
    """Off session, or when asked to fail, the card is declined with authentication_required."""
    call = bench.authorised(payment_method=CHALLENGED[0], **{option: True})
    error = await refusal(call, stripe.CardError)
    assert error.code == "authentication_required"


async def test_a_second_answer_changes_nothing(bench: Bench) -> None:
    """Once decided, a challenge ignores further buttons, and so does one of a canceled intent."""
    intent = await challenged(bench)
    press(bench, intent, "complete")
    press(bench, intent, "fail")
    assert (await bench.v1.payment_intents.retrieve_async(intent.id)).status == "requires_capture"
    gone = await challenged(bench)
    await bench.v1.payment_intents.cancel_async(gone.id)
    press(bench, gone, "complete")
    assert (await bench.v1.payment_intents.retrieve_async(gone.id)).status == "canceled"


def test_an_unknown_challenge_is_a_404(bench: Bench) -> None:
    """A made-up page address shows that there is nothing."""
    assert bench.http.get("/3ds/payatt_nothing").status_code == 404


@pytest.mark.parametrize("card", CHALLENGED)
async def test_a_completed_authentication_holds_the_money(bench: Bench, card: str) -> None:
    """Complete returns to the shop's return_url, keeping its query, and authorises the card."""
    intent = await challenged(bench, card)
    page = bench.http.get(intent.next_action.redirect_to_url.url)
    assert "Complete" in page.text
    assert "Fail" in page.text
    location = urlsplit(press(bench, intent, "complete").headers["location"])
    query = parse_qs(location.query)
    assert location.hostname == "shop.example"
    assert (query["cart"], query["payment_intent"]) == (["7"], [intent.id])
    paid = await bench.v1.payment_intents.retrieve_async(intent.id, {"expand": ["latest_charge"]})
    assert paid.status == "requires_capture"
    details = paid.latest_charge.payment_method_details.card
    assert details.three_d_secure.result == "authenticated"


async def test_without_a_return_url_the_action_is_for_stripe_js(bench: Bench) -> None:
    """As at Stripe, next_action is use_stripe_sdk when nobody said where to return."""
    intent = await bench.authorised(payment_method=CHALLENGED[0])
    assert intent.next_action.type == "use_stripe_sdk"
    page = intent.next_action.use_stripe_sdk.stripe_js
    assert bench.http.post(page, data={"outcome": "complete"}).status_code == 200
    assert (await bench.v1.payment_intents.retrieve_async(intent.id)).status == "requires_capture"


async def test_an_optional_card_is_challenged_only_on_request(bench: Bench) -> None:
    """request_three_d_secure decides for a card that supports 3-D Secure without requiring it."""
    card = "pm_card_threeDSecureOptional"
    assert (await bench.authorised(payment_method=card)).status == "requires_capture"
    asked = {"card": {"request_three_d_secure": "any"}}
    await challenged(bench, card, payment_method_options=asked)
