"""Every error as a problem document (RFC 9457), from one table: error class → HTTP status.

Stripe's members stand beside the RFC's: ``code``, ``param``, ``decline_code``, ``doc_url`` and
``request_id``. Errors that only HTTP has (no key, no idempotency key, a wrong media type) are
declared here, since the core knows no HTTP.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException, ValidationException
from litestar.response import Response

from bridge import logging
from settlement import errors as core

MEDIA_TYPE = "application/problem+json"


class Unauthorized(core.Refusal):
    code = "unauthorized"


class ModeMismatch(core.Forbidden):
    code = "livemode_mismatch"


class OriginNotAllowed(core.Forbidden):
    code = "origin_not_allowed"


class MalformedBody(core.InvalidInput):
    code = "malformed_json"


class UnknownParameter(core.InvalidInput):
    code = "unknown_parameter"


class MissingParameter(core.InvalidInput):
    code = "missing_parameter"


class IdempotencyKeyMissing(core.InvalidInput):
    code = "idempotency_key_missing"


class TooManyStreams(core.Refusal):
    code = "too_many_streams"


class ReceiptNotReady(core.Refusal):
    """The block that pays the order is not final yet."""

    code = "receipt_not_ready"


class NothingPaid(core.Refusal):
    """The order ended, or will end, without a payment on-chain."""

    code = "nothing_paid"


class NotProvable(core.Refusal):
    """The order was paid, and not, or no longer, by a vault that could prove it."""

    code = "receipt_not_provable"


class UnsupportedMediaType(core.Refusal):
    code = "unsupported_media_type"


class WebhookInvalid(core.Refusal):
    """A signature that does not fit, or a time outside the tolerance."""

    code = "webhook_signature_invalid"


TABLE: dict[type[core.TidegateError], tuple[int, str]] = {
    core.TidegateError: (500, "Something broke on our side"),
    core.Refusal: (400, "The request was refused"),
    core.InvalidInput: (400, "A parameter is not valid"),
    core.InvalidAddress: (400, "The wallet address is not valid"),
    core.AmountOutOfRange: (400, "The amount is out of range"),
    core.EscrowUnavailable: (400, "There are no escrows on this network"),
    core.SignatureInvalid: (400, "The signature is not that of whoever has to sign"),
    core.Forbidden: (403, "This key may not do this"),
    core.NotFound: (404, "No such object"),
    core.QuoteExpired: (409, "The quote has expired"),
    core.QuoteUsed: (409, "The quote has been used"),
    core.LimitExceeded: (422, "A limit would be exceeded"),
    core.NotCancelable: (409, "The order can no longer be canceled"),
    core.NotOpen: (409, "The settlement has come to its end"),
    core.WrongEscrowState: (409, "The escrow does not allow this as it stands"),
    core.AttestationKnown: (409, "This was attested before"),
    core.CaseDecided: (409, "The case has been decided"),
    core.CaseClaimed: (409, "Another officer works on the case"),
    core.SecondOfficerNeeded: (409, "Another officer has to approve, too"),
    core.IdempotencyMismatch: (422, "The idempotency key was used for another request"),
    core.OutsideError: (503, "A system that we depend on did not answer"),
    core.PaymentError: (502, "The payment provider failed"),
    core.PaymentRefused: (402, "The payment provider refused"),
    core.ChainError: (503, "The chain did not answer"),
    core.ScreeningUnavailable: (503, "Screening is not available"),
    core.PriceUnavailable: (503, "There is no price to stand by"),
    core.NetworkStopped: (503, "The network is stopped"),
    core.InsufficientInventory: (503, "There are not enough tokens at the moment"),
    core.StaleLease: (503, "Someone else is working on this"),
    core.InvariantBroken: (500, "Something broke on our side"),
    Unauthorized: (401, "A valid API key is required"),
    ModeMismatch: (403, "Test and live do not mix"),
    OriginNotAllowed: (403, "This origin is not on the key's list"),
    MalformedBody: (400, "The body is not valid JSON"),
    UnknownParameter: (400, "There is no such parameter"),
    MissingParameter: (400, "A parameter is missing"),
    IdempotencyKeyMissing: (400, "An idempotency key is required"),
    TooManyStreams: (429, "Too many event streams are open"),
    ReceiptNotReady: (409, "The order is not final yet"),
    NothingPaid: (409, "Nothing was paid for this order"),
    NotProvable: (409, "The payment cannot be proven"),
    UnsupportedMediaType: (415, "The body must be application/json"),
    WebhookInvalid: (400, "The signature does not fit"),
}
"""The only place where an error meets a status; a subclass without a row takes its parent's."""

_HTTP: dict[int, tuple[str, str]] = {
    400: ("invalid_request", "The request is not valid"),
    404: ("route_missing", "There is nothing at this address"),
    405: ("method_not_allowed", "This address does not take this method"),
    413: ("body_too_large", "The body is too large"),
    415: ("unsupported_media_type", "The body must be application/json"),
    500: ("internal_error", "Something broke on our side"),
}
"""Refusals of the framework itself: status → code and title."""


class Problem(msgspec.Struct, omit_defaults=True):
    """RFC 9457's members, then Stripe's."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    doc_url: str
    param: str | None = None
    decline_code: str | None = None


def status_of(error: core.TidegateError) -> tuple[int, str]:
    """Status and title by the nearest class that has a row."""
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


def catalogue() -> dict[str, tuple[int, str]]:
    """Every code that an answer may carry, with its status and title, sorted by code."""
    rows = {cls.code: row for cls, row in TABLE.items()}
    rows |= {code: (status, title) for status, (code, title) in _HTTP.items()}
    return dict(sorted(rows.items()))


def on_core_error(request: Request[Any, Any, Any], error: core.TidegateError) -> Response[bytes]:
    """An error of ours. Details of our own bugs go to the log, not to the caller."""
    status, title = status_of(error)
    ours = status >= 500
    if ours:
        logging.get("api").error("request_failed", code=error.code, exc_info=error)
    detail = title if status == 500 else str(error)
    return _answer(
        request,
        status,
        title,
        detail,
        error.code,
        param=getattr(error, "param", None),
        decline_code=error.details.get("decline_code"),
        headers=_extra_headers(error, status),
    )


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """A refusal of the framework: unknown route, wrong method, a bad parameter, a big body."""
    status = error.status_code
    code, title = _HTTP.get(status, _HTTP[400] if status < 500 else _HTTP[500])
    if isinstance(error, ValidationException):
        return _answer_validation(request, error)
    if status >= 500:
        logging.get("api").error("request_failed", code=code, exc_info=error)
    return _answer(request, status, title, title, code, headers=error.headers)


def on_any_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Whatever nobody foresaw."""
    code, title = _HTTP[500]
    logging.get("api").error("request_failed", code=code, exc_info=error)
    return _answer(request, 500, title, title, code)


def _answer_validation(
    request: Request[Any, Any, Any], error: ValidationException
) -> Response[bytes]:
    extra = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    param, message = extra.get("key"), extra.get("message", "")
    if param is None and (missing := re.search(r"parameter '?(\S+?)'? for", error.detail)):
        param, message = missing.group(1), "missing"
    if param == "data":
        return on_core_error(request, MalformedBody("a JSON object is required as the body"))
    detail = f"{param}: {message}" if param else error.detail
    title = TABLE[core.InvalidInput][1]
    return _answer(request, 400, title, detail, core.InvalidInput.code, param=param)


def idempotency_key_error(key: str | None) -> core.Refusal:
    """The refusal for a missing (``None``) or malformed key."""
    if key is None:
        return IdempotencyKeyMissing(
            "send an Idempotency-Key header of your own choice with this request",
            param="Idempotency-Key",
        )
    return core.InvalidInput(
        "an idempotency key has 1 to 255 printable ASCII characters", param="Idempotency-Key"
    )


def _extra_headers(error: core.TidegateError, status: int) -> Mapping[str, str] | None:
    if status == 401:
        return {"www-authenticate": 'Bearer realm="tidegate"'}
    return {"retry-after": "1"} if status == 503 and error.transient else None


def _answer(
    request: Request[Any, Any, Any],
    status: int,
    title: str,
    detail: str,
    code: str,
    *,
    param: str | None = None,
    decline_code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    where = f"/errors/{code}"
    problem = Problem(
        type=where,
        title=title,
        status=status,
        detail=detail,
        instance=request.scope["path"],
        code=code,
        request_id=request.scope["state"].get("request_id", ""),
        doc_url=where,
        param=param,
        decline_code=decline_code,
    )
    request.scope["state"]["error_code"] = code
    return Response(
        msgspec.json.encode(problem),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )
