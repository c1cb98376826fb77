"""Cases, screenings, lists and the audit trail over the API: refusals first."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import httpx
import pytest

from bridge.storage.records import KeyKind, Role
from settlement.case import REJECTED
from settlement.order import HoldReason, Order, Status
from settlement.ports.screening import Outcome, Reason, Subject, Verdict
from settlement.transitions import move, void
from tests.api.world import Api, is_problem

SANCTIONED = "0x00000000000000000000000000000000000bad01"
WALLET = "0x8617E340B3D01FA5F11F306F4090FD50E238070D"
WHY = {"reason": "the exchange confirmed whose wallet it is"}
VERBS = ("claim", "release", "approve", "reject", "notes")
ENTRY = {"address": WALLET, "asset": "ETH", "reason": "a complaint"}


@dataclass
class Office:
    """A tenant with two officers, and orders in review."""

    api: Api
    second: str

    async def in_review(
        self, amount: str = "100.00", score_ppm: int | None = None, risk_ppm: int | None = None
    ) -> Order:
        """An authorised order whose screening asked for an officer, as the worker stores it."""
        placed = await self.api.order(amount=amount)
        store, now = self.api.store, self.api.clock.now()
        order = await self.order(placed["id"])
        await store.apply_many([move(order, Status.AUTHORIZED, now, under_lease=False)])
        order = await self.order(placed["id"])
        reasons = (Reason("rule.exposure", "two hops from a mixer"),)
        evidence = {"path": [order.wallet, SANCTIONED]}
        judged = (Outcome.REVIEW, reasons, {"ofac": "7"}, score_ppm, {}, evidence)
        verdict = Verdict(*judged, risk_ppm)
        screening_id = await store.save_screening(Subject.of(order), verdict, now)
        patch = {"screening_id": screening_id, "hold_reason": HoldReason.REVIEW}
        await store.apply_many([move(order, Status.IN_REVIEW, now, patch=patch)])
        return await self.order(order.id)

    async def order(self, order_id: str) -> Order:
        found = await self.api.store.get(order_id)
        assert found is not None
        return found

    async def case(self, order: Order) -> dict[str, Any]:
        answer = await self.get(f"cases/{case_id(order)}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def get(self, path: str) -> httpx.Response:
        return await self.api.get(f"/v1/{path}", key=self.api.keys[Role.COMPLIANCE])

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        key = options.pop("key", self.api.keys[Role.COMPLIANCE])
        return await self.api.post(f"/v1/{path}", body, key=key, **options)

    async def actions(self) -> list[str]:
        trail = (await self.get("audit_log?limit=100")).json()["data"]
        return [row["action"] for row in reversed(trail)]


def case_id(order: Order) -> str:
    return order.id.replace("ord_", "case_")


def body_of(verb: str) -> dict[str, str] | None:
    return {"approve": WHY, "reject": WHY, "notes": {"text": "asked the customer"}}.get(verb)


@pytest.fixture
async def office(api: Api) -> Office:
    return Office(api, await api.new_key(KeyKind.SECRET, Role.COMPLIANCE))


@pytest.mark.parametrize("verb", VERBS)
async def test_only_officers_of_the_tenant_touch_a_case(office: Office, verb: str) -> None:
    """Neither merchants nor operators; another tenant's case does not exist."""
    order = await office.in_review()
    path, body = f"cases/{case_id(order)}/{verb}", body_of(verb)
    for role in (Role.MERCHANT, Role.OPERATOR):
        key = office.api.keys[role]
        is_problem(await office.post(path, body, key=key), 403, "forbidden")
        is_problem(await office.api.get(f"/v1/cases/{case_id(order)}", key=key), 403, "forbidden")
    stranger = await office.api.new_tenant()
    refused = await office.post(path, body, key=stranger.keys[Role.COMPLIANCE])
    is_problem(refused, 404, "resource_missing")
    is_problem(await office.post(path, body, idempotency_key=None), 400, "idempotency_key_missing")
    assert await office.actions() == ["case.opened"]


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x", "also": 1}, None])
@pytest.mark.parametrize("verb", ["approve", "reject"])
async def test_a_decision_needs_a_reason(office: Office, verb: str, body: Any) -> None:
    """And nothing else."""
    order = await office.in_review()
    answer = await office.post(f"cases/{case_id(order)}/{verb}", body)
    assert answer.status_code in (400, 415)
    assert (await office.order(order.id)).status is Status.IN_REVIEW


async def test_a_claimed_case_is_another_officers(office: Office) -> None:
    """Until it is released, by its officer or an administrator."""
    order = await office.in_review()
    path = f"cases/{case_id(order)}"
    first = (await office.post(f"{path}/claim")).json()
    assert first["claimed_by"]
    for verb in ("claim", "approve", "reject", "release"):
        refused = await office.post(f"{path}/{verb}", body_of(verb), key=office.second)
        is_problem(refused, 409, "case_claimed")
    assert (await office.post(f"{path}/claim")).json()["claimed_at"] == first["claimed_at"]
    freed = await office.post(f"{path}/release", key=office.api.keys[Role.ADMIN])
    assert freed.json()["claimed_by"] is None
    assert (await office.post(f"{path}/claim", key=office.second)).status_code == 200
    expected = ["case.opened", "case.claimed", "case.released", "case.claimed"]
    assert await office.actions() == expected


async def test_an_approval_clears_the_order_once(office: Office) -> None:
    """Ten repetitions of one key are one decision; another one finds it decided."""
    order = await office.in_review()
    path = f"cases/{case_id(order)}"
    await office.post(f"{path}/notes", {"text": "asked the customer"})
    tries = [office.post(f"{path}/approve", WHY, idempotency_key="once") for _ in range(10)]
    answers = await asyncio.gather(*tries)
    assert {answer.status_code for answer in answers} == {200}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 9
    assert (await office.order(order.id)).status is Status.CLEARED
    for verb in ("claim", "release", "approve", "reject"):
        is_problem(await office.post(f"{path}/{verb}", body_of(verb)), 409, "case_decided")
    shown = await office.case(order)
    assert (shown["status"], shown["reason"]) == ("approved", WHY["reason"])
    assert shown["evidence"]["screening"]["evidence"] == {"path": [order.wallet, SANCTIONED]}
    assert shown["evidence"]["notes"][0][1] == "asked the customer"
    assert [row["action"] for row in shown["history"]] == [
        "case.opened",
        "case.noted",
        "case.approved",
    ]
    assert shown["history"][-1]["data"]["evidence_digest"] == shown["evidence_digest"]
    changed = await office.post(f"{path}/approve", {"reason": "x"}, idempotency_key="once")
    is_problem(changed, 422, "idempotency_key_reused")


async def test_the_evidence_has_what_lists_said_of_every_party(office: Office) -> None:
    """An escrow's purse is on no list; whoever is, is kept with the decision by address."""
    order = await office.in_review()
    payee = "update orders set parties = jsonb_build_array($2::text) where id = $1"
    await office.api.store.pool.execute(payee, order.id, WALLET)
    assert (await office.post("lists/own_block/entries", ENTRY)).status_code == 201
    await office.post(f"cases/{case_id(order)}/reject", WHY)
    [listed] = (await office.case(order))["evidence"]["listed_now"]
    assert (listed["list"], listed["address"]) == ("own_block", WALLET.lower())


async def test_a_rejection_gives_the_authorisation_back(office: Office) -> None:
    """One officer suffices, whatever the amount."""
    order = await office.in_review("1500.00")
    answer = await office.post(f"cases/{case_id(order)}/reject", WHY)
    assert answer.json()["status"] == "rejected"
    after = await office.order(order.id)
    assert (after.status, after.exit_to) == (Status.VOIDING, Status.REJECTED)
    assert after.reason == REJECTED


async def test_above_the_limit_two_officers_approve(office: Office) -> None:
    """The same one cannot be both; up to the limit one does it alone."""
    order = await office.in_review("1000.01")
    path = f"cases/{case_id(order)}/approve"
    first = (await office.post(path, WHY)).json()
    assert (first["status"], first["needs_second"]) == ("second", True)
    assert (await office.order(order.id)).status is Status.IN_REVIEW
    is_problem(await office.post(path, WHY), 409, "second_officer_needed")
    second = (await office.post(path, WHY, key=office.second)).json()
    assert second["status"] == "approved"
    assert second["decided_by"] != second["first_approved_by"]
    assert (await office.order(order.id)).status is Status.CLEARED
    exactly = await office.in_review("1000.00")
    assert (await office.post(f"cases/{case_id(exactly)}/approve", WHY)).json()["needs_second"] is (
        False
    )


async def test_the_second_officer_may_reject(office: Office) -> None:
    """Nobody is bound by the first approval."""
    order = await office.in_review("1500.00")
    await office.post(f"cases/{case_id(order)}/approve", WHY)
    answer = await office.post(f"cases/{case_id(order)}/reject", WHY, key=office.second)
    assert answer.json()["status"] == "rejected"
    assert (await office.order(order.id)).status is Status.VOIDING


async def test_a_case_closes_when_its_order_leaves_by_itself(office: Office) -> None:
    """Canceled by the customer or expired: nothing is left to decide."""
    canceled, expired = await office.in_review(), await office.in_review()
    cancel = await office.api.post(f"/v1/orders/{canceled.id}/cancel")
    assert cancel.status_code == 200
    gone = void(expired, Status.EXPIRED, "review_timeout", office.api.clock.now())
    assert await office.api.store.apply_many([replace(gone, epoch=None)]) == []
    for order, because in ((canceled, "canceled_by"), (expired, "review_timeout")):
        shown = await office.case(order)
        assert shown["status"] == "closed"
        assert because in shown["closed_because"]
        is_problem(await office.post(f"cases/{shown['id']}/approve", WHY), 409, "case_decided")


async def test_the_queue_is_ranked_by_risk_times_amount(office: Office) -> None:
    """Pages go down it and back up; who abstained counts a half."""
    orders = [
        await office.in_review(amount, score)
        for amount, score in (("100.00", 900_000), ("200.00", None), ("50.00", 990_000))
    ]
    expected = [case_id(orders[i]) for i in (1, 0, 2)]
    queue = (await office.get("cases?standing=true")).json()["data"]
    assert [case["id"] for case in queue] == expected
    page = (await office.get(f"cases?limit=1&starting_after={expected[0]}")).json()
    assert ([case["id"] for case in page["data"]], page["has_more"]) == ([expected[1]], True)
    back = (await office.get(f"cases?limit=1&ending_before={expected[2]}")).json()
    assert [case["id"] for case in back["data"]] == [expected[1]]
    await office.post(f"cases/{expected[0]}/approve", WHY)
    left = (await office.get("cases?standing=true")).json()["data"]
    assert [case["id"] for case in left] == expected[1:]
    decided = (await office.get("cases?status=approved")).json()["data"]
    assert [case["id"] for case in decided] == expected[:1]
    is_problem(await office.get("cases?status=lost"), 400, "invalid_parameter")


async def test_a_calm_score_ranks_no_sanctioned_exposure_below_an_unknown_wallet(
    office: Office,
) -> None:
    """The verdict's risk counts, whatever the score; a screening from before it was stored has
    its score."""
    found = (("100.00", 20_000, None), ("100.00", None, 500_000), ("100.00", 20_000, 1_000_000))
    orders = [await office.in_review(*one) for one in found]
    queue = (await office.get("cases?standing=true")).json()["data"]
    ranked = [(case["id"], case["risk_ppm"], case["score_ppm"]) for case in queue]
    risks = ((2, 1_000_000, 20_000), (1, 500_000, None), (0, 20_000, 20_000))
    assert ranked == [(case_id(orders[i]), risk, score) for i, risk, score in risks]


async def test_a_wallet_is_screened_without_an_order(office: Office) -> None:
    """Its address is checked; the merchant sees the reasons, the officer the evidence, too."""
    bad = await office.api.post("/v1/screenings", {"network": "local", "address": "0x1"})
    is_problem(bad, 400, "invalid_address")
    body = {"network": "local", "address": SANCTIONED, "customer": "anna"}
    made = await office.api.post("/v1/screenings", body, idempotency_key="once")
    assert made.status_code == 201, made.text
    assert made.json()["outcome"] == "block"
    assert "evidence" not in made.json()
    again = await office.api.post("/v1/screenings", body, idempotency_key="once")
    assert again.json() == made.json()
    shown = (await office.get(f"screenings/{made.json()['id']}")).json()
    assert "evidence" in shown
    assert shown["digest"] == made.json()["digest"]
    frontend = await office.api.publishable()
    refused = await office.api.post("/v1/screenings", body, key=frontend)
    is_problem(refused, 403, "forbidden")


async def test_own_lists_are_written_by_officers_alone(office: Office) -> None:
    """Real addresses, own lists, spans that make sense."""
    merchant = office.api.keys[Role.MERCHANT]
    path = "lists/own_block/entries"
    is_problem(await office.post(path, ENTRY, key=merchant), 403, "forbidden")
    is_problem(await office.post("lists/ofac/entries", ENTRY), 404, "resource_missing")
    wrong = {**ENTRY, "address": WALLET.replace("E", "e", 1)}
    is_problem(await office.post(path, wrong), 400, "invalid_address")
    dates = {"since": "2030-01-02T00:00:00Z", "until": "2030-01-01T00:00:00Z"}
    is_problem(await office.post(path, {**ENTRY, **dates}), 400, "invalid_parameter")
    is_problem(await office.post(f"{path}/1/remove", WHY), 404, "resource_missing")
    is_problem(await office.post(f"{path}/x/remove", WHY), 404, "resource_missing")


async def test_a_blocked_address_is_vetoed_at_once_and_no_longer_than_listed(
    office: Office,
) -> None:
    """For this tenant; the list's versions and the audit trail tell who, when and why."""
    path, body = "lists/own_block/entries", {"network": "local", "address": WALLET}
    entry = (await office.post(path, ENTRY)).json()
    assert entry["address"] == WALLET.lower()
    assert (await office.api.post("/v1/screenings", body)).json()["outcome"] == "block"
    stranger = await office.api.new_tenant()
    assert (await stranger.post("/v1/screenings", body)).json()["outcome"] == "clear"
    is_problem(await office.post(path, ENTRY), 400, "invalid_parameter")
    removed = (await office.post(f"{path}/{entry['id']}/remove", WHY)).json()
    assert removed["until"] is not None
    assert (await office.api.post("/v1/screenings", body)).json()["outcome"] == "clear"
    assert (await office.get(path)).json()["data"] == []
    assert len((await office.get(f"{path}?ended=true")).json()["data"]) == 1
    versions = (await office.get("lists/own_block/versions")).json()["data"]
    assert [(v["added"], v["removed"]) for v in versions] == [(0, 1), (1, 0)]
    [own] = [row for row in (await office.get("lists")).json()["data"] if row["own"]]
    assert (own["id"], own["version"], own["entries"]) == ("own_block", 2, 0)
    actions = [a for a in await office.actions() if a.startswith("list.")]
    assert actions == ["list.entry_added", "list.entry_removed"]


async def test_an_allowance_never_lifts_a_veto(office: Office) -> None:
    """Sanctions stay sanctions."""
    entry = {**ENTRY, "address": SANCTIONED}
    assert (await office.post("lists/own_allow/entries", entry)).status_code == 201
    body = {"network": "local", "address": SANCTIONED}
    assert (await office.api.post("/v1/screenings", body)).json()["outcome"] == "block"


REWRITINGS = (
    "DELETE FROM audit_log",
    "UPDATE audit_log SET actor = 'nobody'",
    "TRUNCATE audit_log",
    "TRUNCATE audit_heads",
    "DELETE FROM audit_heads",
    "UPDATE audit_heads SET hash = 'x'",
    "UPDATE audit_heads SET rows = 1, hash = ''",
    "DELETE FROM cases",
    "UPDATE case_notes SET text = ''",
    "UPDATE cases SET status = 'open', decided_by = NULL",
)


async def test_the_database_refuses_to_rewrite_what_was_done(office: Office) -> None:
    """Whoever is at the console, too."""
    order = await office.in_review()
    await office.post(f"cases/{case_id(order)}/notes", {"text": "x"})
    await office.post(f"cases/{case_id(order)}/approve", WHY)
    for statement in REWRITINGS:
        with pytest.raises(asyncpg.RestrictViolationError):
            await office.api.store.pool.execute(statement)


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("UPDATE audit_log SET data = '{}' WHERE place = 2 AND tenant_id = $1", "was changed"),
        (
            "UPDATE audit_log SET at = at + interval '1 s' WHERE place = 2 AND tenant_id = $1",
            "was changed",
        ),
        ("DELETE FROM audit_log WHERE place = 2 AND tenant_id = $1", "is missing"),
        ("DELETE FROM audit_log WHERE place = 3 AND tenant_id = $1", "ends at row 2 of 3"),
        (
            "UPDATE audit_log SET previous = 'x' WHERE place = 2 AND tenant_id = $1",
            "follows another",
        ),
    ],
)
async def test_tampering_past_the_triggers_breaks_the_chain(
    office: Office, tampering: str, found: str
) -> None:
    """Somebody with the database's own password is found out by the seals."""
    order = await office.in_review()
    await office.post(f"cases/{case_id(order)}/notes", {"text": "x"})
    await office.post(f"cases/{case_id(order)}/approve", WHY)
    whole = (await office.get("audit_log/verification")).json()
    assert (whole["verified"], whole["rows"]) == (True, 3)
    noted = (await office.get(f"audit_log/verification?noted={whole['head']}")).json()
    assert noted["knows_head"] is True
    other = (await office.get(f"audit_log/verification?noted={'0' * 64}")).json()
    assert (other["verified"], other["knows_head"]) == (False, False)
    async with office.api.store.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(tampering, office.api.tenant_id)
    broken = (await office.get("audit_log/verification")).json()
    assert broken["verified"] is False
    assert found in broken["broken"]
