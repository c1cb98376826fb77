"""Escrows in flow tests: the merchant's calls, and the parties who sign with eth_account.

The messages are put together from what the API shows, as a signer outside would: nothing here knows
our own hashing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from eth_account import Account as EthAccount
from eth_account.signers.local import LocalAccount

from settlement.ledger.accounts import Account
from settlement.order import Order, Status
from tests.flows.bridge import Bridge
from tests.support.waiting import eventually

EVIDENCE = "0x" + "e1" * 32
REASON = "0x" + "4e" * 32


def party() -> LocalAccount:
    """Somebody with a key of their own."""
    account: LocalAccount = EthAccount.create()
    return account


@dataclass
class Deal:
    """One escrow, its order, and everybody's keys."""

    bridge: Bridge
    payer: LocalAccount
    payee: LocalAccount
    arbiter: LocalAccount
    oracle: LocalAccount
    order_id: str = ""
    id: str = ""

    async def view(self) -> dict[str, Any]:
        answer = await self.bridge.api.get(f"/v1/escrows/{self.id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def minor(self, name: str) -> int:
        return int((await self.view())[name]["amount_minor"])

    async def sign(self, signer: LocalAccount, primary: str, **members: Any) -> str:
        """EIP-712 over what the API shows; the id unless another is given."""
        signing = (await self.view())["signing"]
        message = {"id": signing["id"], **members}
        if primary in ("Settlement", "Resolution"):
            message.setdefault("paidBefore", int(signing["paid_before"]))
        types = {primary: signing["types"][primary]}
        signed = signer.sign_typed_data(signing["domain"], types, message)
        return str(signed.signature.to_0x_hex())

    async def attest(self, kind: str, **body: Any) -> httpx.Response:
        return await self.bridge.post(f"/v1/escrows/{self.id}/attestations", {"kind": kind, **body})

    async def release(self, total: str, signer: LocalAccount | None = None) -> httpx.Response:
        signature = await self.sign(
            signer or self.oracle, "Release", total=minor(total), evidence=EVIDENCE
        )
        return await self.attest("release", total=total, evidence=EVIDENCE, signature=signature)

    async def consent(self, to_payee: str, to_payer: str) -> httpx.Response:
        shares = {"toPayee": minor(to_payee), "toPayer": minor(to_payer)}
        return await self.attest(
            "consent",
            to_payee=to_payee,
            to_payer=to_payer,
            payer_signature=await self.sign(self.payer, "Settlement", **shares),
            payee_signature=await self.sign(self.payee, "Settlement", **shares),
        )

    async def dispute(self, by: LocalAccount) -> httpx.Response:
        signature = await self.sign(by, "Dispute", reason=REASON)
        return await self.attest("dispute", by=by.address, reason=REASON, signature=signature)

    async def resolve(self, to_payee: str, to_payer: str) -> httpx.Response:
        shares = {"toPayee": minor(to_payee), "toPayer": minor(to_payer)}
        signature = await self.sign(self.arbiter, "Resolution", **shares)
        return await self.attest(
            "resolution", to_payee=to_payee, to_payer=to_payer, signature=signature
        )

    async def until(self, condition: Any, limit_s: float = 30) -> dict[str, Any]:
        """Step until ``condition(view)``; returns the view."""

        async def check() -> dict[str, Any] | None:
            view = await self.view()
            if condition(view):
                return view
            await self.bridge.step()
            return None

        return await eventually(check, limit_s=limit_s, what=f"{self.id}: the condition")

    async def reach(self, status: str) -> dict[str, Any]:
        return await self.until(lambda view: view["status"] == status)

    async def funded(self) -> Order:
        """Pay the card and wait until the purse is filled for good."""
        await self.bridge.pay(self.order_id)
        order = await self.bridge.reach(self.order_id, Status.COMPLETED)
        await self.reach("funded")
        return order

    def holds(self, account: LocalAccount) -> int:
        return self.bridge.world.balance(account.address)


def minor(amount: str) -> int:
    whole, _, fraction = amount.partition(".")
    return int(whole + fraction.ljust(6, "0"))


def whole(amount_minor: int) -> str:
    return f"{amount_minor // 10**6}.{amount_minor % 10**6:06d}"


def a_deal(bridge: Bridge) -> Deal:
    return Deal(bridge, party(), party(), party(), party())


def chain_time(bridge: Bridge) -> datetime:
    """Tests before this one may have moved it far ahead."""
    block = bridge.world.rpc("eth_getBlockByNumber", "latest", False)
    return max(datetime.fromtimestamp(int(block["timestamp"], 16), UTC), bridge.clock.now())


def terms(deal: Deal, **changes: Any) -> dict[str, Any]:
    return {
        "payer": deal.payer.address,
        "payee": deal.payee.address,
        "arbiter": deal.arbiter.address,
        "oracle": deal.oracle.address,
        "expires_at": (chain_time(deal.bridge) + timedelta(hours=6)).isoformat(),
        "at_expiry": "refund_payer",
        **changes,
    }


async def order_body(
    bridge: Bridge, escrow: dict[str, Any] | None, amount: str = "100.00", **more: Any
) -> dict[str, Any]:
    quote = await bridge.quote(amount)
    body = {"quote_id": quote["id"], "customer": "cus_1", "settle_to": "escrow", **more}
    return body if escrow is None else {**body, "escrow": escrow}


async def agreed(
    bridge: Bridge, deal: Deal | None = None, amount: str = "100.00", **changes: Any
) -> Deal:
    """An order whose tokens will go to an escrow; the card is not paid yet."""
    deal = deal or a_deal(bridge)
    body = await order_body(bridge, terms(deal, **changes), amount)
    answer = await bridge.post("/v1/orders", body)
    assert answer.status_code == 201, answer.text
    deal.order_id, deal.id = answer.json()["id"], answer.json()["escrow"]
    await bridge.until(deal.order_id, lambda order: order.payment_intent_id)
    return deal


async def funded(bridge: Bridge, **changes: Any) -> Deal:
    deal = await agreed(bridge, **changes)
    await deal.funded()
    return deal


def travel(bridge: Bridge, time: timedelta) -> None:
    """The chain's clock alone: what an escrow goes by."""
    bridge.world.rpc("evm_increaseTime", int(time.total_seconds()))
    bridge.world.rpc("evm_mine")


def listed(bridge: Bridge, account: LocalAccount, action: str = "block") -> None:
    with bridge.lists.open("a") as lists:
        lists.write(f"ETH,{account.address},{action}\n")


async def books_agree(bridge: Bridge, *deals: Deal) -> None:
    """The ledger holds what the purses hold, and every asset sums to zero."""
    purses = [(await deal.view())["purse"] for deal in deals]
    held = await bridge.store.totals(Account.ESCROW_HELD, bridge.ports_asset())
    owed = await bridge.store.totals(Account.ESCROW_OWED, bridge.ports_asset())
    assert held == sum(bridge.world.balance(purse) for purse in purses) == -owed
    await bridge.check_books()


def problem(answer: httpx.Response, status: int, code: str) -> str | None:
    """The refusal's ``param``; fails for any other answer."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    param: str | None = answer.json().get("param")
    return param
