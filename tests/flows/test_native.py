"""Native coin on a real chain: fresh accounts singly, others by the vault, refusals given back."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bridge.treasury.assigning import assign_on
from settlement.batch import BatchKind
from settlement.ledger.accounts import PLATFORM, Account
from settlement.money import Money
from settlement.order import Order, Status
from settlement.pipeline import settle
from tests.chain.world import deploy_code, fresh_address
from tests.flows.bridge import NETWORK, Bridge
from tests.flows.conftest import needs_anvil
from tests.flows.crowd import captured, is_in, orders_of, stepped

pytestmark = needs_anvil

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "verify-receipt"
REFUSES = "60006000fd"
STOCK_WEI = 10**18
ENDED = is_in(Status.COMPLETED, Status.REFUNDED)


def wei(bridge: Bridge, account: str) -> int:
    return int(bridge.world.rpc("eth_getBalance", account, "latest"), 16)


async def kind_of(bridge: Bridge, order: Order) -> BatchKind:
    row = await bridge.store.pool.fetchrow("SELECT kind FROM batches WHERE id = $1", order.batch_id)
    return BatchKind(row["kind"])


async def receipt_of(bridge: Bridge, order_id: str) -> dict[str, Any]:
    answer = await bridge.api.get(f"/v1/receipts/{order_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def verified(bridge: Bridge, receipt: dict[str, Any], *pins: str) -> tuple[int, str]:
    """What the script says of a receipt: its status, and all of its words."""
    options = ("-", "--json", "--rpc-url", str(bridge.world.http.base_url), *pins)
    script = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await script.communicate(json.dumps(receipt).encode())
    assert script.returncode is not None
    return script.returncode, out.decode()


async def check_coins(bridge: Bridge, lane_had: int) -> None:
    """Vault and lane hold what the books say."""
    native = NETWORK.native
    assert await bridge.store.totals(Account.VAULT, native) == wei(
        bridge, bridge.world.vault.address
    )
    spent = await bridge.store.totals(Account.HOT_WALLET, native)
    assert wei(bridge, bridge.world.settler.address) - lane_had == spent
    await bridge.check_books()


async def test_each_account_is_paid_the_way_that_suits_it(bridge: Bridge) -> None:
    """Two fresh ones by transfers, one in use and a contract that refuses by the vault, which skips
    the latter; every receipt holds, and every book agrees."""
    await bridge.stock_coins(STOCK_WEI)
    lane_had = wei(bridge, bridge.world.settler.address)
    used, refusing = fresh_address(), deploy_code(bridge.world, REFUSES)
    bridge.world.send(bridge.world.owner, used, "0x", value=1)
    fresh = [fresh_address(), fresh_address()]
    ids = await captured(bridge, [*fresh, used, refusing], asset="ETH")
    orders = await stepped(bridge, ids, ENDED)
    assert [order.status for order in orders] == [Status.COMPLETED] * 3 + [Status.REFUNDED]
    owed = [order.token.amount_minor for order in orders]
    assert [wei(bridge, wallet) for wallet in fresh] == owed[:2]
    assert (wei(bridge, used), wei(bridge, refusing)) == (1 + owed[2], 0)
    ways = [await kind_of(bridge, order) for order in orders]
    assert ways == [BatchKind.SINGLE] * 2 + [BatchKind.PAYOUT] * 2
    assert (orders[3].reason, orders[3].batch_id) == ("recipient_refused", orders[2].batch_id)
    platform = [
        row.debits_posted
        for row in await bridge.store.balances(PLATFORM)
        if row.account is Account.VAULT
    ]
    assert platform == [sum(owed[:2])]
    await check_coins(bridge, lane_had)
    now, had = bridge.clock.now(), await bridge.balance(Account.VAULT, "local:ETH")
    handed = await assign_on(bridge.store.pool, NETWORK.native, bridge.tenant, now)
    assert handed == Money(sum(owed[:2]), NETWORK.native)
    assert await assign_on(bridge.store.pool, NETWORK.native, bridge.tenant, now) is None
    assert await bridge.balance(Account.VAULT, "local:ETH") == had + handed.amount_minor
    await check_coins(bridge, lane_had)
    single = await receipt_of(bridge, ids[0])
    assert single["object"] == "transfer_receipt"
    pins = ("--sender", bridge.world.settler.address, "--order", ids[0])
    assert (await verified(bridge, single, *pins))[0] == 0
    status, words = await verified(bridge, single | {"order_id": ids[1]})
    assert (status, "its memo is not" in words) == (1, True)
    by_vault = await receipt_of(bridge, ids[2])
    assert (await verified(bridge, by_vault, "--vault", bridge.world.vault.address))[0] == 0


async def test_a_transfer_signed_before_a_crash_is_sent_after_it_and_once(
    bridge: Bridge,
) -> None:
    """Another that meets code which was not there when it was signed reverts: the vault judges."""
    await bridge.stock_coins(STOCK_WEI)
    lane_had = wei(bridge, bridge.world.settler.address)
    [first] = await captured(bridge, [fresh_address()], asset="ETH")
    raw = await bridge.signed_and_not_sent(first)
    [order] = await stepped(bridge, [first], ENDED)
    assert wei(bridge, order.wallet) == order.token.amount_minor
    assert order.batch_id is not None
    [mined] = await bridge.store.pool.fetch(
        "SELECT raw FROM batch_attempts WHERE batch_id = $1", order.batch_id
    )
    assert mined["raw"] == raw
    wallet = fresh_address()
    [second] = await captured(bridge, [wallet], asset="ETH")
    await bridge.signed_and_not_sent(second)
    bridge.world.rpc("anvil_setCode", wallet, "0x" + REFUSES)
    [order] = await stepped(bridge, [second], ENDED)
    assert (order.status, order.reason) == (Status.REFUNDED, "recipient_refused")
    assert await kind_of(bridge, order) is BatchKind.PAYOUT
    assert "order.requeued" in await bridge.event_types(second)
    assert wei(bridge, wallet) == 0
    await check_coins(bridge, lane_had)


async def test_a_lane_without_coins_to_spare_leaves_the_order_to_the_vault(
    bridge: Bridge,
) -> None:
    """It keeps the gas of a whole batch, and nobody waits."""
    await bridge.stock_coins(STOCK_WEI)
    [order_id] = await captured(bridge, [fresh_address()], asset="ETH")
    lane = bridge.world.settler.address
    had = wei(bridge, lane)
    gas = 16_777_216 * (await bridge.chain.fees()).max_fee_wei // 2  # fees may fall meanwhile
    bridge.world.rpc("anvil_setBalance", lane, hex(gas))
    try:
        await settle(bridge.ports)
        [order] = await orders_of(bridge, [order_id])
        assert await kind_of(bridge, order) is BatchKind.PAYOUT
        await stepped(bridge, [order_id], ENDED)
        assert wei(bridge, order.wallet) == order.token.amount_minor
    finally:
        bridge.world.rpc("anvil_setBalance", lane, hex(had))
