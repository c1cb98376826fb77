"""Keys, parameters and paths that the emulator turns away in Stripe's own words."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from bridge.payments.emulator.cards import CARDS, passes_luhn
from tests.emulator.conftest import PUBLISHABLE_KEY, Bench, refusal

BAD_CARDS = [
    ({"number": "4242424242424241"}, "incorrect_number"),
    ({"number": "not a number"}, "incorrect_number"),
    ({"number": "4111111111111111"}, "card_declined"),
    ({"exp_month": 13}, "invalid_expiry_month"),
    ({"exp_year": 2020}, "invalid_expiry_year"),
    ({"cvc": "12"}, "invalid_cvc"),
]


@pytest.mark.parametrize("key", [None, "", "sk_live_x", "pk_live_x", "sk_test_", "nonsense"])
def test_a_key_that_is_no_test_key_is_refused(bench: Bench, key: str | None) -> None:
    """Missing, live and unknown keys get a 401 in Stripe's error shape."""
    answer = bench.raw("GET", "/v1/balance", key)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["request-id"].startswith("req_")


async def test_the_sdk_sees_a_refused_key_as_an_authentication_error(bench: Bench) -> None:
    """A live key never reaches an endpoint."""
    call = bench.v1.balance.retrieve_async({}, {"api_key": "sk_live_real"})
    await refusal(call, stripe.AuthenticationError)


async def test_another_account_is_refused(bench: Bench) -> None:
    """There is one account, so a Stripe-Account header names none that the key may use."""
    call = bench.v1.balance.retrieve_async({}, {"stripe_account": "acct_other"})
    error = await refusal(call, stripe.PermissionError)
    assert error.error.code == "account_invalid"


@pytest.mark.parametrize(
    "path", ["/v1/payment_intents", "/v1/refunds", "/v1/events", "/v1/balance"]
)
def test_a_publishable_key_reads_no_lists(bench: Bench, path: str) -> None:
    """What Stripe.js may not call is a 403."""
    answer = bench.raw("GET", path, PUBLISHABLE_KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "secret_key_required")


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({"amount": 500}, "parameter_missing", "currency"),
        ({"amount": "5.00", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 500, "currency": "usd", "amout": 1}, "parameter_unknown", "amout"),
        ({"amount": 500, "currency": "dollars"}, None, "currency"),
        ({"amount": 500, "currency": "usd", "capture_method": "later"}, None, "capture_method"),
        ({"amount": 500, "currency": "usd", "customer": "cus_no"}, "resource_missing", "customer"),
        ({"amount": 500, "currency": "usd", "transfer_group": "g"}, None, "transfer_group"),
        ({"amount": 500, "currency": "usd", "metadata": {"k" * 41: "v"}}, None, None),
        ({"amount": 500, "currency": "usd", "expand": ["secrets"]}, None, "expand"),
        (
            {"amount": 500, "currency": "usd", "automatic_payment_methods": {"on": True}},
            "parameter_unknown",
            "automatic_payment_methods[on]",
        ),
    ],
)
async def test_wrong_parameters_are_named(
    bench: Bench, params: dict[str, Any], code: str | None, param: str | None
) -> None:
    """Missing, malformed and unknown parameters are refused by name and nothing is created."""
    error = await refusal(bench.v1.payment_intents.create_async(params))
    assert error.code == code
    assert param is None or error.param == param
    assert not (await bench.v1.payment_intents.list_async()).data


@pytest.mark.parametrize(
    "body", ["a[b=1", "a=1&a[b]=2", "%ff=1", "novalue", "a[b][c][d][e][f][g][h][i]=1"]
)
def test_a_malformed_body_is_a_400(bench: Bench, body: str) -> None:
    """Bodies that are no form get an error and not a crash."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = bench.raw("POST", "/v1/customers", content=body, headers=headers)
    assert answer.status_code == 400, answer.text


def test_a_json_body_is_refused(bench: Bench) -> None:
    """Stripe's v1 takes forms only."""
    assert bench.raw("POST", "/v1/customers", json={"email": "a@b.c"}).status_code == 400


def test_a_huge_body_is_refused(bench: Bench) -> None:
    """Two megabytes are more than any request needs."""
    data = {"description": "x" * 2_000_000}
    assert bench.raw("POST", "/v1/customers", data=data).status_code == 413


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/payment_intents/pi_1/fly", "/v1/subscriptions"]
)
def test_an_unknown_path_is_a_404(bench: Bench, path: str) -> None:
    """What the emulator does not serve is said in Stripe's words."""
    answer = bench.raw("GET", path)
    assert answer.status_code == 404
    assert "Unrecognized request URL" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("change", "code"), BAD_CARDS)
async def test_a_card_that_cannot_exist_is_a_card_error(
    bench: Bench, change: dict[str, Any], code: str
) -> None:
    """Check digit, dates, code and numbers that are no test card are refused at once."""
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123", **change}
    call = bench.v1.payment_methods.create_async({"type": "card", "card": card})
    assert (await refusal(call, stripe.CardError)).code == code


def test_every_test_card_has_a_right_check_digit_and_its_own_tokens() -> None:
    """The table has no typing error in a number and no token twice."""
    assert [card.number for card in CARDS if not passes_luhn(card.number)] == []
    tokens = [token for card in CARDS for token in card.tokens]
    assert len(tokens) == len(set(tokens))
    assert len(CARDS) == len({card.number for card in CARDS})


@pytest.mark.parametrize("number", ["4000000000000002", "4000000000009995", "4000000000000069"])
async def test_a_number_declines_as_its_token_does(bench: Bench, number: str) -> None:
    """Stripe's documented numbers behave like the pm_card tokens of the same row."""
    card = {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    method = await bench.v1.payment_methods.create_async({"type": "card", "card": card})
    assert method.card.last4 == number[-4:]
    await refusal(bench.authorised(payment_method=method.id), stripe.CardError)


async def test_a_customer_keeps_a_card(bench: Bench) -> None:
    """Attach, list, refuse a second owner, detach, refuse any further use."""
    methods, customers = bench.v1.payment_methods, bench.v1.customers
    owner = await customers.create_async({"email": "a@example.com", "address": {"city": "Bern"}})
    other = await customers.create_async({"name": "Other", "metadata": {"9": "nine"}})
    assert other.metadata.to_dict() == {"9": "nine"}
    method = await methods.attach_async("pm_card_visa", {"customer": owner.id})
    listed = await customers.payment_methods.list_async(owner.id)
    assert [row.id for row in listed.data] == [method.id]
    error = await refusal(methods.attach_async(method.id, {"customer": other.id}))
    assert error.code == "resource_already_exists"
    await methods.detach_async(method.id)
    await refusal(bench.authorised(payment_method=method.id))
    changed = await customers.update_async(owner.id, {"metadata": {"tier": "gold"}})
    assert changed.metadata.to_dict() == {"tier": "gold"}
    assert (await customers.delete_async(owner.id)).deleted
    assert (await customers.retrieve_async(owner.id)).deleted
    error = await refusal(customers.update_async(owner.id, {"name": "again"}))
    assert error.code == "resource_missing"
    await refusal(bench.authorised(customer=owner.id))
    found = await customers.list_async({"limit": 10})
    assert [row.id for row in found.data] == [other.id]


async def test_another_customers_card_does_not_pay(bench: Bench) -> None:
    """A card that belongs to a customer pays for that customer only."""
    owner = await bench.v1.customers.create_async({"payment_method": "pm_card_visa"})
    method = (await bench.v1.customers.payment_methods.list_async(owner.id)).data[0]
    error = await refusal(bench.authorised(payment_method=method.id))
    assert error.param == "payment_method"
    paid = await bench.authorised(payment_method=method.id, customer=owner.id)
    assert paid.status == "requires_capture"


def test_a_browser_may_call_from_any_shop(bench: Bench) -> None:
    """Stripe.js runs on the shop's page, so the preflight of a browser is answered."""
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = bench.raw("OPTIONS", "/v1/payment_intents/pi_1/confirm", None, headers=headers)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
