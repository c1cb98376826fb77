"""Who buys during the storm: mostly ordinary customers, and one of every kind that is not.

Each customer is drawn from ``seed`` and number alone: kind, amount, wallet, card, and when they
change their mind.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from tests.chaos.shop import Shop
from tests.chaos.system import System

VISA = "pm_card_visa"
FINAL = {"completed", "expired", "canceled", "rejected", "refunded", "refund_failed"}

WEIGHTS = {
    "ordinary": 50,
    "declined": 6,
    "declined_for_good": 2,
    "absent": 2,
    "secured": 5,
    "secured_refused": 2,
    "canceling": 4,
    "canceling_late": 4,
    "sanctioned": 4,
    "doubtful": 2,
    "listed_late": 4,
    "blocked": 5,
    "blocked_refund_waits": 2,
    "dashboard_refund": 5,
    "dashboard_partial": 3,
    "dashboard_capture": 2,
    "dashboard_cancel": 2,
}
KEEPS_WAITING = {"declined_for_good", "absent", "secured_refused"}
"""Orders that only end when their quote does: none among the last, so that the end is near."""
COINS, IN_USE = 0.3, 0.4
"""The share of those who buy native coin, and of them with an account that has some already."""
AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX = 500, 30_000


@dataclass
class Customer:
    """One order's buyer, and what became known of it on this side."""

    number: int
    kind: str
    wallet: str
    amount_minor: int
    rng: Random
    asset: str = "DUSD"
    in_use: bool = False
    order_id: str | None = None
    error: str | None = None


@dataclass
class Lists:
    """The address list that the product reads, replaced in one step; who was listed when."""

    path: Path
    blocked: dict[str, datetime] = field(default_factory=dict)
    review: set[str] = field(default_factory=set)

    def write(self) -> None:
        lines = ["asset,address,action", f"ETH,0x{'dead' * 10},block"]
        lines += [f"ETH,{wallet},block" for wallet in self.blocked]
        lines += [f"ETH,{wallet},review" for wallet in sorted(self.review)]
        draft = self.path.with_suffix(".tmp")
        draft.write_text("\n".join(lines) + "\n")
        os.replace(draft, self.path)

    def block(self, wallet: str) -> None:
        self.blocked[wallet] = datetime.now(UTC)
        self.write()


def draw(seed: int, number: int, orders: int) -> Customer:
    rng = Random(f"{seed}:customer:{number}")
    [kind] = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
    if kind in KEEPS_WAITING and number > orders * 0.4:
        kind = "ordinary"
    wallet = str(to_checksum_address(keccak(text=f"{seed}:wallet:{number}")[-20:]))
    amount_minor = rng.randint(AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX)
    # The token alone refuses recipients. Coins go singly to fresh accounts, else by the vault.
    coins = not kind.startswith("blocked") and rng.random() < COINS
    in_use = coins and rng.random() < IN_USE
    return Customer(number, kind, wallet, amount_minor, rng, "ETH" if coins else "DUSD", in_use)


async def prepare(system: System, customers: list[Customer], lists: Lists) -> None:
    """Before anybody buys: the lists, the token's own block list, accounts in use."""
    now = datetime.now(UTC)
    for customer in customers:
        if customer.kind == "sanctioned":
            lists.blocked[customer.wallet] = now
        elif customer.kind == "doubtful":
            lists.review.add(customer.wallet)
        elif customer.kind.startswith("blocked"):
            await block_in_token(system, customer.wallet)
        if customer.in_use:
            coins = {"from": system.owner, "to": customer.wallet, "value": "0x1"}
            await system.chain.rpc("eth_sendTransaction", coins)
    lists.write()


async def block_in_token(system: System, wallet: str) -> None:
    """The token refuses this recipient from now on."""
    owner = (await system.chain.rpc("eth_accounts"))[0]
    data = keccak(text="setBlocked(address,bool)")[:4].hex()
    data += wallet[2:].lower().rjust(64, "0") + "1".rjust(64, "0")
    token = system.deployment.tokens[0].address
    call = {"from": owner, "to": token, "data": f"0x{data}", "gas": hex(200_000)}
    await system.chain.rpc("eth_sendTransaction", call)


@dataclass
class Buying:
    """One customer's way."""

    system: System
    shop: Shop
    lists: Lists
    customer: Customer

    async def go(self) -> None:
        """Place the order and behave; never raises, the error stays on the customer."""
        customer = self.customer
        try:
            order = await self.shop.place(
                customer.amount_minor, customer.wallet, customer.rng, customer.asset
            )
            customer.order_id = str(order["id"])
            act: Callable[[], Awaitable[None]] = getattr(self, f"_{customer.kind}")
            await act()
        except Exception as error:
            customer.error = repr(error)

    @property
    def _id(self) -> str:
        assert self.customer.order_id is not None
        return self.customer.order_id

    async def _paid(self, card: str = VISA) -> tuple[str | None, Any]:
        intent_id = await self.shop.intent_of(self._id)
        if intent_id is None:
            return None, None
        return intent_id, await self.shop.pay(intent_id, card)

    async def _moment(self, seconds_max: float) -> None:
        await self.system.pause(self.customer.rng.random() * seconds_max)

    async def _ordinary(self) -> None:
        await self._paid(self.customer.rng.choice([VISA, "pm_card_mastercard", "pm_card_gb"]))

    async def _declined(self) -> None:
        await self._paid("pm_card_visa_chargeDeclined")
        await self._moment(1)
        await self._paid()

    async def _declined_for_good(self) -> None:
        await self._paid("pm_card_visa_chargeDeclinedInsufficientFunds")

    async def _absent(self) -> None:
        pass

    async def _secured(self, outcome: str = "complete") -> None:
        _, intent = await self._paid("pm_card_threeDSecure2Required")
        if intent is not None and intent.status == "requires_action":
            await self._moment(1)
            await self.shop.authenticate(intent, outcome)

    async def _secured_refused(self) -> None:
        await self._secured("fail")

    async def _canceling(self) -> None:
        await self._moment(1)
        await self.shop.cancel(self._id, self.customer.rng)

    async def _canceling_late(self) -> None:
        await self._paid()
        await self._moment(0.6)
        await self.shop.cancel(self._id, self.customer.rng)

    async def _sanctioned(self) -> None:
        await self._paid()

    async def _doubtful(self) -> None:
        """Nobody reviews in this run, so the customer loses patience."""
        await self._paid()
        await self.shop.follow(self._id, lambda o: o["status"] in {"in_review", *FINAL})
        await self.shop.cancel(self._id, self.customer.rng)

    async def _listed_late(self) -> None:
        """The wallet is listed while the order is on its way; what is then held is refunded."""
        intent_id, _ = await self._paid()
        await self._moment(2)
        self.lists.block(self.customer.wallet)
        order = await self.shop.follow(
            self._id, lambda o: o["status"] in FINAL or o["hold_reason"] == "sanctions"
        )
        if order["status"] not in FINAL and intent_id is not None:
            await self.shop.refund(intent_id, None)

    async def _blocked(self) -> None:
        await self._paid()

    async def _blocked_refund_waits(self) -> None:
        """The refund is pending until the bank decides, one way or the other."""
        intent_id, _ = await self._paid("pm_card_pendingRefund")
        if intent_id is None:
            return
        await self.shop.follow(self._id, lambda o: o["status"] in {"refund_pending", *FINAL})
        while True:
            params: Any = {"payment_intent": intent_id}
            found = (await self.shop.stripe.refunds.list_async(params)).data
            status = (await self.shop.order(self._id))["status"]
            if found:
                await self._moment(1)
                url = f"{self.system.emulator.url}/_emulator/refunds/{found[0].id}/settle"
                succeeded = self.customer.rng.random() < 0.5
                await self.shop.web.post(url, json={"succeeded": succeeded})
                return
            if status in FINAL or self.system.ended.is_set():
                return
            await self.system.pause(0.3)

    async def _dashboard_refund(self, part: bool = False) -> None:
        """Somebody refunds by hand as soon as the money is taken, before or after it leaves."""
        intent_id, _ = await self._paid()
        if intent_id is not None and await self.shop.captured(intent_id):
            await self._moment(1.5)
            amount = self.customer.rng.randint(1, self.customer.amount_minor) if part else None
            await self.shop.refund(intent_id, amount)

    async def _dashboard_partial(self) -> None:
        await self._dashboard_refund(part=True)

    async def _dashboard_capture(self) -> None:
        intent_id, _ = await self._paid()
        if intent_id is not None:
            await self.shop.capture(intent_id)

    async def _dashboard_cancel(self) -> None:
        intent_id, _ = await self._paid()
        if intent_id is not None:
            await self._moment(0.5)
            await self.shop.cancel_intent(intent_id)
