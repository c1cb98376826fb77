"""The API on a real socket over real PostgreSQL, with tenants, keys and short cuts for tests."""

import asyncio
import hashlib
import hmac
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import uvicorn

from bridge.api.auth import key_digest
from bridge.app import NetworkInfo, Services, TokenInfo, create_app, uvicorn_config
from bridge.bootstrap import list_paths, webhook_verifier
from bridge.metrics import Metrics
from bridge.prices.static import StaticPrices
from bridge.settings import load
from bridge.storage.queries import Queries
from bridge.storage.records import KeyKind, Role
from bridge.storage.store import PostgresStore
from bridge.storage.wake import Wake
from chain.evm.addresses import normalize_address
from chain.evm.proofs import receipt_facts
from chain.networks.local import NETWORK
from compliance_graph.lists.addresses import checked_form
from compliance_graph.screener import ListScreener
from settlement.ids import new_id
from settlement.limits import Limits
from settlement.money import Asset
from settlement.ports.gas import Decision, Outlook, Waiting
from settlement.quote import Speed

WEBHOOK_SECRET = "whsec_test_0123456789abcdef"
TOKEN_ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"
LIMITS = Limits(500, 200_000, 500_000)
LOCAL = NetworkInfo(
    "local",
    Asset("ETH", 18, "local"),
    (TokenInfo(Asset("DUSD", 6, "local"), TOKEN_ADDRESS),),
    normalize_address,
    receipts=receipt_facts(NETWORK),
)
OTHER = replace(
    LOCAL,
    name="other",
    native=Asset("ETH", 18, "other"),
    assets=(TokenInfo(Asset("DUSD", 6, "other"), TOKEN_ADDRESS),),
)


class MovableClock:
    """The machine's clock, and as far ahead of it as a test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class FixedGas:
    """One payout costs 60,000 gas, at 2 gwei 36 cents at 3,000 USD; who waits longer pays less."""

    GWEI: ClassVar[Mapping[Speed, int]] = {Speed.INSTANT: 3, Speed.STANDARD: 2, Speed.ECONOMY: 1}

    async def quote_fee_wei(self, network: str, speed: Speed) -> int:
        return 60_000 * self.GWEI[speed] * 10**9 if network else 0

    async def outlook(self, network: str, waiting: Sequence[Waiting]) -> Outlook | None:  # noqa: ARG002
        return None

    async def decided(self, decision: Decision) -> None: ...


@dataclass
class Api:
    """A running server, and a tenant of the test's own."""

    services: Services
    clock: MovableClock
    url: str
    http: httpx.AsyncClient
    tenant_id: str = ""
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> PostgresStore:
        assert isinstance(self.services.store, PostgresStore)
        return self.services.store

    async def new_tenant(self, *, livemode: bool = False, limits: Limits = LIMITS) -> "Api":
        """The same server as seen by a fresh tenant with one key per role."""
        tenant = await self.services.queries.create_tenant(
            "Test shop",
            livemode=livemode,
            limits={"USD": limits, "EUR": limits},
            now=self.clock.now(),
        )
        api = replace(self, tenant_id=tenant.id, keys={})
        for role in Role:
            api.keys[role] = await api.new_key(KeyKind.SECRET, role, livemode=livemode)
        return api

    async def new_key(
        self,
        kind: KeyKind,
        role: Role,
        *,
        livemode: bool = False,
        origins: Sequence[str] = (),
        return_urls: Sequence[str] = (),
    ) -> str:
        """Store a key of this tenant; returns its text."""
        letters = {KeyKind.SECRET: "sk", KeyKind.PUBLISHABLE: "pk"}[kind]
        prefix = f"tg_{letters}_{'live' if livemode else 'test'}_"
        token = prefix + secrets.token_urlsafe(32)
        await self.services.queries.create_key(
            self.tenant_id,
            key_hash=key_digest(token),
            prefix=prefix,
            last4=token[-4:],
            kind=kind,
            role=role,
            now=self.clock.now(),
            allowed_origins=origins,
            return_urls=return_urls,
        )
        return token

    async def publishable(
        self, *, origins: Sequence[str] = (), return_urls: Sequence[str] = ()
    ) -> str:
        return await self.new_key(
            KeyKind.PUBLISHABLE, Role.MERCHANT, origins=origins, return_urls=return_urls
        )

    async def get(self, path: str, *, key: str | None = None, **options: Any) -> httpx.Response:
        return await self.http.get(path, headers=self._headers(key, options), **options)

    async def post(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        idempotency_key: str | None = "",
        **options: Any,
    ) -> httpx.Response:
        """``idempotency_key``: ``""`` draws a fresh one, ``None`` sends none."""
        headers = self._headers(key, options)
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key or new_id("idem")
        if body is not None:
            options["json"] = body
        return await self.http.post(path, headers=headers, **options)

    def _headers(self, key: str | None, options: dict[str, Any]) -> dict[str, str]:
        headers: dict[str, str] = options.pop("headers", {})
        token = self.keys.get(Role.MERCHANT) if key is None else key
        return {"Authorization": f"Bearer {token}", **headers} if token else dict(headers)

    async def quote(self, *, key: str | None = None, **changes: Any) -> dict[str, Any]:
        answer = await self.post("/v1/quotes", quote_body(**changes), key=key)
        assert answer.status_code == 201, answer.text
        quote: dict[str, Any] = answer.json()
        return quote

    async def order(self, *, key: str | None = None, **changes: Any) -> dict[str, Any]:
        """An accepted order for a fresh quote."""
        amount = changes.pop("amount", "100.00")
        quote = await self.quote(amount=amount, key=key)
        answer = await self.post("/v1/orders", order_body(quote["id"], **changes), key=key)
        assert answer.status_code == 201, answer.text
        order: dict[str, Any] = answer.json()
        return order


def quote_body(**changes: Any) -> dict[str, Any]:
    body = {
        "network": "local",
        "asset": "DUSD",
        "currency": "USD",
        "amount": "100.00",
        "amount_in": "fiat",
    }
    return body | changes


def order_body(quote_id: str, **changes: Any) -> dict[str, Any]:
    wallet = {"network": "local", "address": "0x8617E340B3D01FA5F11F306F4090FD50E238070D"}
    return {"quote_id": quote_id, "wallet": wallet, "customer": "customer-1"} | changes


def stripe_event(event_id: str, **changes: Any) -> bytes:
    """An event as Stripe delivers it."""
    intent = {"id": "pi_1", "object": "payment_intent", "metadata": {}}
    event = {
        "id": event_id,
        "object": "event",
        "type": "payment_intent.amount_capturable_updated",
        "created": int(time.time()),
        "data": {"object": intent},
    }
    return json.dumps(event | changes).encode()


def stripe_signature(body: bytes, *, secret: str = WEBHOOK_SECRET, age_s: int = 0) -> str:
    """``Stripe-Signature`` by https://docs.stripe.com/webhooks#verify-manually."""
    sent_at = int(time.time()) - age_s
    digest = hmac.new(secret.encode(), f"{sent_at}.".encode() + body, hashlib.sha256)
    return f"t={sent_at},v1={digest.hexdigest()}"


def is_problem(answer: httpx.Response, status: int, code: str) -> Mapping[str, Any]:
    """Assert an RFC 9457 answer; returns its members."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"].endswith(code)
    return problem


@asynccontextmanager
async def open_api(store: PostgresStore, dsn: str) -> AsyncIterator[Api]:
    """Serve the API on an ephemeral port of 127.0.0.1."""
    clock = MovableClock()
    settings = load({"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET, "TIDEGATE_CURRENCIES": "USD,EUR"})
    wake = Wake(dsn)
    await wake.start()
    queries = Queries(store.pool)
    services = Services(
        settings=settings,
        store=store,
        queries=queries,
        wake=wake,
        networks={"local": LOCAL, "other": OTHER},
        prices=StaticPrices(settings.prices, clock),
        gas=FixedGas(),
        verify_webhook=webhook_verifier(settings),
        clock=clock,
        metrics=Metrics(),
        probes={},
        screening=ListScreener(
            *(list_paths(settings), queries, queries, clock),
            allow_up_to=settings.second_officer_above,
        ),
        list_address=checked_form,
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn_config(create_app(services), "127.0.0.1", port))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=20, verify=False) as http:
        yield Api(services, clock, url, http)
    server.should_exit = True
    await serving
    await wake.stop()
