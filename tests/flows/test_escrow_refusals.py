"""Conditional escrow: what must not happen, through the merchant's API on a real chain."""

from datetime import timedelta

import pytest

from settlement.order import Status
from settlement.stages import capture, charge, screen
from tests.flows.bridge import FRONTEND_KEY
from tests.flows.escrowing import (
    EVIDENCE,
    a_deal,
    agreed,
    books_agree,
    chain_time,
    funded,
    listed,
    minor,
    order_body,
    party,
    problem,
    terms,
    whole,
)
from tests.flows.test_refusals import nothing_happened

# Terms that cannot be agreed on -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("payee", lambda deal: deal.payer.address),
        ("arbiter", lambda deal: deal.payer.address),
        ("arbiter", lambda deal: deal.payee.address),
        ("oracle", lambda deal: deal.payee.address),
        ("payee", lambda deal: deal.bridge.world.vault.address),
        ("payer", lambda deal: deal.bridge.world.escrow.address),
        ("payee", lambda deal: deal.bridge.world.dollar.address),
        ("arbiter", lambda deal: deal.bridge.world.settler.address),
        ("payer", lambda _: "0x" + "00" * 20),
        ("payee", lambda _: "somebody"),
        ("expires_at", lambda deal: chain_time(deal.bridge).isoformat()),
        ("expires_at", lambda deal: (chain_time(deal.bridge) + timedelta(days=500)).isoformat()),
        ("expires_at", lambda _: "2027-01-01T00:00:00"),
        ("at_expiry", lambda _: "keep"),
    ],
)
async def test_terms_that_protect_nobody_are_refused_by_name(bridge, member, value):
    """Before anything is stored, and the member is named."""
    deal = a_deal(bridge)
    body = await order_body(bridge, terms(deal, **{member: value(deal)}))
    answer = await bridge.post("/v1/orders", body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["param"] == f"escrow.{member}"


async def test_an_escrow_order_has_terms_and_no_wallet_of_its_own(bridge):
    """And terms without settle_to are no escrow."""
    deal = a_deal(bridge)
    wallet = {"network": "local", "address": deal.payee.address}
    with_wallet = await order_body(bridge, terms(deal), wallet=wallet)
    assert problem(await bridge.post("/v1/orders", with_wallet), 400, "invalid_parameter") == (
        "wallet"
    )
    without = await order_body(bridge, None)
    assert problem(await bridge.post("/v1/orders", without), 400, "invalid_parameter") == "escrow"
    plain = await order_body(bridge, terms(deal), settle_to="wallet", wallet=wallet)
    assert problem(await bridge.post("/v1/orders", plain), 400, "invalid_parameter") == "escrow"


async def test_a_browser_cannot_state_terms(bridge):
    """They decide who is paid: only a secret key may."""
    body = await order_body(bridge, terms(a_deal(bridge)))
    answer = await bridge.post("/v1/orders", body, Authorization=f"Bearer {FRONTEND_KEY}")
    problem(answer, 403, "forbidden")


# Parties that are listed ------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["payee", "payer"])
async def test_a_sanctioned_party_is_never_funded(bridge, role):
    """The authorisation is voided, the escrow is void, and the screening names the party."""
    deal = a_deal(bridge)
    listed(bridge, getattr(deal, role))
    await agreed(bridge, deal)
    await bridge.pay(deal.order_id)
    order = await bridge.reach(deal.order_id, Status.REJECTED)
    view = await deal.reach("void")
    await nothing_happened(bridge, deal.order_id, view["purse"])
    screening = (await bridge.api.get(f"/v1/screenings/{order.screening_id}")).json()
    assert getattr(deal, role).address in screening["reasons"][0]["detail"]


async def test_a_payee_listed_before_the_batch_holds_the_order(bridge):
    """The third look, right before the tokens leave, sees the parties, too."""
    deal = await agreed(bridge)
    await bridge.pay(deal.order_id)
    await bridge.tick_until(deal.order_id, Status.CAPTURED, charge.tick, screen.tick, capture.tick)
    listed(bridge, deal.payee)
    order = await bridge.until(deal.order_id, lambda order: order.hold_reason == "sanctions")
    assert order.status is Status.CAPTURED


async def test_a_payee_listed_after_funding_is_not_paid_and_the_payer_gets_the_money_back(bridge):
    """The release waits with its reason; the arbiter's refund does not wait behind it."""
    deal = await funded(bridge)
    listed(bridge, deal.payee)
    assert (await deal.release("40.00")).status_code == 201
    view = await deal.until(lambda view: view["attestations"][0]["status"] == "held")
    held = view["attestations"][0]
    assert held["hold_reason"] == "sanctions"
    assert "sanctions" in held["reason"]
    assert "escrow.held" in await bridge.event_types(deal.order_id)
    assert (await deal.dispute(deal.payer)).status_code == 201
    await deal.reach("disputed")
    left = await deal.minor("left")
    assert (await deal.resolve("0", whole(left))).status_code == 201
    view = await deal.reach("refunded")
    assert (deal.holds(deal.payee), deal.holds(deal.payer)) == (0, left)
    await books_agree(bridge, deal)


async def test_a_payee_cleared_again_is_paid_what_waited(bridge):
    """A hold is not a verdict for ever: every look screens anew."""
    deal = await funded(bridge)
    content = bridge.lists.read_text()
    listed(bridge, deal.payee, "review")
    await deal.release("40.00")
    view = await deal.until(lambda view: view["attestations"][0]["status"] == "held")
    assert view["attestations"][0]["hold_reason"] == "review"
    bridge.lists.write_text(content)
    await deal.until(lambda view: view["attestations"][0]["status"] == "final")
    assert deal.holds(deal.payee) == minor("40.00")


# Attestations that count for nothing ------------------------------------------------------------


async def test_nothing_can_be_attested_before_the_purse_is_filled(bridge):
    """Nor is a signature asked for when it could not be used."""
    deal = await agreed(bridge)
    problem(await deal.release("1.00"), 409, "escrow_state")


async def test_only_the_oracle_can_attest_a_release(bridge):
    """Neither the payee, nor the arbiter, nor a stranger; nor the oracle about another escrow."""
    deal, other = await funded(bridge), await funded(bridge)
    for signer in (deal.payee, deal.arbiter, party()):
        param = problem(await deal.release("1.00", signer), 400, "signature_invalid")
        assert param == "signature"
    about_other = await other.sign(deal.oracle, "Release", total=minor("1.00"), evidence=EVIDENCE)
    answer = await deal.attest("release", total="1.00", evidence=EVIDENCE, signature=about_other)
    problem(answer, 400, "signature_invalid")
    assert (await deal.view())["attestations"] == []


async def test_a_release_cannot_exceed_the_escrow_or_fall_behind_itself(bridge):
    """Totals are cumulative: what was released once is not released again."""
    deal = await funded(bridge)
    amount = await deal.minor("amount")
    assert problem(await deal.release(whole(amount + 1)), 400, "amount_out_of_range") == "total"
    await deal.release("10.00")
    await deal.until(lambda view: view["attestations"][0]["status"] == "final")
    assert problem(await deal.release("10.00"), 400, "amount_out_of_range") == "total"
    assert problem(await deal.release("4.00"), 400, "amount_out_of_range") == "total"
    assert deal.holds(deal.payee) == minor("10.00")


async def test_the_same_word_counts_once(bridge):
    """Under its own key it is replayed, under another it is known."""
    deal = await funded(bridge)
    signature = await deal.sign(deal.oracle, "Release", total=minor("5.00"), evidence=EVIDENCE)
    body = {"kind": "release", "total": "5.00", "evidence": EVIDENCE, "signature": signature}
    path = f"/v1/escrows/{deal.id}/attestations"
    first = await bridge.post(path, body, **{"Idempotency-Key": "scan-1"})
    again = await bridge.post(path, body, **{"Idempotency-Key": "scan-1"})
    assert (first.status_code, first.json()) == (201, again.json())
    assert again.headers["idempotent-replayed"] == "true"
    problem(await bridge.post(path, body), 409, "attestation_known")
    other = {**body, "total": "6.00"}
    answer = await bridge.post(path, other, **{"Idempotency-Key": "scan-1"})
    problem(answer, 422, "idempotency_key_reused")


async def test_consent_takes_both_and_no_more_than_is_left(bridge):
    """A signature of one, or of one twice, is no consent."""
    deal = await funded(bridge)
    amount = await deal.minor("amount")
    shares = {"toPayee": minor("1.00"), "toPayer": minor("1.00")}
    payer = await deal.sign(deal.payer, "Settlement", **shares)
    body = {"to_payee": "1.00", "to_payer": "1.00", "payer_signature": payer}
    answer = await deal.attest("consent", **body, payee_signature=payer)
    assert problem(answer, 400, "signature_invalid") == "payee_signature"
    answer = await deal.consent(whole(amount), "1.00")
    assert problem(answer, 400, "amount_out_of_range") == "to_payee"


async def test_the_arbiter_decides_nothing_that_nobody_disputes(bridge):
    """And a stranger disputes nothing."""
    deal = await funded(bridge)
    left = await deal.minor("left")
    problem(await deal.resolve(whole(left), "0"), 409, "escrow_state")
    assert problem(await deal.dispute(deal.arbiter), 400, "invalid_parameter") == "by"


async def test_another_merchants_escrow_does_not_exist(bridge):
    """For reading as for attesting."""
    answer = await bridge.api.get("/v1/escrows/esc_00000000000000000000000000")
    problem(answer, 404, "resource_missing")
