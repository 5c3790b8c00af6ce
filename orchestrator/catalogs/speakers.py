"""Catalog classes by kind: the one place that makes a catalog of a source."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.catalogs.huggingface import HuggingFaceCatalog
from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.mlflow import MlflowCatalog
from orchestrator.catalogs.modelscope import ModelScopeCatalog
from orchestrator.catalogs.registry import RegistryCatalog
from orchestrator.core import dialects
from orchestrator.core.dialects import HUGGINGFACE, MLFLOW, MODELSCOPE, REGISTRY, Dialect
from orchestrator.core.refs import Ref
from orchestrator.core.sources import Source
from orchestrator.net.session import Net
from orchestrator.oci.registries import Registries

Speaker = Callable[[Source, Net], Catalog]
Follow = Callable[[Ref], Catalog]
_speakers: dict[Dialect, Speaker] = {HUGGINGFACE: HuggingFaceCatalog, MODELSCOPE: ModelScopeCatalog}


_pointers: dict[Dialect, Callable[[Source, Net, Registries, Follow], Catalog]] = {
    REGISTRY: RegistryCatalog,
    MLFLOW: MlflowCatalog,
}


def register(dialect: Dialect, speaker: Speaker) -> None:
    """Make a kind known to the whole program, before settings and refs are read. Raises ValueError for a taken name."""
    dialects.register(dialect)
    _speakers[dialect] = speaker


def catalog_at(source: Source, net: Net) -> Catalog:
    """The catalog of a site, which is asked through `net`."""
    return _speakers[source.kind](source, net)


def pointer_at(source: Source, net: Net, registries: Registries, follow: Follow) -> Catalog:
    """The catalog of a site without files; `follow` gives that of a ref which it names."""
    return _pointers[source.kind](source, net, registries, follow)
