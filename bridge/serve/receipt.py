"""The receipt of the sample order, and whether every book tells the same story.

The chain is read by this file's own requests to the node, not through the adapter that paid: a
fault in the code that pays must not hide in the code that checks the payment.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from eth_utils.crypto import keccak

from bridge.serve.sample import Bought, SampleFailed, Shop
from bridge.wording import decimal, shown

AGREE_LIMIT_S = 20.0
_BALANCE_OF = "0x" + keccak(text="balanceOf(address)")[:4].hex()
_PAUSE_S = 0.25


@dataclass
class Receipt:
    """``rows`` are what is printed, label and value; ``problems`` what does not agree."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, label: str, value: str) -> None:
        self.rows.append((label, value))

    def check(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)


class Node:
    """A chain's JSON-RPC endpoint, asked directly."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=30.0, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, method: str, *params: Any) -> Any:
        """Raises :class:`SampleFailed` when the node does not answer with a result."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            answer = (await self._http.post("", json=request)).json()
        except (httpx.HTTPError, ValueError) as error:
            raise SampleFailed(f"the node did not answer {method}") from error
        if answer.get("result") is None:
            raise SampleFailed(f"the node answered {method} with {answer.get('error')}")
        return answer["result"]

    async def balance_of(self, token: str, holder: str) -> int:
        """Minor units of ``token`` at ``holder``, newest block."""
        data = _BALANCE_OF + holder[2:].lower().rjust(64, "0")
        return int(await self.call("eth_call", {"to": token, "data": data}, "latest"), 16)


async def write_receipt(shop: Shop, bought: Bought, node: Node | None) -> Receipt:
    """Gather and compare. Without ``node`` the chain's side is left out, and says so."""
    receipt = Receipt()
    _order_rows(receipt, bought)
    if bought.order["status"] != "completed":
        ended = bought.order["status"]
        receipt.problems.append(f"the order ended as {ended} ({bought.order['reason']})")
        return receipt
    await _proof_row(receipt, shop, bought.order["id"])
    if node is None:
        receipt.add("chain", "not read (name a node with --rpc-url)")
        await _ledger_rows(receipt, shop, bought, None, "")
        return receipt
    token = await _token_address(shop, bought)
    vault = await _chain_rows(receipt, bought, node, token)
    await _ledger_rows(receipt, shop, bought, node, token, vault)
    return receipt


def _order_rows(receipt: Receipt, bought: Bought) -> None:
    order, quote = bought.order, bought.quote
    receipt.add("order", order["id"])
    receipt.add("quote", f"{quote['id']}, 1 {order['receive']['asset']} = {quote['rate']} USD")
    for line in order["lines"]:
        receipt.add(f"  {line['kind']}", f"{line['amount']:>12} {order['pay']['currency']}")
    receipt.add("  paid", f"{order['pay']['amount']:>12} {order['pay']['currency']}")
    receipt.add("payment intent", str(order["payment"]["payment_intent"]))
    lines = sum(int(line["amount_minor"]) for line in order["lines"])
    paid = int(order["pay"]["amount_minor"])
    receipt.check(lines == paid, f"the quote's lines add up to {lines}, not to {paid}")


async def _proof_row(receipt: Receipt, shop: Shop, order_id: str) -> None:
    """Where the proof is; ``scripts/verify-receipt`` checks it without us."""
    path = f"/v1/receipts/{order_id}"
    proof = await shop.get(path)
    receipt.add("proof", f"row {proof['index']} of batch {proof['batch_id']}, GET {path}")


async def _token_address(shop: Shop, bought: Bought) -> str:
    wanted = bought.order["receive"]
    for asset in (await shop.get("/v1/assets"))["data"]:
        if (asset["network"], asset["asset"]) == (wanted["network"], wanted["asset"]):
            return str(asset["address"])
    raise SampleFailed(f"{wanted['asset']} is not among the assets any more")


async def _chain_rows(receipt: Receipt, bought: Bought, node: Node, token: str) -> str:
    """Transaction, block, recipient. Returns the vault's address (the transaction's ``to``)."""
    order, settled = bought.order, bought.order["settlement"]
    mined = await node.call("eth_getTransactionReceipt", settled["transaction"])
    block = int(mined["blockNumber"], 16)
    head = int(await node.call("eth_blockNumber"), 16)
    balance = await node.balance_of(token, bought.wallet)
    expected = order["receive"]
    receipt.add("transaction", settled["transaction"])
    receipt.add("block", f"{block}, {shown(head - block + 1, 'confirmation')}, final")
    receipt.add("wallet", bought.wallet)
    scale = len(expected["amount"].partition(".")[2])
    receipt.add("  holds", f"{decimal(balance, scale)} {expected['asset']} (read from the chain)")
    receipt.check(int(mined["status"], 16) == 1, "the transaction reverted")
    receipt.check(
        block == settled["block_number"],
        f"the order names block {settled['block_number']}, the chain {block}",
    )
    receipt.check(
        balance == int(expected["amount_minor"]),
        f"the wallet holds {balance} minor units instead of {expected['amount_minor']}",
    )
    return str(mined["to"])


async def _ledger_rows(
    receipt: Receipt, shop: Shop, bought: Bought, node: Node | None, token: str, vault: str = ""
) -> None:
    asset = f"{bought.order['receive']['network']}:{bought.order['receive']['asset']}"
    deadline = time.monotonic() + AGREE_LIMIT_S
    while True:
        trial = await shop.get("/v1/ledger/accounts")
        booked = _vault_minor(trial, asset)
        on_chain = await node.balance_of(token, vault) if node else booked
        # Orders of others may be on their way: paid already, and booked once they are final.
        if on_chain == booked or time.monotonic() > deadline:
            break
        await asyncio.sleep(_PAUSE_S)
    for total in trial["totals"]:
        debits, credits = int(total["debits_posted"]), int(total["credits_posted"])
        scale = _scale(trial, total["asset"])
        shown = f"{decimal(debits, scale)} = {decimal(credits, scale)}"
        receipt.add("trial balance", f"{total['asset']}: debits {shown} credits")
        receipt.check(debits == credits, f"the ledger does not balance in {total['asset']}")
    receipt.check(trial["balanced"], "the API says that the ledger does not balance")
    if node is not None:
        scale = _scale(trial, asset)
        ledger, chain = decimal(booked, scale), decimal(on_chain, scale)
        sign = "=" if booked == on_chain else "≠"
        receipt.add("vault", f"chain {chain} {sign} ledger {ledger} {asset}")
        receipt.check(booked == on_chain, f"vault: the chain holds {chain}, the ledger {ledger}")


def _vault_minor(trial: dict[str, Any], asset: str) -> int:
    return sum(
        int(row["balance_minor"])
        for row in trial["data"]
        if (row["account"], row["asset"]) == ("vault:inventory", asset)
    )


def _scale(trial: dict[str, Any], asset: str) -> int:
    """Decimals of the asset, as the API writes its balances."""
    shown = next(row["balance"] for row in trial["data"] if row["asset"] == asset)
    return len(str(shown).partition(".")[2])
