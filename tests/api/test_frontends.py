"""Publishable keys: what a browser may do with one, and everything that it may not."""

import httpx
import pytest

from settlement.order import Status
from settlement.transitions import void
from tests.api.world import Api, is_problem, order_body, quote_body

SHOP = "https://shop.example"


@pytest.fixture
async def frontend(api: Api) -> str:
    return await api.publishable(origins=[SHOP], return_urls=[f"{SHOP}/done", f"{SHOP}/paid/"])


@pytest.mark.parametrize(
    "path",
    ["quotes", "quotes/qt_usd_x", "orders", "settlements", "screenings/s", "ledger/accounts"],
)
async def test_a_publishable_key_reads_nothing_of_the_merchants(
    api: Api, frontend: str, path: str
) -> None:
    """No lists, no books, no verdicts."""
    is_problem(await api.get(f"/v1/{path}", key=frontend), 403, "forbidden")


@pytest.mark.parametrize("secret", [None, "wrong", "other"])
async def test_an_order_needs_its_own_client_secret(
    api: Api, frontend: str, secret: str | None
) -> None:
    """Without it, or with another order's, the order does not exist."""
    order, other = await api.order(), await api.order()
    given = other["client_secret"] if secret == "other" else secret
    headers = {"Tidegate-Client-Secret": given} if given else {}
    path = f"/v1/orders/{order['id']}"
    for answer in (
        await api.get(path, key=frontend, headers=dict(headers)),
        await api.get(f"{path}/events", key=frontend, headers=dict(headers)),
        await api.post(f"{path}/cancel", key=frontend, headers=dict(headers)),
    ):
        is_problem(answer, 404, "resource_missing")


async def test_an_unlisted_origin_is_refused(api: Api, frontend: str) -> None:
    """The key answers only to the pages of its list."""
    answer = await api.get("/v1/assets", key=frontend, headers={"Origin": "https://evil.example"})
    is_problem(answer, 403, "origin_not_allowed")
    assert "access-control-allow-origin" not in answer.headers


async def test_a_preflight_from_an_unlisted_origin_is_refused(api: Api) -> None:
    """No key lists it, so no browser may go on."""
    answer = await preflight(api, "https://evil.example")
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_a_preflight_from_a_listed_origin_says_what_may_be_sent(
    api: Api, frontend: str
) -> None:
    """Methods and headers, the idempotency key among them."""
    assert frontend
    answer = await preflight(api, SHOP)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]
    assert "credentials" not in " ".join(answer.headers)


async def preflight(api: Api, origin: str) -> httpx.Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return await api.http.options("/v1/orders", headers=headers)


async def test_a_listed_origin_may_read_the_answer(api: Api, frontend: str) -> None:
    """The header names that origin alone, and caches are told so; refusals can be read too."""
    answer = await api.post("/v1/quotes", quote_body(), key=frontend, headers={"Origin": SHOP})
    assert answer.status_code == 201
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["vary"] == "Origin"
    refused = await api.post(
        "/v1/quotes", quote_body(amount="1"), key=frontend, headers={"Origin": SHOP}
    )
    is_problem(refused, 400, "amount_out_of_range")
    assert refused.headers["access-control-allow-origin"] == SHOP


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/done",
        f"{SHOP}.evil.example/done",
        f"{SHOP}/done/more",
        f"{SHOP}/other",
        f"{SHOP}/paid/../admin",
        f"{SHOP}/paid/%2e%2e/admin",
        "https://shop.example@evil.example/done",
        "http://shop.example/done",
        "javascript:alert(1)",
        "/done",
        "https://shop.example\\@evil.example/done",
        "https://[bad/done",
    ],
)
async def test_a_return_url_off_the_list_is_refused(api: Api, frontend: str, url: str) -> None:
    """Another site, another path, another scheme, and the tricks that parsers fall for."""
    quote = await api.quote(key=frontend)
    body = order_body(quote["id"], return_url=url)
    answer = await api.post("/v1/orders", body, key=frontend)
    assert is_problem(answer, 400, "invalid_parameter")["param"] == "return_url"


@pytest.mark.parametrize("url", [f"{SHOP}/done", f"{SHOP}/done?order=1", f"{SHOP}/paid/42"])
async def test_a_return_url_on_the_list_is_taken(api: Api, frontend: str, url: str) -> None:
    """Exactly, with any query, or below a listed folder."""
    order = await api.order(key=frontend, return_url=url)
    assert order["return_url"] == url


async def test_a_frontend_lives_by_its_client_secret(api: Api, frontend: str) -> None:
    """Create, read by header or query, cancel; metadata and reasons stay with the merchant."""
    order = await api.order(key=frontend, metadata={"note": "internal"})
    assert order["client_secret"]
    for hidden in ("metadata", "hold_reason", "reason", "screening_id"):
        assert hidden not in order
    path, secret = f"/v1/orders/{order['id']}", order["client_secret"]
    by_header = await api.get(path, key=frontend, headers={"Tidegate-Client-Secret": secret})
    by_query = await api.get(f"{path}?client_secret={secret}", key=frontend)
    no_headers = await api.get(f"{path}?client_secret={secret}&key={frontend}", key="")
    for answer in (by_header, by_query, no_headers):
        assert answer.status_code == 200
        assert "client_secret" not in answer.json()
        assert "client_secret" in answer.json()["payment"]
    canceled = await api.post(
        f"{path}/cancel", key=frontend, headers={"Tidegate-Client-Secret": secret}
    )
    assert canceled.json()["status"] == "voiding"
    assert (await api.get(path)).json()["reason"] == "canceled_by_customer"


async def test_a_secret_key_in_a_query_is_refused(api: Api) -> None:
    """Only publishable keys may travel in a URL."""
    order = await api.order()
    path = f"/v1/orders/{order['id']}?key={api.keys['merchant']}"
    is_problem(await api.get(path, key=""), 401, "unauthorized")


async def test_a_screened_customer_is_not_tipped_off(api: Api, frontend: str) -> None:
    """The frontend sees that the order ends, the merchant also why."""
    order = await api.order(key=frontend)
    stored = await api.store.get(order["id"])
    assert stored is not None
    change = void(stored, Status.REJECTED, "sanctions", api.clock.now(), under_lease=False)
    assert await api.store.apply_many([change]) == []
    path = f"/v1/orders/{order['id']}/events?stream=false"
    seen = await api.get(f"{path}&client_secret={order['client_secret']}", key=frontend)
    assert "sanctions" not in seen.text
    assert "order.voiding" in seen.text
    assert "sanctions" in (await api.get(path)).text


async def test_what_a_customer_has_left_is_not_for_frontends(api: Api, frontend: str) -> None:
    """Limits are public, another person's spending is not."""
    await api.order(customer="spender")
    limit = (await api.get("/v1/limits?customer=spender", key=frontend)).json()["data"][0]
    assert limit["order_max"]["amount"] == "2000.00"
    assert limit["customer_day_remaining"] is None
