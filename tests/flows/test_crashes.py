"""kill -9 between an outside effect and the storing of its result: exactly once all the same."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from chain.deployment import save_deployment
from chain.signers.keystore import create_keystore
from settlement.ledger.accounts import Account
from settlement.order import Status
from tests.chain.world import fresh_address
from tests.flows.bridge import DEPLOYED, SANCTIONED, STRIPE_KEY
from tests.flows.crashing_worker import run
from tests.support.forked import ForkedProcess
from tests.support.waiting import eventually

POINTS = [
    "payment.create_intent",
    "payment.capture",
    "store.plan",
    "chain.sign",
    "store.store_attempt",
    "chain.send",
    "store.mark_sent",
    "store.apply_many",
    "store.apply_batch",
]
"""After which call the worker dies. ``capture``: the money is taken and we don't know it;
``sign``: bytes exist that nobody stored; ``store_attempt``: stored and not sent; ``send``: sent
and not marked; ``apply_many``: the intent is written down, and nothing follows; ``apply_batch``: a
block is noticed, and nobody has looked whether it is final."""


class Workers:
    """Starts real worker processes against the test's deployment."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.children: list[ForkedProcess] = []

    def start(self, point: str | None = None) -> ForkedProcess:
        log = self.folder / f"worker-{len(self.children)}.log"
        child = ForkedProcess("worker", partial(run, point), self.environment, log)
        self.children.append(child)
        return child


@contextmanager
def workers_of(bridge, dsn: str, emulator_url: str, folder: Path) -> Iterator[Workers]:
    """The deployment as files and environment; every worker is ended at the end."""
    save_deployment(folder / "deployments.json", DEPLOYED(bridge.world))
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text("flows")
    lane = bridge.world.settler
    keystore = folder / "keystore" / f"{lane.address}.json"
    create_keystore(
        keystore, "flows", private_key=bytes.fromhex(lane.private_key[2:]), scrypt_n=2**12
    )
    environment = {
        **os.environ,
        "DATABASE_URL": dsn,
        "STRIPE_API_KEY": STRIPE_KEY,
        "STRIPE_API_BASE": emulator_url,
        "TIDEGATE_STATE_DIR": str(folder),
        "TIDEGATE_KEYSTORE_PASSWORD_FILE": str(password),
        "TIDEGATE_ADDRESS_LISTS": str(bridge.lists),
        "TIDEGATE_GRAPH": "false",
    }
    workers = Workers(folder, environment)
    try:
        yield workers
    finally:
        for child in workers.children:
            child.stop()


async def paid_order(bridge, wallet: str) -> str:
    """An order placed through the API and paid as soon as a worker has made its intent."""
    quote = await bridge.quote()
    body = {
        "quote_id": quote["id"],
        "wallet": {"network": "local", "address": wallet},
        "customer": "cus_1",
    }
    order_id = (await bridge.post("/v1/orders", body)).json()["id"]

    async def has_intent():
        return (await bridge.order(order_id)).payment_intent_id

    await eventually(has_intent, what="the payment intent")
    await bridge.pay(order_id)
    return order_id


@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_killed_after_the_call_and_before_its_result_is_stored(
    bridge, flow_dsn, emulator_url, tmp_path, point
):
    """The next worker finishes: one capture, one transfer, balanced books."""
    wallet = fresh_address()
    with workers_of(bridge, flow_dsn, emulator_url, tmp_path) as workers:
        doomed = workers.start(point)
        if point == "payment.create_intent":
            quote = await bridge.quote()
            body = {
                "quote_id": quote["id"],
                "wallet": {"network": "local", "address": wallet},
                "customer": "cus_1",
            }
            order_id = (await bridge.post("/v1/orders", body)).json()["id"]
            await eventually(lambda: not doomed.alive, what="the crash")
            workers.start()

            async def has_intent():
                return (await bridge.order(order_id)).payment_intent_id

            await eventually(has_intent, what="the payment intent")
            await bridge.pay(order_id)
        else:
            order_id = await paid_order(bridge, wallet)
            await eventually(lambda: not doomed.alive, limit_s=20, what="the crash")
            assert (await bridge.order(order_id)).status is not Status.COMPLETED
            workers.start()
        assert doomed.returncode == -9, doomed.log_tail()
        await reached(bridge, order_id)
    await exactly_once(bridge, order_id, wallet)


@pytest.mark.parametrize(
    ("point", "end"), [("payment.cancel", Status.REJECTED), ("payment.refund", Status.REFUNDED)]
)
async def test_a_worker_killed_after_money_went_back_and_before_that_is_stored(
    bridge, flow_dsn, emulator_url, tmp_path, point, end
):
    """A hold is released once, a refund made once; nobody is paid, and the books agree."""
    wallet = SANCTIONED if end is Status.REJECTED else fresh_address()
    if end is Status.REFUNDED:
        bridge.world.do(bridge.world.dollar.functions.setBlocked(wallet, True), bridge.world.owner)
    with workers_of(bridge, flow_dsn, emulator_url, tmp_path) as workers:
        doomed = workers.start(point)
        order_id = await paid_order(bridge, wallet)
        await eventually(mined(bridge, lambda: not doomed.alive), limit_s=40, what="the crash")
        assert doomed.returncode == -9, doomed.log_tail()
        assert (await bridge.order(order_id)).status is not end
        workers.start()
        await reached(bridge, order_id, end)
    intent = await bridge.intent(order_id)
    params = {"payment_intent": intent["id"]}
    refunds = (await bridge.stripe.v1.refunds.list_async(params)).to_dict()["data"]
    if end is Status.REJECTED:
        assert (intent["status"], intent["amount_received"]) == ("canceled", 0)
    else:
        assert [(refund["amount"], refund["status"]) for refund in refunds] == [
            (10_000, "succeeded")
        ]
    assert bridge.world.balance(to_checksum_address(wallet)) == 0
    assert await bridge.balance(Account.STRIPE, "USD") == 0
    assert (await bridge.event_types(order_id)).count(f"order.{end}") == 1
    await bridge.check_books()


def mined(bridge, condition):
    """``condition``, looked at after one more block."""

    def look():
        bridge.world.rpc("evm_mine")
        return condition()

    return look


async def reached(bridge, order_id: str, end: Status = Status.COMPLETED) -> None:
    """Mine until the workers have finished the order."""

    async def done():
        bridge.world.rpc("evm_mine")
        return (await bridge.order(order_id)).status is end

    await eventually(done, limit_s=40, what=f"{order_id} {end}")


async def exactly_once(bridge, order_id: str, wallet: str) -> None:
    """Read from outside: one intent captured in full, one Transfer log, books equal to both."""
    order = await bridge.order(order_id)
    listed = await bridge.stripe.v1.payment_intents.list_async({"limit": 100})
    mine = [i for i in listed.to_dict()["data"] if i["metadata"].get("order_id") == order_id]
    assert [i["amount_received"] for i in mine] == [10_000]
    transfers = bridge.world.rpc(
        "eth_getLogs",
        {
            "fromBlock": "0x0",
            "toBlock": "latest",
            "address": bridge.world.dollar.address,
            "topics": [None, None, "0x" + wallet[2:].lower().rjust(64, "0")],
        },
    )
    assert [int(log["data"], 16) for log in transfers] == [order.token.amount_minor]
    assert await bridge.balance(Account.STRIPE, "USD") == 10_000
    assert (await bridge.event_types(order_id)).count("order.completed") == 1
    await bridge.check_books()


async def test_two_workers_share_the_work_and_pay_everybody_once(
    bridge, flow_dsn, emulator_url, tmp_path
):
    """Ten orders, two processes, one lane: each wallet its own amount, once."""
    wallets = [fresh_address() for _ in range(10)]
    with workers_of(bridge, flow_dsn, emulator_url, tmp_path) as workers:
        workers.environment["LEASE_MS"] = "10000"
        workers.start()
        workers.start()
        ids = [await paid_order(bridge, wallet) for wallet in wallets]
        for order_id in ids:
            await reached(bridge, order_id)
    for wallet, order_id in zip(wallets, ids, strict=True):
        order = await bridge.order(order_id)
        assert bridge.world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()
