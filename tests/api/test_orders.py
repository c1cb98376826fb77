"""Orders over the API: everything that must not become one, then what an accepted one answers."""

import asyncio
from datetime import timedelta

import pytest

from bridge.storage.records import Role
from settlement.ids import new_id
from settlement.ledger import journal
from settlement.limits import Limits
from settlement.order import Status
from settlement.transitions import move
from tests.api.world import Api, is_problem, order_body
from tests.support.waiting import eventually

GOOD = "0x8617E340B3D01FA5F11F306F4090FD50E238070D"


async def test_another_tenants_quote_cannot_be_used(api: Api) -> None:
    """It does not exist, and stays good for its owner."""
    quote = await api.quote()
    stranger = await api.new_tenant()
    answer = await stranger.post("/v1/orders", order_body(quote["id"]))
    is_problem(answer, 404, "resource_missing")
    assert (await api.post("/v1/orders", order_body(quote["id"]))).status_code == 201


@pytest.mark.parametrize("quote_id", ["qt_usd_never", "qt_eur_never", "nonsense", "a_b_c_d", "__"])
async def test_an_unknown_quote_is_not_found(api: Api, quote_id: str) -> None:
    """Whatever the id looks like."""
    is_problem(await api.post("/v1/orders", order_body(quote_id)), 404, "resource_missing")


async def test_an_expired_quote_is_refused(api: Api) -> None:
    """A quote is firm until its time, and not a moment longer."""
    quote = await api.quote()
    api.clock.ahead = timedelta(minutes=15, seconds=1)
    is_problem(await api.post("/v1/orders", order_body(quote["id"])), 409, "quote_expired")


async def test_a_quote_makes_one_order(api: Api) -> None:
    """The second order for the same quote is refused."""
    quote = await api.quote()
    assert (await api.post("/v1/orders", order_body(quote["id"]))).status_code == 201
    is_problem(await api.post("/v1/orders", order_body(quote["id"])), 409, "quote_used")


async def test_many_orders_racing_for_one_quote_make_one(api: Api) -> None:
    """At the same moment too."""
    quote = await api.quote()
    answers = await asyncio.gather(
        *(api.post("/v1/orders", order_body(quote["id"])) for _ in range(6))
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201, 409, 409, 409, 409, 409]


async def test_two_orders_racing_for_the_last_of_a_limit(server: Api) -> None:
    """Exactly as many win as the limit holds; the others learn what remains."""
    api = await server.new_tenant(limits=Limits(500, 200_000, 25_000))
    quotes = [await api.quote(amount="100.00") for _ in range(5)]
    answers = await asyncio.gather(
        *(api.post("/v1/orders", order_body(quote["id"])) for quote in quotes)
    )
    assert sorted(a.status_code for a in answers) == [201, 201, 422, 422, 422]
    for answer in answers:
        if answer.status_code == 422:
            is_problem(answer, 422, "limit_exceeded")
    other = await api.post(
        "/v1/orders", order_body((await api.quote(amount="100.00"))["id"], customer="customer-2")
    )
    assert other.status_code == 201


@pytest.mark.parametrize(
    "address",
    [
        "0x8617E340B3D01FA5F11F306F4090FD50E238070d",  # one letter's case: wrong checksum
        "0x" + "0" * 40,
        "0x1234",
        "8617E340B3D01FA5F11F306F4090FD50E238070D",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070G",
        "vitalik.eth",
    ],
)
async def test_a_wallet_that_is_no_address_is_refused(api: Api, address: str) -> None:
    """Wrong checksum, zero, short, unprefixed, another chain's: before anything is written."""
    quote = await api.quote()
    wallet = {"network": "local", "address": address}
    answer = await api.post("/v1/orders", order_body(quote["id"], wallet=wallet))
    assert is_problem(answer, 400, "invalid_address")["param"] == "wallet.address"
    assert (await api.post("/v1/orders", order_body(quote["id"]))).status_code == 201


async def test_a_wallet_on_another_network_is_refused(api: Api) -> None:
    """The quote's network and the wallet's must be the same."""
    quote = await api.quote()
    wallet = {"network": "other", "address": GOOD}
    answer = await api.post("/v1/orders", order_body(quote["id"], wallet=wallet))
    assert str(is_problem(answer, 400, "invalid_address")["param"]).startswith("wallet")


async def test_an_unknown_network_is_refused(api: Api) -> None:
    """By name."""
    quote = await api.quote()
    wallet = {"network": "mars", "address": GOOD}
    answer = await api.post("/v1/orders", order_body(quote["id"], wallet=wallet))
    assert is_problem(answer, 400, "invalid_parameter")["param"] == "wallet.network"


@pytest.mark.parametrize("address", [GOOD, GOOD.lower(), "0x" + GOOD[2:].upper()])
async def test_unmarked_and_well_marked_addresses_are_taken_in_one_form(
    api: Api, address: str
) -> None:
    """EIP-55: all-lower and all-upper carry no checksum; the order shows the normal form."""
    order = await api.order(wallet={"network": "local", "address": address})
    assert order["wallet"]["address"].lower() == GOOD.lower()
    assert order["wallet"]["address"] == (await api.order())["wallet"]["address"]


async def test_the_same_idempotency_key_with_another_body_is_refused(api: Api) -> None:
    """Another customer is another payload."""
    quote, key = await api.quote(), new_id("idem")
    first = await api.post("/v1/orders", order_body(quote["id"]), idempotency_key=key)
    assert first.status_code == 201
    changed = order_body(quote["id"], customer="someone-else")
    answer = await api.post("/v1/orders", changed, idempotency_key=key)
    is_problem(answer, 422, "idempotency_key_reused")


async def test_the_same_request_at_the_same_moment_makes_one_order(api: Api) -> None:
    """The second waits for the first and replays its answer; nobody sees a 500 or a 409."""
    quote, key = await api.quote(), new_id("idem")
    answers = await asyncio.gather(
        *(api.post("/v1/orders", order_body(quote["id"]), idempotency_key=key) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 4


async def test_a_replay_answers_as_the_order_was_accepted(api: Api) -> None:
    """Even when the order has moved on since."""
    quote, key = await api.quote(), new_id("idem")
    first = await api.post("/v1/orders", order_body(quote["id"]), idempotency_key=key)
    canceled = await api.post(f"/v1/orders/{first.json()['id']}/cancel")
    assert canceled.status_code == 200
    again = await api.post("/v1/orders", order_body(quote["id"]), idempotency_key=key)
    assert again.json() == first.json()


async def test_another_tenants_order_does_not_exist(api: Api) -> None:
    """Not to read, not to cancel, not to follow, not in a list, not its ledger."""
    order = await api.order()
    stranger = await api.new_tenant()
    path = f"/v1/orders/{order['id']}"
    for answer in (
        await stranger.get(path),
        await stranger.get(f"{path}/events"),
        await stranger.post(f"{path}/cancel"),
    ):
        is_problem(answer, 404, "resource_missing")
    assert (await stranger.get("/v1/orders")).json()["data"] == []
    entries = await stranger.get(f"/v1/ledger/entries?order={order['id']}")
    assert entries.json()["data"] == []


async def test_an_order_past_review_cannot_be_canceled(api: Api) -> None:
    """Once cleared, the answer is 409 and the order stays as it is."""
    order = await api.order()
    stored = await api.store.get(order["id"])
    assert stored is not None
    for status in (Status.AUTHORIZED, Status.CLEARED):
        change = move(stored, status, api.clock.now(), under_lease=False)
        assert await api.store.apply_many([change]) == []
        stored = await api.store.get(order["id"])
        assert stored is not None
    answer = await api.post(f"/v1/orders/{order['id']}/cancel")
    is_problem(answer, 409, "order_not_cancelable")
    assert (await api.get(f"/v1/orders/{order['id']}")).json()["status"] == "cleared"


async def test_cancel_takes_no_body_and_happens_once(api: Api) -> None:
    """Canceling again is no error; a body that means nothing is."""
    order = await api.order()
    path = f"/v1/orders/{order['id']}/cancel"
    is_problem(await api.post(path, {"reason": "x"}), 400, "invalid_parameter")
    first = await api.post(path)
    assert (first.status_code, first.json()["status"]) == (200, "voiding")
    assert first.json()["reason"] == "canceled_by_merchant"
    assert (await api.post(path)).json()["status"] == "voiding"


async def test_prefer_wait_answers_once_the_intent_is_known(api: Api) -> None:
    """The wait ends with the client secret, long before its limit."""
    quote = await api.quote()
    asked = asyncio.create_task(
        api.post("/v1/orders", order_body(quote["id"]), headers={"Prefer": "wait=8"})
    )

    async def accepted() -> str:
        found = await api.store.pool.fetchval(
            "SELECT id FROM orders WHERE quote_id = $1", quote["id"]
        )
        return str(found or "")

    order_id: str = await eventually(accepted, what="the accepted order")
    assert not asked.done()
    await give_intent(api, order_id)
    answer = await asked
    assert answer.headers["preference-applied"] == "wait=8"
    assert answer.json()["payment"]["client_secret"] == "pi_1_secret_x"
    assert answer.elapsed < timedelta(seconds=6)


async def give_intent(api: Api, order_id: str) -> None:
    """What the worker does: note the payment intent, then hint."""
    order = await api.store.get(order_id)
    assert order is not None
    await api.store.pool.execute(
        "UPDATE orders SET payment_intent_id = $2, payment_client_secret = $3 WHERE id = $1",
        *(order_id, new_id("pi"), "pi_1_secret_x"),
    )
    api.services.wake.notify("tidegate_events")


async def test_prefer_wait_ends_without_an_intent_too(api: Api) -> None:
    """After its time the order is answered as it is; nothing is lost."""
    quote = await api.quote()
    headers = {"Prefer": "respond-async, wait=1"}
    answer = await api.post("/v1/orders", order_body(quote["id"]), headers=headers)
    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.json()["payment"]["payment_intent"] is None


async def test_an_order_shows_everything_to_a_server(api: Api) -> None:
    """Quote, wallet, lines, metadata, secrets: one view, the same when read again."""
    url = "https://shop.example/done"
    order = await api.order(metadata={"cart": "42"}, return_url=url)
    assert order["status"] == "awaiting_payment"
    assert order["metadata"] == {"cart": "42"}
    assert order["hold_reason"] == "none"
    assert order["payment"] == {
        "provider": "stripe", "payment_intent": None, "client_secret": None
    }  # fmt: skip
    assert order["client_secret"].startswith(order["id"])
    assert order["settlement"] is None
    assert (await api.get(f"/v1/orders/{order['id']}")).json() == order
    listed = (await api.get("/v1/orders?customer=customer-1&status=awaiting_payment")).json()
    assert listed["data"] == [order]
    assert (await api.get("/v1/orders?status=completed")).json()["data"] == []


async def test_the_trial_balance_sums_to_zero(api: Api) -> None:
    """Per asset, pending included; entries list what is behind it."""
    order = await api.order()
    stored = await api.store.get(order["id"])
    assert stored is not None
    change = move(
        stored,
        Status.AUTHORIZED,
        api.clock.now(),
        bookings=(journal.authorized(stored),),
        under_lease=False,
    )
    assert await api.store.apply_many([change]) == []
    trial = (await api.get("/v1/ledger/accounts")).json()
    assert trial["balanced"] is True
    assert trial["totals"][0]["difference_pending"] == "0"
    pending = {row["account"]: row["debits_pending"] for row in trial["data"]}
    assert pending["stripe:receivable"] == "10000"
    entries = (await api.get(f"/v1/ledger/entries?order={order['id']}&asset=USD")).json()
    assert [entry["event"] for entry in entries["data"]] == ["authorized"]
    is_problem(await api.get("/v1/ledger/entries?asset=XAU"), 400, "invalid_parameter")


@pytest.mark.parametrize("path", ["settlements/999", "settlements/x", "screenings/scr_x"])
async def test_settlements_and_screenings_that_are_not_there(api: Api, path: str) -> None:
    """A 404, whatever the id looks like."""
    answer = await api.get(f"/v1/{path}", key=api.keys[Role.ADMIN])
    is_problem(answer, 404, "resource_missing")
