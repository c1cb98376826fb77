"""``tidegate cases``: orders in review, of every tenant, the riskiest first."""

from collections.abc import Callable

import click

from bridge.console.context import ACTOR, act, open_desk, runs, table
from bridge.console.evidence import evidence_lines
from bridge.operating import Actor, Doing
from bridge.reviewing import Policy, approve_case, reject_case
from bridge.storage.pages import Page
from bridge.wording import money
from settlement.case import Case, CaseStatus
from settlement.errors import NotFound

_case_id = click.argument("case_id")
_officer = click.option(
    "--officer", required=True, help="Who decides; the audit trail says console:NAME."
)
_reason = click.option("--reason", required=True, help="Why; kept for good.")


@click.group()
def cases() -> None:
    """Orders that wait for an officer."""


@cases.command("list")
@click.option("--all", "every", is_flag=True, help="Those that are decided, too.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@runs
async def list_cases(every: bool, limit: int) -> None:
    """By risk times amount, the highest first."""
    async with open_desk() as desk:
        found = await desk.queries.cases(None, Page(limit), standing=not every)
    if not found.rows:
        click.echo("there is no case" if every else "no case waits for an officer")
        return
    heads = ("CASE", "STATUS", "AMOUNT", "RISK", "SCORE", "OPENED", "CLAIMED BY", "TENANT")
    click.echo(table([_row(case) for case in found.rows], heads))


@cases.command("show")
@_case_id
@runs
async def show(case_id: str) -> None:
    """One case: why it was opened, what was written down, what was done."""
    async with open_desk() as desk:
        case = await desk.queries.case(None, case_id)
        if case is None:
            raise NotFound(f"there is no case {case_id}; see `tidegate cases list --all`")
        screening, behind = None, []
        if case.screening_id is not None:
            screening = await desk.queries.screening(None, case.screening_id)
        if screening is not None:
            behind = await desk.queries.payments_behind(screening)
        notes = await desk.queries.case_notes(case_id)
        history = await desk.queries.audit_log(None, Page(100), object_id=case_id)
    facts = (
        ("case", f"{case.id}, {case.status}"),
        ("order", f"{case.order_id}, {money(case.amount)}, customer {case.customer}"),
        ("wallet", f"{case.wallet} on {case.network}"),
        ("score", "none" if case.score_ppm is None else f"{case.score_ppm} ppm"),
        ("risk", f"{case.risk_ppm} ppm"),
        ("claimed by", case.claimed_by or "nobody"),
        ("approved first by", case.approved_by or "nobody"),
        ("decided by", case.decided_by or "nobody"),
        ("reason", case.reason or case.closed_because or "-"),
    )
    click.echo(table(list(facts[1:]), facts[0]))
    for reason in () if screening is None else screening.verdict.reasons:
        click.echo(f"why   {reason.code}: {reason.detail}")
    for word, line in () if screening is None else evidence_lines(screening, behind):
        click.echo(f"{word:<5} {line}")
    for note in notes:
        click.echo(f"note  {note.at:%Y-%m-%d %H:%M} {note.author}: {note.text}")
    for row in reversed(history.rows):
        click.echo(f"done  {row.at:%Y-%m-%d %H:%M} {row.actor}: {row.action}")


@cases.command("approve")
@_case_id
@_officer
@_reason
@runs
async def approve(case_id: str, officer: str, reason: str) -> None:
    """Let the order go on, or be the first of two officers who do."""

    def doing(who: Actor, policy: Policy) -> Callable[..., Doing]:
        return lambda now: approve_case(who, case_id, reason, now, policy)

    case = await _decide(case_id, officer, doing)
    if case.status is CaseStatus.SECOND:
        click.echo(f"{case_id} waits for a second officer")
    else:
        click.echo(f"{case_id} is approved; {case.order_id} goes on")


@cases.command("reject")
@_case_id
@_officer
@_reason
@runs
async def reject(case_id: str, officer: str, reason: str) -> None:
    """Give the authorisation back; the order ends as rejected."""

    def doing(who: Actor, _policy: Policy) -> Callable[..., Doing]:
        return lambda now: reject_case(who, case_id, reason, now)

    case = await _decide(case_id, officer, doing)
    click.echo(f"{case_id} is rejected; {case.order_id} is given back")


async def _decide(
    case_id: str, officer: str, doing: Callable[[Actor, Policy], Callable[..., Doing]]
) -> Case:
    async with open_desk() as desk:
        policy = Policy(dict(desk.settings.second_officer_above))
        who = Actor(f"{ACTOR}:{officer}")
        await act(desk, doing(who, policy)(desk.clock.now()))
        case = await desk.queries.case(None, case_id)
        assert case is not None
        return case


def _row(case: Case) -> tuple[str, ...]:
    return (
        case.id,
        case.status,
        money(case.amount),
        f"{case.risk_ppm}",
        "-" if case.score_ppm is None else f"{case.score_ppm}",
        f"{case.opened_at:%Y-%m-%d %H:%M}",
        case.claimed_by or "-",
        case.tenant_id,
    )
