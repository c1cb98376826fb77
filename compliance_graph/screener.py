"""The only door: implements ``settlement.ports.screening``.

Lists are read again as soon as a file changes, so that an address that is listed between the
authorisation and the capture is caught by the second look.
"""

from collections.abc import Sequence
from pathlib import Path

from compliance_graph.lists import Action, AddressLists, Listing, read_lists
from settlement.errors import ScreeningUnavailable
from settlement.ports.screening import Outcome, Reason, Subject, Verdict


class ListScreener:
    """Judges wallets by address lists alone."""

    def __init__(self, paths: Sequence[Path]) -> None:
        if not paths:
            raise ScreeningUnavailable("no address list is configured; nobody could be cleared")
        self._paths = tuple(paths)
        self._stamp: tuple[tuple[int, int], ...] = ()
        self._lists: AddressLists | None = None

    async def screen(self, subject: Subject) -> Verdict:
        lists = self._current()
        found = lists.of(subject.wallet)
        reasons = tuple(_reason(listing) for listing in found)
        return Verdict(_outcome(found), reasons, dict(lists.versions))

    async def vetoed(self, network: str, wallets: Sequence[str]) -> frozenset[str]:  # noqa: ARG002
        lists = self._current()
        return frozenset(w for w in wallets if _outcome(lists.of(w)) is Outcome.BLOCK)

    def _current(self) -> AddressLists:
        try:
            stats = [path.stat() for path in self._paths]
        except OSError as error:
            raise ScreeningUnavailable(f"a list is missing: {error}") from error
        stamp = tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
        if self._lists is None or stamp != self._stamp:
            self._lists, self._stamp = read_lists(self._paths), stamp
        return self._lists


def _outcome(found: Sequence[Listing]) -> Outcome:
    actions = {listing.action for listing in found}
    if Action.BLOCK in actions:
        return Outcome.BLOCK
    return Outcome.REVIEW if actions else Outcome.CLEAR


def _reason(listing: Listing) -> Reason:
    verb = "names" if listing.action is Action.BLOCK else "asks for a review of"
    return Reason(f"list.{listing.source}", f"the list {listing.source} {verb} this address")
