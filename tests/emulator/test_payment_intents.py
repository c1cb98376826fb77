"""Payment intents as the bridge uses them: authorise, then capture or cancel."""

from __future__ import annotations

import asyncio

import pytest
import stripe

from tests.emulator.conftest import Bench, refusal

DECLINES = [
    ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
    ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
    ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
    ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
    ("pm_card_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
    ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ("pm_card_chargeDeclinedFraudulent", "card_declined", "fraudulent"),
]


@pytest.mark.parametrize(("card", "code", "decline_code"), DECLINES)
async def test_a_declined_card_is_a_402_that_stays_on_the_intent(
    bench: Bench, card: str, code: str, decline_code: str
) -> None:
    """The SDK raises CardError, and the retrieved intent says why and asks for another card."""
    error = await refusal(bench.authorised(payment_method=card), stripe.CardError)
    assert (error.http_status, error.code) == (402, code)
    assert error.error.decline_code == decline_code
    intent = await bench.v1.payment_intents.retrieve_async(
        error.error.payment_intent.id, {"expand": ["latest_charge"]}
    )
    assert intent.status == "requires_payment_method"
    assert intent.payment_method is None
    assert intent.last_payment_error.decline_code == decline_code
    assert intent.latest_charge.status == "failed"
    assert intent.latest_charge.outcome.type in ("issuer_declined", "blocked")


async def test_another_card_pays_after_a_decline(bench: Bench) -> None:
    """A declined intent is confirmed again with a good card and its error is gone."""
    error = await refusal(
        bench.authorised(payment_method="pm_card_chargeDeclined"), stripe.CardError
    )
    intent_id = error.error.payment_intent.id
    intent = await bench.v1.payment_intents.confirm_async(
        intent_id, {"payment_method": "pm_card_mastercard"}
    )
    assert intent.status == "requires_capture"
    assert intent.last_payment_error is None
    charges = await bench.v1.charges.list_async({"payment_intent": intent_id})
    assert [charge.status for charge in charges.data] == ["succeeded", "failed"]


@pytest.mark.parametrize(
    ("amount", "code"),
    [(0, "parameter_invalid_integer"), (49, "amount_too_small"), (100_000_000, "amount_too_large")],
)
async def test_an_amount_that_cannot_be_charged_is_refused(
    bench: Bench, amount: int, code: str
) -> None:
    """Zero, below the minimum and above the maximum each get Stripe's code."""
    error = await refusal(bench.authorised(amount))
    assert (error.code, error.param) == (code, "amount")


async def test_an_unknown_intent_is_missing(bench: Bench) -> None:
    """Retrieving what is not there is a 404 resource_missing."""
    error = await refusal(bench.v1.payment_intents.retrieve_async("pi_nothing"))
    assert (error.http_status, error.code) == (404, "resource_missing")


async def test_an_unknown_card_is_missing(bench: Bench) -> None:
    """Paying with a payment method that does not exist names the parameter."""
    error = await refusal(bench.authorised(payment_method="pm_card_nothing"))
    assert (error.code, error.param) == ("resource_missing", "payment_method")


async def test_confirming_without_a_card_is_refused(bench: Bench) -> None:
    """An intent without a payment method cannot be confirmed."""
    intent = await bench.v1.payment_intents.create_async(
        {"amount": 500, "currency": "usd", "payment_method_types": ["card"]}
    )
    assert intent.status == "requires_payment_method"
    error = await refusal(bench.v1.payment_intents.confirm_async(intent.id))
    assert error.code == "payment_intent_unexpected_state"
    assert error.error.payment_intent.id == intent.id


async def test_automatic_methods_without_a_return_url_are_refused_on_the_server(
    bench: Bench,
) -> None:
    """Stripe asks for a return_url where redirects may happen; so does the emulator."""
    error = await refusal(
        bench.v1.payment_intents.create_async(
            {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
        )
    )
    assert error.param == "return_url"


async def test_more_than_was_authorised_cannot_be_captured(bench: Bench) -> None:
    """Capturing one cent too much is refused and the hold stands."""
    intent = await bench.authorised(1000)
    error = await refusal(
        bench.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 1001})
    )
    assert error.code == "amount_too_large"
    assert (await bench.v1.payment_intents.retrieve_async(intent.id)).amount_capturable == 1000


@pytest.mark.parametrize("action", ["capture", "confirm", "cancel"])
@pytest.mark.parametrize("end", ["captured", "canceled"])
async def test_nothing_follows_the_end(bench: Bench, action: str, end: str) -> None:
    """A captured or canceled intent refuses capture, confirm and cancel, and stays as it is."""
    intents = bench.v1.payment_intents
    intent = await bench.authorised()
    last = await (intents.capture_async if end == "captured" else intents.cancel_async)(intent.id)
    error = await refusal(getattr(intents, f"{action}_async")(intent.id))
    assert (error.http_status, error.code) == (400, "payment_intent_unexpected_state")
    assert error.error.payment_intent.status == last.status
    assert (await intents.retrieve_async(intent.id)).status == last.status


async def test_an_amount_cannot_change_once_authorised(bench: Bench) -> None:
    """The amount of a held payment is fixed, its metadata is not."""
    intent = await bench.authorised()
    error = await refusal(bench.v1.payment_intents.update_async(intent.id, {"amount": 1}))
    assert error.code == "payment_intent_unexpected_state"
    changed = await bench.v1.payment_intents.update_async(
        intent.id, {"metadata": {"order": "ord_1"}}
    )
    assert changed.metadata.to_dict() == {"order": "ord_1"}


async def test_an_authorisation_expires_when_nobody_captures_it(bench: Bench) -> None:
    """After capture_before the intent is canceled by itself and a capture is refused."""
    intent = await bench.authorised(expand=["latest_charge"])
    limit = intent.latest_charge.payment_method_details.card.capture_before
    assert limit - intent.latest_charge.created == 7 * 86_400
    bench.control("clock", set_to=limit)
    gone = await bench.v1.payment_intents.retrieve_async(intent.id, {"expand": ["latest_charge"]})
    assert (gone.status, gone.cancellation_reason) == ("canceled", "automatic")
    assert gone.latest_charge.refunded
    assert not gone.latest_charge.captured
    error = await refusal(bench.v1.payment_intents.capture_async(intent.id))
    assert error.code == "payment_intent_unexpected_state"
    events = await bench.v1.events.list_async({"types": ["charge.expired"]})
    assert [event.data.object.id for event in events.data] == [gone.latest_charge.id]


async def test_a_publishable_key_needs_the_client_secret(bench: Bench) -> None:
    """A frontend sees an intent only with its secret; a wrong secret looks like no intent."""
    frontend = bench.frontend.payment_intents
    intent = await bench.authorised()
    error = await refusal(frontend.retrieve_async(intent.id), stripe.PermissionError)
    assert error.http_status == 403
    error = await refusal(
        frontend.retrieve_async(intent.id, {"client_secret": intent.client_secret + "x"})
    )
    assert error.code == "resource_missing"
    error = await refusal(frontend.capture_async(intent.id), stripe.PermissionError)
    assert error.error.code == "secret_key_required"


async def test_a_frontend_confirms_with_its_secret_and_sees_only_its_part(bench: Bench) -> None:
    """The publishable key and client secret pay; metadata and charge stay hidden."""
    intent = await bench.v1.payment_intents.create_async(
        {"amount": 700, "currency": "usd", "capture_method": "manual", "metadata": {"a": "b"}}
    )
    frontend = bench.frontend
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    method = await frontend.payment_methods.create_async({"type": "card", "card": card})
    paid = await frontend.payment_intents.confirm_async(
        intent.id, {"client_secret": intent.client_secret, "payment_method": method.id}
    )
    assert paid.status == "requires_capture"
    assert not {"metadata", "latest_charge", "customer"} & set(paid.to_dict())


async def test_a_held_payment_is_captured_in_full(bench: Bench) -> None:
    """Authorise shows a hold and no money; capture moves it, with fee and balance transaction."""
    intent = await bench.authorised(10_000)
    assert (intent.status, intent.amount_capturable, intent.amount_received) == (
        "requires_capture",
        10_000,
        0,
    )
    done = await bench.v1.payment_intents.capture_async(
        intent.id, {"expand": ["latest_charge.balance_transaction"]}
    )
    assert (done.status, done.amount_capturable, done.amount_received) == ("succeeded", 0, 10_000)
    charge = done.latest_charge
    assert (charge.captured, charge.amount_captured, charge.amount_refunded) == (True, 10_000, 0)
    money = charge.balance_transaction
    assert (money.amount, money.fee, money.net) == (10_000, 320, 9_680)


async def test_a_partial_capture_releases_the_rest(bench: Bench) -> None:
    """What is not captured is given back without a movement of the balance."""
    intent = await bench.authorised(1000)
    done = await bench.v1.payment_intents.capture_async(
        intent.id, {"amount_to_capture": 600, "expand": ["latest_charge.refunds"]}
    )
    charge = done.latest_charge
    assert (done.amount_received, charge.amount_captured) == (600, 600)
    assert (charge.amount_refunded, charge.refunded) == (400, False)
    assert [refund.balance_transaction for refund in charge.refunds.data] == [None]


@pytest.mark.parametrize("reason", [None, "requested_by_customer"])
async def test_a_cancelled_hold_releases_the_money(bench: Bench, reason: str | None) -> None:
    """Cancel answers canceled with its reason, and the charge shows all released."""
    intent = await bench.authorised()
    params = {"cancellation_reason": reason} if reason else {}
    gone = await bench.v1.payment_intents.cancel_async(
        intent.id, {**params, "expand": ["latest_charge"]}
    )
    assert (gone.status, gone.cancellation_reason) == ("canceled", reason)
    assert gone.latest_charge.refunded
    balance = await bench.v1.balance.retrieve_async()
    assert [part.amount for part in (*balance.available, *balance.pending)] == [0, 0]


async def test_automatic_capture_takes_the_money_at_once(bench: Bench) -> None:
    """Without manual capture a confirmed intent has succeeded, and has no capture_before."""
    intent = await bench.authorised(capture_method="automatic", expand=["latest_charge"])
    assert intent.status == "succeeded"
    assert "capture_before" not in intent.latest_charge.payment_method_details.card.to_dict()


async def test_racing_captures_take_the_money_once(bench: Bench) -> None:
    """Of many captures at the same moment one succeeds and the others are refused."""
    intent = await bench.authorised()
    calls = [bench.v1.payment_intents.capture_async(intent.id) for _ in range(8)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(result, Exception) for result in results) == 1
    money = await bench.v1.balance_transactions.list_async({"type": "charge"})
    assert len(money.data) == 1
