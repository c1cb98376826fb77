"""Who is asking, and what that key may do: one table from permission to roles.

Keys look like ``tg_sk_test_…`` (secret) and ``tg_pk_test_…`` (publishable, made to be seen in a
browser) and are stored as SHA-256 digests: 256 random bits need no slow hash. Lookups are kept
for a few seconds, so that the accepting path pays no round trip; a revoked key is refused after
at most that long.
"""

import hashlib
import hmac
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection

from bridge.api.errors import ModeMismatch, OriginNotAllowed, Unauthorized, UnknownParameter
from bridge.api.request import header
from bridge.storage.queries import Queries
from bridge.storage.records import KeyKind, Login, Role
from settlement.errors import Forbidden, InvalidInput, InvariantBroken, NotFound
from settlement.order import Order

KEY_TTL_S = 5.0
KEYS_KEPT_MAX = 4096

PUBLISHABLE = "publishable"
"""A publishable key acts as this, whatever role it was made with."""

_ALL = frozenset({Role.MERCHANT, Role.COMPLIANCE, Role.OPERATOR, Role.ADMIN})
_SALES = frozenset({Role.MERCHANT, Role.ADMIN})
_OFFICERS = frozenset({Role.COMPLIANCE, Role.ADMIN})
_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})

PERMISSIONS: dict[str, frozenset[str]] = {
    "assets.read": _ALL | {PUBLISHABLE},
    "limits.read": _ALL | {PUBLISHABLE},
    "quotes.create": _SALES | {PUBLISHABLE},
    "quotes.read": _SALES,
    "orders.create": _SALES | {PUBLISHABLE},
    "orders.list": _ALL,
    "orders.read": _ALL | {PUBLISHABLE},
    "orders.cancel": _SALES | {Role.OPERATOR, PUBLISHABLE},
    "receipts.read": _SALES | {Role.OPERATOR, PUBLISHABLE},
    "settlements.read": _SALES | {Role.OPERATOR},
    "settlements.operate": _OPERATORS,
    "networks.read": _OPERATORS,
    "networks.operate": _OPERATORS,
    "escrows.read": _ALL,
    "escrows.attest": _SALES | {Role.OPERATOR},
    "screenings.create": _SALES | {Role.COMPLIANCE},
    "screenings.read": _SALES | {Role.COMPLIANCE},
    "cases.read": _OFFICERS,
    "cases.decide": _OFFICERS,
    "cases.release_any": frozenset({Role.ADMIN}),
    "lists.read": _OFFICERS,
    "lists.write": _OFFICERS,
    "audit.read": _OFFICERS,
    "ledger.read": _SALES | {Role.OPERATOR},
}
"""Every ``/v1`` route names one of these; an admin may do everything. ``orders.read``,
``orders.cancel`` and ``receipts.read`` with a publishable key also need the order's client
secret."""

OPEN = "open"
"""The permission of routes that take no key (webhooks sign their bodies instead)."""

_SINGLE = (
    b"authorization",
    b"content-type",
    b"idempotency-key",
    b"origin",
    b"stripe-signature",
    b"tidegate-client-secret",
)
"""Headers that decide something and have one value."""

_TOKEN = re.compile(r"tg_(sk|pk)_(test|live)_[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, slots=True)
class Caller:
    """The key behind one request; ``role`` is :data:`PUBLISHABLE` for publishable keys."""

    login: Login
    role: str

    @property
    def tenant_id(self) -> str:
        return self.login.tenant.id

    @property
    def livemode(self) -> bool:
        return self.login.tenant.livemode

    @property
    def is_frontend(self) -> bool:
        return self.role == PUBLISHABLE

    @property
    def namespace(self) -> str:
        """Idempotency keys of frontends and of servers never meet, whatever either chooses."""
        return "pk:" if self.is_frontend else "sk:"

    @property
    def may_pay(self) -> bool:
        """Whether secrets that pay for or follow an order are any of this key's business."""
        return self.role in PERMISSIONS["orders.create"]


def key_digest(token: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(token.encode()).digest()


class KeyRing:
    """Key lookups, kept for :data:`KEY_TTL_S`; at most :data:`KEYS_KEPT_MAX`, oldest out first.

    Unknown keys are not kept, so that nobody can push out the known ones by guessing.
    """

    def __init__(self, queries: Queries, mode: str) -> None:
        self._queries = queries
        self._mode = mode
        self._kept: OrderedDict[str, tuple[float, Caller]] = OrderedDict()

    async def caller(self, token: str) -> Caller:
        """Raises :class:`Unauthorized` or :class:`ModeMismatch`."""
        kept = self._kept.get(token)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        caller = await self._look_up(token)
        self._kept[token] = (time.monotonic() + KEY_TTL_S, caller)
        self._kept.move_to_end(token)
        if len(self._kept) > KEYS_KEPT_MAX:
            self._kept.popitem(last=False)
        return caller

    async def _look_up(self, token: str) -> Caller:
        match = _TOKEN.fullmatch(token)
        login = await self._queries.login(key_digest(token)) if match else None
        if match is None or login is None:
            self._kept.pop(token, None)
            raise Unauthorized("this API key is not known")
        kind = KeyKind.PUBLISHABLE if match.group(1) == "pk" else KeyKind.SECRET
        if kind is not login.key.kind:
            raise Unauthorized("this API key is not known")
        if (match.group(2) == "live") is not login.tenant.livemode:
            raise ModeMismatch("a test key works on test data only, a live key on live data only")
        if login.tenant.livemode is not (self._mode == "live"):
            raise ModeMismatch(f"this deployment serves {self._mode} keys only")
        return Caller(login, PUBLISHABLE if kind is KeyKind.PUBLISHABLE else login.key.role)


Connection = ASGIConnection[Any, Any, Any, Any]


async def admit(connection: Connection) -> None:
    """Runs before every handler: key, role, origin, and that each query parameter exists.

    A ``before_request`` hook rather than a guard, since Litestar copies the route handler for
    every guarded request. Raises :class:`Unauthorized`, ``Forbidden``,
    :class:`OriginNotAllowed` or :class:`UnknownParameter`.
    """
    options, scope = connection.route_handler.opt, connection.scope
    if len(scope["state"]["headers"]) != len(scope["headers"]):  # type: ignore[arg-type]  # a list
        _check_repeats(scope["headers"])
    if "\0" in scope["path"]:
        raise NotFound("no id or address has a NUL in it")
    permission = options.get("permission")
    if permission is not None and permission != OPEN:
        await _authorize(connection, permission, options.get("key_in_query", False))
    if scope["query_string"] and "query" in options:
        _check_query(connection, options["query"])


def _check_repeats(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Of two values, a proxy before us may have believed the other one."""
    seen = Counter(name for name, _ in headers)
    for name in _SINGLE:
        if seen[name] > 1:
            text = name.decode().title()
            raise InvalidInput(f"the header {text} was sent more than once", param=text)


async def _authorize(connection: Connection, permission: str, key_in_query: bool) -> None:
    scope = connection.scope
    keys: KeyRing = connection.app.state.key_ring
    caller = await keys.caller(_token(connection, key_in_query))
    if caller.role not in PERMISSIONS[permission]:
        raise Forbidden(f"a {caller.role} key has no permission {permission}")
    if caller.is_frontend:
        origin = header(scope, b"origin")
        if origin is not None:
            if origin not in caller.login.key.allowed_origins:
                raise OriginNotAllowed(f"{origin} is not among this key's allowed origins")
            scope["state"]["cors_origin"] = origin
    scope["state"]["caller"] = caller


def _token(connection: Connection, key_in_query: bool) -> str:
    authorization = header(connection.scope, b"authorization")
    if authorization is None:
        # A browser's EventSource sends no headers; a publishable key is no secret.
        key = connection.query_params.get("key") if key_in_query else None
        if isinstance(key, str) and key.startswith("tg_pk_"):
            return key
        raise Unauthorized("send your key as Authorization: Bearer …")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("send your key as Authorization: Bearer …")
    return token.strip()


def _check_query(connection: Connection, known: frozenset[str]) -> None:
    for name, value in connection.query_params.multi_items():
        if name not in known:
            raise UnknownParameter(f"there is no parameter {name[:64]!r}", param=name[:64])
        if "\0" in value:  # PostgreSQL holds no such text
            raise InvalidInput(f"{name} has a NUL in it", param=name)


def caller_of(connection: Connection) -> Caller:
    """The caller that :func:`admit` established."""
    caller = connection.scope["state"].get("caller")
    if not isinstance(caller, Caller):
        raise InvariantBroken("a handler asked for its caller without a permission")
    return caller


def check_client_secret(caller: Caller, order: Order, client_secret: str | None) -> None:
    """A frontend must hold the order's own secret; without it the order does not exist.

    Raises :class:`~settlement.errors.NotFound`, the same as for an order that is missing.
    """
    if not caller.is_frontend:
        return
    given = (client_secret or "").encode()
    if not hmac.compare_digest(given, order.client_secret.encode()):
        raise NotFound("no such order")


def check_return_url(caller: Caller, url: str | None) -> None:
    """Where the customer goes after paying: for a frontend's key, only where its list allows.

    A listed URL allows itself, whatever the query; one that ends in ``/`` allows all below it.
    Raises :class:`~settlement.errors.InvalidInput`.
    """
    if url is None:
        return
    wanted = _http_url(url)
    if wanted is None:
        raise InvalidInput("return_url must be an absolute http(s) URL", param="return_url")
    if not caller.is_frontend:
        return
    for allowed in caller.login.key.return_urls:
        base = _http_url(allowed)
        if base is not None and base[:2] == wanted[:2] and _below(base[2], wanted[2]):
            return
    raise InvalidInput("return_url is not on this key's list", param="return_url")


def _http_url(url: str) -> tuple[str, str, str] | None:
    """Scheme, authority and path; ``None`` for what browsers and we might read differently."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    path = parts.path or "/"
    if any(segment.lower().replace("%2e", ".") in (".", "..") for segment in path.split("/")):
        return None
    return parts.scheme, parts.netloc.lower(), path


def _below(base: str, path: str) -> bool:
    return path == base or (base.endswith("/") and path.startswith(base))
