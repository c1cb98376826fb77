"""Holds answers against Stripe's own OpenAPI document and example objects.

They lie in the folder ``stripe`` under ``TIDEGATE_DATA`` and are never copied into the repository.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_ROOT = "urn:stripe-openapi"
_REASON = "Stripe's document is not here: TIDEGATE_DATA names no folder with stripe/ in it"


def _file(name: str) -> Path | None:
    folder = os.environ.get("TIDEGATE_DATA")
    path = Path(folder) / "stripe" / name if folder else None
    return path if path is not None and path.exists() else None


def available() -> bool:
    """Return whether the document is on this machine."""
    return _file("stripe_openapi_subset.json.gz") is not None


def _read(name: str) -> Any:
    path = _file(name)
    if path is None:
        pytest.skip(_REASON)
    return json.loads(gzip.decompress(path.read_bytes()))


@cache
def document() -> Any:
    """Return the OpenAPI document, with OpenAPI's ``nullable`` said in JSON Schema."""
    return _without_nullable(_read("stripe_openapi_subset.json.gz"))


@cache
def fixtures() -> Any:
    """Return Stripe's example objects by resource."""
    return _read("stripe_fixtures.json.gz")["resources"]


def _without_nullable(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {name: _without_nullable(value) for name, value in node.items() if name != "nullable"}
    return {"anyOf": [inner, {"type": "null"}]} if node.get("nullable") is True else inner


@cache
def _registry() -> Any:
    resource = Resource.from_contents(document(), default_specification=DRAFT202012)
    return Registry().with_resource(_ROOT, resource)


@cache
def _validator(pointer: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"{_ROOT}#{pointer}"}, registry=_registry())


@cache
def _templates() -> list[tuple[re.Pattern[str], str]]:
    ranked = sorted(document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"), path) for path in ranked]


def path_template(path: str) -> str | None:
    """Return the document's path for a concrete one, or None."""
    return next((template for form, template in _templates() if form.match(path)), None)


def problems(method: str, path: str, status: int, body: Any) -> list[str]:
    """Return everything that Stripe's document says is wrong with an answer."""
    if status >= 400:
        pointer = "/components/schemas/error"
    else:
        template = path_template(path)
        if template is None:
            return [f"{method} {path} is not in Stripe's document"]
        place = template.replace("/", "~1")
        content = "content/application~1json/schema"
        pointer = f"/paths/{place}/{method.lower()}/responses/{status}/{content}"
    found = [
        f"{method} {path} {status}: {error.json_path} {error.message[:300]}"
        for error in _validator(pointer).iter_errors(body)
    ]
    return found + [f"{method} {path} {status}: {text}" for text in nested_problems(body)]


def nested_problems(node: Any, *, validate: bool = False) -> list[str]:
    """Return what is wrong with the Stripe objects anywhere in a value.

    JSON Schema lets unknown members pass: here every object may have no more members than the
    schema of its kind names. An event's object has no schema at its place in the document, so it
    is also held against that of its kind; ``validate`` does so for all objects.
    """
    if isinstance(node, list):
        return [text for item in node for text in nested_problems(item, validate=validate)]
    if not isinstance(node, dict):
        return []
    kind = node.get("object")
    inside = validate or kind == "event"
    found = [text for value in node.values() for text in nested_problems(value, validate=inside)]
    schema = document()["components"]["schemas"].get(kind) if isinstance(kind, str) else None
    if schema is None or node.get("deleted"):
        return found
    extra = sorted(set(node) - set(schema["properties"]))
    if validate:
        errors = _validator(f"/components/schemas/{kind}").iter_errors(node)
        found += [f"{kind}: {error.json_path} {error.message[:300]}" for error in errors]
    return found + ([f"{kind} has unknown members {extra}"] if extra else [])
