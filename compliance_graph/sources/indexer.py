"""An indexer's account API: the transfers of one wallet that no other source has seen.

The shape is that of Etherscan (https://docs.etherscan.io/api-endpoints/accounts), which Blockscout
and others speak as well. Asked are, newest first and one page each::

    GET URL?module=account&action=txlist&address=0x…&sort=desc&page=1&offset=1000
    GET URL?module=account&action=tokentx&address=0x…&sort=desc&page=1&offset=1000

and expected is ``{"status": "1", "result": [...]}``, or status ``"0"`` with an empty list for a
wallet without any. Of each row are read ``hash``, ``from``, ``to``, ``value`` (minor units),
``timeStamp``, ``blockNumber``, ``isError`` (txlist), ``contractAddress`` (tokentx) and
``confirmations``. Tokens count by contract, never by the symbol that they give themselves.

Anything else, an error or an answer that takes too long, is no answer: the screening abstains.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from compliance_graph.sources import Arrival, transfer_key
from compliance_graph.store import GraphStore
from settlement.money import Asset
from settlement.ports.notification import Log

PAGE_ROWS = 1_000
LEAST_CONFIRMATIONS = 64
REMEMBERED_S = 300.0
_REMEMBERED = 10_000

Row = Mapping[str, Any]


class IndexerError(Exception):
    """The indexer gave no answer that can be used."""


class Indexer:
    """``urls`` by network (a key goes into the URL's query), ``assets`` by network and contract in
    lower case, ``""`` for native coin. ``limit_ms`` bounds the whole of one look-up. A whole answer
    is remembered for ``remembered_s``; one without transfers, or with some that are too young to
    be kept, is asked for again."""

    def __init__(
        self,
        store: GraphStore,
        urls: Mapping[str, str],
        assets: Mapping[str, Mapping[str, Asset]],
        *,
        limit_ms: int = 2_000,
        log: Log,
        http: httpx.AsyncClient | None = None,
        remembered_s: float = REMEMBERED_S,
    ) -> None:
        self._store, self._urls, self._assets = store, urls, assets
        self._limit_ms, self._log = limit_ms, log
        self._http = http or httpx.AsyncClient(trust_env=False)
        self._remembered_s = remembered_s
        self._answered: dict[tuple[str, str], float] = {}

    async def learn(self, network: str, address: str) -> bool:
        """See :class:`compliance_graph.screening.Neighbours`. A network without an indexer has
        answered: there is nothing to learn."""
        until = self._answered.get((network, address), 0.0)
        if network not in self._urls or time.monotonic() < until:
            return True
        try:
            async with asyncio.timeout(self._limit_ms / 1000):
                plain, tokens = await asyncio.gather(
                    self._rows(network, address, "txlist"),
                    self._rows(network, address, "tokentx"),
                )
                found = read_rows(network, self._assets[network], plain, tokens)
                source = await self._store.source(f"indexer:{network}", "indexer", network)
                await self._store.merge(source, found)
        except (TimeoutError, httpx.HTTPError, IndexerError) as error:
            self._log.warning("indexer_silent", network=network, error=_told(error))
            return False
        rows = [*plain, *tokens]
        whole = all(int(row["confirmations"]) >= LEAST_CONFIRMATIONS for row in rows)
        if found:
            self._answered.pop((network, address), None)  # the oldest stand first
            lasts_s = self._remembered_s if whole else 0.0
            self._answered[network, address] = time.monotonic() + lasts_s
        if len(self._answered) > _REMEMBERED:
            self._answered.pop(next(iter(self._answered)))
        return True

    def has_expired(self, network: str, address: str) -> bool:
        """See :class:`compliance_graph.screening.Neighbours`."""
        return self._answered.get((network, address), math.inf) <= time.monotonic()

    async def close(self) -> None:
        await self._http.aclose()

    async def _rows(self, network: str, address: str, action: str) -> Sequence[Row]:
        url = httpx.URL(self._urls[network]).copy_merge_params(
            {
                "module": "account",
                "action": action,
                "address": address,
                "sort": "desc",
                "page": "1",
                "offset": str(PAGE_ROWS),
            }
        )
        response = await self._http.get(url)
        response.raise_for_status()
        try:
            answer = response.json()
            rows = answer["result"]
            usable = isinstance(rows, list) and (answer["status"] == "1" or not rows)
        except (ValueError, KeyError, TypeError) as error:
            raise IndexerError(f"{action}: no JSON of the expected shape") from error
        if not usable:
            raise IndexerError(f"{action}: {answer.get('message')}")
        return list(rows)


def _told(error: Exception) -> str:
    """For the log: HTTP errors' own words name the URL, and with it the key."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"{type(error).__name__} {error.response.status_code}"
    return repr(error) if isinstance(error, IndexerError) else type(error).__name__


def read_rows(
    network: str, assets: Mapping[str, Asset], plain: Sequence[Row], tokens: Sequence[Row]
) -> list[Arrival]:
    """Transfers of listed assets, old enough to stay. Raises :class:`IndexerError`."""
    equal: Counter[tuple[str, str, str, str, str]] = Counter()
    found = []
    try:
        # Oldest first, so that equal transfers of one transaction are counted as the chain does.
        for row in [*reversed(plain), *reversed(tokens)]:
            asset = assets.get(str(row.get("contractAddress") or "").lower())
            moved = int(row["value"]) > 0 and row.get("isError", "0") == "0" and row["to"]
            if asset is None or not moved or int(row["confirmations"]) < LEAST_CONFIRMATIONS:
                continue
            tx, src, dst = (str(row[name]).lower() for name in ("hash", "from", "to"))
            same = (tx, asset.code, src, dst, str(row["value"]))
            amount = int(row["value"]) / 10**asset.scale
            key = transfer_key(network, tx, asset.code, src, dst, amount, equal[same])
            equal[same] += 1
            block, time_s = int(row["blockNumber"]), int(row["timeStamp"])
            found.append(Arrival(key, block, tx, asset.code, src, dst, amount, 1, time_s))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IndexerError(f"a row makes no sense: {error!r}") from error
    return found
