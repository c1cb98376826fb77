"""The guards that can be switched off, each with what the audit must then find."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from settlement.ports.bundle import Ports


@dataclass(frozen=True, slots=True)
class Guard:
    """``protects`` says what the guard is for; ``finding`` is the audit's count that must rise."""

    name: str
    protects: str
    finding: str
    disable: Callable[[Ports], Ports]


GUARDS: Mapping[str, Guard] = {}
