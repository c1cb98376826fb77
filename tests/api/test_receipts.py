"""Receipts over the API: who gets none and when there is none, then that the proof adds up."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from bridge.api.receipts import UNPAID
from bridge.storage.records import KeyKind, Role
from chain.evm.proofs import prove
from settlement.batch import Batch, BatchStatus
from settlement.ids import new_id
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.order import Order, Status
from settlement.ports.chain import BatchCall, ChainIdentity, Payout
from settlement.ports.store import BatchChange
from settlement.transitions import ON_RAMP, Change, move
from tests.api.world import TOKEN_ADDRESS, Api, is_problem
from tests.support.builders import DUSD, signed
from tests.support.postgres import execute

VAULT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
IDENTITY = ChainIdentity("0xgenesis", VAULT, "0xcode")
BLOCK_HASH = "0x" + "bb" * 32


@dataclass
class Settler:
    """Brings orders of any tenant to their end as the worker does, without a chain."""

    api: Api

    async def captured(self, api: Api, **changes: str) -> Order:
        placed = await api.order(**changes)
        order = await self._stored(placed["id"])
        booking = journal.treasury_funded(order.token, Account.VAULT)
        await api.store.book(api.tenant_id, new_id("fund"), booking, api.clock.now())
        for status, *books in (
            (Status.AUTHORIZED, journal.authorized),
            (Status.CLEARED,),
            (Status.CAPTURING, journal.reserved),
            (Status.CAPTURED, journal.captured),
        ):
            order = await self.to(order, status, *(book(order) for book in books))
        return order

    async def to(self, order: Order, status: Status, *bookings: object) -> Order:
        """One step along the table."""
        assert await self.api.store.apply_many([self._move(order, status, bookings)]) == []
        return await self._stored(order.id)

    async def settle(
        self, orders: Sequence[Order], skipped: Sequence[int] = (), **changes: Any
    ) -> Batch:
        """Plan, sign, send and conclude a batch over the orders; its block is final."""
        store, now = self.api.store, self.api.clock.now()
        if await store.network("local") is None:
            await store.register_network("local", IDENTITY, now)
        await store.register_lane("local", "0xlane", 0)
        [lane] = await store.claim_lanes("local", now, lease_ms=60_000, worker="a test")
        rows = tuple(Payout(o.id, o.wallet, o.token.amount_minor) for o in orders)
        batch_id = await store.new_batch_id()
        proof = prove(BatchCall(batch_id, DUSD, rows), TOKEN_ADDRESS, 0)
        transaction = signed(lane.next_nonce, f"0x{os.urandom(32).hex()}")
        batch = Batch(
            id=batch_id,
            network="local",
            asset=DUSD,
            lane_id=lane.id,
            lane_address=lane.address,
            nonce=lane.next_nonce,
            status=BatchStatus.PLANNED,
            root=proof.root,
            order_count=len(orders),
            planned_at=now,
        )
        batch = replace(batch, **changes)
        await store.plan(lane, batch, [self._move(o, Status.SUBMITTED) for o in orders])
        await store.store_attempt(lane, batch, transaction, now)
        await store.mark_sent(lane, batch, transaction, now)
        place = {"mined_ref": transaction.ref, "block_number": 17, "block_hash": BLOCK_HASH}
        sent = replace(batch, status=BatchStatus.SENT)
        await store.apply_batch(lane, BatchChange(sent, BatchStatus.MINED, place), now)
        changes = tuple(
            self._move(order, Status.REFUND_PENDING, [journal.unreserved(order)])
            if index in skipped
            else self._move(order, Status.COMPLETED, [journal.completed(order)])
            for index, order in enumerate(await store.in_batch(batch_id))
        )
        mined = replace(sent, status=BatchStatus.MINED, **place)
        await store.apply_batch(lane, BatchChange(mined, BatchStatus.FINAL, {}, changes), now)
        await store.release_lane(lane)
        return mined

    def _move(self, order: Order, to: Status, bookings: Sequence[object] = ()) -> Change:
        now = self.api.clock.now()
        return move(order, to, now, bookings=tuple(bookings), under_lease=False)  # type: ignore[arg-type]

    async def _stored(self, order_id: str) -> Order:
        order = await self.api.store.get(order_id)
        assert order is not None
        return order


@pytest.fixture
def settler(api: Api) -> Settler:
    return Settler(api)


def root_of(receipt: dict, **changes: object) -> str:
    """The root by the documented rule, written anew: nothing of the product's hashing."""
    values = receipt | changes
    fields = (
        values["index"],
        keccak(text=values["order_id"]),
        values["recipient"],
        values["asset_address"],
        int(values["amount_minor"]),
    )
    node = keccak(keccak(encode(["uint256", "bytes32", "address", "address", "uint256"], fields)))
    for sibling in values["proof"]:
        node = keccak(b"".join(sorted((node, bytes.fromhex(sibling[2:])))))
    return "0x" + node.hex()


async def test_a_stranger_gets_no_receipt(server: Api, api: Api, settler: Settler) -> None:
    """Another merchant's order does not exist, nor does one that nobody placed."""
    order = await settler.captured(api)
    await settler.settle([order])
    stranger = await server.new_tenant()
    for path in (order.id, "ord_nobody", "%00"):
        is_problem(await stranger.get(f"/v1/receipts/{path}"), 404, "resource_missing")


async def test_a_compliance_officers_key_gets_none(api: Api, settler: Settler) -> None:
    """Receipts are the merchant's and the operator's business."""
    order = await settler.captured(api)
    await settler.settle([order])
    answer = await api.get(f"/v1/receipts/{order.id}", key=api.keys[Role.COMPLIANCE])
    is_problem(answer, 403, "forbidden")


@pytest.mark.parametrize("secret", [None, "wrong", "other"])
async def test_a_frontend_needs_the_orders_own_client_secret(
    api: Api, settler: Settler, secret: str | None
) -> None:
    """Without it, or with another order's, there is no such order."""
    order, other = await settler.captured(api), await settler.captured(api)
    await settler.settle([order, other])
    key = await api.publishable()
    given = other.client_secret if secret == "other" else secret
    headers = {"Tidegate-Client-Secret": given} if given else {}
    answer = await api.get(f"/v1/receipts/{order.id}", key=key, headers=headers)
    is_problem(answer, 404, "resource_missing")


async def test_an_order_on_its_way_has_no_receipt_yet(api: Api, settler: Settler) -> None:
    """Paid or not, before its block is final nothing is proven."""
    placed = await api.order()
    is_problem(await api.get(f"/v1/receipts/{placed['id']}"), 409, "receipt_not_ready")
    order = await settler.captured(api)
    is_problem(await api.get(f"/v1/receipts/{order.id}"), 409, "receipt_not_ready")


async def test_a_skipped_order_was_paid_nothing(api: Api, settler: Settler) -> None:
    """Though the root holds its row: the problem says that nothing was paid, before and after the
    refund."""
    order, skipped = await settler.captured(api), await settler.captured(api)
    await settler.settle([order, skipped], skipped=[1])
    path = f"/v1/receipts/{skipped.id}"
    assert "nothing was paid" in is_problem(await api.get(path), 409, "nothing_paid")["detail"]
    stored = await api.store.get(skipped.id)
    assert stored is not None
    await settler.to(stored, Status.REFUNDED, journal.refunded(stored))
    is_problem(await api.get(path), 409, "nothing_paid")
    assert (await api.get(f"/v1/receipts/{order.id}")).status_code == 200


async def test_an_order_that_ended_before_it_was_paid_has_none(api: Api) -> None:
    """A cancelled order is not one that is only not ready."""
    placed = await api.order()
    await api.post(f"/v1/orders/{placed['id']}/cancel")
    is_problem(await api.get(f"/v1/receipts/{placed['id']}"), 409, "nothing_paid")


def test_nothing_paid_is_said_of_no_status_from_which_an_order_can_complete() -> None:
    """The table decides: else the answer would be a lie that time brings to light."""
    reachable = {status: {status} for status in ON_RAMP}
    for _ in ON_RAMP:
        for status, ahead in reachable.items():
            ahead |= {later for step in tuple(ahead) for later in ON_RAMP[step] | {status}}
    never = {status for status, ahead in reachable.items() if Status.COMPLETED not in ahead}
    assert never == UNPAID


async def test_rows_that_no_longer_give_the_root_give_no_receipt(
    api: Api, settler: Settler
) -> None:
    """A stored root that the rows contradict is our own fault, and is not handed out."""
    order = await settler.captured(api)
    await settler.settle([order], root="0x" + "ab" * 32)
    is_problem(await api.get(f"/v1/receipts/{order.id}"), 500, "invariant_broken")


async def test_a_replaced_chain_takes_its_receipts_with_it(
    api: Api, settler: Settler, database_dsn: str
) -> None:
    """The vault that the new chain has says nothing about payments on the old one."""
    order = await settler.captured(api)
    await settler.settle([order])
    renew = "UPDATE networks SET instance = instance + {} WHERE name = 'local'"
    await execute(database_dsn, renew.format(1))
    is_problem(await api.get(f"/v1/receipts/{order.id}"), 409, "receipt_not_provable")
    await execute(database_dsn, renew.format(-1))
    assert (await api.get(f"/v1/receipts/{order.id}")).status_code == 200


@pytest.mark.parametrize("count", [1, 2, 3, 7])
async def test_every_row_of_a_batch_is_proven(
    api: Api, server: Api, settler: Settler, count: int
) -> None:
    """Hashed by the documented rule, each proof leads to the batch's root; rows of another tenant
    are in the tree and not in the answer."""
    neighbour = await server.new_tenant()
    orders = [await settler.captured(api) for _ in range(count - 1)]
    orders.insert(count // 2, await settler.captured(neighbour))
    batch = await settler.settle(orders)
    for index, order in enumerate(orders):
        asking = neighbour if index == count // 2 else api
        receipt = (await asking.get(f"/v1/receipts/{order.id}")).json()
        assert receipt["root"] == batch.root == root_of(receipt)
        assert root_of(receipt, amount_minor="1") != batch.root
        assert receipt["index"] == index


async def test_a_receipt_says_all_that_its_reader_needs(api: Api, settler: Settler) -> None:
    """Chain, vault, batch, row, transaction, block and rule, and nothing that cannot be checked."""
    order = await settler.captured(api)
    batch = await settler.settle([order])
    receipt = (await api.get(f"/v1/receipts/{order.id}")).json()
    assert receipt == {
        "object": "receipt",
        "version": 1,
        "order_id": order.id,
        "order_hash": "0x" + keccak(text=order.id).hex(),
        "network": "local",
        "chain_id": 31337,
        "vault": VAULT,
        "batch_id": str(batch.id),
        "root": batch.root,
        "index": 0,
        "recipient": order.wallet,
        "asset_address": TOKEN_ADDRESS,
        "amount_minor": str(order.token.amount_minor),
        "proof": [],
        "transaction": batch.mined_ref,
        "block_number": 17,
        "block_hash": BLOCK_HASH,
        "finality": {"rule": "finalized", "depth_blocks": None},
    }


async def test_everyone_whose_business_it_is_gets_the_same(api: Api, settler: Settler) -> None:
    """Merchant, admin, operator, and the customer's browser with the order's client secret."""
    order = await settler.captured(api)
    await settler.settle([order])
    path = f"/v1/receipts/{order.id}"
    keys = [api.keys[role] for role in (Role.MERCHANT, Role.ADMIN, Role.OPERATOR)]
    answers = [await api.get(path, key=key) for key in keys]
    browser = await api.new_key(KeyKind.PUBLISHABLE, Role.MERCHANT)
    secret = {"Tidegate-Client-Secret": order.client_secret}
    answers.append(await api.get(path, key=browser, headers=secret))
    answers.append(await api.get(f"{path}?client_secret={order.client_secret}", key=browser))
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].status_code == 200


async def test_the_document_describes_receipts(api: Api) -> None:
    """With their parameters, their members, and the problem shape that refusals have."""
    document = (await api.get("/openapi.json")).json()
    operation = document["paths"]["/v1/receipts/{order_id}"]["get"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names == {"order_id", "client_secret", "Tidegate-Client-Secret"}
    assert "default" in operation["responses"]
    members = document["components"]["schemas"]["ReceiptView"]["properties"]
    assert {"proof", "root", "vault", "asset_address", "finality"} <= members.keys()
    codes = {row["code"] for row in (await api.get("/errors")).json()}
    assert {"receipt_not_ready", "nothing_paid", "receipt_not_provable"} <= codes
