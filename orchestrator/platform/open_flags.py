"""Flags of open(2). On Windows they are 0, but for `CLOEXEC`: files are opened as they are, and not for children."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    CLOEXEC = os.O_NOINHERIT | os.O_BINARY
    # Symlinks take a privilege there, and only what lies in the user's profile is believed (`users.is_in_profile`).
    NOFOLLOW = DIRECTORY = NONBLOCK = NOCTTY = 0
else:
    CLOEXEC = os.O_CLOEXEC
    NOFOLLOW = os.O_NOFOLLOW
    DIRECTORY = os.O_DIRECTORY
    NONBLOCK = os.O_NONBLOCK
    NOCTTY = os.O_NOCTTY

HAS_PATH = hasattr(os, "O_PATH")
REACH: int = getattr(os, "O_PATH", os.O_RDONLY)
"""For a folder that may be passed through but not listed, where the system has that."""
NOATIME: int = getattr(os, "O_NOATIME", 0)
AT_ONCE: int = getattr(os, "RWF_NOWAIT", 0)
"""The flag of a read that fails where it had to wait for the disk; 0 where the system has none."""
