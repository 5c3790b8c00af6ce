"""`cache link`: a model of the cache in a folder, by a layout. Asks nobody."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator import __version__
from orchestrator.cache.cache import Cache
from orchestrator.core.names import refuse_unportable
from orchestrator.core.refs import RepoId, RepoType, Target
from orchestrator.core.trust import Trust
from orchestrator.disk import space as space_
from orchestrator.disk.copies import Mode
from orchestrator.disk.places import nearest
from orchestrator.errors import UsageError
from orchestrator.folders.cached import CachedModel, open_model
from orchestrator.folders.project import Linked, Project, make_project
from orchestrator.layouts.interface import Layout, LeftOut, ModelFiles, ToolFolder
from orchestrator.resolve.naming import refuse_odd_names
from orchestrator.system.failures import on_disk
from orchestrator.system.signals import Stop


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """A request to put a model into a folder: see `folders/project.py`. `portable` refuses names that some system
    cannot hold. A `mode` of None is the layout's own. With a `quantization`, GGUF files of others are left out."""

    target: Target
    folder: ToolFolder
    layout: Layout
    mode: Mode | None = None
    force: bool = False
    portable: bool = False
    dry_run: bool = False
    quantization: str = ""


@dataclass(frozen=True, slots=True)
class LinkReport:
    """The report on a folder. `trust` is None for a model that another program fetched.

    `missing` are paths that the model's listing names and its snapshot lacks, `left_out` files for which the folder's
    program has no use.
    """

    repo: RepoId
    commit: str
    trust: Trust | None
    folder: ToolFolder
    layout: str
    files: tuple[Linked, ...]
    missing: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    commands: tuple[str, ...] = ()
    is_dry: bool = False


def link(request: LinkRequest, cache: Cache, *, stop: Stop) -> LinkReport:
    """Make or update the folder.

    Raises what `open_model`, `Layout.arrange` and `make_project` raise.
    """
    layout, folder, repo = request.layout, request.folder.folder, request.target.repo
    if layout.is_of_program and repo.type is not RepoType.MODEL:
        raise UsageError(f"{repo.url_path} is no model, and {layout.title} reads models only")
    mode = request.mode or (Mode.SHARE if layout.is_of_program else Mode.AUTO)
    with cache.blobs.use() as use:
        found = open_model(request.target, cache, use, stop, request.quantization)
        model = ModelFiles(repo, found.commit, request.target.revision, found.files)
        arrangement = layout.arrange(model)
        if layout.is_of_program and os.path.realpath(folder) == os.path.realpath(cache.layout.cache_dir):
            there = ToolFolder(folder, f"{layout.title} reads this cache itself")
            return LinkReport(repo, found.commit, _trust(found), there, layout.name, (), found.missing)
        wanted = {path for path, _ in arrangement.places}
        chosen = [item.file for item in found.files if item.file.path in wanted]
        if request.portable:
            refuse_unportable(file.path for file in chosen)
        refuse_odd_names(chosen, folder)
        inside = folder / arrangement.inside
        if not request.dry_run and _may_copy(mode, inside, cache.layout.cache_dir):
            # Where the file system shares copies this asks for too much, never for too little.
            places = dict(arrangement.places)
            new = [file.size for file in chosen if not os.path.lexists(inside / places[file.path])]
            space_.check(sum(new), inside, flag="DIR")
            space_.check_largest(max(new, default=0), inside)
        trust = _trust(found)
        named = f"{repo.url_path}@{request.target.revision or found.commit}"
        project = Project(named, model, trust, layout.name, arrangement, __version__)
        stop.is_abrupt = False
        files = make_project(folder, project, mode, force=request.force, dry_run=request.dry_run, stop=stop)
    return LinkReport(
        repo,
        found.commit,
        trust,
        ToolFolder(inside, request.folder.because),
        layout.name,
        files,
        found.missing,
        arrangement.left_out,
        arrangement.commands,
        request.dry_run,
    )


def _may_copy(mode: Mode, folder: Path, cache_dir: Path) -> bool:
    """True where files are copied if the file system shares no blocks: on another volume no hard link is possible."""
    if mode is not Mode.SHARE:
        return mode in (Mode.AUTO, Mode.COPY)
    with on_disk("look at", folder):
        return nearest(folder).stat().st_dev != cache_dir.stat().st_dev


def _trust(found: CachedModel) -> Trust | None:
    return found.record.trust if found.record else None
