"""Models out of the cache for others: a folder of theirs, or a description for a program. Asks nobody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from orchestrator.app.compose import open_cache, sources_of
from orchestrator.core.refs import Target
from orchestrator.disk.copies import Mode
from orchestrator.errors import UsageError
from orchestrator.exports import export as exports
from orchestrator.folders import link as folders
from orchestrator.layouts.finding import folder_of, here
from orchestrator.layouts.interface import Layout
from orchestrator.layouts.known import layouts
from orchestrator.layouts.ollama import Ollama, parse_name
from orchestrator.settings import Settings
from orchestrator.system.signals import stoppable


@dataclass(frozen=True, slots=True)
class LinkHow:
    """Conditions of a link: a mode of `disk/copies.py`, None for the layout's own, and what may be done.

    `called` is the name that the model gets in Ollama, None for that of its repo. `quantization` names GGUF files.
    """

    mode: str | None = None
    quantization: str = ""
    called: str | None = None
    force: bool = False
    dry_run: bool = False


def link(settings: Settings, target: Target, folder: Path | None, layout: str, how: LinkHow) -> folders.LinkReport:
    """Put a model of the cache into a folder, without one that of the layout's program."""
    known = _called(layouts()[layout], how.called)
    request = folders.LinkRequest(
        target,
        folder_of(known, folder, here()),
        known,
        Mode(how.mode) if how.mode else None,
        how.force,
        settings.portable,
        how.dry_run,
        how.quantization,
    )
    with stoppable() as stop, open_cache(settings, create=settings.cache_dir.exists()) as cache:
        return folders.link(request, cache, stop=stop)


def _called(layout: Layout, name: str | None) -> Layout:
    """The layout, with this name for the model. Raises UsageError for one that has no names of the user's."""
    if name is None:
        return layout
    if not isinstance(layout, Ollama):
        raise UsageError(f"--as names a model for Ollama, and --layout {layout.name} has no such names")
    return replace(layout, called=parse_name(name))


def export(settings: Settings, request: exports.ExportRequest) -> exports.ExportReport:
    """Describe a model in the cache for programs of others."""
    with stoppable() as stop, open_cache(settings, create=settings.cache_dir.exists()) as cache:
        return exports.export(request, cache, partial(sources_of, settings), stop=stop)
