"""The arithmetic that all features share, compiled: every loop here runs once per screening.

A block of features is a fixed number of places in one array, in a fixed order; the functions that
fill blocks (``..._into``) return the place after them, and for each there is a function that lists
the names. What cannot be computed stays NaN, which the trees take as an answer of its own.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Kernel = Any

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SPREAD = (*(f"q{round(q * 100)}" for q in QUANTILES), "mean", "sd")
BRIEF = ("mean", "sd", "min", "q25", "q50", "q75", "max")
_AT = np.array(QUANTILES)
_FEW = np.array((0.0, 0.25, 0.5, 0.75, 1.0))
_PACKAGE = Path(__file__).parent


def code_version(package: Path) -> str:
    """16 hex digits over all code of a package: where it is, and what it says."""
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(str(file.relative_to(package)).encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


# Of a function that is compiled with others inside it numba only watches the outermost one's file:
# after an upgrade the old code of another file would go on running.
_NUMBA: Any = numba.config
_KEPT = Path(_NUMBA.CACHE_DIR or _PACKAGE / "__pycache__")
_NUMBA.CACHE_DIR = str(_KEPT / f"compiled-{code_version(_PACKAGE)}")


def compiled(function: Kernel) -> Kernel:
    """Compiled on first use and kept on disk; divisions follow IEEE, nothing is reordered."""
    return numba.njit(cache=True, error_model="numpy")(function)


def inner(function: Kernel) -> Kernel:
    """The same for what only compiled code calls: half of the compiler's work falls away."""
    options: Kernel = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(cache=True, error_model="numpy", **options)(function)


def swept(function: Kernel) -> Kernel:
    """The same for what goes over a whole graph: other threads run beside it."""
    return numba.njit(cache=True, nogil=True, error_model="numpy")(function)


def plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """As compiled code wants it, mapped or not: one read-only kind of array, compiled once."""
    view = np.ascontiguousarray(array).view(np.ndarray)
    view.flags.writeable = False
    return view


@inner
def log_second(seconds: float) -> float:
    """Signed ``log(1 + |s|)``: differences may point either way."""
    return math.copysign(math.log1p(abs(seconds)), seconds)


@inner
def mean_and_sd(values: npt.NDArray[Any]) -> tuple[float, float]:
    total = 0.0
    for v in values:
        total += v
    mean = total / len(values)
    squares = 0.0
    for v in values:
        squares += (v - mean) * (v - mean)
    return mean, math.sqrt(squares / len(values))


@inner
def spread_into(values: npt.NDArray[Any], out: npt.NDArray[Any], at: int) -> int:
    """Quantiles (nearest rank), mean and deviation; all values are finite."""
    if len(values):
        ordered = np.sort(values)
        for i in range(len(_AT)):
            out[at + i] = ordered[int(np.rint(_AT[i] * (len(ordered) - 1)))]
        out[at + 7], out[at + 8] = mean_and_sd(values)
    return at + 9


@inner
def brief_into(values: npt.NDArray[Any], out: npt.NDArray[Any], at: int) -> int:
    """Mean, deviation and five quantiles; all values are finite."""
    if len(values):
        ordered = np.sort(values)
        out[at], out[at + 1] = mean_and_sd(values)
        for i in range(len(_FEW)):
            out[at + 2 + i] = ordered[int(np.rint(_FEW[i] * (len(ordered) - 1)))]
    return at + 7


@compiled
def thinned(n: int, most: int) -> npt.NDArray[Any]:
    """All of 0 … n - 1, or ``most`` of them evenly spread, the first and the last included."""
    kept = np.empty(min(n, most), np.int64)
    for i in range(len(kept)):
        kept[i] = i if n <= most else (i * (n - 1) + (most - 1) // 2) // (most - 1)
    return kept


@inner
def ends_of(values: npt.NDArray[Any], most: int) -> npt.NDArray[Any]:
    """All values, or the first and the last ``most / 2`` of them."""
    n = len(values)
    kept = np.empty(min(n, most), values.dtype)
    for i in range(len(kept)):
        kept[i] = values[i if n <= most or i < most // 2 else i + n - most]
    return kept


@inner
def merged(t_in: npt.NDArray[Any], t_out: npt.NDArray[Any]) -> Any:
    """Which row comes next by time: its place among ``in`` and ``out`` one after another.

    Payments in come first where equal. The second array tells which are out.
    """
    n_in, n_out = len(t_in), len(t_out)
    order = np.empty(n_in + n_out, np.int64)
    is_out = np.zeros(n_in + n_out, np.bool_)
    i, j = 0, 0
    for k in range(n_in + n_out):
        if j == n_out or (i < n_in and t_in[i] <= t_out[j]):
            order[k] = i
            i += 1
        else:
            order[k] = n_in + j
            is_out[k] = True
            j += 1
    return order, is_out


@inner
def picked(first: npt.NDArray[Any], second: npt.NDArray[Any], order: npt.NDArray[Any]) -> Any:
    """Both arrays, one after another, in the order given."""
    kept = np.empty(len(order), first.dtype)
    for k in range(len(order)):
        i = order[k]
        kept[k] = first[i] if i < len(first) else second[i - len(first)]
    return kept
