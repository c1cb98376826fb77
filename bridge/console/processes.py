"""``tidegate api``, ``worker`` and ``migrate``: what a deployment runs."""

from pathlib import Path

import click

from bridge import logging
from bridge import settings as settings_module


@click.command()
@click.option("--port-file", type=click.Path(path_type=Path), help="Where to write the port taken.")
def api(port_file: Path | None) -> None:
    """Serve the REST API on TIDEGATE_HOST and TIDEGATE_PORT until SIGTERM."""
    from bridge.processes import run_api

    settings = settings_module.load()
    logging.configure(settings.log_level)
    run_api(settings, port_file)


@click.command()
def worker() -> None:
    """Move orders along until SIGTERM. Any number of workers share the work."""
    from bridge.processes import run_worker

    settings = settings_module.load()
    logging.configure(settings.log_level)
    run_worker(settings)


@click.command()
def migrate() -> None:
    """Bring the database to the newest schema. Safe to run from several places at once."""
    from bridge.console.context import start_database
    from bridge.storage.migrate import upgrade

    settings = settings_module.load()
    if settings.database_url is not None:
        upgrade(settings.database_url)
    else:
        server = start_database(settings)
        try:
            upgrade(server.dsn)
        finally:
            server.stop()
    click.echo("the database has the newest schema")
