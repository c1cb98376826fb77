"""Form bodies as Stripe reads them: ``a[b][c]=1`` becomes a nested value.

Lists (``a[]=x`` and ``a[0]=x``) stay maps from position to value: only the endpoint knows whether
``a`` is a list or a map whose keys happen to be digits.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from .errors import invalid, not_executed

_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_DEPTH_MAX = 8


def parse_form(raw: str) -> dict[str, Any]:
    """Return the nested parameters of a query string or form body.

    Raises ApiError (400) when a key is malformed or contradicts another.
    """
    parameters: dict[str, Any] = {}
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, strict_parsing=bool(raw), errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise not_executed(invalid("Invalid request body.")) from error
    for key, value in pairs:
        match = _KEY.match(key)
        if match is None:
            raise not_executed(invalid(f"Invalid parameter name: {key}", param=key))
        steps = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        if len(steps) > _DEPTH_MAX:
            raise not_executed(invalid(f"Parameters are nested too deeply: {key}", param=key))
        _set(parameters, steps, value, key)
    return parameters


def _set(target: dict[str, Any], steps: list[str], value: str, key: str) -> None:
    for position, step in enumerate(steps):
        name = step if step else str(len(target))
        if position == len(steps) - 1:
            if isinstance(target.get(name), dict):
                raise not_executed(invalid(f"Invalid object: {key}", param=key))
            target[name] = value
            return
        target = target.setdefault(name, {})
        if not isinstance(target, dict):
            raise not_executed(invalid(f"Invalid object: {key}", param=key))
