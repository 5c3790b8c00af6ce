"""Models out of the cache for others: a project folder, or a description for a program. Asks nobody."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from orchestrator import templating
from orchestrator.app.compose import open_cache, sources_of
from orchestrator.core.refs import Target
from orchestrator.disk.copies import Mode
from orchestrator.exports import export as exports
from orchestrator.folders import link as folders
from orchestrator.folders.layouts import parse_layouts
from orchestrator.settings import Settings
from orchestrator.system.signals import stoppable


def link(
    settings: Settings, target: Target, folder: Path, layout: str, mode: str, *, force: bool
) -> folders.LinkReport:
    """Make a project folder of a model in the cache."""
    layouts = parse_layouts(templating.read("layouts.toml"))
    request = folders.LinkRequest(target, folder, layouts[layout], Mode(mode), force, settings.portable)
    with stoppable() as stop, open_cache(settings, create=settings.cache_dir.exists()) as cache:
        return folders.link(request, cache, stop=stop)


def export(settings: Settings, request: exports.ExportRequest) -> exports.ExportReport:
    """Describe a model in the cache for programs of others."""
    with stoppable() as stop, open_cache(settings, create=settings.cache_dir.exists()) as cache:
        return exports.export(request, cache, partial(sources_of, settings), stop=stop)
