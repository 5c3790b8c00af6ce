"""What is told of the spans under way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.aria2.control import BLOCK
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.system.tcp_info import TcpPath
from orchestrator.transfer import downloads
from orchestrator.transfer.active import Slot
from orchestrator.transfer.downloads import Downloads
from orchestrator.transfer.limits import TransferLimits
from orchestrator.transfer.pace.servers import Server
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


def test_the_answer_of_a_daemon_that_takes_long_is_as_old_as_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds in which aria2 took in nothing are excused; a source that began meanwhile did not begin before it was
    asked."""
    clock = iter([100.0, 105.0])
    monkeypatch.setattr("orchestrator.transfer.downloads.time.monotonic", lambda: next(clock))
    couriers = cast("Any", SimpleNamespace(pacer=SimpleNamespace(rate=None)))
    made = Downloads(cast("Any", None), couriers, TransferLimits(), is_ours=True, way=lambda _: {})
    status = SimpleNamespace(done=(1 << 30) - (1 << 20) + BLOCK, is_active=True, is_stopped=False, connections=1)
    made._rpc = cast("Any", SimpleNamespace(tell=lambda _gids, **_: {"gid": status}))
    slot = Slot(Job(Digest(Algorithm.SHA256, "ab" * 32), 1 << 30, True, ()), Path("part"))
    made.spans["gid"] = slot, Span("far", Path("part"), 0, 1 << 20, 1 << 30, 99.9)
    server = Server("far", start=16, most=64)
    now, _, fresh = made.look({"far": server})
    assert (now, fresh) == (105.0, {"far": BLOCK})
    assert 0 < server.round_trip < 1
