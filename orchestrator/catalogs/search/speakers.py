"""Classes of searchers by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.catalogs.search.hub import HubSearcher
from orchestrator.catalogs.search.interface import Searcher
from orchestrator.catalogs.search.modelscope import ModelScopeSearcher
from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE, Dialect
from orchestrator.core.sources import Source
from orchestrator.net.session import Net

SEARCHERS: Mapping[Dialect, Callable[[Source, Net], Searcher]] = {
    HUGGINGFACE: HubSearcher,
    MODELSCOPE: ModelScopeSearcher,
}
"""The kinds whose sites can search, in the order in which what they found is shown."""
