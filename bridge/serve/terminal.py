"""What a person sees while everything starts: short lines, coloured on a terminal, else plain."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from bridge.serve.sample import Progress

_LABEL_WIDTH = 16
_STATUS_WIDTH = 18


class Terminal:
    """Writes lines at once, never wrapped: a log file gets the same text without colours."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(highlight=False, soft_wrap=True, stderr=True)

    def title(self, text: str) -> None:
        self._out.print(Text(f"\n{text}", style="bold"))

    def row(self, label: str, value: str, note: str = "") -> None:
        """``label`` and ``value`` in columns, ``note`` dimmed behind."""
        line = Text(f"  {label:<{_LABEL_WIDTH}}", style="cyan").append(value, style="default")
        self._out.print(line.append(f"  {note}" if note else "", style="dim"))

    def rows(self, rows: Sequence[tuple[str, str]]) -> None:
        for label, value in rows:
            self.row(label, value)

    def step(self, text: str, elapsed_s: float) -> None:
        """Something that is done, and how long it took."""
        line = Text("  ✓ ", style="green").append(text, style="default")
        self._out.print(line.append(f"  {elapsed_s:.1f} s", style="dim"))

    def fact(self, text: str) -> None:
        """Something that was looked up and is right."""
        self._out.print(Text("  ✓ ", style="green").append(text, style="default"))

    def note(self, text: str) -> None:
        """Something that a person should know, though nothing is wrong."""
        self._out.print(Text("  ! ", style="yellow").append(text, style="default"))

    def progress(self, progress: Progress) -> None:
        """A status of the sample order as it happens."""
        line = Text(f"  {progress.elapsed_s:7.2f} s  ", style="dim")
        width = _STATUS_WIDTH if progress.note else 0
        line.append(f"{progress.status:<{width}}", style=_colour(progress.status))
        self._out.print(line.append(progress.note, style="default"))

    def last(self, text: str) -> None:
        """A result that programs read: the bare line."""
        self._out.print(Text(f"\n{text}", style="bold green"))

    def fail(self, text: str) -> None:
        """What went wrong and what to do, on standard error."""
        self._err.print(Text("tidegate: ", style="bold red").append(text, style="default"))


def _colour(status: str) -> str:
    if status == "completed":
        return "bold green"
    refused = {"rejected", "expired", "canceled", "refunded", "refund_failed", "payment_failed"}
    return "bold red" if status in refused else "bold"
