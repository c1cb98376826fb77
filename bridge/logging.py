"""Structured logs: one JSON object per line, with the request's and the order's id on it.

Two rules keep secrets out. Nothing here logs a header, a body or a query string; and a last
processor blanks any value whose key looks like a secret, or whose text looks like one of our
keys, so that a careless call elsewhere still leaks nothing.
"""

import asyncio
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any, TextIO

import msgspec
import structlog

_SECRET_NAMES = re.compile(
    r"secret|password|passphrase|authorization|private|mnemonic|api_key|signature|token$", re.I
)
_SECRET_TEXT = re.compile(
    r"\b(?:tg_[sp]k_(?:test|live)_[\w-]+|[sr]k_(?:test|live)_\w+|whsec_[\w+/=-]+"
    r"|\w+_secret_[\w-]+)"
    r"|(?<=://)[^\s:@]*:[^\s\"']+(?=@)"  # user and password; a raw password may hold / and @
    r"|(?<=/v[1-3]/)[\w-]{24,}"  # how hosted nodes carry the key in their address
)
_HIDDEN = "[hidden]"

FLUSH_S = 0.05
"""How long an access line may wait for others."""

_encode = msgspec.json.Encoder(enc_hook=repr).encode
_PLAIN = (int, float, bool, type(None), datetime)


def hide_secrets(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Blank what must never reach a log, by the name of the key or the look of the text."""
    for name, value in event.items():
        event[name] = _harmless(name, value)
    return event


def _harmless(name: str, value: Any) -> Any:
    """Whatever is no plain value is shown as its ``repr``, an exception for instance."""
    if _SECRET_NAMES.search(name) is not None:
        return _HIDDEN
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {str(key): _harmless(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_harmless("", item) for item in value]
    text = value if isinstance(value, str) else repr(value)
    return _SECRET_TEXT.sub(_HIDDEN, text) if "_" in text or "/" in text else text


def _render(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return _encode(event).decode()


class _Target:
    """Where :func:`configure` last pointed the logs."""

    stream: TextIO = sys.stderr
    level: int = logging.INFO


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Set up structlog for the process; the standard library's warnings join the same stream.

    ``level``: ``debug``, ``info``, ``warning`` or ``error``. ``stream`` defaults to stderr.
    """
    target = stream if stream is not None else sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    _Target.stream, _Target.level = target, number
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))


class AccessLine(msgspec.Struct, omit_defaults=True, tag_field="event", tag="request"):
    """One request as logged: routes and ids only, never a header, a body or a query string."""

    timestamp: datetime
    request_id: str
    method: str
    route: str
    status: int
    ms: float
    order_id: str | None = None
    tenant_id: str | None = None
    code: str | None = None


class AccessLog:
    """Writes access lines to the configured stream, many at a time.

    A line waits at most :data:`FLUSH_S`, so that a busy server makes one system call for dozens
    of requests. It skips structlog's processors for the same reason: an :class:`AccessLine` has
    no field that could hold a secret.
    """

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def write(self, line: AccessLine) -> None:
        """Keep a line; call within a running event loop."""
        if _Target.level > logging.INFO:
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._lines.append(_encode(line))

    def flush(self) -> None:
        """Write what waits."""
        if self._lines:
            lines, self._lines = self._lines, []
            _Target.stream.write(b"\n".join([*lines, b""]).decode())
            _Target.stream.flush()


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that names its part of the system (``api``, ``worker``, …)."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return logger
