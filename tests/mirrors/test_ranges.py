"""A part of a file over Python: exactly the bytes that were asked for, or a typed error that names the source."""

from __future__ import annotations

import pytest

from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.sources import Source
from orchestrator.errors import (
    GlmAriaError,
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
)
from orchestrator.mirrors.ranges import fetch_range
from orchestrator.net.session import Net
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.mirrors.conftest import CANARY, FILES, origin, source

PATH = "w.safetensors"


@pytest.mark.parametrize("name", ["org/open", "org/gated"])
@pytest.mark.parametrize(("path", "start", "end"), [(PATH, 0, 1), (PATH, 100, 70_000), ("big.txt", 7, 200_000)])
def test_just_these_bytes(hub: LoopbackHub, net: Net, name: str, path: str, start: int, end: int) -> None:
    assert fetch_range(net, source(hub.url), origin(hub, path, name), start, end) == FILES[path][start:end]
    hub.log.settle()
    assert hub.log.bytes_sent(status=206) == end - start
    assert hub.log.tokens(face="hub") == {CANARY}
    assert hub.log.tokens(face="cdn") == set()


def test_a_range_is_fetched_from_modelscope(hub: LoopbackHub, net: Net) -> None:
    there = Source("the-mirror", hub.modelscope().url, MODELSCOPE)
    assert fetch_range(net, there, origin(hub, PATH), 5, 500) == FILES[PATH][5:500]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("truncated"), TemporaryError),
        (Fault("truncated_unframed"), IntegrityError),
        (Fault("endless"), (IntegrityError, ProtocolError)),
        (Fault("html_portal"), ProtocolError),
        (Fault("gzip"), ProtocolError),
        (Fault("reset"), TemporaryError),
        (Fault("stall"), TemporaryError),
        (Fault("range_ignored"), ProtocolError),
        (Fault("wrong_content_range"), ProtocolError),
        (Fault("status", status=404), NotFoundError),
        (Fault("status", status=403), NotAllowedError),
        (Fault("status", status=503), TemporaryError),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
def test_anything_else_is_an_error_of_that_source(
    hub: LoopbackHub, net: Net, fault: Fault, error: type[GlmAriaError]
) -> None:
    hub.fault(fault, face="cdn")
    with pytest.raises(error) as raised:
        fetch_range(net, source(hub.url), origin(hub, PATH), 0, 60_000)
    assert raised.value.source == "the-mirror"


def test_who_is_not_there(hub: LoopbackHub, net: Net) -> None:
    with pytest.raises(SourcesDownError):
        fetch_range(net, source("http://127.0.0.1:9"), origin(hub, PATH), 0, 10)
