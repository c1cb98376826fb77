"""Reading requests quickly and strictly: typed JSON bodies in one pass, headers without copies.

Litestar decodes JSON to builtins and then converts; here msgspec decodes straight into the
handler's own struct, which is faster and names the field of every mistake.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ClientException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Empty

from bridge.api.errors import MalformedBody, UnsupportedMediaType, idempotency_key_error
from settlement.errors import InvalidInput
from settlement.ports.accepting import Idempotency

_PATH = re.compile(r" - at `\$\.?(.*?)`$")
_UNKNOWN = re.compile(r"unknown field `(.+?)`")
_MISSING = re.compile(r"missing required field `(.+?)`")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

REPLAYED = (b"idempotent-replayed", b"true")


class HeaderDoc(msgspec.Struct, frozen=True):
    """A request header that a handler reads by itself, for the OpenAPI document."""

    name: str
    description: str
    required: bool = False


IDEMPOTENCY_KEY = HeaderDoc(
    "Idempotency-Key",
    "1 to 255 characters of your choice: a retry with the same key and the same body gets the "
    "first answer again, marked `Idempotent-Replayed: true` where it created something or an "
    "operator acted. In a browser draw it at random, since all frontends of an account share "
    "their keys.",
    required=True,
)


class ApiRequest(Request[Any, Any, Any]):
    """A request whose JSON body is decoded straight into the struct that its handler takes."""

    async def body(self) -> bytes:
        """The whole body, read once. Raises Litestar's ``RequestEntityTooLarge`` (413)."""
        if self._body is Empty:
            self._body = self._connection_state.body = await self._read()
        return self._body

    async def _read(self) -> bytes:
        limit = self.route_handler.resolve_request_max_body_size() or 0
        announced = header(self.scope, b"content-length")
        if announced is not None and announced.isdigit() and int(announced) > limit:
            raise RequestEntityTooLarge
        body = bytearray()
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientException("the client went away before its request was complete")
            body += message["body"]
            if len(body) > limit:
                raise RequestEntityTooLarge
            if not message.get("more_body"):
                return bytes(body)

    async def json(self) -> Any:
        """Raises :class:`UnsupportedMediaType`, :class:`MalformedBody` or ``InvalidInput``."""
        content_type = header(self.scope, b"content-type")
        if content_type is None or not _is_json(content_type):
            raise UnsupportedMediaType(f"the body must be application/json, not {content_type}")
        body = await self.body()
        decoder: msgspec.json.Decoder[Any] = self.route_handler.opt["decoder"]
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise _invalid(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedBody(str(error)) from None


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _invalid(message: str) -> InvalidInput:
    """msgspec's sentence, with the field it is about as ``param`` (``wallet.address``)."""
    where = _PATH.search(message)
    path = where.group(1) if where else ""
    text = message[: where.start()] if where else message
    field = _UNKNOWN.search(text) or _MISSING.search(text)
    if field is not None:
        path = f"{path}.{field.group(1)}" if path else field.group(1)
    return InvalidInput(text, param=path or None)


def header(scope: Mapping[str, Any], name: bytes) -> str | None:
    """One header by its lower-case ``name``, from the table that the edge made once."""
    found: bytes | None = scope["state"]["headers"].get(name)
    return None if found is None else found.decode("latin-1")


async def idempotency(request: Request[Any, Any, Any], namespace: str) -> Idempotency:
    """The ``Idempotency-Key`` header and a digest of method, path and body.

    ``namespace`` keeps the keys of frontends (publishable) and servers apart, so that nobody
    reads a server's answer by guessing its key.
    Raises ``InvalidInput`` for a missing or malformed key.
    """
    scope = request.scope
    key = header(scope, b"idempotency-key")
    if key is None or not _KEY.fullmatch(key):
        raise idempotency_key_error(key)
    digest = hashlib.sha256(f"{scope['method']} {scope['path']}\n".encode())
    digest.update(await request.body())
    return Idempotency(namespace + key, digest.hexdigest())
