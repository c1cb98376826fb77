"""From the API to the vault: the receipt that a customer gets is accepted by the contract itself,
and by the script that knows nothing of us."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from settlement.order import Status
from tests.chain.world import fresh_address
from tests.flows.bridge import FRONTEND_KEY, Bridge
from tests.flows.crowd import captured, is_in, orders_of, stepped

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "verify-receipt"


async def receipt_of(bridge: Bridge, order_id: str) -> dict[str, Any]:
    answer = await bridge.api.get(f"/v1/receipts/{order_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def vault_confirms(bridge: Bridge, receipt: dict[str, Any], **changes: Any) -> bool:
    """The contract's own ``verifyReceipt``, asked with what the receipt says."""
    said = receipt | changes
    call = bridge.world.at("Vault", said["vault"]).functions.verifyReceipt(
        int(said["batch_id"]),
        said["index"],
        said["order_hash"],
        said["recipient"],
        said["asset_address"],
        int(said["amount_minor"]),
        said["proof"],
    )
    return bool(bridge.world.call(call))


async def test_the_vault_refuses_what_a_receipt_does_not_say(bridge: Bridge) -> None:
    """Another amount, row or wallet under the same proof; then what it does say is confirmed, for
    every order of the batch."""
    ids = await captured(bridge, [fresh_address() for _ in range(5)])
    await stepped(bridge, ids, is_in(Status.COMPLETED))
    receipts = [await receipt_of(bridge, order_id) for order_id in ids]
    first, another = (next(r for r in receipts if r["index"] == i) for i in (0, 1))
    lies: list[dict[str, Any]] = [
        {"amount_minor": "1"},
        {"index": 4},
        {"recipient": fresh_address()},
        {"order_hash": another["order_hash"]},
        {"proof": another["proof"]},
        {"batch_id": "999999"},
    ]
    assert [vault_confirms(bridge, first, **lie) for lie in lies] == [False] * len(lies)
    assert all(vault_confirms(bridge, receipt) for receipt in receipts)


async def test_a_customer_verifies_the_receipt_alone(bridge: Bridge) -> None:
    """What the browser fetched with the order's client secret, piped into the script."""
    [order_id] = await captured(bridge, [fresh_address()])
    await stepped(bridge, [order_id], is_in(Status.COMPLETED))
    [order] = await orders_of(bridge, [order_id])
    headers = {
        "Authorization": f"Bearer {FRONTEND_KEY}",
        "Tidegate-Client-Secret": order.client_secret,
    }
    answer = await bridge.api.get(f"/v1/receipts/{order_id}", headers=headers)
    pins = ("--vault", bridge.world.vault.address, "--order", order_id)
    options = ("-", "--json", "--rpc-url", str(bridge.world.http.base_url), *pins)
    script = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await script.communicate(answer.content)
    assert (script.returncode, json.loads(out)["verified"]) == (0, True)
