"""A seccomp filter over the system calls that change files, and the script that starts a command under one.

    python seccomp.py watch FD -- COMMAND...     each such call stops until whoever holds the listener answers it; the
                                                 listener is sent over the unix socket FD (see `supervisor`)
    python seccomp.py nolocks -- COMMAND...      every lock is granted to everyone: flock and fcntl do nothing and say 0

The filter goes over to children, so it holds for aria2c, too. Standard library only: it runs without our packages.
Sources: seccomp(2), seccomp_unotify(2), linux/seccomp.h, linux/filter.h, asm/unistd.h.
"""

from __future__ import annotations

import array
import ctypes
import os
import platform
import socket
import struct
import sys
from dataclasses import dataclass

IS_X86 = platform.machine() == "x86_64"
_ARCH = 0xC000003E if IS_X86 else 0xC00000B7
_X32 = 0x40000000

AT_FDCWD = -100
O_CREATES = os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a call's arguments say which file it changes: the file is `fd`, or `path` below the folder `dir`.

    `source` is the other name of a rename or link, as (dir, path). Where only some arguments make it such a call:
    `bits` is (index, mask), and any bit of the mask will do; `values` is (index, values), and one of them must be it.
    """

    fd: int | None = None
    path: tuple[int | None, int] | None = None
    source: tuple[int | None, int] | None = None
    bits: tuple[int, int] | None = None
    values: tuple[int, tuple[int, ...]] | None = None


_FD = Shape(fd=0)
_PATH = Shape(path=(None, 0))
_AT = Shape(path=(0, 1))
FICLONE = 0x40049409

# name: (number on x86_64, number on aarch64, shape); None where the architecture has no such call.
CALLS: dict[str, tuple[int | None, int | None, Shape]] = {
    "open": (2, None, Shape(path=(None, 0), bits=(1, O_CREATES))),
    "openat": (257, 56, Shape(path=(0, 1), bits=(2, O_CREATES))),
    "creat": (85, None, _PATH),
    "write": (1, 64, _FD),
    "pwrite64": (18, 68, _FD),
    "writev": (20, 66, _FD),
    "pwritev": (296, 70, _FD),
    "rename": (82, None, Shape(path=(None, 1), source=(None, 0))),
    "renameat": (264, 38, Shape(path=(2, 3), source=(0, 1))),
    "renameat2": (316, 276, Shape(path=(2, 3), source=(0, 1))),
    "link": (86, None, Shape(path=(None, 1), source=(None, 0))),
    "linkat": (265, 37, Shape(path=(2, 3), source=(0, 1))),
    "symlink": (88, None, Shape(path=(None, 1))),
    "symlinkat": (266, 36, Shape(path=(1, 2))),
    "unlink": (87, None, _PATH),
    "unlinkat": (263, 35, _AT),
    "rmdir": (84, None, _PATH),
    "mkdir": (83, None, _PATH),
    "mkdirat": (258, 34, _AT),
    "truncate": (76, 45, _PATH),
    "ftruncate": (77, 46, _FD),
    "fallocate": (285, 47, _FD),
    "fsync": (74, 82, _FD),
    "fdatasync": (75, 83, _FD),
    "syncfs": (306, 267, _FD),
    "chmod": (90, None, _PATH),
    "fchmod": (91, 52, _FD),
    "fchmodat": (268, 53, _AT),
    "chown": (92, None, _PATH),
    "fchown": (93, 55, _FD),
    "lchown": (94, None, _PATH),
    "fchownat": (260, 54, _AT),
    "utimensat": (280, 88, _AT),
    "copy_file_range": (326, 285, Shape(fd=2)),
    "sendfile": (40, 71, _FD),
    "ioctl": (16, 29, Shape(fd=0, values=(1, (FICLONE,)))),
}
_LOCKS: dict[str, tuple[int | None, int | None, Shape]] = {
    "flock": (73, 32, _FD),
    # F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW.
    "fcntl": (72, 25, Shape(fd=0, values=(1, (6, 7, 37, 38)))),
}

_ALLOW, _NOTIFY, _ERRNO = 0x7FFF0000, 0x7FC00000, 0x00050000
_LOAD, _EQ, _GE, _SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NEW_LISTENER, _SET_MODE_FILTER = 1 << 3, 1
_NO_NEW_PRIVS = 38


def number(entry: tuple[int | None, int | None, Shape]) -> int | None:
    """The call's number on this machine."""
    return entry[0] if IS_X86 else entry[1]


def _program(calls: dict[str, tuple[int | None, int | None, Shape]], verdict: int) -> bytes:
    """The classic BPF program that answers `verdict` for the calls and lets all others pass."""

    def op(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, k)

    # struct seccomp_data: nr at 0, arch at 4, arguments of 8 bytes from 16 on (little-endian: low half first).
    lines = [op(_LOAD, 4), op(_EQ, _ARCH, 1, 0), op(_RETURN, _ALLOW), op(_LOAD, 0)]
    if IS_X86:
        lines += [op(_GE, _X32, 0, 1), op(_RETURN, _ALLOW)]
    for entry in calls.values():
        if (call := number(entry)) is None:
            continue
        shape = entry[2]
        if shape.bits:
            index, mask = shape.bits
            inner = [op(_LOAD, 16 + 8 * index), op(_SET, mask, 0, 1), op(_RETURN, verdict)]
        elif shape.values:
            index, values = shape.values
            inner = [op(_LOAD, 16 + 8 * index)]
            for value in values:
                inner += [op(_EQ, value, 0, 1), op(_RETURN, verdict)]
        else:
            inner = [op(_RETURN, verdict)]
        # A branch never returns to the list of numbers with another word loaded: it ends here.
        inner += [op(_RETURN, _ALLOW)]
        lines += [op(_EQ, call, 0, len(inner)), *inner]
    return b"".join([*lines, op(_RETURN, _ALLOW)])


def install(program: bytes, flags: int) -> int:
    """Put this thread, and all that it will start, under the filter; returns the listener, or 0. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    text = ctypes.create_string_buffer(program, len(program))
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text)))
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    result = int(libc.syscall(317 if IS_X86 else 277, _SET_MODE_FILTER, flags, fprog))
    if result < 0:
        raise OSError(ctypes.get_errno(), "seccomp(SECCOMP_SET_MODE_FILTER)")
    return result


def main(words: list[str]) -> None:
    """See the module's docstring; does not return."""
    at = words.index("--")
    if words[0] == "nolocks":
        # An errno of 0: the call is not made, and its result is 0.
        install(_program(_LOCKS, _ERRNO), 0)
    else:
        listener = install(_program(CALLS, _NOTIFY), _NEW_LISTENER)
        with socket.socket(fileno=int(words[1])) as channel:
            channel.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
    os.execvp(words[at + 1], words[at + 1 :])


if __name__ == "__main__":
    main(sys.argv[1:])
