"""`cache link`: a project folder of a model that is in the cache. Asks nobody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator import __version__
from orchestrator.cache import census
from orchestrator.cache.cache import Cache, HfCache
from orchestrator.cache.census import Census
from orchestrator.cache.entries import Entry, entries_of, refuse_closed
from orchestrator.core.dialects import main_branches
from orchestrator.core.files import Algorithm, RepoFile
from orchestrator.core.names import refuse_unportable
from orchestrator.core.refs import RepoId, Target, as_word, commit_hint
from orchestrator.core.trust import Trust
from orchestrator.disk import space as space_
from orchestrator.disk.copies import Mode
from orchestrator.errors import IntegrityError, NotFoundError, UsageError
from orchestrator.folders.layouts import Layout
from orchestrator.folders.project import Linked, Project, ProjectFile, make_project
from orchestrator.proof.hashing import read_whole
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

    `missing` are paths that the model's listing names and its snapshot lacks: not all of it was pulled so far.
    """

    repo: RepoId
    commit: str
    trust: Trust | None
    folder: Path
    files: tuple[Linked, ...]
    missing: tuple[str, ...] = ()


def link(request: LinkRequest, cache: Cache, *, stop: Stop) -> LinkReport:
    """Make or update the folder.

    Raises NotFoundError when the model, or a file to which its snapshot links, is not in the cache, IntegrityError
    when a file that was never proven has wrong bytes, UsageError where it is not clear which revision is meant, and
    what `make_project` raises.
    """
    with cache.blobs.use() as use:
        commit = _commit(request.target, census.take(cache.layout))
        use.hold([request.target.repo.folder])
        entries = entries_of(
            census.take(cache.layout), cache.blobs, cache.records, [Target(request.target.repo, commit)], ()
        )
        chosen = tuple(sorted(_samples(entries, commit, cache.blobs, stop), key=lambda item: item.file.path))
        if request.portable:
            refuse_unportable(item.file.path for item in chosen)
        refuse_odd_names((item.file for item in chosen), request.folder)
        if request.mode in (Mode.AUTO, Mode.COPY) and not request.folder.exists():
            # Where the file system shares copies this asks for too much, never for too little.
            space_.check(sum(item.file.size for item in chosen), request.folder)
            space_.check_largest(max((item.file.size for item in chosen), default=0), request.folder)
        record = cache.records.load(request.target.repo, commit)
        trust = record.trust if record else None
        ref = request.target.revision or commit
        named = f"{request.target.repo.url_path}@{ref}"
        project = Project(named, request.target.repo, commit, trust, chosen, __version__)
        stop.is_abrupt = False
        files = make_project(request.folder, project, request.layout, request.mode, force=request.force, stop=stop)
    here = {item.file.path for item in chosen}
    missing = tuple(file.path for file in record.tree.files if file.path not in here) if record else ()
    return LinkReport(request.target.repo, commit, trust, request.folder, files, missing)


def _commit(target: Target, found: Census) -> str:
    repo = next((repo for repo in found.repos if repo.repo == target.repo), None)
    if repo is None:
        refuse_closed(found, target)
    commits = [snapshot.commit for snapshot in repo.snapshots] if repo else []
    if repo is None or not commits:
        raise NotFoundError(f"{target} is not in the cache", hint=f"glm-aria pull {as_word(target)}")
    if target.revision is not None:
        commit = repo.refs.get(target.revision, target.revision)
    else:
        commit = next((repo.refs[name] for name in main_branches() if name in repo.refs), "")
        commit = commit or (commits[0] if len(commits) == 1 else "")
        if not commit:
            raise UsageError(
                f"{target} is in the cache with {len(commits)} revisions, none of which is main",
                hint=f"name one of them: {target}@{commits[0]}",
            )
    if commit not in commits:
        raise NotFoundError(
            f"{target} is not in the cache", hint=commit_hint(commit) or "glm-aria cache ls lists the cached models"
        )
    return commit


def _samples(entries: list[Entry], commit: str, blobs: HfCache, stop: Stop) -> list[ProjectFile]:
    chosen = []
    for entry in entries:
        for name in entry.names:
            if name.commit != commit:
                continue
            if entry.real is None or entry.found is None or entry.digest is None:
                state = "is not in the cache" if entry.found is None else "has an unknown digest"
                raise NotFoundError(
                    f"{name.path!r} of {name.repo.url_path} {state}",
                    hint=f"glm-aria pull {name.repo.url_path}@{commit}",
                    file=name.path,
                )
            _prove(entry, blobs, stop)
            is_lfs = entry.digest.algorithm is Algorithm.SHA256
            chosen.append(ProjectFile(RepoFile(name.path, entry.found.st_size, entry.digest, is_lfs), entry.real))
    return chosen


def _prove(entry: Entry, blobs: HfCache, stop: Stop) -> None:
    """A file that was never proven is read once, so that no wrong bytes go any further."""
    assert entry.real is not None and entry.found is not None and entry.digest is not None  # noqa: S101, PT018
    if any(blobs.proofs.is_proven(place.repo_folder, entry.digest, entry.found) for place in entry.places):
        return
    size = entry.found.st_size if entry.size is None else entry.size
    read = read_whole(entry.real, entry.digest.algorithm, size=size, stop=stop, durable=True)
    if read.digest != entry.digest:
        raise IntegrityError(
            f"{entry.label!r} in the cache is corrupt; it was not used",
            hint=f"glm-aria verify {entry.names[0].repo.url_path} --repair",
            file=entry.label,
        )
    for place in entry.places:
        if place.is_blob:
            blobs.proofs.add(place.repo_folder, [(entry.digest, read.found)])
