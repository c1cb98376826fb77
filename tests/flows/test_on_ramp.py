"""A card payment becomes a token in a wallet, final on a real chain."""

from settlement.ledger.accounts import Account
from settlement.order import Status
from tests.chain.world import fresh_address

WAY = [
    "order.awaiting_payment",
    "order.payment_intent_created",
    "order.authorized",
    "order.cleared",
    "order.capturing",
    "order.captured",
    "order.submitted",
    "order.confirming",
    "order.completed",
]


async def test_one_hundred_dollars_become_tokens_in_the_wallet(bridge):
    """Every status once and in order, the exact tokens on-chain, balanced books."""
    wallet = fresh_address()
    order_id = await bridge.place("100.00", wallet=wallet)
    await bridge.pay(order_id)
    order = await bridge.reach(order_id, Status.COMPLETED)
    assert await bridge.event_types(order_id) == WAY
    assert bridge.world.balance(wallet) == order.token.amount_minor
    intent = await bridge.intent(order_id)
    assert (intent["status"], intent["amount_received"]) == ("succeeded", 10_000)
    assert intent["metadata"]["order_id"] == order_id
    assert await bridge.balance(Account.STRIPE, "USD") == 10_000
    assert await bridge.balance(Account.CUSTOMER, "USD") == 0
    await bridge.check_books()


async def test_many_orders_leave_in_one_batch(bridge):
    """What waits together is paid together, each wallet its own amount."""
    wallets = [fresh_address() for _ in range(5)]
    ids = [await bridge.place("20.00", wallet=wallet) for wallet in wallets]
    for order_id in ids:
        await bridge.pay(order_id)
    orders = [await bridge.reach(order_id, Status.COMPLETED) for order_id in ids]
    for order, wallet in zip(orders, wallets, strict=True):
        assert bridge.world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()
