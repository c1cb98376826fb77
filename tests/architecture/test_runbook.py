"""The pages that people type from: each command, path, metric, log line and setting exists."""

import re
import shlex
from pathlib import Path

import click
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from prometheus_client import CollectorRegistry

from bridge.app import _RESOURCES
from bridge.cli import cli
from bridge.metrics import Metrics
from bridge.settings import load
from bridge.storage.audit import ACTIONS
from bridge.worker_metrics import EndpointCollector
from settlement.order import HoldReason

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("operations.md", "scaling.md")
PRODUCT = ("bridge", "chain", "settlement")

FENCED = re.compile(r"```[a-z]*\n(.*?)```", re.S)
COMMAND = re.compile(r"^tidegate (?!_).*$")
INLINE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"\b(GET|POST|DELETE|PUT|PATCH) (/[\w/{}.-]*)")
METRIC = re.compile(r"\btidegate_[a-z_]+")
EVENT = re.compile(r"\bevent=([a-z_]+)")
SETTING = re.compile(r"\b(?:TIDEGATE|STRIPE|DATABASE)_[A-Z_]+")


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


def commands(page: str) -> list[str]:
    """Every ``tidegate …`` of the page: in a block of its own, or within a sentence."""
    text = text_of(page)
    lines = [line.strip() for block in FENCED.findall(text) for line in block.splitlines()]
    found = [line for line in lines if COMMAND.match(line)]
    return found + [code for code in INLINE.findall(FENCED.sub("", text)) if COMMAND.match(code)]


def parsed(words: list[str]) -> None:
    """Parse the words as the console would, without running anything. Raises click's errors."""
    command: click.Command = cli
    context = click.Context(cli, info_name="tidegate")
    while isinstance(command, click.Group):
        assert words, f"{command.name} is a group: say which of its commands"
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name}"
        command = found
        context = click.Context(command, info_name=name, parent=context)
    command.make_context(str(command.name), words)


def routes() -> set[tuple[str, str]]:
    """Every method and path that is served, with nameless parameters."""
    handlers = [handler for module in _RESOURCES for handler in module.HANDLERS]
    app = Litestar(route_handlers=handlers, openapi_config=None)
    return {
        (str(method), nameless(route.path_format))
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
    }


def nameless(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def metrics() -> set[str]:
    registry = Metrics().registry
    worker = CollectorRegistry()
    worker.register(EndpointCollector({}))
    return {family.name for source in (registry, worker) for family in source.collect()}


@pytest.mark.parametrize(
    "line",
    [
        "tidegate settlement undo 7",
        "tidegate settlement bump",
        "tidegate settlement bump seven",
        "tidegate networks pause local --all",
        "tidegate networks",
    ],
)
def test_a_wrong_command_would_be_noticed(line: str) -> None:
    """A test that took anything would not be one."""
    with pytest.raises((AssertionError, click.ClickException)):
        parsed(shlex.split(line)[1:])


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_can_be_typed(page: str) -> None:
    """With these options, and as many arguments as it wants."""
    for line in commands(page):
        try:
            parsed(shlex.split(line)[1:])
        except (AssertionError, click.ClickException) as error:
            pytest.fail(f"{page}: {line}: {error}")


@pytest.mark.parametrize("page", PAGES)
def test_every_path_of_the_page_is_served(page: str) -> None:
    """By its method; the names in braces are for the reader."""
    said = {(method, nameless(path)) for method, path in PATH.findall(text_of(page))}
    assert said - routes() == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_metric_and_setting_of_the_page_exists(page: str) -> None:
    """An alert on a number that nobody writes never rings."""
    assert set(METRIC.findall(text_of(page))) - metrics() == set()
    known = (ROOT / "docs" / "configuration.md").read_text()
    assert {name for name in SETTING.findall(text_of(page)) if f"`{name}`" not in known} == set()
    assert load({}).worker_metrics_port == 0


@pytest.mark.parametrize("page", PAGES)
def test_every_log_line_of_the_page_is_written_somewhere(page: str) -> None:
    """Word for word, since people search for it."""
    source = "\n".join(
        path.read_text() for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")
    )
    assert {name for name in EVENT.findall(text_of(page)) if f'"{name}"' not in source} == set()


def test_the_runbook_names_every_action_of_the_audit_trail() -> None:
    """And none that nobody does: each is spelt where it is done, outside the table of them all."""
    [paragraph] = re.findall(r"\*\*What was done\*\*.*?\n\n", text_of("operations.md"), re.S)
    named = re.findall(r"`([a-z]+\.[a-z_]+)`", paragraph)
    assert sorted(named) == sorted(ACTIONS)
    files = (p for kind in ("*.py", "*.sql") for p in (ROOT / "bridge").rglob(kind))
    written = [path.read_text() for path in files if path.name != "audit.py"]
    quoted = {word for text in written for word in re.findall(r"[\"']([a-z]+\.[a-z_]+)[\"']", text)}
    assert ACTIONS - quoted == set()


def test_the_runbook_has_a_chapter_for_every_symptom() -> None:
    """And says in each what it means and what must never be done."""
    chapters = {
        part.split("\n", 1)[0]: part for part in text_of("operations.md").split("\n## ")[1:]
    }
    symptoms = [name for name in chapters if name not in ("Looking", "Alerts", "Planned work")]
    assert len(symptoms) == 15
    for name in symptoms:
        assert "**See**" in chapters[name], name
        assert "**Never**" in chapters[name], name


def test_orders_that_settling_holds_are_explained() -> None:
    """Reviewed and disputed orders are another desk's; these are the operator's."""
    text = text_of("operations.md")
    for reason in (HoldReason.PAUSED, HoldReason.LIQUIDITY, HoldReason.FEE_CAP):
        assert f"`{reason.value}`" in text, reason
