"""A scheduler at an address."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from orchestrator.events import Emit
from orchestrator.rpc import server
from orchestrator.rpc.credentials import TlsFiles
from orchestrator.swarm.control.service import FleetService
from orchestrator.system.limits import allow_open_files

_OPEN_FILES = 16384
_OTHER_FILES = 128
"""Descriptors that remain for all but connections."""


def listening(service: FleetService, listen: str, files: TlsFiles, emit: Emit) -> AbstractAsyncContextManager[int]:
    """See `rpc.server.listening`. Lets this process have as many connections as the system does."""
    most = max(1, allow_open_files(_OPEN_FILES) - _OTHER_FILES)
    return server.listening(service, server.RpcPlace(listen, "--listen", files, most), emit)
