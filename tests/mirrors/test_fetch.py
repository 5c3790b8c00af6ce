"""A file over Python: exactly its bytes, or a typed error."""

from __future__ import annotations

import io

import pytest

from orchestrator.core.refs import CatalogKind
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
from orchestrator.mirrors.fetch import fetch
from orchestrator.net.session import Net
from tests.mirrors.conftest import CANARY, FILES, origin, source
from tests.support.faults import Fault
from tests.support.hub import LoopbackHub


def going() -> bool:
    return False


@pytest.mark.parametrize("path", list(FILES))
@pytest.mark.parametrize("name", ["org/open", "org/gated"])
def test_every_byte(hub: LoopbackHub, net: Net, name: str, path: str) -> None:
    out = io.BytesIO()
    assert fetch(net, source(hub.url), origin(hub, path, name), len(FILES[path]), out, going) == len(FILES[path])
    assert out.getvalue() == FILES[path]
    assert all(seen.headers["accept-encoding"] == "identity" for seen in hub.log.requests())
    assert hub.log.tokens(face="hub") == {CANARY}
    assert hub.log.tokens(face="cdn") == set()


def test_modelscope(hub: LoopbackHub, net: Net) -> None:
    there = Source("the-mirror", hub.modelscope().url, CatalogKind.MODELSCOPE)
    for path, data in FILES.items():
        out = io.BytesIO()
        assert fetch(net, there, origin(hub, path), len(data), out, going) == len(data)
        assert out.getvalue() == data


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
    out = io.BytesIO()
    with pytest.raises(error):
        fetch(net, source(hub.url), origin(hub, "big.txt"), len(FILES["big.txt"]), out, going)
    assert len(out.getvalue()) <= len(FILES["big.txt"])


def test_down(hub: LoopbackHub, net: Net) -> None:
    where, there = origin(hub, "big.txt"), source(hub.url)
    hub.__exit__()
    with pytest.raises(SourcesDownError):
        fetch(net, there, where, 1, io.BytesIO(), going)


def test_stop(hub: LoopbackHub, net: Net) -> None:
    answers = iter([False, False, True])
    out = io.BytesIO()
    size = len(FILES["big.txt"])
    done = fetch(net, source(hub.url), origin(hub, "big.txt"), size, out, lambda: next(answers))
    assert 0 < done == len(out.getvalue()) < size


def test_errors_of_the_disk_pass_unchanged(hub: LoopbackHub, net: Net) -> None:
    class Full(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fetch(net, source(hub.url), origin(hub, "big.txt"), len(FILES["big.txt"]), Full(), going)
