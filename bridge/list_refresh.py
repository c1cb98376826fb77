"""Workers fetch the lists that have a URL: one that nobody refreshes clears who was listed since.

Each fetch is `tidegate lists refresh` in a process of its own: parsing a hundred megabytes must
delay no order. What is refused there leaves yesterday's version in place, is an error in the log,
and is tried again in ten minutes; the list's age is what an alert watches.
"""

import asyncio
import contextlib
import os
import re
import sys
import time

from bridge import logging
from bridge.gas import gently
from bridge.settings import Settings
from bridge.worker import Job

LOOK_S = 600.0
MOST_S = 900.0
"""A publisher that gives a byte a minute must not keep the other lists from being refreshed."""
_QUERY = re.compile(r"(https?://[^\s?#'\"]*)[?#][^\s'\"]*")


def list_jobs(settings: Settings) -> list[tuple[Job, float]]:
    """What a worker does for lists beside the stages: a job, and its seconds."""
    if not settings.list_urls or not settings.list_refresh_h:
        return []
    return [(Refreshing(settings).beat, LOOK_S)]


class Refreshing:
    """Of several workers the first one fetches; the others find the list looked at."""

    def __init__(self, settings: Settings, most_s: float = MOST_S) -> None:
        self._most_s = most_s
        self._names, self._hours = sorted(settings.list_urls), settings.list_refresh_h
        urls = ",".join(f"{name}={url}" for name, url in settings.list_urls.items())
        own = {"DATABASE_URL": str(settings.database_url), "TIDEGATE_LIST_URLS": urls}
        self._env = {**os.environ, **own}
        self._due_s = dict.fromkeys(self._names, 0.0)
        self._busy = asyncio.Lock()
        self._log = logging.get("lists")

    async def beat(self) -> None:
        """Refresh what is due, one list after another. Never raises: the next beat tries again."""
        if self._busy.locked():
            return
        async with self._busy:
            for name in self._names:
                if time.monotonic() >= self._due_s[name] and await self._refreshed(name):
                    self._due_s[name] = time.monotonic() + self._hours * 3600.0 + LOOK_S

    async def _refreshed(self, name: str) -> bool:
        command = ["-m", "bridge.cli", "lists", "refresh", name, "--older-than-h", str(self._hours)]
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                env=self._env,
                preexec_fn=gently,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said = await self._said(process)
        except (OSError, TimeoutError) as error:
            self._log.error("list_not_refreshed", list=name, error=str(error))
            return False
        line = without_query((said.strip().splitlines() or [""])[-1])
        if process.returncode:
            self._log.error("list_not_refreshed", list=name, error=line)
            return False
        self._log.info("list_refreshed", list=name, said=line)
        return True

    async def _said(self, process: asyncio.subprocess.Process) -> str:
        """Raises ``TimeoutError``; the process has ended either way."""
        try:
            async with asyncio.timeout(self._most_s):
                said, _ = await process.communicate()
        except TimeoutError:
            raise TimeoutError(f"ended after {self._most_s:.0f} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return said.decode(errors="replace")


def without_query(line: str) -> str:
    """A publisher's URL may carry a key of ours behind its question mark."""
    return _QUERY.sub(r"\1", line)
