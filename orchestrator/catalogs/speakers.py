"""Catalog classes by kind: the one place that makes a catalog of a source."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.catalogs.huggingface import HuggingFaceCatalog
from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.modelscope import ModelScopeCatalog
from orchestrator.core import dialects
from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE, Dialect
from orchestrator.core.sources import Source
from orchestrator.net.session import Net

Speaker = Callable[[Source, Net], Catalog]
_speakers: dict[Dialect, Speaker] = {HUGGINGFACE: HuggingFaceCatalog, MODELSCOPE: ModelScopeCatalog}


def register(dialect: Dialect, speaker: Speaker) -> None:
    """Make a kind known to the whole program, before settings and refs are read. Raises ValueError for a taken name."""
    dialects.register(dialect)
    _speakers[dialect] = speaker


def catalog_at(source: Source, net: Net) -> Catalog:
    """The catalog of a site, which is asked through `net`."""
    return _speakers[source.kind](source, net)
