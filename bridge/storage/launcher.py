"""Become another user, ask to die with the parent, then become the command.

Run as a script of its own (``python -I -S launcher.py …``), because the same steps between fork
and exec of a process with threads may deadlock. Standard library only.

PostgreSQL refuses to run as root. When root starts it, it runs as an unprivileged user, who may
not be able to reach folders below ``/root`` or a private temporary folder. Instead of opening
those folders to everybody, the server keeps one ambient capability (capabilities(7)): to pass
through folders.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _drop_to(libc: ctypes.CDLL, uid: int, gid: int, capability: int) -> None:
    """Give up root for good; ``capability`` 0 keeps none."""
    if capability:
        _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)")
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)
    if capability:
        bit = 1 << capability
        sets = (_Sets * 2)(_Sets(bit, bit, bit), _Sets(0, 0, 0))
        header = _Header(_CAPABILITY_VERSION_3, 0)
        _check(libc.capset(ctypes.byref(header), sets), "capset")
        raised = libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)
        _check(raised, "prctl(PR_CAP_AMBIENT)")


def main(arguments: list[str]) -> None:
    """``parent_pid uid gid capability death_signal command…``; uid -1 stays who we are."""
    parent_pid, uid, gid, capability, death_signal = (int(text) for text in arguments[:5])
    command = arguments[5:]
    libc = ctypes.CDLL(None, use_errno=True)
    if uid >= 0:
        _drop_to(libc, uid, gid, capability)
    # After the change of user: the kernel forgets the signal on any change of credentials.
    if death_signal and sys.platform.startswith("linux"):
        _check(libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent_pid:  # the parent died before we could ask
            raise SystemExit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
