"""The doctor goes on where a single source cannot be asked at all."""

from __future__ import annotations

from typing import Any, cast

import pytest

from orchestrator.catalogs.huggingface import HuggingFaceCatalog
from orchestrator.core.refs import CatalogKind
from orchestrator.core.sources import Source
from orchestrator.doctor import examine
from orchestrator.net.session import Net
from orchestrator.pull.tools import Tools


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/a b", "http://127.0.0.1:99999", "http://[::1"])
def test_an_address_that_cannot_be_asked(address: str) -> None:
    nothing = cast(Any, None)
    with Net() as net:
        good = HuggingFaceCatalog(Source("good", "http://127.0.0.1:9"), net)
        bad = HuggingFaceCatalog(Source("bad", address), net)
        tools = Tools(
            catalogs={CatalogKind.HUGGINGFACE: good},
            mirror_catalogs=(bad, good),
            git=nothing,
            sources=(),
            net=net,
            mirror_net=net,
            cache=nothing,
            records=nothing,
            memory=nothing,
            staging=nothing,
            daemon=nothing,
            limits=nothing,
            stop=nothing,
        )
        steps = examine._there(examine.DoctorRequest(), tools)
        assert list(steps) == ["the sources", "route 127.0.0.1:9"]
        assert examine._proxy_of(bad.source, tools) is None
