"""Which parameters an endpoint takes, and Stripe's refusals of everything else.

A parameter that Stripe has and this emulator does not implement is refused with a message that
says so: ignoring it silently would let code pass here that behaves otherwise against Stripe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .errors import ApiError, invalid, not_executed

_INTEGER_DIGITS_MAX = 15
_METADATA_KEYS_MAX = 50
_METADATA_KEY_LENGTH_MAX = 40
_METADATA_VALUE_LENGTH_MAX = 500
_TEXT_LENGTH_MAX = 5000


@dataclass(frozen=True)
class Param:
    """One parameter: ``kind`` is text, integer, boolean, enum, metadata, hash, list or range."""

    name: str
    kind: str
    required: bool = False
    values: tuple[str, ...] = ()
    fields: tuple[Param, ...] = ()


def text(*names: str) -> tuple[Param, ...]:
    """Strings; an empty one unsets."""
    return tuple(Param(name, "text") for name in names)


def integer(*names: str) -> tuple[Param, ...]:
    """Integers."""
    return tuple(Param(name, "integer") for name in names)


def boolean(*names: str) -> tuple[Param, ...]:
    """``true`` or ``false``."""
    return tuple(Param(name, "boolean") for name in names)


def enum(name: str, *values: str) -> tuple[Param, ...]:
    """One of the given words."""
    return (Param(name, "enum", values=values),)


def hashed(name: str, *groups: tuple[Param, ...]) -> tuple[Param, ...]:
    """A nested object; without groups, one of any content."""
    return (Param(name, "hash", fields=tuple(field for group in groups for field in group)),)


def listed(*names: str) -> tuple[Param, ...]:
    """Lists of strings."""
    return tuple(Param(name, "list") for name in names)


def required(fields: tuple[Param, ...]) -> tuple[Param, ...]:
    """The same parameters, refused when missing."""
    return tuple(replace(field, required=True) for field in fields)


def unsupported(*names: str) -> tuple[Param, ...]:
    """Parameters that Stripe takes and the emulator refuses."""
    return tuple(Param(name, "unsupported") for name in names)


EXPAND = listed("expand")
METADATA = (Param("metadata", "metadata"),)
CREATED = (Param("created", "range"),)
PAGE = (*integer("limit"), *text("starting_after", "ending_before"), *EXPAND)


def read(fields: tuple[Param, ...], given: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the given parameters, converted.

    Raises ApiError (400) for one that is unknown, missing or malformed; no idempotency key keeps
    that answer, because the endpoint has not begun.
    """
    by_name = {field.name: field for field in fields}
    unknown = [_label(prefix, name) for name in given if name not in by_name]
    if unknown:
        raise _refused(
            f"Received unknown parameter{'s' if len(unknown) > 1 else ''}: {', '.join(unknown)}",
            "parameter_unknown",
            unknown[0],
        )
    for field in fields:
        if field.required and given.get(field.name, "") == "":
            label = _label(prefix, field.name)
            raise _refused(f"Missing required param: {label}.", "parameter_missing", label)
    return {
        name: _convert(by_name[name], value, _label(prefix, name)) for name, value in given.items()
    }


def _label(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def _refused(message: str, code: str | None, param: str) -> ApiError:
    return not_executed(invalid(message, code=code, param=param))


def _convert(field: Param, value: Any, label: str) -> Any:
    match field.kind:
        case "unsupported":
            message = f"The local emulator does not implement the parameter {label}."
            raise _refused(message, None, label)
        case "metadata":
            return _metadata(value, label)
        case "hash":
            return _hash(field, value, label)
        case "list":
            return _list(value, label)
        case "range":
            return _range(value, label)
    if not isinstance(value, str):
        raise _refused(f"Invalid string: {label}", None, label)
    match field.kind:
        case "integer":
            return _integer(value, label)
        case "boolean":
            if value not in ("true", "false"):
                raise _refused(f"Invalid boolean: {value}", None, label)
            return value == "true"
        case "enum":
            return _enum(field, value, label)
    if len(value) > _TEXT_LENGTH_MAX:
        message = f"Invalid string: must be at most {_TEXT_LENGTH_MAX} characters"
        raise _refused(message, "parameter_invalid_string_too_long", label)
    return value if value else None


def _integer(value: str, label: str) -> int:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _INTEGER_DIGITS_MAX):
        raise _refused(f"Invalid integer: {value}", "parameter_invalid_integer", label)
    return int(value)


def _enum(field: Param, value: str, label: str) -> str | None:
    if value == "":
        return None
    if value not in field.values:
        raise _refused(f"Invalid {label}: must be one of {', '.join(field.values)}", None, label)
    return value


def _hash(field: Param, value: Any, label: str) -> Any:
    if value == "":
        return None
    if not isinstance(value, dict):
        raise _refused(f"Invalid object: {label}", None, label)
    return read(field.fields, value, label) if field.fields else value


def _list(value: Any, label: str) -> list[str]:
    if value == "":
        return []
    items = value if isinstance(value, dict) else {}
    if not items or not all(key.isdigit() and isinstance(item, str) for key, item in items.items()):
        raise _refused("Invalid array", None, label)
    return [items[key] for key in sorted(items, key=int)]


def _range(value: Any, label: str) -> dict[str, int]:
    bounds = value if isinstance(value, dict) else {"eq": value}
    if not all(name in ("eq", "gt", "gte", "lt", "lte") for name in bounds):
        raise _refused(f"Invalid object: {label}", None, label)
    if not all(isinstance(bound, str) for bound in bounds.values()):
        raise _refused(f"Invalid timestamp: {label}", None, label)
    return {name: _integer(bound, label) for name, bound in bounds.items()}


def _metadata(value: Any, label: str) -> dict[str, str] | None:
    if value == "":
        return None
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _refused("Invalid metadata: it must be a hash of strings", None, label)
    for key, item in value.items():
        if len(key) > _METADATA_KEY_LENGTH_MAX or len(item) > _METADATA_VALUE_LENGTH_MAX:
            raise _refused(
                f"Metadata keys can have up to {_METADATA_KEY_LENGTH_MAX} characters and "
                f"values up to {_METADATA_VALUE_LENGTH_MAX} characters.",
                None,
                _label(label, key),
            )
    return value


def merge_metadata(before: dict[str, str], change: dict[str, str] | None) -> dict[str, str]:
    """Return metadata after an update: an empty value removes its key, None removes all.

    Raises ApiError (400) beyond Stripe's 50 keys.
    """
    if change is None:
        return {}
    merged = {key: value for key, value in {**before, **change}.items() if value != ""}
    if len(merged) > _METADATA_KEYS_MAX:
        raise invalid(f"You can have up to {_METADATA_KEYS_MAX} metadata keys.", param="metadata")
    return merged
