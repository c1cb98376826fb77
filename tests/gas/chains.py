"""A chain that a test writes block by block, and a store in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from chain.errors import EndpointDown
from chain.gas.history import GasHeader, Newest
from chain.gas.recurrence import ETHEREUM, next_base_fee_wei

LIMIT = 30_000_000


def mined(
    count,
    *,
    fee=10**9,
    first=100,
    tag="a",
    parent=b"",
    used=None,
    time_s=1_000,
    parameters=ETHEREUM,
):
    """Connected headers that follow the recurrence; ``used``: gas by place, a wave by default."""
    rows = []
    for at in range(count):
        gas = used[at] if used else LIMIT // 2 + (LIMIT // 40) * ((at * 7) % 11 - 5)
        hash_ = f"{tag}{first + at}".encode()
        rows.append(
            GasHeader(
                *(first + at, hash_, parent, time_s + 12 * at, fee, gas, LIMIT),
                tips_wei=(1, 2, 3, 4, 5),
            )
        )
        parent, fee = hash_, next_base_fee_wei(rows[-1].block, parameters)
    return rows


@dataclass
class Node:
    """Serves its blocks; counts what it is asked for."""

    chain: list[GasHeader]
    asked: list[tuple[int, int]] = field(default_factory=list)
    is_down: bool = False
    says_next: bool = True

    async def newest(self) -> Newest:
        if self.is_down:
            raise EndpointDown("nobody there")
        head = self.chain[-1]
        return Newest(head, next_base_fee_wei(head.block) if self.says_next else None)

    async def headers(self, first: int, last: int) -> Sequence[GasHeader]:
        self.asked.append((first, last))
        return [row for row in self.chain if first <= row.number <= last]


@dataclass
class Shelf:
    """The block store, in memory, for one network."""

    rows: dict[int, GasHeader] = field(default_factory=dict)
    outlooks: list[dict] = field(default_factory=list)
    notes: list = field(default_factory=list)
    models: list[dict] = field(default_factory=list)

    async def recent(self, network, limit):  # noqa: ARG002
        return [replace(self.rows[n], parent=b"") for n in sorted(self.rows)[-limit:]]

    async def keep(self, network, rows: Iterable[GasHeader], *, forget_from=None):  # noqa: ARG002
        if forget_from is not None:
            self.rows = {n: row for n, row in self.rows.items() if n < forget_from}
        self.rows |= {row.number: row for row in rows}

    async def prune(self, network, keep):  # noqa: ARG002
        self.rows = {n: self.rows[n] for n in sorted(self.rows)[-keep:]}

    async def save_outlook(self, network, head_number, seen_at, content):  # noqa: ARG002
        self.outlooks.append(content)

    async def note(self, decision):
        self.notes.append(decision)

    async def promoted(self, network):  # noqa: ARG002
        return self.models[-1]["sha256"] if self.models else None

    async def model(self, network, digest):  # noqa: ARG002
        return self.models[-1]

    async def score(self, network, now, block_ms):  # noqa: ARG002
        return 0
