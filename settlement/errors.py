"""Typed errors of the core. No HTTP in here: one table in ``bridge.api.errors`` translates.

::

    TidegateError
    ├── Refusal                     the caller asked for something we will not do
    │   ├── InvalidInput            a value is malformed (names its parameter)
    │   │   ├── InvalidAddress
    │   │   ├── AmountOutOfRange
    │   │   ├── EscrowUnavailable   there is no escrow contract on the network
    │   │   └── SignatureInvalid    not signed by who had to sign
    │   ├── Forbidden               this key may not do this
    │   ├── NotFound                no such object for this tenant
    │   ├── QuoteExpired
    │   ├── QuoteUsed
    │   ├── LimitExceeded           a counter's cap would be passed
    │   ├── NotCancelable           the order has gone too far
    │   ├── NotOpen                 the batch has come to its end
    │   ├── WrongEscrowState        an escrow is not (or no more) where this could be done
    │   ├── AttestationKnown        what was signed is being or has been carried out
    │   ├── CaseDecided             nothing is left to decide about the case
    │   ├── CaseClaimed             another officer works on the case
    │   ├── SecondOfficerNeeded     four eyes: not the same officer twice
    │   └── IdempotencyMismatch     same key, other payload
    ├── OutsideError                a system outside misbehaved; ``transient`` says: try again?
    │   ├── PaymentError
    │   │   ├── PaymentUnknown      no answer: the call may or may not have had its effect
    │   │   └── PaymentRefused      a definite no from the provider
    │   ├── ChainError
    │   │   ├── ChainUnknown        no answer: the transaction may or may not be known
    │   │   ├── ChainRefused        a definite no from the node
    │   │   │   └── ChainLimited    the vault has no room for this much: less may pass, or later
    │   │   ├── ChainPaused         the vault refuses outflows for now
    │   │   └── FeeCapReached       gas costs more than we are willing to bid
    │   ├── ScreeningUnavailable
    │   └── PriceUnavailable
    ├── NetworkStopped              a network's identity or books do not agree: a person decides
    ├── InsufficientInventory       a reservation lost the race for the last tokens
    ├── StaleLease                  the work was taken over; whatever we held is void
    └── InvariantBroken             our own bug: stop rather than move money
"""


class TidegateError(Exception):
    """Root of everything that this project raises on purpose."""

    code = "internal_error"
    transient = False

    def __init__(self, message: str = "", **details: str) -> None:
        super().__init__(message or self.__class__.__name__)
        self.details = details


class Refusal(TidegateError):
    """The caller asked for something we will not do; asking again the same way won't help."""

    code = "refused"

    def __init__(self, message: str, *, param: str | None = None, **details: str) -> None:
        super().__init__(message, **details)
        self.param = param


class InvalidInput(Refusal):
    code = "invalid_parameter"


class InvalidAddress(InvalidInput):
    code = "invalid_address"


class AmountOutOfRange(InvalidInput):
    code = "amount_out_of_range"


class EscrowUnavailable(InvalidInput):
    code = "escrow_unavailable"


class SignatureInvalid(InvalidInput):
    code = "signature_invalid"


class Forbidden(Refusal):
    code = "forbidden"


class NotFound(Refusal):
    code = "resource_missing"


class QuoteExpired(Refusal):
    code = "quote_expired"


class QuoteUsed(Refusal):
    code = "quote_used"


class LimitExceeded(Refusal):
    code = "limit_exceeded"


class NotCancelable(Refusal):
    code = "order_not_cancelable"


class NotOpen(Refusal):
    """A final block has decided the batch: nothing about it can be changed any more."""

    code = "not_open"


class WrongEscrowState(Refusal):
    code = "escrow_state"


class AttestationKnown(Refusal):
    code = "attestation_known"


class CaseDecided(Refusal):
    code = "case_decided"


class CaseClaimed(Refusal):
    code = "case_claimed"


class SecondOfficerNeeded(Refusal):
    code = "second_officer_needed"


class IdempotencyMismatch(Refusal):
    code = "idempotency_key_reused"


class OutsideError(TidegateError):
    """A system outside failed. ``transient`` answers whether the same call may work later."""

    code = "upstream_error"
    transient = True


class PaymentError(OutsideError):
    code = "payment_error"


class PaymentUnknown(PaymentError):
    """No definite answer arrived. Retrieve the object; never retry under a new key."""

    code = "payment_unknown"


class PaymentRefused(PaymentError):
    """The provider said no for good (wrong state, declined, no such object)."""

    code = "payment_refused"
    transient = False

    def __init__(self, message: str = "", *, reason: str = "", **details: str) -> None:
        super().__init__(message, **details)
        self.reason = reason


class ChainError(OutsideError):
    code = "chain_error"


class ChainUnknown(ChainError):
    """No definite answer arrived: the transaction may well be in a mempool or a block."""

    code = "chain_unknown"


class ChainRefused(ChainError):
    """The node gave a definite reason why this cannot be done as asked."""

    code = "chain_refused"
    transient = False


class ChainLimited(ChainRefused):
    """Not so much, or not now: a full spending window, an empty vault, an asset that is stopped or
    delisted. Nothing is wrong with any one order; what fits may leave, the others wait."""

    code = "chain_limited"


def is_for_good(error: Exception | None) -> bool:
    """Whether a node's answer is a refusal that neither time nor a smaller amount mends."""
    if not isinstance(error, ChainRefused) or isinstance(error, ChainLimited):
        return False
    return not error.transient


class ChainPaused(ChainError):
    """The vault is paused; orders wait."""

    code = "chain_paused"


class FeeCapReached(ChainError):
    """What the chain asks for is above our own cap; it waits until gas falls."""

    code = "fee_cap_reached"


class ScreeningUnavailable(OutsideError):
    code = "screening_unavailable"


class PriceUnavailable(OutsideError):
    code = "price_unavailable"


class NetworkStopped(TidegateError):
    code = "network_stopped"


class InsufficientInventory(TidegateError):
    code = "insufficient_inventory"
    transient = True


class StaleLease(TidegateError):
    code = "stale_lease"
    transient = True


class InvariantBroken(TidegateError):
    code = "invariant_broken"
