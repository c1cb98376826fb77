"""Idempotency keys: the first answer is kept with its effect and given again.

Source: https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .core import Emulator
from .errors import idempotency, invalid, not_executed
from .store import Json

_KEY_LENGTH_MAX = 255


class Keys:
    """The keys whose request is running, beside the answered ones in the store.

    Only running requests live in memory: a killed process answered none of them, and their effects
    are in the journal together with their answers or not at all.
    """

    def __init__(self) -> None:
        self._running: set[str] = set()

    def begin(self, emulator: Emulator, key: str, path: str, given: dict[str, Any]) -> Json | None:
        """Claim a key; return the kept answer if it has one.

        Raises ApiError: 400 idempotency_error for another path or payload, 409
        idempotency_key_in_use while the first request is running.
        """
        if len(key) > _KEY_LENGTH_MAX:
            message = f"Idempotency keys can have up to {_KEY_LENGTH_MAX} characters."
            raise not_executed(invalid(message, code="idempotency_key_too_long"))
        if key in self._running:
            raise idempotency(
                "There is currently another in-progress request using this Idempotent Key (that "
                "probably means you submitted twice, and the other request is still going "
                f"through): {key}. Please try again later.",
                status=409,
                code="idempotency_key_in_use",
            )
        kept = emulator.store.get("idempotency", key)
        if kept is not None and kept["until"] > emulator.now():
            _check_same(kept, key, path, given)
            return kept
        self._running.add(key)
        return None

    def end(self, key: str) -> None:
        """Release a key that was claimed."""
        self._running.discard(key)


def keep(
    emulator: Emulator, key: str, path: str, given: dict[str, Any], status: int, body: Json
) -> None:
    """Store the answer for a key within the running transaction."""
    row = {
        "id": key,
        "path": path,
        "digest": _digest(given),
        "status": status,
        "body": body,
        "request": emulator.call.request_id if emulator.call else None,
        "until": emulator.now() + emulator.settings.idempotency_seconds,
    }
    emulator.store.put("idempotency", key, row)


def _check_same(kept: Json, key: str, path: str, given: dict[str, Any]) -> None:
    hint = f"Try using a key other than '{key}' if you meant to execute a different request."
    if kept["path"] != path:
        raise idempotency(
            "Keys for idempotent requests can only be used for the same endpoint they were first "
            f"used for ('{path}' vs '{kept['path']}'). {hint}"
        )
    if kept["digest"] != _digest(given):
        raise idempotency(
            "Keys for idempotent requests can only be used with the same parameters they were "
            f"first used with. {hint}"
        )


def _digest(given: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
