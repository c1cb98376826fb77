"""The emulator against Stripe's document: the same endpoints, parameters and members."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.payments.emulator.app import ROUTES
from bridge.payments.emulator.core import Route
from bridge.payments.emulator.settings import API_VERSION
from tests.emulator import stripe_document
from tests.emulator.conftest import Bench

# Members of Stripe's examples that its own schema no longer has.
_RETIRED = {"source"}
# Members of the schema that appear only on request or for one method of payment.
_INCLUDABLE = {"charge": {"refunds"}}


def _known(one: Route) -> set[str]:
    template = stripe_document.path_template(one.path.replace("{id}", "x"))
    assert template is not None, one.path
    operation = stripe_document.document()["paths"][template][one.method.lower()]
    body = operation.get("requestBody", {}).get("content", {})
    form = body.get("application/x-www-form-urlencoded", {}).get("schema", {})
    query = {param["name"] for param in operation.get("parameters", []) if param["in"] == "query"}
    return query | set(form.get("properties", {}))


@pytest.mark.parametrize("one", ROUTES, ids=lambda one: f"{one.method} {one.path}")
def test_no_parameter_is_invented(one: Route) -> None:
    """Every parameter that an endpoint takes, Stripe's endpoint takes too."""
    assert {param.name for param in one.params} - _known(one) == set()


def test_the_version_is_the_documents() -> None:
    """Objects and events carry the version that they are checked against."""
    assert stripe_document.document()["info"]["version"] == API_VERSION


async def _samples(bench: Bench) -> dict[str, dict[str, Any]]:
    intent = await bench.captured(payment_method="pm_card_createDisputeInquiry")
    charge = await bench.v1.charges.retrieve_async(intent.latest_charge)
    refund = await bench.v1.refunds.create_async({"payment_intent": intent.id})
    endpoint = await bench.v1.webhook_endpoints.create_async(
        {"url": "http://127.0.0.1:9/", "enabled_events": ["charge.expired"]}
    )
    v1 = bench.v1
    objects = [
        intent,
        charge,
        refund,
        endpoint,
        await v1.customers.create_async({}),
        await v1.payment_methods.retrieve_async("pm_card_visa"),
        (await v1.disputes.list_async()).data[0],
        (await v1.balance_transactions.list_async()).data[0],
        (await v1.events.list_async()).data[0],
        await v1.balance.retrieve_async(),
    ]
    return {row.object: row.to_dict() for row in objects} | {
        "account": bench.raw("GET", "/v1/account").json()
    }


async def test_objects_have_the_members_of_stripes_examples(bench: Bench) -> None:
    """What Stripe's own example of a resource shows, the emulator's object has as well."""
    examples = stripe_document.fixtures()
    samples = await _samples(bench)
    assert len(samples) == 11
    missing = {
        kind: sorted(set(examples[kind]) - set(sample) - _RETIRED - _INCLUDABLE.get(kind, set()))
        for kind, sample in samples.items()
    }
    assert {kind: names for kind, names in missing.items() if names} == {}


def test_the_check_of_answers_finds_what_is_wrong() -> None:
    """A missing member, a wrong type, an unknown member and a wrong error are each reported."""
    example = dict(stripe_document.fixtures()["refund"])
    path = "/v1/refunds/re_1"
    assert stripe_document.problems("GET", path, 200, example) == []
    for wrong in ({"amount": "1"}, {"invented": 1}, {"status": 7}):
        assert stripe_document.problems("GET", path, 200, {**example, **wrong})
    del example["currency"]
    assert stripe_document.problems("GET", path, 200, example)
    assert stripe_document.problems("GET", path, 404, {"error": {"type": "nonsense"}})
    assert stripe_document.problems("GET", "/v1/invented", 200, {})
