"""Quotes over the API: what is refused, and that every answer adds up."""

import pytest

from settlement.ids import new_id
from settlement.limits import Limits
from tests.api.world import Api, is_problem, order_body, quote_body


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"network": "mars"}, "network", "invalid_parameter"),
        ({"asset": "NOPE"}, "asset", "invalid_parameter"),
        ({"currency": "XXX"}, "currency", "invalid_parameter"),
        ({"currency": "usd"}, "currency", "invalid_parameter"),
        ({"amount_in": "gold"}, "amount_in", "invalid_parameter"),
        ({"amount": "-5.00"}, "amount", "invalid_parameter"),
        ({"amount": "1e3"}, "amount", "invalid_parameter"),
        ({"amount": "NaN"}, "amount", "invalid_parameter"),
        ({"amount": "10.001"}, "amount", "invalid_parameter"),
        ({"amount": "٣.00"}, "amount", "invalid_parameter"),
        ({"amount": "0.00"}, "amount", "amount_out_of_range"),
        ({"amount": "4.99"}, "amount", "amount_out_of_range"),
        ({"amount": "2000.01"}, "amount", "amount_out_of_range"),
        ({"amount": "9" * 70}, "amount", "amount_out_of_range"),
        ({"amount": "0", "amount_in": "crypto"}, "amount", "amount_out_of_range"),
        ({"amount": "1.0000001", "amount_in": "crypto"}, "amount", "invalid_parameter"),
        ({"amount": "2000", "amount_in": "crypto"}, "amount", "amount_out_of_range"),
        ({"amount": "9" * 78, "amount_in": "crypto"}, "amount", "amount_out_of_range"),
    ],
)
async def test_an_amount_or_asset_that_we_do_not_serve_is_refused(
    api: Api, change: dict[str, str], param: str, code: str
) -> None:
    """Each mistake names its parameter; below and above the limits are refused alike."""
    answer = await api.post("/v1/quotes", quote_body(**change))
    assert is_problem(answer, 400, code)["param"] == param


@pytest.mark.parametrize("speed", ["fast", "INSTANT", "", None, 1])
async def test_a_speed_that_does_not_exist_is_refused(api: Api, speed: object) -> None:
    """Never quietly the default: it would be a promise that nobody gave."""
    answer = await api.post("/v1/quotes", quote_body(speed=speed))
    assert is_problem(answer, 400, "invalid_parameter")["param"] == "speed"


@pytest.mark.parametrize(
    ("speed", "cents"), [("instant", "0.54"), ("standard", "0.36"), ("economy", "0.18")]
)
async def test_the_network_fee_is_that_of_the_chosen_speed(
    api: Api, speed: str, cents: str
) -> None:
    """The quote says which, and the order keeps it."""
    quote = await api.quote(speed=speed)
    lines = {line["kind"]: line["amount"] for line in quote["lines"]}
    assert (quote["speed"], lines["network"]) == (speed, cents)
    order = (await api.post("/v1/orders", order_body(quote["id"]))).json()
    assert order["speed"] == speed


async def test_a_pair_without_a_price_is_refused_as_temporary(api: Api) -> None:
    """No price to stand by is a 503 that may be retried, never a guess."""
    answer = await api.post("/v1/quotes", quote_body(currency="EUR"))
    is_problem(answer, 503, "price_unavailable")
    assert "retry-after" in answer.headers


async def test_another_tenants_quote_does_not_exist(api: Api) -> None:
    """Not found, in the same words as for an id that never was."""
    quote = await api.quote()
    stranger = await api.new_tenant()
    theirs = is_problem(await stranger.get(f"/v1/quotes/{quote['id']}"), 404, "resource_missing")
    never = is_problem(await stranger.get("/v1/quotes/qt_usd_never"), 404, "resource_missing")
    assert theirs["detail"] == never["detail"]


@pytest.mark.parametrize("amount", ["5.00", "100.00", "33.33", "2000.00"])
@pytest.mark.parametrize("amount_in", ["fiat", "crypto"])
async def test_the_lines_add_up_to_what_is_paid(api: Api, amount: str, amount_in: str) -> None:
    """To the last minor unit, whichever side the amount was given on."""
    if amount_in == "crypto" and amount == "2000.00":
        amount = "1900.00"
    quote = await api.quote(amount=amount, amount_in=amount_in)
    lines = {line["kind"]: int(line["amount_minor"]) for line in quote["lines"]}
    assert sum(lines.values()) == int(quote["pay"]["amount_minor"])
    assert set(lines) == {"principal", "processing", "network", "spread", "rounding"}
    side = quote["pay"] if amount_in == "fiat" else quote["receive"]
    assert side["amount"].rstrip("0").rstrip(".") == amount.rstrip("0").rstrip(".")
    assert quote["rate"] == "1"
    assert quote["livemode"] is False


async def test_a_replay_returns_the_first_quote_and_says_so(api: Api) -> None:
    """The same key and body: the same id, marked as a replay."""
    key = new_id("idem")
    first = await api.post("/v1/quotes", quote_body(), idempotency_key=key)
    again = await api.post("/v1/quotes", quote_body(), idempotency_key=key)
    assert again.status_code == first.status_code == 201
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


async def test_a_frontends_idempotency_key_never_opens_a_servers_answer(api: Api) -> None:
    """The two kinds of keys have name spaces of their own."""
    key = new_id("idem")
    server = await api.post("/v1/quotes", quote_body(), idempotency_key=key)
    frontend = await api.post(
        "/v1/quotes", quote_body(), idempotency_key=key, key=await api.publishable()
    )
    assert frontend.json()["id"] != server.json()["id"]


async def test_lists_page_through_everything_once_newest_first(api: Api) -> None:
    """Forwards by starting_after, and back by ending_before."""
    made = [(await api.quote())["id"] for _ in range(5)]
    seen: list[str] = []
    after = ""
    while True:
        page = (await api.get(f"/v1/quotes?limit=2{after}")).json()
        seen += [quote["id"] for quote in page["data"]]
        if not page["has_more"]:
            break
        after = f"&starting_after={seen[-1]}"
    assert seen == made[::-1]
    back = (await api.get(f"/v1/quotes?limit=2&ending_before={seen[-1]}")).json()
    assert [quote["id"] for quote in back["data"]] == seen[2:4]
    assert back["has_more"] is True


async def test_assets_and_limits_show_what_may_be_bought(api: Api) -> None:
    """Token address and scale, bounds per order, and what a customer has left today."""
    asset = (await api.get("/v1/assets")).json()["data"][0]
    assert (asset["id"], asset["scale"]) == ("local:DUSD", 6)
    assert asset["address"].startswith("0x")
    assert asset["limits"][0]["order_min"]["amount"] == "5.00"
    await api.order(customer="spender", amount="120.00")
    limit = (await api.get("/v1/limits?customer=spender")).json()["data"][0]
    assert limit["customer_day_max"]["amount"] == "5000.00"
    assert limit["customer_day_remaining"]["amount_minor"] == "488000"
    fresh = (await api.get("/v1/limits?customer=nobody")).json()["data"][0]
    assert fresh["customer_day_remaining"]["amount"] == "5000.00"


async def test_a_live_tenants_live_key_is_refused_by_a_test_deployment(server: Api) -> None:
    """Test and live are apart in the whole deployment."""
    live = await server.new_tenant(livemode=True, limits=Limits(100, 10**6, 10**7))
    is_problem(await live.post("/v1/quotes", quote_body()), 403, "livemode_mismatch")
