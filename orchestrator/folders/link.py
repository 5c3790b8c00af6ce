"""`cache link`: a project folder of a model that is in the cache. Asks nobody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator import __version__
from orchestrator.cache.cache import Cache
from orchestrator.core.names import refuse_unportable
from orchestrator.core.refs import RepoId, Target
from orchestrator.core.trust import Trust
from orchestrator.disk import space as space_
from orchestrator.disk.copies import Mode
from orchestrator.folders.cached import open_model
from orchestrator.folders.layouts import Layout
from orchestrator.folders.project import Linked, Project, make_project
from orchestrator.resolve.naming import refuse_odd_names
from orchestrator.system.signals import Stop


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """A request for a project folder: see `folders/project.py`. `portable` refuses names that some system cannot
    hold."""

    target: Target
    folder: Path
    layout: Layout
    mode: Mode = Mode.AUTO
    force: bool = False
    portable: bool = False


@dataclass(frozen=True, slots=True)
class LinkReport:
    """The report on a project folder. `trust` is None for a model that another program fetched.

    `missing` are paths that the model's listing names and its snapshot lacks.
    """

    repo: RepoId
    commit: str
    trust: Trust | None
    folder: Path
    files: tuple[Linked, ...]
    missing: tuple[str, ...] = ()


def link(request: LinkRequest, cache: Cache, *, stop: Stop) -> LinkReport:
    """Make or update the folder.

    Raises what `open_model` and `make_project` raise.
    """
    with cache.blobs.use() as use:
        model = open_model(request.target, cache, use, stop)
        commit, chosen = model.commit, model.files
        if request.portable:
            refuse_unportable(item.file.path for item in chosen)
        refuse_odd_names((item.file for item in chosen), request.folder)
        if request.mode in (Mode.AUTO, Mode.COPY) and not request.folder.exists():
            # Where the file system shares copies this asks for too much, never for too little.
            space_.check(sum(item.file.size for item in chosen), request.folder)
            space_.check_largest(max((item.file.size for item in chosen), default=0), request.folder)
        trust = model.record.trust if model.record else None
        ref = request.target.revision or commit
        named = f"{request.target.repo.url_path}@{ref}"
        project = Project(named, request.target.repo, commit, trust, chosen, __version__)
        stop.is_abrupt = False
        files = make_project(request.folder, project, request.layout, request.mode, force=request.force, stop=stop)
    return LinkReport(request.target.repo, commit, trust, request.folder, files, model.missing)
