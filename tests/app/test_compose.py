"""What settings become: which sites list repos, and which only carry bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.app import compose
from orchestrator.core.dialects import DEFAULT, MODELSCOPE
from orchestrator.core.sources import Source
from orchestrator.settings import load
from orchestrator.system.signals import Stop
from tests.catalogs.depot import DEPOT


@pytest.mark.parametrize(
    ("is_believed", "listed"), [(True, {DEFAULT, MODELSCOPE, DEPOT}), (False, {DEFAULT, MODELSCOPE})]
)
def test_a_site_that_is_not_believed_lists_nothing_even_where_it_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_believed: bool, listed: set[object]
) -> None:
    monkeypatch.setattr(compose, "dialects", lambda: (DEFAULT, MODELSCOPE, DEPOT))
    alone = Source("depot.test", "https://depot.test", DEPOT, is_believed=is_believed)
    settings = load(environ={"HF_HOME": str(tmp_path)}, folder=tmp_path, personal=tmp_path / "none.toml")
    settings = replace(settings, mirrors=(alone,))
    with compose.open_sources(settings, tmp_path, Stop(), keep=False) as sources:
        assert sources.roots.keys() == listed
        assert alone in sources.ordered
