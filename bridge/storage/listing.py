"""Cursor pages in SQL: one index range per page, never an offset."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bridge.storage.pages import Listing, Page
from settlement.errors import InvalidInput

T = TypeVar("T")

_ID_MAX = 2**63 - 1


async def listed(
    pool: Any,
    select: str,
    where: Sequence[tuple[str, Any]],
    page: Page,
    make: Callable[[Any], T],
    *,
    id_column: str = "id",
    numeric_id: bool = False,
) -> Listing[T]:
    """The page of ``select`` under ``where`` (pairs of a condition with ``{}`` and its value).

    Asks for one row more than wanted, which tells whether there are more.
    """
    conditions = list(where)
    if page.starting_after is not None:
        cursor = _cursor(page.starting_after, "starting_after", numeric_id)
        conditions.append((f"{id_column} < {{}}", cursor))
    if page.ending_before is not None:
        cursor = _cursor(page.ending_before, "ending_before", numeric_id)
        conditions.append((f"{id_column} > {{}}", cursor))
    upwards = page.ending_before is not None
    texts = [text.format(f"${place}") for place, (text, _) in enumerate(conditions, 1)]
    statement = (
        f"{select} WHERE {' AND '.join(texts) or 'true'}"
        f" ORDER BY {id_column} {'ASC' if upwards else 'DESC'} LIMIT {page.limit + 1}"
    )
    rows = await pool.fetch(statement, *(value for _, value in conditions))
    kept = rows[: page.limit]
    if upwards:
        kept = kept[::-1]
    return Listing([make(row) for row in kept], has_more=len(rows) > page.limit)


def _cursor(text: str, param: str, numeric: bool) -> str | int:
    if not numeric:
        return text
    if not (text.isascii() and text.isdigit() and int(text) <= _ID_MAX):
        raise InvalidInput(f"{text!r} is not a cursor of this list", param=param)
    return int(text)
