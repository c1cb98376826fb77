"""One door to a local chain, whatever this machine has."""

from pathlib import Path

from chain.errors import LocalChainError
from chain.local.anvil import AnvilOptions, find_anvil, start_anvil
from chain.local.ethtester import EthTesterOptions, start_ethtester
from chain.local.local_chain import LocalChain

_FALLBACK_NOTE = (
    "anvil is not installed (it comes with Node.js 20+ and `npm ci --omit=dev`); "
    "the local chain is eth-tester instead: slower, and final at once"
)


def start_local_chain(
    data_folder: Path,
    *,
    port: int | None = None,
    prefer: str = "anvil",
    anvil_options: AnvilOptions | None = None,
    ethtester_options: EthTesterOptions | None = None,
) -> LocalChain:
    """Start the local chain kept in ``data_folder`` and wait until it answers.

    ``prefer`` is ``"anvil"`` (eth-tester when it is missing) or ``"eth-tester"``; each keeps its
    chain in a folder of its own. The result's ``kind`` and ``notes`` say what was chosen. ``port``
    ``None`` or 0 takes a free one.

    Raises the kinds of :class:`~chain.errors.LocalChainError`.
    """
    if prefer not in ("anvil", "eth-tester"):
        raise LocalChainError(f"no local chain of kind {prefer!r}; know anvil and eth-tester")
    named = anvil_options.binary if anvil_options else None
    if prefer == "anvil" and find_anvil(named) is not None:
        return start_anvil(data_folder / "anvil", port=port, options=anvil_options)
    chain = start_ethtester(data_folder / "eth-tester", port=port, options=ethtester_options)
    if prefer == "anvil":
        chain.notes = (_FALLBACK_NOTE, *chain.notes)
    return chain
