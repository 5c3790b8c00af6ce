"""The doctor goes on where a single source cannot be asked at all."""

from __future__ import annotations

from typing import Any, cast

import pytest

from orchestrator.catalogs.huggingface import HuggingFaceCatalog
from orchestrator.core.sources import Source
from orchestrator.doctor import examine
from orchestrator.net.session import Net
from tests import plain


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/a b", "http://127.0.0.1:99999", "http://[::1"])
def test_an_address_that_cannot_be_asked(address: str) -> None:
    with Net() as net:
        good = HuggingFaceCatalog(Source("good", "http://127.0.0.1:9"), net)
        bad = HuggingFaceCatalog(Source("bad", address), net)
        sites, sources = plain.sites(good, bad, good), plain.sources(net=net)
        records = cast(Any, None)
        steps = examine._there(examine.DoctorRequest(), sites, sources, records)
        assert list(steps) == ["the sources", "route 127.0.0.1:9"]
        assert examine._proxy_of(bad.source, net) is None
