"""A token that is known to be ours: after all that these rooms do, only the hub has seen it, and no text shows it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from orchestrator.catalogs.huggingface import HuggingFaceCatalog
from orchestrator.catalogs.modelscope import ModelScopeCatalog
from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError
from orchestrator.mirrors.links import Links
from orchestrator.net.session import Net
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.mirrors.conftest import CANARY, FILES, listed, origin, source
from tests.mirrors.test_small_files import take


def everything(net: Net, hub: LoopbackHub, there: Source) -> list[str]:
    """List and read all files of both repos at one source; return every text that came of it."""
    texts: list[str] = []
    kind = ModelScopeCatalog if there.kind is MODELSCOPE else HuggingFaceCatalog
    catalog = kind(there, net)
    for name in ("org/open", "org/gated"):
        repo = RepoId(RepoType.MODEL, name)
        steps: list[Callable[[], object]] = [
            partial(catalog.revision, Ref(repo, catalog=there.kind)),
            partial(catalog.tree, repo, hub.repo(name).head),
        ]
        for path, data in FILES.items():
            where = origin(hub, path, name)
            steps.append(partial(Links(net).resolve, there, where, *listed(hub, path)))
            steps.append(partial(take, net, there, where, len(data)))
        for step in steps:
            try:
                texts.append(repr(step()))
            except GlmAriaError as error:
                texts.append(f"{error!r} {error.message} {error.hint} {error.source}")
    return texts


@pytest.mark.parametrize("fault", [None, "status", "redirect", "gzip", "html_portal"])
def test_only_the_hub_sees_the_token(hub: LoopbackHub, net: Net, fault: str | None) -> None:
    near, far = hub.mirror("near"), hub.mirror("far", own_cdn=True, links_to_origin=True)
    other = hub.modelscope()
    if fault is not None:
        for face in hub.faces:
            hub.fault(
                Fault(fault, skip=3, times=3, location=near.url + "/org/open/resolve/main/config.json"), face=face
            )
    sources = [source(hub.url), source(near.url), source(far.url), source(other.url, MODELSCOPE)]
    texts = [text for there in sources for text in everything(net, hub, there)]
    assert len(texts) == len(sources) * 2 * (2 + 2 * len(FILES))
    assert {seen.face for seen in hub.log.requests() if CANARY in str(seen.headers)} == {"hub"}
    assert hub.log.tokens(face="hub") == {CANARY}
    assert not any(CANARY in seen.path + seen.query for seen in hub.log.requests())
    assert not any(CANARY in text or "Signature=" in text for text in texts)
