"""The compiled contracts, as committed under ``contracts/artifacts``. Nothing here compiles."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parents[1] / "contracts" / "artifacts"


@dataclass(frozen=True)
class Artifact:
    """``bytecode`` creates the contract; ``deployed_bytecode`` is what ``eth_getCode`` answers."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed_bytecode: bytes


@cache
def load_artifact(name: str) -> Artifact:
    """The artifact of contract ``name`` (``"Vault"``, ``"DemoDollar"``)."""
    content = json.loads((_FOLDER / f"{name}.json").read_text())
    return Artifact(
        name=name,
        abi=content["abi"],
        bytecode=bytes.fromhex(content["bytecode"][2:]),
        deployed_bytecode=bytes.fromhex(content["deployedBytecode"][2:]),
    )
