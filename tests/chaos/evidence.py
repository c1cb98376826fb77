"""What chain, Stripe and database say, each read afresh and none through our own code.

The chain is asked directly (no proxy), Stripe through its own API, the database by plain SQL.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from tests.chaos.system import System
from tests.chaos.world import stripe_client

_TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
_BALANCE_OF = "0x" + keccak(text="balanceOf(address)")[:4].hex()
_TABLES = ("orders", "batches", "batch_attempts", "lanes", "networks", "inbox", "limit_usage")
VAULT = "vault"
_BOOKS = ("ledger_accounts", "ledger_entries")


@dataclass(frozen=True, slots=True)
class Transfer:
    """One Transfer log of the token out of the vault; or coins, from a lane by a transaction of
    their own, or from the vault (``VAULT``: what else the account received)."""

    wallet: str
    amount_minor: int
    transaction: str
    block: int


@dataclass
class Evidence:
    """Rows are mappings as they were found. ``listed`` says who was on the veto list since when;
    ``acknowledged`` are the order ids that our API had answered with."""

    transfers: list[Transfer]
    vault_minor: int
    vault_wei: int
    lanes_wei: int
    lane_nonces: dict[str, int]
    intents: list[dict[str, Any]]
    refunds: list[dict[str, Any]]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    events: Mapping[str, Sequence[Mapping[str, Any]]]
    listed: Mapping[str, datetime]
    acknowledged: frozenset[str] = frozenset()
    customer_errors: Mapping[int, str] = field(default_factory=dict)


async def gather(system: System, listed: Mapping[str, datetime]) -> Evidence:
    """Read all three."""
    rows, events = await _database(system.database.dsn)
    client = stripe_client(system.emulator.url).v1
    lanes = system.deployment.lanes
    token, vault = system.deployment.tokens[0].address, system.deployment.vault
    data = _BALANCE_OF + vault[2:].lower().rjust(64, "0")
    rpc = system.chain.rpc
    bought = [order["wallet"] for order in rows["orders"] if order["token"] == "ETH"]
    return Evidence(
        transfers=[*await _transfers(system, token, vault), *await _coins(system, bought)],
        vault_minor=int(await rpc("eth_call", {"to": token, "data": data}, "latest"), 16),
        vault_wei=int(await rpc("eth_getBalance", vault, "latest"), 16),
        lanes_wei=sum([int(await rpc("eth_getBalance", lane, "latest"), 16) for lane in lanes]),
        lane_nonces={
            lane: int(await rpc("eth_getTransactionCount", lane, "latest"), 16) for lane in lanes
        },
        intents=await _all(client.payment_intents, {"expand": ["data.latest_charge"]}),
        refunds=await _all(client.refunds, {}),
        rows=rows,
        events=events,
        listed=listed,
    )


async def _transfers(system: System, token: str, vault: str) -> list[Transfer]:
    source = "0x" + vault[2:].lower().rjust(64, "0")
    wanted = {"address": token, "topics": [_TRANSFER, source]}
    logs = await system.chain.rpc(
        "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", **wanted}
    )
    return [
        Transfer(
            str(to_checksum_address("0x" + log["topics"][2][-40:])),
            int(log["data"], 16),
            log["transactionHash"],
            int(log["blockNumber"], 16),
        )
        for log in logs
        # The vault probes a token when it is listed: to itself, and back to the owner.
        if int(log["topics"][2], 16) not in (int(system.owner, 16), int(vault, 16))
    ]


async def _coins(system: System, wallets: Sequence[str]) -> list[Transfer]:
    """Nobody logs coins: the lanes' transactions tell of some, the accounts' balances of all."""
    rpc, lanes = system.chain.rpc, {lane.lower() for lane in system.deployment.lanes}
    known = {wallet.lower(): wallet for wallet in wallets}
    received: Counter[str] = Counter()
    found: list[Transfer] = []
    for number in range(int(await rpc("eth_blockNumber"), 16) + 1):
        for sent in (await rpc("eth_getBlockByNumber", hex(number), True))["transactions"]:
            wallet, wei = known.get(sent["to"] or ""), int(sent["value"], 16)
            if wallet is None or not await _succeeded(system, sent["hash"]):
                continue
            received[wallet] += wei
            if sent["from"] in lanes:
                found.append(Transfer(wallet, wei, sent["hash"], number))
    for wallet in wallets:
        rest = int(await rpc("eth_getBalance", wallet, "latest"), 16) - received[wallet]
        if rest:
            found.append(Transfer(wallet, rest, VAULT, 0))
    return found


async def _succeeded(system: System, transaction: str) -> bool:
    receipt = await system.chain.rpc("eth_getTransactionReceipt", transaction)
    return int(receipt["status"], 16) == 1


async def _all(service: Any, params: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params = {"limit": 100, **params}
    while True:
        page = (await service.list_async(params)).to_dict()
        found += page["data"]
        if not page["has_more"]:
            return found
        params = {**params, "starting_after": page["data"][-1]["id"]}


async def _database(dsn: str) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            rows = {
                table: [dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")]
                for table in (*_TABLES, *_BOOKS)
            }
            events = defaultdict(list)
            for row in await connection.fetch("SELECT * FROM order_events ORDER BY order_id, id"):
                events[row["order_id"]].append(dict(row))
    finally:
        await connection.close()
    return rows, events
