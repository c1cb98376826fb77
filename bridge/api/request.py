"""Reading requests quickly and strictly: typed JSON bodies in one pass, headers without copies.

Litestar decodes JSON to builtins and then converts; here msgspec decodes straight into the
handler's own struct, which is faster and names the field of every mistake.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar import Request
from litestar.params import Parameter

from bridge.api.errors import MalformedBody, UnsupportedMediaType, idempotency_key_error
from settlement.errors import InvalidInput
from settlement.ports.accepting import Idempotency

_PATH = re.compile(r" - at `\$\.?(.*?)`$")
_UNKNOWN = re.compile(r"unknown field `(.+?)`")
_MISSING = re.compile(r"missing required field `(.+?)`")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

IdempotencyKey = Annotated[
    str | None,
    Parameter(
        header="Idempotency-Key",
        description="Required, 1 to 255 characters of your choice: a retry with the same key "
        "and the same body gets the first answer again.",
    ),
]


class ApiRequest(Request[Any, Any, Any]):
    """A request whose JSON body is decoded straight into the struct that its handler takes."""

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
    """One header (lower-case ``name``) straight from the scope; the last one wins."""
    found = None
    for key, value in scope["headers"]:
        if key == name:
            found = value
    return None if found is None else found.decode("latin-1")


async def idempotency(
    request: Request[Any, Any, Any], key: str | None, namespace: str
) -> Idempotency:
    """The key and a digest of method, path and body.

    ``namespace`` keeps the keys of frontends (publishable) and servers apart, so that nobody
    reads a server's answer by guessing its key.
    Raises ``InvalidInput`` for a missing or malformed key.
    """
    if key is None or not _KEY.fullmatch(key):
        raise idempotency_key_error(key)
    scope = request.scope
    digest = hashlib.sha256(f"{scope['method']} {scope['path']}\n".encode())
    digest.update(await request.body())
    return Idempotency(namespace + key, digest.hexdigest())
