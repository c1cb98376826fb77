"""Conditional escrow end to end: every way that the money can go."""

from datetime import timedelta

import pytest
from web3 import Web3

from settlement.errors import PaymentUnknown
from settlement.ledger.accounts import Account
from tests.flows.disturbing import disturb_payment
from tests.flows.escrowing import (
    EVIDENCE,
    agreed,
    books_agree,
    funded,
    minor,
    problem,
    travel,
    whole,
)


async def test_an_oracle_releases_in_two_parts(bridge):
    """The payee has each part once it is final; books, history and the dashboard say the same."""
    deal = await agreed(bridge)
    order = await deal.funded()
    amount = order.token.amount_minor
    view = await deal.view()
    assert view["purse"] == order.wallet
    assert bridge.world.balance(order.wallet) == amount
    await books_agree(bridge, deal)
    assert (await deal.release("40.00")).status_code == 201
    view = await deal.until(lambda view: view["released"]["amount_minor"] == str(minor("40.00")))
    assert view["status"] == "funded"
    assert deal.holds(deal.payee) == minor("40.00")
    await books_agree(bridge, deal)
    await deal.release(whole(amount))
    view = await deal.reach("released")
    assert deal.holds(deal.payee) == amount
    assert await bridge.balance(Account.ESCROW_HELD, "local:DUSD") == 0
    await books_agree(bridge, deal)
    history = [event["type"] for event in view["history"]]
    assert history == [
        "escrow.funded",
        "escrow.requested",
        "escrow.released",
        "escrow.requested",
        "escrow.released",
        "escrow.ended",
    ]
    assert len(view["transactions"]) == 3
    receipts = [
        bridge.world.rpc("eth_getTransactionReceipt", ref)["status"] for ref in view["transactions"]
    ]
    assert receipts == ["0x1"] * 3
    assert [e["data"].get("transaction") for e in view["history"]][2] == view["transactions"][1]


async def test_stripes_dashboard_shows_how_the_escrow_stands(bridge):
    """In the payment intent's metadata, however long Stripe was away; no money waits for it."""
    deal = await funded(bridge)
    real = bridge.ports
    disturb_payment(bridge, "annotate", away)
    await deal.release("40.00")
    await deal.until(lambda view: view["attestations"][0]["status"] == "final")
    assert deal.holds(deal.payee) == minor("40.00")
    assert (await bridge.intent(deal.order_id))["metadata"]["escrow_released"] == "0.000000 DUSD"
    bridge.ports = real
    bridge.clock.ahead += timedelta(seconds=31)
    await bridge.step()
    metadata = (await bridge.intent(deal.order_id))["metadata"]
    view = await deal.view()
    assert metadata["order_id"] == deal.order_id
    assert metadata["escrow_state"] == "funded"
    assert metadata["escrow_released"] == "40.000000 DUSD"
    assert metadata["transaction_hash"] == view["transactions"][1]


async def away(_real, *_arguments):
    raise PaymentUnknown("Stripe is away")


async def test_both_parties_divide_as_they_like(bridge):
    """In parts, too: what was signed over one state cannot be used over the next."""
    deal = await funded(bridge)
    amount = await deal.minor("amount")
    await deal.consent("10.00", "20.00")
    view = await deal.until(lambda view: view["attestations"][0]["status"] == "final")
    assert (view["status"], view["signing"]["paid_before"]) == ("funded", str(minor("30.00")))
    rest = amount - minor("30.00")
    await deal.consent(whole(rest), "0")
    await deal.reach("split")
    assert deal.holds(deal.payer) == minor("20.00")
    assert deal.holds(deal.payee) == amount - minor("20.00")
    await books_agree(bridge, deal)


@pytest.mark.parametrize(
    ("at_expiry", "status", "winner"),
    [("refund_payer", "refunded", "payer"), ("pay_payee", "released", "payee")],
)
async def test_at_the_expiry_what_is_left_goes_where_the_terms_say(
    bridge, at_expiry, status, winner
):
    """By the chain's clock, and without anybody's asking."""
    deal = await funded(bridge, at_expiry=at_expiry)
    amount = await deal.minor("amount")
    for _ in range(4):
        await bridge.step()
    assert (await deal.view())["attestations"] == []
    travel(bridge, timedelta(hours=7))
    view = await deal.reach(status)
    assert [a["kind"] for a in view["attestations"]] == ["expiry"]
    assert deal.holds(getattr(deal, winner)) == amount
    await books_agree(bridge, deal)


async def test_a_disputed_escrow_waits_for_the_arbiter_who_splits_it(bridge):
    """Not even the oracle moves anything meanwhile; nor does the expiry."""
    deal = await funded(bridge)
    await deal.release("10.00")
    await deal.until(lambda view: view["attestations"][0]["status"] == "final")
    assert (await deal.dispute(deal.payer)).status_code == 201
    view = await deal.reach("disputed")
    assert view["disputed_at"] is not None
    problem(await deal.release("20.00"), 409, "escrow_state")
    problem(await deal.dispute(deal.payee), 409, "escrow_state")
    travel(bridge, timedelta(hours=7))
    for _ in range(6):
        await bridge.step()
    left = await deal.minor("left")
    answer = await deal.resolve("5.00", "1.00")
    assert problem(answer, 400, "amount_out_of_range") == "to_payee"
    await deal.resolve("5.00", whole(left - minor("5.00")))
    view = await deal.reach("split")
    assert deal.holds(deal.payee) == minor("15.00")
    assert deal.holds(deal.payer) == left - minor("5.00")
    kinds = ["release", "dispute", "resolution"]
    assert [a["kind"] for a in view["attestations"]] == kinds
    await books_agree(bridge, deal)


async def test_what_others_do_on_chain_after_the_operators_time_is_noticed(bridge):
    """Anybody may bring the attestation then; our books and history follow the final block."""
    deal = await funded(bridge)
    amount = await deal.minor("amount")
    signature = await deal.sign(deal.oracle, "Release", total=amount, evidence=EVIDENCE)
    escrow = await bridge.queries.escrow(bridge.tenant, deal.id)
    bridge.with_policy(escrow_poll_ms=10**9)  # we are away
    await bridge.step()
    travel(bridge, timedelta(days=31))
    _release_by_hand(bridge, escrow.terms, amount, signature)
    bridge.with_policy(escrow_poll_ms=250)
    bridge.clock.ahead += timedelta(days=31)
    await deal.reach("released")
    assert deal.holds(deal.payee) == amount
    await books_agree(bridge, deal)


def _release_by_hand(bridge, agreed_terms, total, signature):
    members = (
        Web3.keccak(text=agreed_terms.order_id),
        agreed_terms.token,
        agreed_terms.amount_minor,
        agreed_terms.payer,
        agreed_terms.payee,
        agreed_terms.arbiter,
        agreed_terms.oracle,
        agreed_terms.operator,
        int(agreed_terms.expires_at.timestamp()),
        agreed_terms.pays_at_expiry,
    )
    call = bridge.world.escrow.functions.release(
        members, total, bytes.fromhex(EVIDENCE[2:]), bytes.fromhex(signature[2:])
    )
    assert bridge.world.do(call, bridge.world.stranger).succeeded


async def test_one_escrow_is_not_anothers_money(bridge):
    """Each has its purse: releasing one in full leaves the other as it was."""
    one, other = await funded(bridge), await funded(bridge)
    amount = await one.minor("amount")
    await one.release(whole(amount))
    await one.reach("released")
    view = await other.view()
    assert bridge.world.balance(view["purse"]) == int(view["left"]["amount_minor"])
    assert view["status"] == "funded"
    await books_agree(bridge, one, other)


async def test_escrows_are_listed_newest_first_by_status(bridge):
    """With a cursor, like everything else."""
    one, other = await agreed(bridge), await agreed(bridge)
    listed_ = (await bridge.api.get("/v1/escrows", params={"limit": 1})).json()
    assert ([e["id"] for e in listed_["data"]], listed_["has_more"]) == ([other.id], True)
    params = {"starting_after": other.id, "status": "awaiting_funding"}
    older = (await bridge.api.get("/v1/escrows", params=params)).json()
    assert [e["id"] for e in older["data"]] == [one.id]
    assert (await bridge.api.get("/v1/escrows", params={"status": "funded"})).json()["data"] == []
