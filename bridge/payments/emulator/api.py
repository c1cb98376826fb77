"""The way of one API request: key, parameters, idempotency, faults, effect, journal, answer.

Between the first change of a row and the commit nothing is awaited, so requests never interleave
within their transactions.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
import traceback
from dataclasses import dataclass, field

from litestar import Request, Response
from litestar.datastructures import State

from .core import Call, Emulator, Route
from .delivery import Sender
from .errors import ApiError, forbidden, invalid, missing, not_executed, unauthorized
from .faults import ConnectionDropped, Faults
from .forms import parse_form
from .idempotency import Keys, keep
from .ids import new_id
from .params import read
from .settings import API_VERSION
from .store import Json
from .views import client_view, render

HttpRequest = Request[None, None, State]
DROP_HEADER = "x-emulator-drop-connection"
_TEST_KEYS = ("sk_test_", "rk_test_")
_LIVE_KEYS = ("sk_live_", "rk_live_", "pk_live_")


@dataclass
class Answer:
    """What goes back to the client."""

    status: int
    body: Json
    request_id: str
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response[bytes]:
        """Return the HTTP response, with the headers that Stripe sends."""
        content = json.dumps(self.body, indent=2).encode()
        headers = {
            "Request-Id": self.request_id,
            "Stripe-Version": API_VERSION,
            **self.headers,
        }
        return Response(
            content, status_code=self.status, headers=headers, media_type="application/json"
        )


def error_answer(error: ApiError, request_id: str) -> Answer:
    """Return an error as an answer."""
    return Answer(error.status, error.body(request_id), request_id)


class Api:
    """The endpoints of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.sender = Sender(emulator)
        self.faults = Faults()
        self.keys = Keys()

    async def handle(self, request: HttpRequest, route: Route) -> Response[bytes]:
        """Answer one request to one endpoint."""
        request_id = new_id("req")
        try:
            publishable = _authenticate(request)
            if publishable and not route.publishable:
                raise forbidden(
                    "This API call cannot be made with a publishable API key. Please use a secret "
                    "API key. You can find a list of your API keys at "
                    "https://dashboard.stripe.com/account/apikeys.",
                    "secret_key_required",
                )
            call = await _read_call(request, route, request_id, publishable)
            if not self.emulator.settings.public_url:
                self.emulator.public_url = f"http://{request.headers.get('host', '127.0.0.1')}"
            answer = await self._answer(call, route)
        except ApiError as error:
            answer = error_answer(error, request_id)
        except ConnectionDropped:
            answer = Answer(200, {}, request_id, {DROP_HEADER: "1"})
        return answer.response()

    async def _answer(self, call: Call, route: Route) -> Answer:
        key = call.idempotency_key
        if key is None:
            return await self._perform(call, route)
        kept = self.keys.begin(self.emulator, key, call.path, call.params)
        if kept is not None:
            headers = {
                "Idempotency-Key": key,
                "Idempotent-Replayed": "true",
                "Original-Request": kept["request"],
            }
            return Answer(kept["status"], kept["body"], call.request_id, headers)
        try:
            answer = await self._perform(call, route)
        finally:
            self.keys.end(key)
        answer.headers["Idempotency-Key"] = key
        return answer

    async def _perform(self, call: Call, route: Route) -> Answer:
        await self.faults.before(call.method, call.path)
        answer = self._execute(call, route)
        self.sender.wake()
        await self.faults.after(call.method, call.path)
        return answer

    def _execute(self, call: Call, route: Route) -> Answer:
        """Run the endpoint as one transaction, whose journal line holds effect and answer."""
        emulator = self.emulator
        try:
            emulator.call = None
            emulator.run_timers()
            emulator.store.commit()
            emulator.call = call
            answer, executed = self._run(call, route)
            if executed and call.idempotency_key is not None:
                key, path = call.idempotency_key, call.path
                keep(emulator, key, path, call.params, answer.status, answer.body)
            emulator.store.commit()
        except BaseException:
            emulator.store.rollback()
            raise
        finally:
            emulator.call = None
        return answer

    def _run(self, call: Call, route: Route) -> tuple[Answer, bool]:
        emulator = self.emulator
        try:
            body = render(emulator, call, route.handler(emulator, call))
            return Answer(200, body, call.request_id), True
        except ApiError as error:
            if not error.keeps_effects:
                emulator.store.rollback()
            error.error = client_view(call, error)
            return error_answer(error, call.request_id), error.executed
        except Exception:
            # A bug of the emulator's own: say so where its operator looks, answer as Stripe would.
            traceback.print_exc(file=sys.stderr)
            emulator.store.rollback()
            message = "The local emulator failed; its error output has the details."
            fault = not_executed(ApiError(500, {"type": "api_error", "message": message}))
            return error_answer(fault, call.request_id), False


def unknown_url(method: str, path: str) -> ApiError:
    """Return the 404 for a path that no endpoint has."""
    return invalid(
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove "
        "the trailing slash. If you are trying to retrieve an object, make sure you passed a valid "
        "(non-empty) identifier in your code. The local emulator implements a part of Stripe's "
        "API only.",
        status=404,
    )


def _authenticate(request: HttpRequest) -> bool:
    """Return whether the key is publishable.

    Raises ApiError (401) for a missing, unknown or live key, 403 for another account.
    """
    key = _key(request.headers.get("authorization", ""))
    if not key:
        raise unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization "
            "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    if key.startswith(_LIVE_KEYS):
        raise unauthorized(
            "The local emulator refuses live mode keys. Use a test mode key (sk_test_...)."
        )
    publishable = key.startswith("pk_test_")
    if not publishable and not (key.startswith(_TEST_KEYS) and len(key) > len("sk_test_")):
        raise unauthorized(f"Invalid API Key provided: {key[:7]}{'*' * 8}")
    if request.headers.get("stripe-account"):
        raise forbidden(
            "The provided key does not have access to that account (or that account does not "
            "exist): the local emulator has one account only.",
            "account_invalid",
        )
    return publishable


def _key(header: str) -> str:
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return credentials.strip() if scheme.lower() == "bearer" else ""


async def _read_call(
    request: HttpRequest, route: Route, request_id: str, publishable: bool
) -> Call:
    query = request.scope["query_string"].decode("latin-1")
    raw = query
    if request.method == "POST":
        try:
            raw = (await request.body()).decode()
        except UnicodeDecodeError as error:
            raise not_executed(invalid("Invalid request body: it must be UTF-8.")) from error
        content_type = request.headers.get("content-type", "")
        if raw and not content_type.startswith("application/x-www-form-urlencoded"):
            message = "Invalid request: the content type must be application/x-www-form-urlencoded."
            raise not_executed(invalid(message))
        raw = "&".join(part for part in (query, raw) if part)
    given = parse_form(raw)
    if publishable:
        # Stripe.js sends these with every call; they carry nothing here.
        for name in ("key", "_stripe_account", "_stripe_version"):
            given.pop(name, None)
    path_params = {name: str(value) for name, value in request.path_params.items()}
    if any(not value for value in path_params.values()):
        raise missing("object", "")
    return Call(
        method=request.method,
        path=request.url.path,
        params=read(route.params, given),
        path_params=path_params,
        publishable=publishable,
        request_id=request_id,
        idempotency_key=(request.headers.get("idempotency-key") or None)
        if request.method == "POST"
        else None,
    )
