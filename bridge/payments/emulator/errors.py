"""Stripe's error answers (https://docs.stripe.com/api/errors), one constructor per kind.

ApiError
  its ``type`` is one of invalid_request_error, card_error, idempotency_error, api_error
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def doc_url(code: str) -> str:
    """Return the page on which Stripe explains an error code."""
    return f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}"


class ApiError(Exception):
    """An answer in Stripe's error shape.

    ``keeps_effects`` says that what the request did so far stands (a declined charge is recorded);
    ``executed`` says that the endpoint had begun, so that its answer is kept for the idempotency
    key (https://docs.stripe.com/api/idempotent_requests).
    """

    def __init__(self, status: int, error: Json, *, keeps_effects: bool = False) -> None:
        super().__init__(error.get("message"))
        self.status = status
        self.error = error
        self.keeps_effects = keeps_effects
        self.executed = True

    def body(self, request_id: str) -> Json:
        """Return the JSON answer, with the members that Stripe adds to every error."""
        error = dict(self.error)
        if "code" in error:
            error["doc_url"] = doc_url(error["code"])
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}"
        return {"error": error}


def invalid(
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    status: int = 400,
    **more: Any,
) -> ApiError:
    """Return an invalid_request_error."""
    error: Json = {"type": "invalid_request_error", "message": message}
    if code is not None:
        error["code"] = code
    if param is not None:
        error["param"] = param
    return ApiError(status, {**error, **more})


def not_executed(error: ApiError) -> ApiError:
    """Mark an error as raised before the endpoint began, so that no idempotency key keeps it."""
    error.executed = False
    return error


def missing(resource: str, row_id: str, param: str = "id") -> ApiError:
    """Return the 404 for an object that does not exist."""
    return invalid(
        f"No such {resource}: '{row_id}'", code="resource_missing", param=param, status=404
    )


def unauthorized(message: str, code: str | None = None) -> ApiError:
    """Return the 401 for a missing or refused API key."""
    return not_executed(invalid(message, code=code, status=401))


def forbidden(message: str, code: str) -> ApiError:
    """Return the 403 for a key that may not do this."""
    return not_executed(invalid(message, code=code, status=403))


def unexpected_state(message: str, intent: Json) -> ApiError:
    """Return the refusal of a transition that the intent's status does not allow."""
    return invalid(message, code="payment_intent_unexpected_state", payment_intent=intent)


def idempotency(message: str, *, status: int = 400, code: str | None = None) -> ApiError:
    """Return an idempotency_error."""
    error: Json = {"type": "idempotency_error", "message": message}
    if code is not None:
        error["code"] = code
    return not_executed(ApiError(status, error))


def rate_limited() -> ApiError:
    """Return the 429 that Stripe sends when requests come too fast."""
    message = "Request rate limit exceeded. Learn more at https://docs.stripe.com/rate-limits"
    return not_executed(invalid(message, code="rate_limit", status=429))


def internal() -> ApiError:
    """Return the 500 of a fault on Stripe's side, before anything was done."""
    message = "An unknown error occurred. (Injected by the local emulator.)"
    return not_executed(ApiError(500, {"type": "api_error", "message": message}))


def card_error(failure: Json, **more: Any) -> ApiError:
    """Return the 402 for a declined card; the failed charge stays on record."""
    return ApiError(402, {"type": "card_error", **failure, **more}, keeps_effects=True)
