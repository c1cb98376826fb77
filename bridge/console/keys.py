"""``tidegate tenants`` and ``tidegate keys``: who may use the API."""

import secrets

import click

from bridge import administering
from bridge.console.context import ACTOR, act, open_desk, runs, table
from bridge.operating import Actor
from bridge.storage.records import ApiKey, KeyKind, Role

_PREFIX = {KeyKind.SECRET: "sk", KeyKind.PUBLISHABLE: "pk"}
_tenant = click.option("--tenant", help="Its id; not needed while there is only one.")


@click.group()
def tenants() -> None:
    """Merchants. Test and live are two tenants."""


@tenants.command("create")
@click.argument("name")
@click.option("--live", is_flag=True, help="Real money; the default is a test tenant.")
@runs
async def create_tenant(name: str, live: bool) -> None:
    """Make a tenant with the limits of TIDEGATE_LIMITS and print its id."""
    async with open_desk() as desk:
        now, limits = desk.clock.now(), desk.settings.limits
        doing = administering.create_tenant(
            Actor(ACTOR), name, livemode=live, limits=limits, now=now
        )
        await act(desk, doing)
    click.echo(doing.deed.object_id)


@tenants.command("list")
@runs
async def list_tenants() -> None:
    """Every tenant."""
    async with open_desk() as desk:
        found = await desk.queries.tenants()
    rows = [(t.id, t.name, "live" if t.livemode else "test") for t in found]
    click.echo(table(rows, ("TENANT", "NAME", "MODE")))


@click.group()
def keys() -> None:
    """API keys. A key is shown once, when it is made; only its digest is kept."""


@keys.command("create")
@_tenant
@click.option(
    "--kind", type=click.Choice([k.value for k in KeyKind]), default="secret", show_default=True
)
@click.option(
    "--role", type=click.Choice([r.value for r in Role]), default="merchant", show_default=True
)
@click.option("--origin", multiple=True, help="Browser origin that may use a publishable key.")
@click.option("--return-url", multiple=True, help="Where customers may be sent after paying.")
@runs
async def create_key(
    tenant: str | None, kind: str, role: str, origin: tuple[str, ...], return_url: tuple[str, ...]
) -> None:
    """Make a key. Standard output is the key alone: it cannot be shown again."""
    async with open_desk() as desk:
        owner = await desk.tenant(tenant)
        mode = "live" if owner.livemode else "test"
        token = f"tg_{_PREFIX[KeyKind(kind)]}_{mode}_{secrets.token_urlsafe(32)}"
        doing = administering.create_key(
            Actor(ACTOR),
            owner.id,
            token,
            kind=KeyKind(kind),
            role=Role(role),
            now=desk.clock.now(),
            allowed_origins=origin,
            return_urls=return_url,
        )
        await act(desk, doing)
    key_id = doing.deed.object_id
    click.echo(f"{key_id}: a {role} {kind} key of {owner.id}, shown this once:", err=True)
    click.echo(token)


@keys.command("list")
@_tenant
@runs
async def list_keys(tenant: str | None) -> None:
    """The tenant's keys, revoked ones too, without their secrets."""
    async with open_desk() as desk:
        owner = await desk.tenant(tenant)
        found = await desk.queries.keys(owner.id)
    heads = ("KEY", "KIND", "ROLE", "SHOWN AS", "MADE", "STATE")
    click.echo(table([_row(key) for key in found], heads))


@keys.command("revoke")
@click.argument("key_id")
@_tenant
@runs
async def revoke_key(key_id: str, tenant: str | None) -> None:
    """Refuse the key from now on; servers notice within seconds."""
    async with open_desk() as desk:
        owner = await desk.tenant(tenant)
        now = desk.clock.now()
        await act(desk, administering.revoke_key(Actor(ACTOR), owner.id, key_id, now))
    click.echo(f"{key_id} is revoked")


def _row(key: ApiKey) -> tuple[str, ...]:
    state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "active"
    shown = f"{key.prefix}…{key.last4}"
    return (key.id, key.kind, key.role, shown, f"{key.created_at:%Y-%m-%d}", state)
