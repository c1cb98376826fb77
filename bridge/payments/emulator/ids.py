"""Identifiers and secrets in Stripe's form, because code that parses them must not differ."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits


def random_text(length: int) -> str:
    """Return ``length`` random letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_id(prefix: str) -> str:
    """Return a fresh identifier such as ``pi_`` and 24 characters."""
    return f"{prefix}_{random_text(24)}"


def client_secret(intent_id: str) -> str:
    """Return the secret with which a frontend may act on its own payment intent."""
    return f"{intent_id}_secret_{random_text(25)}"


def webhook_secret() -> str:
    """Return a signing secret for one webhook endpoint."""
    return f"whsec_{random_text(32)}"
