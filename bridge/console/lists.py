"""``tidegate lists``: address lists in versions, from a publisher's own files."""

import tempfile
from datetime import timedelta
from pathlib import Path

import click
import httpx

from bridge.console.context import ACTOR, open_desk, runs, table
from bridge.settings import SettingsError
from bridge.storage.pages import Page
from compliance_graph.lists.files import read_publication
from compliance_graph.lists.treasury import read_treasury
from settlement.errors import InvalidInput, NotFound
from settlement.ports.lists import EVERYBODY, OWN_LISTS, ListState, Publication

FILE_MAX_BYTES = 512 * 1024 * 1024
TIMEOUT_S = 600.0
_accept = click.option(
    "--accept-shrinking", is_flag=True, help="Take it although far fewer addresses are named."
)


@click.group()
def lists() -> None:
    """Who is not paid, or not without a look. An empty or torn file never replaces a good list."""


@lists.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_accept
@runs
async def import_list(name: str, file: Path, accept_shrinking: bool) -> None:
    """Make FILE the newest version of the list NAME, for all tenants.

    FILE is the Treasury's SDN.XML, SDN_ADVANCED.XML or SDN.CSV, or a CSV with a header and a
    column `address` (and `asset`, `action`, `category`, `name`, or `labels`).
    """
    await _take_over(name, file, accept_shrinking)


@lists.command("refresh")
@click.argument("name")
@_accept
@click.option("--older-than-h", type=int, help="Only if nobody looked for so many hours.")
@runs
async def refresh(name: str, accept_shrinking: bool, older_than_h: int | None) -> None:
    """Fetch the list NAME from its URL in TIDEGATE_LIST_URLS and import it."""
    async with open_desk() as desk:
        url = desk.settings.list_urls.get(name)
        states = [s for s in await desk.queries.list_states(None) if s.name == name]
        looked = [s.refreshed_at for s in states if s.tenant_id == EVERYBODY and s.refreshed_at]
        hours = timedelta(hours=older_than_h or 0)
        if older_than_h is not None and any(at > desk.clock.now() - hours for at in looked):
            click.echo(f"{name} was looked at within {older_than_h} hours")
            return
    if url is None:
        raise SettingsError(f"TIDEGATE_LIST_URLS: names no URL of {name}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "publication"
        await fetch(url, file)
        await _take_over(name, file, accept_shrinking)


@lists.command("show")
@click.argument("name", required=False)
@click.option("--tenant", "tenant_id", help="Whose own list; default: everybody's.")
@click.option("--address", help="Only this address, with its whole history.")
@runs
async def show(name: str | None, tenant_id: str | None, address: str | None) -> None:
    """All lists, or the newest entries of one."""
    async with open_desk() as desk:
        if name is None:
            states = await desk.queries.list_states(None)
            if not states:
                click.echo("there is no stored list yet; files may be configured besides")
                return
            heads = ("LIST", "TENANT", "VERSION", "ENTRIES", "PUBLISHED", "LOOKED AT", "DIGEST")
            click.echo(table([_state(state) for state in states], heads))
            return
        owner = (await desk.tenant(tenant_id)).id if name in OWN_LISTS else EVERYBODY
        found = await desk.queries.list_entries(
            owner, name, Page(100), address=address, ended=address is not None
        )
        versions = await desk.queries.list_versions(owner, name, Page(10))
    if not versions.rows:
        raise NotFound(f"there is no list {name}; see `tidegate lists show`")
    rows = [
        (str(v.version), f"{v.at:%Y-%m-%d %H:%M}", f"+{v.added}", f"-{v.removed}", v.actor)
        for v in versions.rows
    ]
    click.echo(table(rows, ("VERSION", "AT", "NEW", "GONE", "BY")))
    entries = [
        (
            one.entry.address,
            one.entry.asset,
            one.entry.listing.action.value,
            one.entry.listing.name or "-",
            f"{one.added_in}-{one.removed_in or ''}",
        )
        for one in found.rows
    ]
    click.echo("\n" + table(entries, ("ADDRESS", "ASSET", "ACTION", "NAME", "VERSIONS")))
    if found.has_more:
        click.echo("… and more; name one with --address")


async def fetch(url: str, file: Path) -> None:
    """Read ``url`` whole into ``file``, over HTTPS (or from this machine), redirects too.

    Raises :class:`~settlement.errors.InvalidInput`.
    """
    size = 0
    try:
        async with (
            httpx.AsyncClient(
                timeout=TIMEOUT_S, follow_redirects=True, event_hooks={"request": [_check_scheme]}
            ) as client,
            client.stream("GET", url, headers={"accept-encoding": "identity"}) as answer,
        ):
            answer.raise_for_status()
            announced = answer.headers.get("content-length")
            with file.open("wb") as sink:
                async for part in answer.aiter_raw():
                    size += len(part)
                    if size > FILE_MAX_BYTES:
                        raise InvalidInput(f"{url} gives more than {FILE_MAX_BYTES} bytes")
                    sink.write(part)
    except httpx.HTTPError as error:
        raise InvalidInput(f"{url} cannot be read: {error!r}") from error
    if announced is not None and int(announced) != size:
        raise InvalidInput(f"{url} gave {size} of {announced} bytes: refused")


async def _check_scheme(request: httpx.Request) -> None:
    """Anybody on the way could take a name off a list that travels in the clear."""
    if request.url.scheme != "https" and request.url.host != "127.0.0.1":
        raise InvalidInput(f"{request.url} is not HTTPS: refused")


def read_file(name: str, file: Path) -> Publication:
    """Whatever it is. Raises :class:`~settlement.errors.InvalidInput` for what is not whole."""
    try:
        with file.open("rb") as stream:
            head = stream.read(4096)
        header = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].strip()
        if not head.lstrip().startswith(b"<") and b"address" in header.split(b","):
            return read_publication(name, file.read_bytes())
        return read_treasury(file, name)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(f"{file.name} is refused, nothing was changed: {error}") from error


async def _take_over(name: str, file: Path, accept_shrinking: bool) -> None:
    if name in OWN_LISTS:
        raise InvalidInput(f"{name} is written by officers, entry by entry")
    publication = read_file(name, file)
    async with open_desk() as desk:
        done = await desk.queries.take_over(
            name, publication, ACTOR, desk.clock.now(), accept_shrinking=accept_shrinking
        )
    if not done.added and not done.removed:
        click.echo(f"{name} names the same {done.entries} addresses, version {done.version}")
    else:
        click.echo(
            f"{name} version {done.version}: {done.entries} addresses, "
            f"{done.added} new, {done.removed} no longer listed"
        )
    for text in publication.unreadable:
        click.echo(f"note: not an address of its asset, kept as it stands: {text}", err=True)


def _state(state: ListState) -> tuple[str, ...]:
    return (
        state.name,
        state.tenant_id or "all",
        str(state.version),
        str(state.entries),
        "-" if state.published_on is None else f"{state.published_on:%Y-%m-%d}",
        "-" if state.refreshed_at is None else f"{state.refreshed_at:%Y-%m-%d %H:%M}",
        state.digest[:16],
    )
