"""A file over Python: exactly its bytes, or a typed error."""

from __future__ import annotations

import threading
import time

import pytest

from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.sources import Origin, Source
from orchestrator.errors import (
    DiskIOError,
    GlmAriaError,
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
)
from orchestrator.mirrors.small_files import FileRange, open_body
from orchestrator.net.answers import Limits
from orchestrator.net.session import Net
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.mirrors.conftest import CANARY, FILES, origin, source


def take(
    net: Net, there: Source, where: Origin, size: int, start: int = 0, end: int | None = None
) -> tuple[int, bytes]:
    """Where the body began, and what came."""
    wanted = FileRange(where.path, where.repo.url_path, size, start, size if end is None else end)
    with open_body(net, there, there.file_url(where), wanted)[0] as body:
        return body.start, b"".join(body.chunks)


@pytest.mark.parametrize("path", list(FILES))
@pytest.mark.parametrize("name", ["org/open", "org/gated"])
def test_every_byte_of_a_small_file_is_fetched(hub: LoopbackHub, net: Net, name: str, path: str) -> None:
    assert take(net, source(hub.url), origin(hub, path, name), len(FILES[path])) == (0, FILES[path])
    assert all(seen.headers["accept-encoding"] == "identity" for seen in hub.log.requests())
    assert hub.log.tokens(face="hub") == {CANARY}
    assert hub.log.tokens(face="cdn") == set()


def test_small_files_are_fetched_from_modelscope(hub: LoopbackHub, net: Net) -> None:
    there = Source("the-mirror", hub.modelscope().url, MODELSCOPE)
    for path, data in FILES.items():
        assert take(net, there, origin(hub, path), len(data)) == (0, data)


@pytest.mark.parametrize("fault", [None, "range_ignored", "chunked", "chunked_whole"])
def test_the_rest_of_a_file(hub: LoopbackHub, net: Net, fault: str | None) -> None:
    data = FILES["big.txt"]
    if fault:
        hub.fault(Fault(fault))
    start, came = take(net, source(hub.url), origin(hub, "big.txt"), len(data), 1000)
    assert start == (0 if fault in ("range_ignored", "chunked_whole") else 1000)
    assert came == data[start:]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("truncated"), TemporaryError),
        (Fault("truncated_unframed"), IntegrityError),
        (Fault("extra_byte"), IntegrityError),
        (Fault("endless"), IntegrityError),
        (Fault("html_portal"), IntegrityError),
        (Fault("gzip"), ProtocolError),
        (Fault("reset"), TemporaryError),
        (Fault("stall"), TemporaryError),
        (Fault("status", status=503), TemporaryError),
        (Fault("status", status=404), NotFoundError),
        (Fault("status", status=403), NotAllowedError),
        (Fault("status", status=206), ProtocolError),
        (Fault("redirect_loop"), ProtocolError),
        (Fault("redirect"), ProtocolError),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_what_goes_wrong(hub: LoopbackHub, net: Net, fault: Fault, error: type[GlmAriaError]) -> None:
    hub.fault(fault)
    with pytest.raises(error) as caught:
        take(net, source(hub.url), origin(hub, "big.txt"), len(FILES["big.txt"]))
    assert caught.value.source == source(hub.url).name


def test_another_range_than_was_asked_for(hub: LoopbackHub, net: Net) -> None:
    hub.fault(Fault("wrong_content_range"))
    with pytest.raises(ProtocolError):
        take(net, source(hub.url), origin(hub, "big.txt"), len(FILES["big.txt"]), 100, 2000)


def test_a_source_that_is_down_ends_the_fetch(hub: LoopbackHub, net: Net) -> None:
    where, there = origin(hub, "big.txt"), source(hub.url)
    hub.__exit__()
    with pytest.raises(SourcesDownError):
        take(net, there, where, 1)


def test_abort_wakes_who_waits(hub: LoopbackHub) -> None:
    hub.fault(Fault("stall", after_bytes=10))
    where, there = origin(hub, "big.txt"), source(hub.url)
    wanted = FileRange(where.path, where.repo.url_path, len(FILES["big.txt"]), 0, len(FILES["big.txt"]))
    with Net(limits=Limits(read=30)) as net, open_body(net, there, there.file_url(where), wanted)[0] as body:
        begun = time.monotonic()
        threading.Timer(0.2, body.abort).start()
        with pytest.raises(GlmAriaError):
            list(body.chunks)
        assert time.monotonic() - begun < 5


def test_what_the_caller_raises_passes_unchanged(hub: LoopbackHub, net: Net) -> None:
    where, there = origin(hub, "big.txt"), source(hub.url)
    wanted = FileRange(where.path, where.repo.url_path, len(FILES["big.txt"]), 0, len(FILES["big.txt"]))
    with pytest.raises(DiskIOError) as caught, open_body(net, there, there.file_url(where), wanted)[0]:
        raise DiskIOError("the disk")
    assert caught.value.source is None
