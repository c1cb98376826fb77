"""``tidegate screenings`` and ``tidegate audit``: whether what is on record holds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from bridge.console.context import Desk, open_desk, runs
from bridge.wording import shown
from settlement.errors import InvariantBroken, NotFound

if TYPE_CHECKING:
    from compliance_graph.rescoring import Rescorer


@click.group()
def screenings() -> None:
    """Verdicts on wallets."""


@screenings.command("replay")
@click.argument("screening_id")
@runs
async def replay(screening_id: str) -> None:
    """Make the verdict again from its stored evidence and compare it bit for bit."""
    from compliance_graph.policy import Policy, load_policy, parse_policy
    from compliance_graph.replay import models_of, replayed

    async with open_desk() as desk:
        found = await desk.queries.screening(None, screening_id)
        if found is None:
            raise NotFound(f"there is no screening {screening_id}")
        version = found.verdict.versions.get("policy")
        content = None if version is None else await desk.queries.policy_content(version)
        models = models_of(found.verdict)
        measures = await desk.queries.model_contents(models)

    def policy_of(wanted: str) -> Policy:
        policy = load_policy() if content is None else parse_policy(content.encode())
        if policy.version != wanted:
            raise NotFound(f"policy {wanted} was not kept; the packaged one is {policy.version}")
        return policy

    rescorer = _rescorer(measures) if models else None
    ask = (lambda answer: answer) if rescorer is None else rescorer
    again = replayed(found.verdict, found.subject.wallet, policy_of, ask)
    for line in () if rescorer is None else rescorer.said:
        click.echo(line)
    for name, text in sorted(found.verdict.versions.items()):
        click.echo(f"{name} {text}")
    if again.digest != found.digest:
        raise InvariantBroken(
            f"{screening_id} was {found.verdict.outcome} with digest {found.digest}, "
            f"its evidence leads to {again.outcome} with digest {again.digest}"
        )
    if found.verdict.risk_ppm is not None and again.risk_ppm != found.verdict.risk_ppm:
        raise InvariantBroken(
            f"{screening_id} was ranked by {found.verdict.risk_ppm} ppm, "
            f"its evidence leads to {again.risk_ppm} ppm"
        )
    click.echo(f"{screening_id}: {again.outcome} again, digest {again.digest}")


def _rescorer(measures: Mapping[str, str]) -> "Rescorer":
    from compliance_graph.rescoring import Rescorer
    from compliance_graph.scoring import Scorer

    return Rescorer(Scorer.load(), measures)


@click.group()
def audit() -> None:
    """Who did what, sealed row by row."""


@audit.command("verify")
@click.option("--tenant", "tenant_id", help="Only this tenant's trail.")
@click.option("--noted", help="A head that was noted earlier: it has to be in the trail.")
@runs
async def verify(tenant_id: str | None, noted: str | None) -> None:
    """Recompute every seal. Note the heads down elsewhere: they catch a trail rewritten whole."""
    if noted is not None and tenant_id is None:
        raise click.UsageError("--noted belongs to one trail: say which with --tenant")
    async with open_desk() as desk:
        broken = await _verified(desk, tenant_id, noted)
    if broken:
        raise InvariantBroken(f"{shown(len(broken), 'trail')} broken: {'; '.join(broken)}")


async def _verified(desk: Desk, tenant_id: str | None, noted: str | None) -> list[str]:
    chains = await desk.queries.audit_chains() if tenant_id is None else [tenant_id]
    broken = []
    for chain in chains:
        found = await desk.queries.verify_audit(chain or None, noted)
        name = chain or "deployment"
        click.echo(f"{name}: {shown(found.rows, 'row')}, head {found.head or '-'}")
        if found.broken is not None:
            broken.append(f"{name}: {found.broken}")
    return broken
