"""Conditional escrow end to end: what must not happen first, then every way the money can go."""

from datetime import timedelta

import pytest
from web3 import Web3

from settlement.ledger.accounts import Account
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
    terms,
    travel,
    whole,
)
from tests.flows.test_refusals import nothing_happened


def problem(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json().get("param")


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


# The ways the money can go ----------------------------------------------------------------------


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
    """In the payment intent's metadata, however long Stripe was away."""
    deal = await funded(bridge)
    await deal.release("40.00")
    await deal.until(lambda view: view["attestations"][0]["status"] == "final")
    await bridge.step()
    metadata = (await bridge.intent(deal.order_id))["metadata"]
    view = await deal.view()
    assert metadata["order_id"] == deal.order_id
    assert metadata["escrow_state"] == "funded"
    assert metadata["escrow_released"] == "40.000000 DUSD"
    assert metadata["transaction_hash"] == view["transactions"][1]


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
