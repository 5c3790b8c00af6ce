"""This machine: its name, and where the system has its own files."""

from __future__ import annotations

import os
import socket
import sys

HAS_ROOT = sys.platform != "win32"
"""Paths such as /etc are the system's. On Windows they are folders of a drive, which any user may make."""


def host_name() -> str:
    """The name that this machine has for itself."""
    if sys.platform != "win32":
        return os.uname().nodename
    return socket.gethostname()
