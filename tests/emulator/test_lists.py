"""Lists: cursors, limits and filters as Stripe pages them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Bench, refusal


async def customers(bench: Bench, count: int) -> list[str]:
    """Create customers and return their ids, newest first."""
    made = [await bench.v1.customers.create_async({"name": f"c{n}"}) for n in range(count)]
    return [row.id for row in reversed(made)]


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "many"},
        {"starting_after": "cus_nothing"},
        {"starting_after": "x", "ending_before": "y"},
        {"created": {"after": 1}},
        {"colour": "red"},
    ],
)
async def test_a_wrong_page_is_refused(bench: Bench, params: dict[str, Any]) -> None:
    """Limits outside 1..100, unknown cursors and unknown filters are errors."""
    await refusal(bench.v1.customers.list_async(params))


async def test_type_and_types_exclude_each_other(bench: Bench) -> None:
    """An event list takes one of the two filters."""
    call = bench.v1.events.list_async({"type": "a", "types": ["b"]})
    assert (await refusal(call)).param == "types"


async def test_pages_follow_each_other_without_gap_or_repeat(bench: Bench) -> None:
    """Forward by starting_after, backward by ending_before, and by the SDK's own iterator."""
    ids = await customers(bench, 5)
    first = await bench.v1.customers.list_async({"limit": 2})
    assert ([row.id for row in first.data], first.has_more, first.url) == (
        ids[:2],
        True,
        "/v1/customers",
    )
    last = await bench.v1.customers.list_async({"limit": 3, "starting_after": ids[1]})
    assert ([row.id for row in last.data], last.has_more) == (ids[2:], False)
    back = await bench.v1.customers.list_async({"limit": 2, "ending_before": ids[3]})
    assert ([row.id for row in back.data], back.has_more) == (ids[1:3], True)
    pages = await bench.v1.customers.list_async({"limit": 2})
    assert [row.id async for row in pages.auto_paging_iter()] == ids


async def test_events_are_filtered_by_type_and_time(bench: Bench) -> None:
    """A sweep finds what it missed since a moment, by type or pattern."""
    await bench.authorised()
    before = bench.raw("GET", "/_emulator/clock").json()["now"]
    bench.control("clock", advance_seconds=100)
    await bench.captured()
    listed = bench.v1.events.list_async
    later = await listed({"created": {"gt": before + 50}, "type": "payment_intent.*"})
    assert [event.type for event in later.data] == [
        "payment_intent.succeeded",
        "payment_intent.amount_capturable_updated",
        "payment_intent.created",
    ]
    both = await listed({"types": ["charge.captured", "charge.failed"]})
    assert [event.type for event in both.data] == ["charge.captured"]
    one = await bench.v1.events.retrieve_async(both.data[0].id)
    assert one.data.object.object == "charge"
    assert one.request.id.startswith("req_")


async def test_charges_are_found_by_intent(bench: Bench) -> None:
    """The list by payment intent holds its charges only, with expansion inside of lists."""
    intent = await bench.authorised()
    await bench.authorised()
    rows = await bench.v1.charges.list_async(
        {"payment_intent": intent.id, "expand": ["data.payment_intent"]}
    )
    assert [row.payment_intent.id for row in rows.data] == [intent.id]


async def test_the_account_can_charge(bench: Bench) -> None:
    """The key's account is the same at every look."""
    answers = [bench.raw("GET", "/v1/account").json() for _ in range(2)]
    assert answers[0]["id"] == answers[1]["id"]
    assert answers[0]["charges_enabled"]
