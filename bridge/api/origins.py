"""Which web origins any publishable key lists: what a CORS preflight is answered from.

A preflight carries no key, so it can only learn that some key allows its origin; the request
that follows is checked against its own key. Answers are kept for a while, for a bounded number of
origins, since anyone may ask.
"""

import time

from bridge.storage.queries import Queries

ORIGIN_TTL_S = 10.0
ORIGINS_KEPT_MAX = 1024
_ORIGIN_LENGTH_MAX = 256


class Origins:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._kept: dict[str, tuple[float, bool]] = {}

    async def known(self, origin: str) -> bool:
        """Whether an unrevoked publishable key lists ``origin`` exactly."""
        if not 0 < len(origin) <= _ORIGIN_LENGTH_MAX or not origin.isprintable():
            return False
        kept = self._kept.get(origin)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        known = await self._queries.origin_listed(origin)
        if len(self._kept) >= ORIGINS_KEPT_MAX:
            self._kept.clear()
        self._kept[origin] = (time.monotonic() + ORIGIN_TTL_S, known)
        return known
