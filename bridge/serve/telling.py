"""What is said along the way, once each part is done."""

from bridge.serve.backing import Backing
from bridge.serve.demo import TENANT, Report
from bridge.serve.folder import DemoSecrets
from bridge.serve.recheck import Recheck
from bridge.serve.terminal import Terminal
from bridge.wording import money, shown


def backing(say: Terminal, running: Backing, elapsed_s: float) -> None:
    """Which database, chain and Stripe, and what the chain has to say."""
    card = f"Stripe at {running.stripe_base}" if running.stripe_base else "Stripe (test mode)"
    if running.emulator is not None:
        card = "local Stripe emulator"
    database = "embedded PostgreSQL" if running.database.owned else "PostgreSQL"
    say.step(f"{database}, {running.chain.kind}, {card}", elapsed_s)
    for note in running.chain.notes:
        say.note(note)


def world(say: Terminal, report: Report, elapsed_s: float) -> None:
    """The vault, and whatever is out of the ordinary about the chain and the books."""
    if report.replaced is not None:
        say.note(f"the chain is not the one that was paid on: {report.replaced}")
        count = len(report.refunding)
        refunds = f"; {shown(count, 'order')} in flight will be refunded" if count else ""
        say.note(f"started over on a new chain instance{refunds}")
    if report.stopped is not None:
        say.note(
            f"network local is stopped: {report.stopped}; nothing is sent until somebody looks. "
            'Start over with make run ARGS="--new-chain"'
        )
    given = [f"stocked with {' and '.join(map(money, report.stocked))}"] if report.stocked else []
    given += [f"{money(amount)} for gas on its lane" for amount in report.fuelled]
    vault = f"vault {report.deployment.vault}"
    say.step(", ".join([vault, *given]), elapsed_s)
    for amount in report.adopted:
        say.note(f"the chain held {money(amount)} that the ledger did not know; booked now")
    _earlier(say, report.earlier)


def _earlier(say: Terminal, found: Recheck) -> None:
    noun = "earlier order"
    if found.verified:
        say.fact(f"{shown(found.verified, noun)} verified on-chain")
    if found.missing:
        say.note(f"{shown(found.missing, noun)} NOT found in the vault: the books disagree")
    if found.on_lost_chain:
        lost = shown(found.on_lost_chain, noun)
        say.note(f"{lost} completed on a chain instance that is gone: cannot be verified")


def keys(say: Terminal, secrets: DemoSecrets, api_url: str, local_stripe: str | None) -> None:
    """Where the API is, the demo tenant's test keys, and where a card is confirmed by hand."""
    say.title(f"Demo tenant {TENANT} at {api_url}/v1 (docs: {api_url}/docs)")
    say.row("secret key", secrets.secret_key)
    say.row("publishable key", secrets.publishable_key)
    if local_stripe is not None:
        say.row("local Stripe", local_stripe)
        say.row("  its key", secrets.stripe_publishable_key)
