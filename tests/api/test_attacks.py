"""What somebody tries who means harm: each test was an attack once, and is refused for ever."""

import asyncio
import hashlib
import hmac
import io
import json
import re
import time
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from bridge import logging as structured
from bridge.api import connection
from bridge.api.streams import STREAMS_PER_ORDER_MAX
from bridge.storage.records import KeyKind, Role
from tests.api.world import (
    WEBHOOK_SECRET,
    Api,
    is_problem,
    order_body,
    quote_body,
    stripe_event,
    stripe_signature,
)
from tests.support.waiting import eventually

NUL = "%00"
JSON = {"Content-Type": "application/json"}


async def raw(api: Api, request: bytes, limit_s: float) -> bytes:
    """Everything that the server answers on one connection until it closes it."""
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        async with asyncio.timeout(limit_s):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/orders/{}",
        "/v1/orders/{}/events",
        "/v1/quotes/{}",
        "/v1/settlements/{}",
        "/v1/screenings/{}",
    ],
)
async def test_an_id_with_a_nul_is_not_found(api: Api, path: str) -> None:
    """PostgreSQL refuses such text; that is no fault of ours to answer with a 500."""
    is_problem(await api.get(path.format(NUL)), 404, "resource_missing")
    is_problem(await api.post(f"/v1/orders/{NUL}/cancel"), 404, "resource_missing")


@pytest.mark.parametrize(
    "query",
    [
        "orders?customer=",
        "orders?starting_after=",
        "orders?ending_before=",
        "quotes?starting_after=",
        "ledger/entries?order=",
        "limits?customer=",
        "orders/ord_1?client_secret=",
    ],
)
async def test_a_parameter_with_a_nul_is_refused_by_name(api: Api, query: str) -> None:
    """The same for everything after the question mark."""
    name = query.partition("?")[2].removesuffix("=")
    answer = await api.get(f"/v1/{query}{NUL}")
    assert is_problem(answer, 400, "invalid_parameter")["param"] == name


async def test_a_head_without_an_end_is_cut_off(api: Api) -> None:
    """One endless header would fill the memory and stop the event loop, and needs no key."""
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Padding: "
    answer = await raw(api, head + b"x" * connection.HEAD_MAX_BYTES, 5)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:80]


async def test_a_client_that_never_finishes_is_dropped(api: Api) -> None:
    """Neither a head, nor a body, nor what comes after an early answer holds a connection."""
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    late = b"POST /v1/webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
    early = b"POST /v1/quotes HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
    limit_s = connection.REQUEST_LIMIT_S + 5
    answers = await asyncio.gather(*(raw(api, sent, limit_s) for sent in (head, late, early)))
    assert answers[:2] == [b"", b""]
    assert answers[2].startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("header", ["Authorization", "Idempotency-Key", "Content-Type"])
async def test_a_header_that_decides_is_taken_once(api: Api, header: str) -> None:
    """Of two values, a proxy before us may have believed the other one."""
    values = {
        "Authorization": f"Bearer {api.keys[Role.MERCHANT]}",
        "Idempotency-Key": "once",
        "Content-Type": "application/json",
    }
    twice = [*values.items(), (header, "another")]
    answer = await api.http.post("/v1/quotes", json=None, content=b"{}", headers=twice)
    assert is_problem(answer, 400, "invalid_parameter")["param"] == header


async def test_an_order_is_followed_by_so_many_and_no_more(api: Api) -> None:
    """Every stream reads the database again and again; the plain list stays open to all."""
    order = await api.order()
    path = f"/v1/orders/{order['id']}/events"
    headers = {"Authorization": f"Bearer {api.keys[Role.MERCHANT]}"}
    readers = []
    async with AsyncExitStack() as stack:
        for _ in range(STREAMS_PER_ORDER_MAX):
            stream = await stack.enter_async_context(api.http.stream("GET", path, headers=headers))
            readers.append(stream.aiter_lines())  # kept: a forgotten reader closes its stream
            assert (await anext(readers[-1])).startswith("retry")
        is_problem(await api.get(path), 429, "too_many_streams")
        assert (await api.get(f"{path}?stream=false")).status_code == 200

    async def free_again() -> bool:
        async with api.http.stream("GET", path, headers=headers) as answer:
            return answer.status_code == 200

    await eventually(free_again, what="a place for one more stream")


async def test_one_orders_secret_opens_no_other(api: Api) -> None:
    """Neither by query nor by header, for reading, following or canceling."""
    key = await api.publishable()
    mine, other = await api.order(key=key), await api.order(key=key)
    secret = mine["client_secret"]
    for headers, query in (
        ({"Tidegate-Client-Secret": secret}, ""),
        ({}, f"?client_secret={secret}"),
        ({"Tidegate-Client-Secret": secret}, f"?client_secret={other['client_secret']}"),
        ({}, "?client_secret="),
    ):
        path = f"/v1/orders/{other['id']}"
        for answer in (
            await api.get(path + query, key=key, headers=headers),
            await api.get(f"{path}/events{query}", key=key, headers=headers),
            await api.post(f"{path}/cancel{query}", key=key, headers=headers),
        ):
            is_problem(answer, 404, "resource_missing")


async def test_every_id_of_another_tenant_names_nothing(server: Api, api: Api) -> None:
    """By path, by cursor and by filter: what is another's might as well not be there."""
    stranger = await server.new_tenant()
    quote, order = await api.quote(), await api.order()
    for path in (f"quotes/{quote['id']}", f"orders/{order['id']}", f"orders/{order['id']}/events"):
        is_problem(await stranger.get(f"/v1/{path}"), 404, "resource_missing")
    is_problem(await stranger.post(f"/v1/orders/{order['id']}/cancel"), 404, "resource_missing")
    for path in (
        f"quotes?ending_before={quote['id'][:8]}",
        f"orders?ending_before={order['id'][:5]}",
        "orders?customer=customer-1",
        f"ledger/entries?order={order['id']}",
        "settlements?starting_after=999999999999",
    ):
        answer = await stranger.get(f"/v1/{path}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"] == []


async def test_a_server_cannot_meet_a_frontends_idempotency_key(api: Api) -> None:
    """Whatever prefix either puts before its key, the two never share an answer."""
    publishable = await api.publishable()
    first = await api.post("/v1/quotes", quote_body(), key=publishable, idempotency_key="k")
    for attempt in ("k", "pk:k", "sk:k"):
        answer = await api.post("/v1/quotes", quote_body(), idempotency_key=attempt)
        assert answer.status_code == 201
        assert answer.json()["id"] != first.json()["id"]
        mirrored = await api.post(
            "/v1/quotes", quote_body(), key=publishable, idempotency_key=f"sk:{attempt}"
        )
        assert mirrored.json()["id"] not in (answer.json()["id"], first.json()["id"])


async def test_one_tenants_idempotency_key_is_nothing_to_another(server: Api, api: Api) -> None:
    """The same key and the same body from two tenants are two quotes."""
    stranger = await server.new_tenant()
    answers = [
        await who.post("/v1/quotes", quote_body(), idempotency_key="shared")
        for who in (api, stranger)
    ]
    assert answers[0].json()["id"] != answers[1].json()["id"]
    assert all("idempotent-replayed" not in answer.headers for answer in answers)


async def test_a_replay_after_canceling_brings_no_order_back(api: Api) -> None:
    """With ``Prefer`` it shows what the order is by now, without it what was answered first."""
    quote = await api.quote()
    again: dict[str, Any] = {"idempotency_key": "buy"}
    order = (await api.post("/v1/orders", order_body(quote["id"]), **again)).json()
    assert (await api.post(f"/v1/orders/{order['id']}/cancel")).status_code == 200
    replay = await api.post("/v1/orders", order_body(quote["id"]), **again)
    assert replay.headers["idempotent-replayed"] == "true"
    waiting = {**again, "headers": {"Prefer": "wait=0"}}
    assert (await api.post("/v1/orders", order_body(quote["id"]), **waiting)).status_code == 201
    stored = (await api.get(f"/v1/orders/{order['id']}")).json()
    assert stored["status"] != "awaiting_payment"
    assert len((await api.get("/v1/orders")).json()["data"]) == 1


@pytest.mark.parametrize("currency", ["eur", "USD", "Usd", "usd_x", ""])
async def test_a_quotes_id_cannot_be_bent_to_another_currencys_limits(
    api: Api, currency: str
) -> None:
    """The id names the currency whose caps are looked up; altered, it names no quote."""
    quote = await api.quote()
    bent = quote["id"].replace("qt_usd", f"qt_{currency}", 1)
    assert bent != quote["id"]
    is_problem(await api.post("/v1/orders", order_body(bent)), 404, "resource_missing")


@pytest.mark.parametrize("customer", [" customer-1", "customer-1\u00a0", "\u3000", "\tcustomer-1"])
async def test_blanks_around_a_customer_make_no_second_limit(api: Api, customer: str) -> None:
    """The daily limit counts by this text, letter for letter."""
    quote = await api.quote()
    answer = await api.post("/v1/orders", order_body(quote["id"], customer=customer))
    assert is_problem(answer, 400, "invalid_parameter")["param"] == "customer"


@pytest.mark.parametrize("number", [1, 9, 0x0100, 0xFFFF])
async def test_a_wallet_that_is_a_built_in_contract_is_refused(api: Api, number: int) -> None:
    """Nobody holds a key to the lowest addresses; what goes there is gone."""
    quote = await api.quote()
    wallet = {"network": "local", "address": f"0x{number:040x}"}
    answer = await api.post("/v1/orders", order_body(quote["id"], wallet=wallet))
    assert is_problem(answer, 400, "invalid_address")["param"] == "wallet.address"


@pytest.mark.parametrize("role", [Role.COMPLIANCE, Role.OPERATOR])
async def test_a_key_that_cannot_sell_sees_no_paying_secret(api: Api, role: Role) -> None:
    """Reviewing or operating needs no secret that confirms a payment or opens the order."""
    order = await api.order()
    await api.store.pool.execute(
        "UPDATE orders SET payment_intent_id = 'pi_' || id, payment_client_secret = 'pi_secret_x'"
        " WHERE id = $1",
        order["id"],
    )
    for path in (f"/v1/orders/{order['id']}", "/v1/orders"):
        shown = (await api.get(path, key=api.keys[role])).text
        assert order["client_secret"] not in shown
        assert "pi_secret_x" not in shown
        assert "pi_secret_x" in (await api.get(path)).text


@pytest.mark.parametrize("mode", ["live", "test"])
async def test_a_live_tenants_keys_are_refused_by_a_test_deployment(server: Api, mode: str) -> None:
    """Secret or publishable, reading or buying: this deployment serves test keys only."""
    live = await server.new_tenant(livemode=True)
    keys = [
        await live.new_key(
            kind, Role.ADMIN, livemode=mode == "live", origins=["https://shop.example"]
        )
        for kind in KeyKind
    ]
    for key in keys:
        is_problem(await live.get("/v1/assets", key=key), 403, "livemode_mismatch")
        answer = await live.post("/v1/quotes", quote_body(), key=key)
        is_problem(answer, 403, "livemode_mismatch")


@pytest.mark.parametrize(
    "origin", ["null", "https://shop.example.evil.example", "http://shop.example", "*"]
)
async def test_no_origin_is_reflected_that_is_not_on_the_list(api: Api, origin: str) -> None:
    """Neither to a preflight nor to the request itself, nor to a secret key at all."""
    key = await api.publishable(origins=["https://shop.example"])
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for answer in (
        await api.get("/v1/assets", key=key, headers={"Origin": origin}),
        await api.get("/v1/assets", headers={"Origin": "https://shop.example"}),
        await api.http.options("/v1/orders", headers=preflight),
    ):
        assert "access-control-allow-origin" not in answer.headers


def signature_of(body: bytes, secrets: list[str], sent_at: int) -> str:
    """``Stripe-Signature`` with one ``v1`` per secret."""
    digests = [
        hmac.new(secret.encode(), f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()
        for secret in secrets
    ]
    return ",".join([f"t={sent_at}", *(f"v1={digest}" for digest in digests)])


async def deliver(api: Api, body: bytes, signature: str) -> httpx.Response:
    headers = {"Stripe-Signature": signature, **JSON}
    return await api.http.post("/v1/webhooks/stripe", content=body, headers=headers)


async def test_many_guessed_signatures_are_no_better_than_one(api: Api) -> None:
    """Several ``v1`` are allowed while a secret is rolled, yet one of them must fit."""
    body, now = stripe_event("evt_guess"), int(time.time())
    guesses = signature_of(body, [f"whsec_{n}" for n in range(50)], now)
    is_problem(await deliver(api, body, guesses), 400, "webhook_signature_invalid")
    fits = signature_of(body, ["whsec_old", WEBHOOK_SECRET], now)
    assert (await deliver(api, body, fits)).status_code == 200


@pytest.mark.parametrize(
    "forge",
    [
        lambda good: re.sub(r"^t=\d+", f"t={int(time.time()) + 200}", good),
        lambda good: good + f",t={int(time.time())}",
        lambda good: good.replace("v1=", "v0="),
        lambda good: good.split(",")[0] + ",v1=",
        lambda good: f"t={'9' * 400},{good.split(',')[1]}",
        lambda good: good.split(",")[1],
    ],
)
async def test_an_old_delivery_cannot_be_made_young(api: Api, forge: Any) -> None:
    """The time is signed with the body; another time, or none, breaks the signature."""
    body = stripe_event("evt_replayed")
    old = stripe_signature(body, age_s=400)
    is_problem(await deliver(api, body, forge(old)), 400, "webhook_signature_invalid")


@pytest.mark.parametrize(
    "changes",
    [
        {"created": 10**30},
        {"created": "soon"},
        {"id": "evt_" + "x" * 10_000},
        {"id": "evt_\0"},
        {"type": "\0"},
        {"id": ["evt"]},
        {"data": {"object": "pi_1"}},
    ],
)
async def test_a_signed_event_of_nonsense_is_refused(api: Api, changes: dict[str, Any]) -> None:
    """Even with a good signature: what cannot be stored is a 400, not a 500."""
    body = stripe_event("evt_nonsense", **changes)
    answer = await deliver(api, body, stripe_signature(body))
    is_problem(answer, 400, "webhook_signature_invalid")


async def test_a_secret_in_place_of_an_id_reaches_no_log(api: Api) -> None:
    """Pasting the client secret where the order's id belongs is the likeliest slip of all."""
    stream = io.StringIO()
    structured.configure("info", stream=stream)
    order = await api.order()
    secret, key = order["client_secret"], api.keys[Role.MERCHANT]
    for misplaced in (secret, key):
        answer = await api.get(f"/v1/orders/{misplaced}")
        is_problem(answer, 404, "resource_missing")
    await eventually(lambda: stream.getvalue().count('"status":404') == 2, what="the access log")
    structured.configure()
    for text in (secret, key):
        assert text not in stream.getvalue()


KEY = "tg_sk_test_NQR_HiZRY0KL-SjV7kcbP8YrBhCkUEufK6m2Ex8Pf9g"


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        (KEY, "SjV7kcbP8YrBh"),
        (ValueError(f"no {KEY}"), "SjV7kcbP8YrBh"),
        ("whsec_MfKQ9r8GKYqrTwjU+abc/def=", "def="),
        ("postgresql://user:p@ss/word@host/name", "ss/word"),
        ("https://mainnet.example/v3/0123456789abcdef0123456789abcdef", "89abcdef"),
        ({"deep": [{"password": "hunter2"}]}, "hunter2"),
        (KEY.encode(), "SjV7kcbP8YrBh"),
    ],
)
def test_no_part_of_a_secret_is_logged_in_any_wrapping(value: Any, hidden: str) -> None:
    """Keys hold hyphens, secrets hold slashes, and errors quote what they were given."""
    stream = io.StringIO()
    structured.configure(stream=stream)
    structured.get("api").warning("oops", value=value)
    structured.configure()
    line = stream.getvalue()
    assert json.loads(line)["event"] == "oops"
    assert hidden not in line
