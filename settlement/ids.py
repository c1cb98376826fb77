"""Identifiers: a prefix that says what it names, then a time-ordered random part.

The random part follows the layout of UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix
milliseconds, then 80 random bits, written as 26 characters of Crockford's base 32. Ids sort by
creation, which keeps indexes compact and makes cursors stable.
"""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(120, -1, -10)
"""26 characters are 13 pairs of 10 bits, highest first."""

OrderId = str
QuoteId = str
TenantId = str
TxRef = str
"""A transaction's own name on its chain (EVM: 0x-prefixed hash)."""


def new_id(prefix: str) -> str:
    """Return ``prefix_`` and 26 characters; unique without coordination, sorted by time."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return f"{prefix}_{''.join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])}"


def new_client_secret(order_id: OrderId) -> str:
    """A bearer secret that opens exactly one order (256 random bits)."""
    return f"{order_id}_secret_{secrets.token_urlsafe(32)}"


def payment_key(order_id: OrderId, action: str) -> str:
    """The idempotency key of one outside effect of one order.

    Derived, never drawn: the order's row is the stored intent, and every retry of the same
    effect finds the same key.
    """
    return f"{order_id}:{action}"
