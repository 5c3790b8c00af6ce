"""What is told of the spans under way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.system.tcp_info import TcpPath
from orchestrator.transfer import downloads
from orchestrator.transfer.active import Slot
from orchestrator.transfer.downloads import Downloads
from orchestrator.transfer.limits import TransferLimits
from orchestrator.transfer.spans import Span

PATH = TcpPath(4, 40_000, b"peer", 0.05, 0.05, 1 << 20, 1000, 0)


@pytest.mark.parametrize(("proxy", "known"), [("", (PATH,)), ("http://proxy:3128", ())])
def test_the_packets_of_a_proxy_say_nothing_of_a_source(
    proxy: str, known: tuple[TcpPath, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "paths_of", lambda _pid: (PATH,))
    endpoint = SimpleNamespace(listener=SimpleNamespace(process=SimpleNamespace(pid=1), port=1))
    monkeypatch.setattr(downloads, "Rpc", lambda _endpoint, **_: SimpleNamespace(endpoint=endpoint))
    couriers = cast("Any", SimpleNamespace(pacer=SimpleNamespace(rate=None)))
    made = Downloads(
        lambda: cast("Any", endpoint), couriers, TransferLimits(), is_ours=True, way=lambda _: {"https-proxy": proxy}
    )
    made.connect()
    slot = Slot(Job(Digest(Algorithm.SHA256, "ab" * 32), 1 << 30, True, ()), Path("part"))
    made.spans["gid"] = slot, Span("far", Path("part"), 0, 1 << 20, 1 << 30, 0.0)
    assert made.paths() == known
