"""Options for one download. The tuning is that of aria2.conf, so that a daemon of the user's, whose global options are
none of our business, treats our downloads as our own daemon does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from orchestrator.templating import render

PIECE_LENGTH = 1 << 20
# Options of aria2.conf that concern the whole daemon; aria2 refuses them for a single download.
_GLOBAL = frozenset(
    {"max-concurrent-downloads", "disk-cache", "socket-recv-buffer-size", "enable-dht", "enable-dht6", "bt-enable-lpd"}
)


@cache
def tuning() -> Mapping[str, str]:
    """The lines of aria2.conf that apply to a single download."""
    lines = (line.strip() for line in render("aria2.conf").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key: value for key, _, value in pairs if key not in _GLOBAL}


def download_options(
    part: Path,
    gid: str,
    *,
    size: int,
    connections: int,
    per_server: int,
    allocation: str,
    proxy: str | None = None,
) -> dict[str, str]:
    """Options that write a blob of `size` bytes to `part` with `connections` in all and `per_server` to one host.

    The name is ours (a digest in the staging folder), never one that came from the network.
    """
    options = {
        **tuning(),
        "gid": gid,
        "dir": str(part.parent),
        "out": part.name,
        "split": str(connections),
        "max-connection-per-server": str(min(per_server, 16)),
        "min-split-size": str(PIECE_LENGTH),
        "piece-length": str(PIECE_LENGTH),
        "file-allocation": allocation if size > PIECE_LENGTH else "none",
    }
    if proxy:
        options["all-proxy"] = proxy
    return options


def allocation_for(folder: Path) -> str:
    """`falloc` where the file system of `folder` can reserve space, else `trunc`.

    aria2 ends a download with an error where fallocate(2) is not supported (ZFS, FAT, NFS before 4.2).
    """
    if sys.platform != "linux":
        return "trunc"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    with tempfile.TemporaryFile(dir=folder) as file:
        unsupported = libc.fallocate(file.fileno(), 0, 0, os.sysconf("SC_PAGE_SIZE")) != 0
        return "trunc" if unsupported and ctypes.get_errno() in (errno.EOPNOTSUPP, errno.ENOSYS) else "falloc"
