"""What every route refuses alike: bodies, parameters, addresses of the API itself, keys."""

import io
import json
import logging
from collections.abc import AsyncIterator

import pytest

from bridge import logging as structured
from bridge.storage.records import KeyKind, Role
from settlement.ids import new_id
from tests.api.world import Api, is_problem, order_body, quote_body
from tests.support.waiting import eventually


async def test_an_unknown_route_is_a_problem_document(api: Api) -> None:
    """A 404 of the framework has the same shape as ours."""
    is_problem(await api.get("/v1/nothing"), 404, "route_missing")


async def test_a_wrong_method_is_a_problem_that_names_the_right_ones(api: Api) -> None:
    """A 405 keeps its Allow header."""
    answer = await api.http.delete("/v1/orders")
    is_problem(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("text", ['{"quote_id": ', "", "\xff", 'nonsense{"quote_id":"q"\n'])
async def test_malformed_json_is_refused(api: Api, text: str) -> None:
    """A body that is not one JSON document is a 400, not a 500."""
    headers = {"Content-Type": "application/json"}
    answer = await api.post("/v1/orders", content=text.encode("latin-1"), headers=headers)
    is_problem(answer, 400, "malformed_json")


async def test_deeply_nested_json_is_refused(api: Api) -> None:
    """A bomb of brackets costs a 400 and nothing else."""
    body = b'{"metadata":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    answer = await api.post(
        "/v1/orders", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("announced", [True, False])
async def test_a_huge_body_is_refused(api: Api, announced: bool) -> None:
    """Over 64 KiB is a 413, whether the length was announced or not."""
    body = json.dumps(quote_body(asset="x" * 70_000)).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    content = body if announced else chunks()
    answer = await api.post(
        "/v1/quotes", content=content, headers={"Content-Type": "application/json"}
    )
    is_problem(answer, 413, "body_too_large")


async def test_another_media_type_is_refused(api: Api) -> None:
    """Forms and plain text are a 415."""
    answer = await api.post("/v1/quotes", data={"amount": "1"})
    is_problem(answer, 415, "unsupported_media_type")


async def test_an_unknown_field_is_refused_by_name(api: Api) -> None:
    """A typo in a body never passes silently."""
    answer = await api.post("/v1/quotes", quote_body(amont="5"))
    assert is_problem(answer, 400, "invalid_parameter")["param"] == "amont"


async def test_an_unknown_nested_field_is_refused_by_its_path(api: Api) -> None:
    """The path leads to the field, wherever it is."""
    body = order_body("qt_usd_x")
    body["wallet"]["memo"] = "1"
    answer = await api.post("/v1/orders", body)
    assert is_problem(answer, 400, "invalid_parameter")["param"] == "wallet.memo"


async def test_a_missing_field_is_refused_by_name(api: Api) -> None:
    """So is a field that is not there."""
    answer = await api.post("/v1/orders", {"quote_id": "qt_usd_x"})
    assert is_problem(answer, 400, "invalid_parameter")["param"] == "customer"
    answer = await api.post("/v1/orders", {"quote_id": "qt_usd_x", "customer": "cus_1"})
    assert is_problem(answer, 400, "invalid_parameter")["param"] == "wallet"


async def test_a_number_where_text_belongs_is_refused(api: Api) -> None:
    """Amounts are strings: a JSON number would pass through a float."""
    answer = await api.post("/v1/quotes", quote_body(amount=100.1))
    assert is_problem(answer, 400, "invalid_parameter")["param"] == "amount"


@pytest.mark.parametrize("customer", ["a\x00b", "", "x" * 256])
async def test_text_that_the_database_would_choke_on_is_refused(api: Api, customer: str) -> None:
    """NUL, emptiness and excess are refused before any statement runs."""
    answer = await api.post("/v1/orders", order_body("qt_usd_x", customer=customer))
    assert is_problem(answer, 400, "invalid_parameter")["param"] == "customer"


async def test_an_unknown_query_parameter_is_refused_by_name(api: Api) -> None:
    """A misspelt filter must not return everything."""
    answer = await api.get("/v1/orders?staus=completed")
    assert is_problem(answer, 400, "unknown_parameter")["param"] == "staus"


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "status=nonsense"])
async def test_a_bad_query_value_is_refused(api: Api, query: str) -> None:
    """List parameters have bounds."""
    name = query.partition("=")[0]
    problem = is_problem(await api.get(f"/v1/orders?{query}"), 400, "invalid_parameter")
    assert problem["param"] == name


async def test_two_cursors_are_refused(api: Api) -> None:
    """A page lies after one row or before one, not both."""
    answer = await api.get("/v1/orders?starting_after=a&ending_before=b")
    is_problem(answer, 400, "invalid_parameter")


@pytest.mark.parametrize("path", ["/v1/quotes", "/v1/orders", "/v1/orders/ord_x/cancel"])
async def test_a_post_without_an_idempotency_key_is_refused(api: Api, path: str) -> None:
    """Every POST that creates or moves needs one."""
    bodies = {"/v1/quotes": quote_body(), "/v1/orders": order_body("qt_usd_x")}
    answer = await api.post(path, bodies.get(path), idempotency_key=None)
    assert is_problem(answer, 400, "idempotency_key_missing")["param"] == "Idempotency-Key"


async def test_an_overlong_idempotency_key_is_refused(api: Api) -> None:
    """255 characters at most."""
    answer = await api.post("/v1/quotes", quote_body(), idempotency_key="k" * 256)
    is_problem(answer, 400, "invalid_parameter")
    answer = await api.post("/v1/quotes", quote_body(), idempotency_key="k" * 255)
    assert answer.status_code == 201


async def test_the_same_idempotency_key_with_another_payload_is_refused(api: Api) -> None:
    """A key means one request for ever."""
    key = new_id("idem")
    assert (await api.post("/v1/quotes", quote_body(), idempotency_key=key)).status_code == 201
    answer = await api.post("/v1/quotes", quote_body(amount="50.00"), idempotency_key=key)
    is_problem(answer, 422, "idempotency_key_reused")


async def test_the_same_idempotency_key_on_another_route_is_refused(api: Api) -> None:
    """The route is part of the payload."""
    key = new_id("idem")
    quote = (await api.post("/v1/quotes", quote_body(), idempotency_key=key)).json()
    answer = await api.post("/v1/orders", order_body(quote["id"]), idempotency_key=key)
    is_problem(answer, 422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic abc", "Bearer", "Bearer x", "Bearer tg_sk_test_" + "a" * 43, "Bearer tg_pk_x"],
)
async def test_a_request_without_a_known_key_is_refused(api: Api, authorization: str) -> None:
    """No key, another scheme, a malformed key and an unknown one are all 401."""
    headers = {"Authorization": authorization} if authorization else {}
    answer = await api.http.get("/v1/assets", headers=headers)
    is_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_every_answer_carries_a_request_id(api: Api) -> None:
    """Ours, or the caller's where it is harmless."""
    assert (await api.get("/healthz")).headers["x-request-id"].startswith("req_")
    own = await api.get("/healthz", headers={"X-Request-Id": "shop-2026-abc"})
    assert own.headers["x-request-id"] == "shop-2026-abc"
    odd = await api.get("/healthz", headers={"X-Request-Id": "a b<c>d"})
    assert odd.headers["x-request-id"].startswith("req_")


async def test_the_openapi_document_describes_what_is_served(api: Api) -> None:
    """OpenAPI 3.1, every resource, the idempotency key required, errors as problem documents."""
    document = (await api.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    operation = document["paths"]["/v1/orders"]["post"]
    headers = {p["name"]: p["required"] for p in operation["parameters"]}
    assert headers == {"Idempotency-Key": True, "Prefer": False}
    assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert "Problem" in document["components"]["schemas"]
    for path in ("/v1/quotes", "/v1/orders/{order_id}/events", "/v1/ledger/accounts"):
        assert path in document["paths"]


async def test_the_docs_page_is_served_with_the_assets_it_names(api: Api) -> None:
    """Whatever the page loads from this server is there."""
    page = await api.get("/docs")
    assert page.status_code == 200
    assert "SwaggerUIBundle" in page.text
    for part in page.text.split('"'):
        if part.startswith("/docs/assets/"):
            assert (await api.get(part)).status_code == 200
    assert (await api.get("/docs/assets/../app.py")).status_code == 404


async def test_every_error_code_is_explained_where_its_doc_url_leads(api: Api) -> None:
    """``doc_url`` is an address on this server."""
    problem = is_problem(await api.get("/v1/nothing"), 404, "route_missing")
    explained = (await api.get(problem["doc_url"])).json()
    assert explained["status"] == 404
    assert len((await api.get("/errors")).json()) > 20


async def test_readiness_names_the_part_that_is_not_ready(api: Api) -> None:
    """A network that no worker has registered is not ready, and it says which."""
    answer = await api.get("/readyz")
    assert answer.status_code == 503
    parts = answer.json()["parts"]
    assert parts["database"] == "ok"
    assert "not registered" in parts["network:local"]


async def test_metrics_count_answers_by_route_template(api: Api) -> None:
    """Ids never become labels."""
    await api.get("/v1/orders/ord_unknown_to_metrics")
    text = (await api.get("/metrics")).text
    assert 'route="/v1/orders/{order_id}",status="404"' in text
    assert "ord_unknown_to_metrics" not in text


async def test_an_operator_key_cannot_buy(api: Api) -> None:
    """Roles are scoped: operators watch, merchants sell."""
    answer = await api.post("/v1/quotes", quote_body(), key=api.keys[Role.OPERATOR])
    is_problem(answer, 403, "forbidden")


async def test_a_compliance_key_cannot_read_the_ledger(api: Api) -> None:
    """Officers see wallets, not books."""
    answer = await api.get("/v1/ledger/accounts", key=api.keys[Role.COMPLIANCE])
    is_problem(answer, 403, "forbidden")


async def test_an_admin_key_may_do_everything(api: Api) -> None:
    """Every read of the permission table opens to an admin."""
    key = api.keys[Role.ADMIN]
    for path in ("assets", "limits", "quotes", "orders", "settlements", "ledger/accounts"):
        assert (await api.get(f"/v1/{path}", key=key)).status_code == 200, path


async def test_a_test_key_on_a_live_tenant_is_refused(server: Api) -> None:
    """Test and live never mix, in either direction."""
    for livemode in (True, False):
        tenant = await server.new_tenant(livemode=livemode)
        wrong = await tenant.new_key(  # a key whose text says the opposite of its tenant
            KeyKind.SECRET,
            Role.ADMIN,
            livemode=not livemode,
        )
        is_problem(await tenant.get("/v1/assets", key=wrong), 403, "livemode_mismatch")


async def test_logs_hold_no_key_secret_or_query(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """An order's life leaves no bearer secret in any log."""
    stream = io.StringIO()
    structured.configure("debug", stream=stream)
    with caplog.at_level(logging.DEBUG):
        order = await api.order()
        publishable = await api.publishable()
        secret = order["client_secret"]
        path = f"/v1/orders/{order['id']}?key={publishable}&client_secret={secret}"
        assert (await api.get(path, key="")).status_code == 200

    def access_lines() -> int:
        # The client's own library logs URLs into the same stream: those lines do not count.
        lines = stream.getvalue().splitlines()
        return sum('"event":"request"' in line and order["id"] in line for line in lines)

    await eventually(lambda: access_lines() == 2, what="the access log")
    structured.configure()
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("http")]
    logged = "\n".join([*ours, stream.getvalue()])
    assert order["id"] in logged
    for text in (secret, publishable, api.keys[Role.MERCHANT]):
        assert text not in logged


def test_a_careless_log_call_still_hides_secrets() -> None:
    """By the key's name or the text's look, whatever part of the project logs it."""
    stream = io.StringIO()
    structured.configure(stream=stream)
    key = "tg_sk_test_" + "a" * 43
    structured.get("api").info(
        "oops",
        client_secret="ord_1_secret_abc",
        url=f"https://x/?k={key}",
        dsn="postgresql://user:hunter2@host/db",
        nested={"k": ["whsec_abcdef"]},
        order_id="ord_1",
    )
    structured.configure()
    line = stream.getvalue()
    assert json.loads(line)["order_id"] == "ord_1"
    for text in ("ord_1_secret_abc", key, "hunter2", "whsec_abcdef"):
        assert text not in line
