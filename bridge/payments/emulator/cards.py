"""Stripe's test cards and what each of them does (https://docs.stripe.com/testing).

A number and its ``pm_card_*`` tokens are one row of the table, so that both behave the same.
"""

from __future__ import annotations

from dataclasses import dataclass

DECLINES = {
    "generic_decline": ("card_declined", "Your card was declined."),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
    "lost_card": ("card_declined", "Your card was declined."),
    "stolen_card": ("card_declined", "Your card was declined."),
    "fraudulent": ("card_declined", "Your card was declined."),
    "card_velocity_exceeded": (
        "card_declined",
        "Your card was declined for making repeated attempts too frequently or exceeding its "
        "amount limit.",
    ),
    "expired_card": ("expired_card", "Your card has expired."),
    "incorrect_cvc": ("incorrect_cvc", "Your card's security code is incorrect."),
    "processing_error": (
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    "authentication_required": (
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
}


@dataclass(frozen=True)
class TestCard:
    """One test card.

    ``three_d_secure``: ``frictionless`` (supported, never challenged), ``optional`` (challenged
    only on request), ``required``, ``error`` (required, but the authentication cannot run), or
    ``unsupported``; ``optional_error`` fails only when asked for. ``decline`` is a decline code.
    ``refund`` is ``instant``, ``pending`` (succeeds later) or ``fails`` (succeeds, fails later).
    """

    __test__ = False  # It is no test class, whatever its name says to pytest.

    number: str
    tokens: tuple[str, ...]
    brand: str = "visa"
    funding: str = "credit"
    country: str = "US"
    three_d_secure: str = "frictionless"
    decline: str | None = None
    cvc_check: str = "pass"
    risk_level: str = "normal"
    risk_score: int = 20
    refund: str = "instant"
    dispute: str | None = None
    inquiry: bool = False
    funds_at_once: bool = False
    off_session_exempt: bool = False


def _brand(number: str, brand: str, *names: str, funding: str = "credit") -> TestCard:
    return TestCard(number, tuple(f"pm_card_{name}" for name in names), brand, funding)


def _declined(number: str, code: str, name: str) -> TestCard:
    check = "fail" if code == "incorrect_cvc" else "pass"
    tokens = (f"pm_card_{name}", f"pm_card_visa_{name}")
    return TestCard(number, tokens, decline=code, cvc_check=check)


def _secured(number: str, token: str, usage: str, decline: str | None = None) -> TestCard:
    return TestCard(number, (f"pm_card_{token}",), three_d_secure=usage, decline=decline)


def _disputed(number: str, name: str, reason: str, inquiry: bool = False) -> TestCard:
    return TestCard(number, (f"pm_card_createDispute{name}",), dispute=reason, inquiry=inquiry)


CARDS: tuple[TestCard, ...] = (
    _brand("4242424242424242", "visa", "visa", "us"),
    _brand("4000056655665556", "visa", "visa_debit", funding="debit"),
    _brand("5555555555554444", "mastercard", "mastercard"),
    _brand("2223003122003222", "mastercard"),
    _brand("5200828282828210", "mastercard", "mastercard_debit", funding="debit"),
    _brand("5105105105105100", "mastercard", "mastercard_prepaid", funding="prepaid"),
    TestCard(
        "378282246310005",
        ("pm_card_amex", "pm_card_amex_threeDSecureNotSupported"),
        "amex",
        three_d_secure="unsupported",
    ),
    TestCard("371449635398431", (), "amex", three_d_secure="unsupported"),
    _brand("6011111111111117", "discover", "discover"),
    _brand("6011000990139424", "discover"),
    _brand("3056930009020004", "diners", "diners"),
    _brand("36227206271667", "diners"),
    _brand("3566002020360505", "jcb", "jcb"),
    _brand("6200000000000005", "unionpay", "unionpay"),
    TestCard("4000000760000002", ("pm_card_br",), country="BR"),
    TestCard("4000001240000000", ("pm_card_ca",), country="CA"),
    TestCard("4000002760000016", ("pm_card_de",), country="DE"),
    TestCard("4000002500000003", ("pm_card_fr",), country="FR"),
    TestCard("4000008260000000", ("pm_card_gb",), country="GB"),
    TestCard("4000003920000003", ("pm_card_jp",), country="JP"),
    _declined("4000000000000002", "generic_decline", "chargeDeclined"),
    _declined("4000000000009995", "insufficient_funds", "chargeDeclinedInsufficientFunds"),
    _declined("4000000000009987", "lost_card", "chargeDeclinedLostCard"),
    _declined("4000000000009979", "stolen_card", "chargeDeclinedStolenCard"),
    _declined("4000000000000069", "expired_card", "chargeDeclinedExpiredCard"),
    _declined("4000000000000127", "incorrect_cvc", "chargeDeclinedIncorrectCvc"),
    _declined("4000000000000119", "processing_error", "chargeDeclinedProcessingError"),
    _declined("4000000000006975", "card_velocity_exceeded", "chargeDeclinedVelocityLimitExceeded"),
    TestCard(
        "4100000000000019",
        ("pm_card_radarBlock", "pm_card_chargeDeclinedFraudulent"),
        decline="fraudulent",
        risk_level="highest",
        risk_score=92,
    ),
    TestCard("4000000000000341", ("pm_card_chargeCustomerFail",), decline="generic_decline"),
    TestCard("4000000000000101", ("pm_card_cvcCheckFail",), cvc_check="fail"),
    TestCard(
        "4000000000004954", ("pm_card_riskLevelHighest",), risk_level="highest", risk_score=82
    ),
    TestCard(
        "4000000000009235", ("pm_card_riskLevelElevated",), risk_level="elevated", risk_score=68
    ),
    _disputed("4000000000000259", "", "fraudulent"),
    _disputed("4000000000002685", "ProductNotReceived", "product_not_received"),
    _disputed("4000000000001976", "Inquiry", "fraudulent", inquiry=True),
    TestCard("4000000000007726", ("pm_card_pendingRefund",), refund="pending"),
    TestCard("4000000000005126", ("pm_card_refundFail",), refund="fails"),
    TestCard("4000000000000077", ("pm_card_bypassPending",), funds_at_once=True),
    TestCard(
        "4000003720000278",
        ("pm_card_bypassPendingInternational",),
        country="IE",
        funds_at_once=True,
    ),
    _secured("4000002500003155", "authenticationRequiredOnSetup", "required"),
    _secured("4000002760003184", "authenticationRequired", "required"),
    TestCard(
        "4000003800000446",
        ("pm_card_authenticationRequiredSetupForOffSession",),
        three_d_secure="required",
        off_session_exempt=True,
    ),
    _secured(
        "4000008260003178",
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "required",
        "insufficient_funds",
    ),
    TestCard(
        "4000000000003220",
        ("pm_card_threeDSecure2Required", "pm_card_threeDSecureRequired"),
        three_d_secure="required",
    ),
    _secured(
        "4000008400001629",
        "threeDSecureRequiredChargeDeclined",
        "required",
        "generic_decline",
    ),
    _secured("4000008400001280", "threeDSecureRequiredProcessingError", "error"),
    _secured("4000000000003055", "threeDSecureOptional", "optional"),
    _secured("4000000000003097", "threeDSecureOptionalProcessingError", "optional_error"),
)

BY_NUMBER = {card.number: card for card in CARDS}
BY_TOKEN = {token: card for card in CARDS for token in card.tokens}


def passes_luhn(number: str) -> bool:
    """Return whether the check digit of a card number is right (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[0::2]) + doubled) % 10 == 0
