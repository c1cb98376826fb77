"""Which user the embedded server runs as, and what that user needs to reach its folders."""

import contextlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from bridge.storage.launcher import CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
from settlement.errors import TidegateError

_SERVICE_USERS = ("tidegate", "postgres", "nobody")


class PostgresError(TidegateError):
    """The embedded server cannot be used; the message says what to do."""

    code = "postgres_error"


class FolderUnusable(PostgresError):
    """The data folder belongs to somebody else, or to another major version."""


@dataclass(frozen=True)
class Identity:
    """Whom the server runs as: ``uid`` -1 is ourselves; ``capability`` is the launcher's."""

    uid: int = -1
    gid: int = -1
    capability: int = 0


def identity_for(cluster: Path, binaries: Path) -> Identity:
    """Existing data decides the user; new data made by root goes to a service user."""
    owner = cluster.stat().st_uid if cluster.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise FolderUnusable(f"{cluster} belongs to user {owner}; run as that user or as root")
        return Identity()
    entry = pwd.getpwuid(owner) if owner else _service_user()
    return Identity(entry.pw_uid, entry.pw_gid, _capability(cluster, binaries))


def _service_user() -> pwd.struct_passwd:
    for name in _SERVICE_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise FolderUnusable("PostgreSQL refuses to run as root, and there is no other user to run it")


def _capability(cluster: Path, binaries: Path) -> int:
    """What the server needs to reach its folders: usually nothing."""
    parents = {*cluster.parents, *binaries.parents, binaries}
    program = (binaries / "postgres").stat().st_mode
    readable = stat.S_IROTH | stat.S_IXOTH
    if program & readable != readable:
        return CAP_DAC_OVERRIDE
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in parents):
        return 0
    held = _permitted_capabilities()
    return CAP_DAC_READ_SEARCH if held & (1 << CAP_DAC_READ_SEARCH) else CAP_DAC_OVERRIDE


def _permitted_capabilities() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapPrm:"):
                return int(line.split()[1], 16)
    return 0
