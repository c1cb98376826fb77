"""Terms of an escrow as a merchant states them with the order."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

AddressText = Annotated[str, Meta(min_length=1, max_length=128)]


class EscrowCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    """Who is paid when. ``payer`` is where refunds go, ``payee`` where releases go.

    ``oracle``'s key attests releases; without one there are none, and consent, the arbiter and the
    date remain. ``expires_at`` counts in whole seconds: at least two hours after the quote expires,
    at most 366 days from now.
    """

    payer: AddressText
    payee: AddressText
    arbiter: AddressText
    oracle: AddressText | None = None
    expires_at: Annotated[datetime, Meta(tz=True)]
    at_expiry: Literal["pay_payee", "refund_payer"]
