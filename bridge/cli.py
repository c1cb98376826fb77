"""``tidegate``: one command for everything, each subcommand imported when it is asked for.

Faults that can be foreseen end in one line that says what to do, and a non-zero status; a
traceback is a bug of ours.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

_COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("bridge.console.serve", "Run everything on this machine and sell a sample order."),
    "api": ("bridge.console.processes", "Serve the REST API."),
    "worker": ("bridge.console.processes", "Move orders along until stopped."),
    "migrate": ("bridge.console.processes", "Bring the database to the newest schema."),
    "setup": ("bridge.console.serve", "Prepare the demo on a local node that runs already."),
    "sample-order": ("bridge.console.serve", "Buy from a running deployment, as a customer."),
    "tenants": ("bridge.console.keys", "Merchants: create, list."),
    "keys": ("bridge.console.keys", "API keys: create, list, revoke."),
    "treasury": ("bridge.console.treasury", "Inventory and gas money: status, fund, adopt."),
    "inbox": ("bridge.console.operations", "Provider events that were given up: list, replay."),
    "cases": ("bridge.console.cases", "Orders in review: list, show, approve, reject."),
    "screenings": ("bridge.console.screenings", "Verdicts on wallets: replay."),
    "audit": ("bridge.console.screenings", "The audit trail: verify."),
    "lists": ("bridge.console.lists", "Address lists: import, refresh, show."),
    "networks": ("bridge.console.networks", "Chains and lanes: list, pause, resume, start."),
    "gas": ("bridge.console.gas", "Fees: forecasts, decisions, a plot; train on what was seen."),
    "settlement": (
        "bridge.console.settlement",
        "Batches: list, show, bump, cancel, retry, rebuild.",
    ),
    "graph": ("bridge.console.graph", "The transfer graph behind screening: status, backfill."),
}
"""Command → the module that holds it under the same name (dashes as underscores), and its help."""


# Our matrices are small: threads that share one cost several times what they save. Read by numpy
# when it is imported, which no command has done yet.
for _library in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_library, "1")


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """From the table, so that help does not import every part."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tidegate")
def cli() -> None:
    """A self-hosted bridge between card rails and blockchains."""


def main() -> None:
    """The console script's entry. Ends the process."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")  # a terminal without UTF-8 is no reason to fail
    try:
        sys.exit(cli(standalone_mode=False))
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from bridge.console.faults import in_one_line

        message = in_one_line(error)
        if message is None:
            raise
        click.echo(f"tidegate: {message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
