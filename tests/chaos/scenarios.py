"""For every guard the disturbance that it is there for, brought about on purpose."""

from typing import Any

from tests.chaos.system import System


async def provoke(system: System, guard: str, storm: Any) -> None:
    raise NotImplementedError
