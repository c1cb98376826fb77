"""``tidegate serve``, ``setup`` and ``sample-order``."""

import asyncio
import sys
from pathlib import Path

import click

from bridge import settings as settings_module
from bridge.serve import demo, story
from bridge.serve.folder import DataFolder, load_or_draw_secrets, load_secrets
from bridge.serve.sample import Access
from bridge.serve.terminal import Terminal
from bridge.settings import SettingsError
from chain.deployment import load_deployments
from chain.errors import LocalChainError


@click.command()
@click.option("--once", is_flag=True, help="Stop after the sample order's receipt.")
@click.option("--port", type=click.IntRange(0, 65535), help="Of the API; 0 takes a free one.")
@click.option(
    "--data-folder", type=click.Path(path_type=Path), help="Default: TIDEGATE_STATE_DIR, or data."
)
@click.option(
    "--chain",
    type=click.Choice(["anvil", "eth-tester"]),
    default="anvil",
    envvar="TIDEGATE_LOCAL_CHAIN",
    help="The local chain; without anvil it is eth-tester anyway.",
)
@click.option("--new-chain", is_flag=True, help="Put the chain aside and start over on a new one.")
@click.option("--no-sample", is_flag=True, help="Do not buy anything, only serve.")
@click.option("--with-parent", is_flag=True, hidden=True, help="End when the parent process does.")
def serve(
    once: bool,
    port: int | None,
    data_folder: Path | None,
    chain: str,
    new_chain: bool,
    no_sample: bool,
    with_parent: bool,
) -> None:
    """Run everything on this machine, and buy 100.00 USD of the demo dollar to show it.

    PostgreSQL, a local chain, Stripe's emulator (Stripe itself with STRIPE_API_KEY set to a test
    key), API and worker. Ctrl-C stops all of it.
    """
    if with_parent:
        from bridge.serve.parent import end_with_parent

        end_with_parent()
    folder = data_folder or Path(settings_module.load().state_dir)
    options = story.Options(folder, port, once, not no_sample, chain, new_chain)
    sys.exit(story.run(options, Terminal()))


@click.command()
@click.option("--rpc-url", required=True, help="The local development node.")
def setup(rpc_url: str) -> None:
    """Prepare the demo on a development node that runs already: contracts, stock, tenant, keys.

    For deployments whose parts run apart (containers). May be repeated: it finishes what is
    missing. The database is DATABASE_URL, migrated before.
    """
    settings = settings_module.load()
    folder = DataFolder(Path(settings.state_dir).absolute())
    folder.create()
    if not settings.database_url or not settings.stripe_api_key:
        raise SettingsError("setup needs DATABASE_URL and STRIPE_API_KEY")
    secrets = load_or_draw_secrets(folder)
    report = asyncio.run(demo.set_up(settings, secrets, rpc_url))
    if report.stopped is not None:
        raise LocalChainError(f"network {demo.NETWORK} is stopped: {report.stopped}")
    click.echo(f"vault {report.deployment.vault}")
    click.echo(f"keys of tenant {demo.TENANT} are in {folder.secrets}")


@click.command()
@click.option("--api-url", envvar="TIDEGATE_API_URL", help="Default: the API of `tidegate serve`.")
@click.option(
    "--stripe-base", envvar="STRIPE_API_BASE", help="Default: as `tidegate serve` has it."
)
@click.option("--rpc-url", help="A node to read the chain from. Default: of `tidegate serve`.")
def sample_order(api_url: str | None, stripe_base: str | None, rpc_url: str | None) -> None:
    """Buy from a running deployment through its public API and the stripe SDK.

    Keys come from the environment: TIDEGATE_API_KEY (secret), and STRIPE_PUBLISHABLE_KEY or
    STRIPE_API_KEY. Whatever is not given is taken from the data folder of `tidegate serve`.
    """
    settings = settings_module.load()
    access = _access(settings, api_url, stripe_base)
    if rpc_url is None:
        path = Path(settings.deployments or Path(settings.state_dir) / "deployments.json")
        known = load_deployments(path).get(demo.NETWORK)
        rpc_url = known.rpc_urls[0] if known is not None else None
    asyncio.run(story.sample_order(access, rpc_url, Terminal()))


def _access(
    settings: settings_module.Settings, api_url: str | None, stripe_base: str | None
) -> Access:
    import os

    demo_keys = load_secrets(DataFolder(Path(settings.state_dir).absolute()))
    key = os.environ.get("TIDEGATE_API_KEY") or (demo_keys and demo_keys.secret_key)
    url = api_url or (demo_keys and demo_keys.api_url)
    card_key = (
        os.environ.get("STRIPE_PUBLISHABLE_KEY")
        or settings.stripe_api_key
        or (demo_keys and demo_keys.stripe_publishable_key)
    )
    if not key or not url or not card_key:
        raise SettingsError(
            "say where to buy: --api-url with TIDEGATE_API_KEY and STRIPE_PUBLISHABLE_KEY set, or "
            "TIDEGATE_STATE_DIR as `tidegate serve` uses it"
        )
    return Access(url, key, card_key, stripe_base or (demo_keys.stripe_base if demo_keys else None))
