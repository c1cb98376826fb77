"""How the core tells operators what it sees. Facts for customers are events, not log lines."""

from typing import Protocol


class Log(Protocol):
    """Structured log: an event name and its facts (the shape of structlog's bound loggers)."""

    def info(self, event: str, **facts: object) -> object: ...

    def warning(self, event: str, **facts: object) -> object: ...

    def error(self, event: str, **facts: object) -> object: ...


class NullLog:
    """Says nothing."""

    def info(self, event: str, **facts: object) -> None: ...

    def warning(self, event: str, **facts: object) -> None: ...

    def error(self, event: str, **facts: object) -> None: ...
