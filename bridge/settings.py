"""Everything a deployment may choose, in one table read from the environment.

Each field of :class:`Settings` carries its variable's name, parser and meaning, so that parsing
(:func:`load`), the documentation (``python -m bridge.settings`` prints ``docs/configuration.md``)
and the defaults cannot drift apart. A bad value stops the start with a message that names its
variable and never repeats a secret.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from fractions import Fraction
from typing import Any, TypeVar

from bridge.parsing import (
    FIAT,
    parse_amounts,
    parse_choice,
    parse_fee_caps,
    parse_fiat_assets,
    parse_flag,
    parse_integer,
    parse_keys,
    parse_limits,
    parse_optional,
    parse_pairs,
    parse_sources,
    parse_stripe_key,
    parse_text,
    parse_words,
)
from bridge.prices.static import parse_prices
from settlement.errors import InvalidInput
from settlement.limits import Limits
from settlement.money import Asset

T = TypeVar("T")


class SettingsError(ValueError):
    """A variable has a value that we cannot use; the message names it."""


def _var(env: str, parse: Callable[[str], T], default: str, meaning: str, kind: str) -> T:
    """One row of the table; typed as its parsed value so that the dataclass reads naturally."""
    row: Any = field(
        default_factory=lambda: parse(default),
        metadata={"env": env, "parse": parse, "default": default, "doc": meaning, "kind": kind},
    )
    return row  # type: ignore[no-any-return]


def _secret(env: str, parse: Callable[[str], T], meaning: str) -> T:
    row: Any = field(
        default_factory=lambda: parse(""),
        repr=False,
        metadata={"env": env, "parse": parse, "default": "", "doc": meaning, "kind": "secret"},
    )
    return row  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Settings:
    """The deployment's choices. Secrets are left out of ``repr``."""

    # Where it runs
    host: str = _var(
        "TIDEGATE_HOST", parse_text, "127.0.0.1", "Address the API listens on.", "text"
    )
    port: int = _var(
        *("TIDEGATE_PORT", parse_integer(0, 65535), "8000"),
        *("Port the API listens on; 0: any.", "integer"),
    )
    state_dir: str = _var(
        "TIDEGATE_STATE_DIR",
        parse_text,
        "data",
        "Folder of the embedded database, the local chain and the keystore.",
        "path",
    )
    log_level: str = _var(
        "TIDEGATE_LOG_LEVEL",
        parse_choice("debug", "info", "warning", "error"),
        "info",
        "Least level that is logged: debug, info, warning or error.",
        "choice",
    )
    access_log: bool = _var(
        *("TIDEGATE_ACCESS_LOG", parse_flag, "true"),
        *("One log line per request: true or false.", "flag"),
    )
    mode: str = _var(
        "TIDEGATE_MODE",
        parse_choice("test", "live"),
        "test",
        "test or live: which tenants and Stripe keys are accepted; live refuses local chains and "
        "the demo's address list.",
        "choice",
    )

    # Storage
    database_url: str | None = _secret(
        "DATABASE_URL",
        parse_optional,
        "PostgreSQL to use, `postgresql://user:password@host/name`; empty: the embedded one.",
    )
    database_pool: int = _var(
        "TIDEGATE_DATABASE_POOL",
        parse_integer(1, 200),
        "16",
        "Connections that one process keeps open.",
        "integer",
    )

    # Cards
    stripe_api_key: str | None = _secret(
        "STRIPE_API_KEY", parse_stripe_key, "Stripe's secret key; empty: the local emulator's."
    )
    stripe_webhook_secrets: tuple[str, ...] = _secret(
        "STRIPE_WEBHOOK_SECRET",
        parse_words,
        "Signing secrets of the Stripe webhook endpoint, comma-separated while rotating.",
    )
    facts_keys: tuple[str, ...] = _secret(
        "TIDEGATE_FACTS_KEYS",
        parse_keys,
        "Keys (32 characters or more) that sign what Stripe's metadata says of an order, "
        "comma-separated while rotating: the first signs, all are accepted. Keep them apart from "
        "the database's backups: `tidegate settlement rebuild` believes nothing that they did not "
        "sign. Empty: unsigned; workers refuse that in live mode.",
    )
    stripe_api_base: str | None = _var(
        "STRIPE_API_BASE",
        parse_optional,
        "",
        "Base URL of Stripe's API; empty: Stripe itself.",
        "URL",
    )

    # Worker
    tick_ms: int = _var(
        "TIDEGATE_TICK_MS",
        parse_integer(10, 60_000),
        "500",
        "How often a worker looks for due work that no wake-up announced, in milliseconds.",
        "integer",
    )
    sweep_s: int = _var(
        "TIDEGATE_SWEEP_S",
        parse_integer(1, 3_600),
        "30",
        "How often the provider's event list is read for lost webhooks, in seconds.",
        "integer",
    )
    gas_policy: str = _var(
        "TIDEGATE_GAS_POLICY",
        parse_choice("auto", "on", "off"),
        "auto",
        "Whether orders may wait for a lower network fee: on, off, or auto (off on local chains, "
        "whose fees are no market).",
        "choice",
    )
    gas_retrain_h: int = _var(
        *("TIDEGATE_GAS_RETRAIN_H", parse_integer(0, 8_760), "168"),
        "Hours after which workers train the gas policy anew; 0 or no LightGBM: never.",
        "integer",
    )
    worker_metrics_port: int = _var(
        "TIDEGATE_WORKER_METRICS_PORT",
        parse_integer(0, 65_535),
        "0",
        "Port on `TIDEGATE_HOST` where Prometheus sees a worker's RPC endpoints; 0: none.",
        "integer",
    )
    fee_caps_wei: Mapping[str, int] = _var(
        "TIDEGATE_FEE_CAPS",
        parse_fee_caps,
        "",
        "The most that is ever bid per unit of gas, `NETWORK=200gwei`, comma-separated. Above it "
        "orders wait, and what was sent is repeated as it is. Live mode needs one for every "
        "network; local chains have 1,000 gwei, test networks none.",
        "list",
    )
    deployments: str | None = _var(
        "TIDEGATE_DEPLOYMENTS",
        parse_optional,
        "",
        "File that lists vault, tokens, lanes, `rpc_urls`, optionally the `escrow` contract and "
        "`quorum` (how many of the nodes must agree; else the majority) per network; empty: "
        "`deployments.json` in the state folder.",
        "path",
    )
    keystore_dir: str | None = _var(
        "TIDEGATE_KEYSTORE_DIR",
        parse_optional,
        "",
        "Lanes' encrypted keys, one `ADDRESS.json` each; empty: `keystore` in the state folder.",
        "path",
    )
    keystore_password_file: str | None = _var(
        "TIDEGATE_KEYSTORE_PASSWORD_FILE",
        parse_optional,
        "",
        "File with the keys' password, mode 0600; empty: `password` in the keystore folder.",
        "path",
    )
    address_lists: tuple[str, ...] = _var(
        "TIDEGATE_ADDRESS_LISTS",
        parse_words,
        "",
        "Address lists (CSV: asset, address, action) with a veto, comma-separated, beside those "
        "that `tidegate lists` keeps; empty: a demo list of invented addresses, none in live mode.",
        "list",
    )
    second_officer_above: Mapping[str, int] = _var(
        "TIDEGATE_SECOND_OFFICER_ABOVE",
        parse_amounts,
        "USD=1000.00,EUR=1000.00,GBP=1000.00",
        "Amounts, `CURRENCY=AMOUNT`, above which two officers have to approve an order in review; "
        "a currency that is not named always needs two. Up to them an allow list spares reviews.",
        "list",
    )
    list_urls: Mapping[str, str] = _var(
        "TIDEGATE_LIST_URLS",
        parse_pairs,
        "",
        "Where lists are fetched, `NAME=URL`, comma-separated (see `docs/screening.md`).",
        "list",
    )
    list_refresh_h: int = _var(
        "TIDEGATE_LIST_REFRESH_H",
        parse_integer(0, 168),
        "6",
        "Hours after which workers fetch a list that has a URL again; 0: they never do.",
        "integer",
    )

    graph: bool = _var(
        *("TIDEGATE_GRAPH", parse_flag, "true"),
        "Whether a transfer graph that workers follow screens besides the lists, with rules and "
        "model; false: lists alone, and whoever they do not name is cleared.",
        "flag",
    )
    graph_labels: tuple[str, ...] = _var(
        "TIDEGATE_GRAPH_LABELS",
        parse_words,
        "",
        "Label files (CSV: address, labels, category, source) for the rules, comma-separated.",
        "list",
    )
    graph_policy: str | None = _var(
        "TIDEGATE_GRAPH_POLICY",
        parse_optional,
        "",
        "File with the rules' thresholds; empty: the packaged `compliance_graph/policy.toml`.",
        "path",
    )
    graph_indexers: Mapping[str, str] = _secret(
        "TIDEGATE_GRAPH_INDEXERS",
        parse_pairs,
        "Account APIs in the manner of Etherscan, `NETWORK=URL` (a key in its query), "
        "comma-separated, where wallets are looked up that no other source has seen.",
    )

    # Prices
    currencies: tuple[Asset, ...] = _var(
        "TIDEGATE_CURRENCIES",
        parse_fiat_assets,
        "USD",
        f"Currencies that can be charged; of {', '.join(FIAT)}.",
        "list",
    )
    prices: Mapping[tuple[str, str], Fraction] = _var(
        "TIDEGATE_PRICES",
        parse_prices,
        "DUSD=1.00 USD,ETH=3000.00 USD",
        "Static prices, `CODE=AMOUNT CURRENCY` in whole units, comma-separated.",
        "list",
    )
    price_sources: tuple[str, ...] = _var(
        "TIDEGATE_PRICE_SOURCES",
        parse_sources,
        "static",
        "Where prices come from, comma-separated: `kraken` and `coinbase` are asked for their "
        "public tickers and must agree (with one alone nothing notices that it is wrong); `static` "
        "(`TIDEGATE_PRICES`) answers for what none lists.",
        "list",
    )
    static_prices_are_meant: bool = _var(
        *("TIDEGATE_STATIC_PRICES_ARE_MEANT", parse_flag, "false"),
        "Live mode refuses `static` as the only price source unless this says that "
        "`TIDEGATE_PRICES` is what is meant (tokens pegged to the currency): true or false.",
        "flag",
    )
    price_age_s: int = _var(
        *("TIDEGATE_PRICE_AGE_S", parse_integer(5, 3_600), "60"),
        *("Oldest price, seconds. Coinbase's is as old as the pair's last trade.", "integer"),
    )
    price_apart_bps: int = _var(
        *("TIDEGATE_PRICE_APART_BPS", parse_integer(1, 5_000), "100"),
        *("How far apart exchanges may be, in basis points of the lowest.", "integer"),
    )
    quote_life_s: int = _var(
        "TIDEGATE_QUOTE_LIFE_S",
        parse_integer(30, 86_400),
        "900",
        "How long a quote is firm, in seconds.",
        "integer",
    )
    processing_bps: int = _var(
        "TIDEGATE_PROCESSING_BPS",
        parse_integer(0, 5_000),
        "290",
        "Card processing fee, in basis points of the amount paid.",
        "integer",
    )
    processing_fixed_minor: int = _var(
        "TIDEGATE_PROCESSING_FIXED_MINOR",
        parse_integer(0, 100_000),
        "30",
        "Fixed part of the processing fee, in the currency's minor units.",
        "integer",
    )
    spread_bps: int = _var(
        "TIDEGATE_SPREAD_BPS",
        parse_integer(0, 5_000),
        "50",
        "Spread on what is left after the fees, in basis points.",
        "integer",
    )
    price_tolerance_bps: int = _var(
        "TIDEGATE_PRICE_TOLERANCE_BPS",
        parse_integer(0, 10_000),
        "200",
        "How far a price may have moved, either way, when money is captured after the quote's life "
        "(a long review); beyond it the authorisation is given back. In basis points.",
        "integer",
    )
    limits: Mapping[str, Limits] = _var(
        "TIDEGATE_LIMITS",
        parse_limits,
        "USD=5.00/2000.00/5000.00,EUR=5.00/2000.00/5000.00,GBP=5.00/2000.00/5000.00",
        "Per currency `MIN/MAX/DAY`: least and most per order, most per customer and UTC day.",
        "list",
    )


def rows() -> tuple[Field[Any], ...]:
    """The table: every field with ``env``, ``parse``, ``default``, ``doc`` and ``kind``."""
    return fields(Settings)


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from ``environment`` (default: the process's own).

    Raises :class:`SettingsError` naming the variable; unknown ``TIDEGATE_*`` names are left to
    other parts of the project.
    """
    source = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for row in rows():
        text = source.get(row.metadata["env"])
        if text is not None:
            values[row.name] = _parsed(row, text.strip())
    settings = Settings(**values)
    missing = [asset.code for asset in settings.currencies if asset.code not in settings.limits]
    if missing:
        raise SettingsError(f"TIDEGATE_LIMITS: no limits for {', '.join(missing)}")
    return settings


def _parsed(row: Field[Any], text: str) -> Any:
    try:
        return row.metadata["parse"](text)
    except (ValueError, InvalidInput) as error:
        shown = "" if row.metadata["kind"] == "secret" else f" ({text!r})"
        raise SettingsError(f"{row.metadata['env']}: {error}{shown}") from None


def documentation() -> str:
    """``docs/configuration.md``, generated from the table."""
    lines = [
        "# Configuration",
        "",
        "Settings are environment variables. This page is generated from `bridge/settings.py`",
        "(`python -m bridge.settings > docs/configuration.md`); a test keeps the two equal.",
        "",
        "| variable | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for row in rows():
        data = row.metadata
        default = f"`{data['default']}`" if data["default"] else "empty"
        lines.append(f"| `{data['env']}` | {data['kind']} | {default} | {data['doc']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(documentation(), end="")
