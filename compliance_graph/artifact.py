"""The shipped model as files: read whole, and only if every byte is the one that was shipped.

``manifest.json`` names the hash of each file beside it; its own hash is the model's version, which
every verdict carries.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compliance_graph.forest import Forest

FOLDER = Path(__file__).parent / "artifacts"
MANIFEST, TREES, NETWORK = "manifest.json", "screening.onnx", "network.onnx"
EXPLAINED, GRIDS, PARITY = "trees.npz", "grids.npz", "parity.npz"
RANKS = "ranks"
"""In the grids: the quantiles that ranks refer to."""
VERSION_DIGITS = 16


class ArtifactRefused(ValueError):
    """A file of the model is missing, or is not the one that the manifest names."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """``about`` is the manifest, ``names`` the features that the trees read, as ranks; ``grids``
    holds the training accounts' quantiles of these (:data:`RANKS`) and the network's scales.
    ``network`` may be empty: then there is no second opinion."""

    version: str
    about: Mapping[str, Any]
    onnx: bytes
    network: bytes
    names: tuple[str, ...]
    forest: Forest
    grids: Mapping[str, npt.NDArray[np.float64]]


def save(folder: Path, about: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Write the files and the manifest that names them; returns the version."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    text = json.dumps(dict(about) | {"sha256": hashes}, indent=1, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text)
    return _version(text.encode())


def load(folder: Path = FOLDER) -> Artifact:
    """Raises :class:`ArtifactRefused`."""
    try:
        manifest = (folder / MANIFEST).read_bytes()
        about = json.loads(manifest)
        files = {name: (folder / name).read_bytes() for name in about["sha256"]}
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactRefused(f"the model in {folder.name} cannot be read: {error!r}") from error
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != about["sha256"][name]:
            raise ArtifactRefused(f"{name} is not the file that the manifest names")
    arrays = _arrays(files[EXPLAINED])
    forest = Forest(*(arrays[f.name] for f in fields(Forest)))
    names, grids = tuple(about["features"]), _arrays(files[GRIDS])
    return Artifact(_version(manifest), about, files[TREES], files[NETWORK], names, forest, grids)


def shipped_version(folder: Path = FOLDER) -> str:
    """Which model that is, by its manifest alone. Raises :class:`ArtifactRefused`."""
    try:
        return _version((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise ArtifactRefused(f"the model in {folder.name} cannot be read: {error!r}") from error


def packed(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Arrays as the bytes of one file, the same bytes for the same arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict[str, Any](arrays))
    return buffer.getvalue()


def _version(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()[:VERSION_DIGITS]


def _arrays(content: bytes) -> dict[str, npt.NDArray[Any]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
