"""The server under test: the product's API, and beside it one bare route to compare with.

The bare route is a minimal Litestar application of its own that does one asyncpg insert through
the same pool. Requests reach it before the product's middleware, so nothing of ours slows it.
"""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from typing import Any

import uvicorn
import uvloop
from litestar import Litestar, Request, post

from bridge import logging
from bridge.app import NetworkInfo, Services, TokenInfo, create_app, uvicorn_config
from bridge.bootstrap import list_paths
from bridge.metrics import Metrics
from bridge.prices.static import StaticPrices
from bridge.settings import load
from bridge.storage.queries import Queries
from bridge.storage.store import PostgresStore
from bridge.storage.wake import Wake
from chain.evm.addresses import normalize_address
from compliance_graph.lists.addresses import checked_form
from compliance_graph.screener import ListScreener
from settlement.money import Asset
from settlement.ports.clock import SystemClock
from settlement.ports.gas import Decision, Outlook, Waiting
from settlement.ports.payment import ProviderEvent
from settlement.quote import Speed

BARE_TABLE = "CREATE TABLE IF NOT EXISTS bare (id text PRIMARY KEY, body text NOT NULL)"
_INSERT = "INSERT INTO bare (id, body) VALUES ($1, $2)"


class _NoGas:
    async def quote_fee_wei(self, network: str, speed: Speed) -> int:  # noqa: ARG002
        return 10**14

    async def outlook(self, network: str, waiting: Sequence[Waiting]) -> Outlook | None:  # noqa: ARG002
        return None

    async def decided(self, decision: Decision) -> None: ...


def _no_webhooks(body: bytes, signature: str) -> ProviderEvent:
    raise NotImplementedError


def bare_app(pool: Any) -> Litestar:
    """One route, one insert, nothing else."""

    @post("/bare")
    async def insert(request: Request[Any, Any, Any]) -> dict[str, str]:
        body = await request.body()
        row_id = secrets.token_hex(15)
        await pool.execute(_INSERT, row_id, body.decode())
        return {"id": row_id}

    return Litestar([insert], logging_config=None, openapi_config=None)


async def serve(dsn: str) -> None:
    settings = load({})
    clock = SystemClock()
    store = await PostgresStore.connect(dsn, 2, settings.database_pool)
    await store.pool.execute(BARE_TABLE)
    wake = Wake(dsn)
    await wake.start()
    token = TokenInfo(Asset("DUSD", 6, "local"), "0x52908400098527886E0F7030069857D2E4169EE7")
    network = NetworkInfo("local", Asset("ETH", 18, "local"), (token,), normalize_address)
    queries = Queries(store.pool)
    product = create_app(
        Services(
            settings=settings,
            store=store,
            queries=queries,
            wake=wake,
            networks={"local": network},
            prices=StaticPrices(settings.prices, clock),
            gas=_NoGas(),
            verify_webhook=_no_webhooks,
            clock=clock,
            metrics=Metrics(),
            probes={},
            screening=ListScreener(list_paths(settings), queries, queries, clock),
            list_address=checked_form,
        )
    )
    bare = bare_app(store.pool)

    async def both(scope: Any, receive: Any, send: Any) -> None:
        await (bare if scope.get("path") == "/bare" else product)(scope, receive, send)

    server = uvicorn.Server(uvicorn_config(both, "127.0.0.1", 0))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  (uvicorn offers no event to wait for)
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving
    await wake.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn_file")
    parser.add_argument("log_file")
    options = parser.parse_args()
    with open(options.dsn_file) as file:
        dsn = file.read()
    with open(options.log_file, "w") as log:
        logging.configure(stream=log)
        sys.stderr = log
        uvloop.run(serve(dsn))
