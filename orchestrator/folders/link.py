"""`cache link`: a project folder of a model that is in the cache. Asks nobody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator import __version__
from orchestrator.cache import census
from orchestrator.cache.cache import Cache, HfCache
from orchestrator.cache.census import Census
from orchestrator.cache.entries import Stock, refuse_closed, take_stock
from orchestrator.core.dialects import main_branches
from orchestrator.core.files import Algorithm, RepoFile
from orchestrator.core.names import refuse_unportable
from orchestrator.core.refs import RepoId, Target, as_word, commit_hint
from orchestrator.core.trust import Trust
from orchestrator.disk import space as space_
from orchestrator.disk.copies import Mode
from orchestrator.errors import IntegrityError, NotFoundError, UsageError
from orchestrator.folders.layouts import Layout
from orchestrator.folders.project import Linked, Project, Sample, make_project
from orchestrator.proof.hashing import read_whole
from orchestrator.resolve.naming import refuse_odd_names
from orchestrator.system.signals import Stop


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """What to make, and where: see `folders/project.py`. `portable` refuses names that some system cannot hold."""

    target: Target
    folder: Path
    layout: Layout
    mode: Mode = Mode.AUTO
    force: bool = False
    portable: bool = False


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What was made. `trust` is None for a model that another program fetched.

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
        stocks = take_stock(
            census.take(cache.layout), cache.blobs, cache.records, [Target(request.target.repo, commit)], ()
        )
        samples = tuple(sorted(_samples(stocks, commit, cache.blobs, stop), key=lambda sample: sample.file.path))
        if request.portable:
            refuse_unportable(sample.file.path for sample in samples)
        refuse_odd_names((sample.file for sample in samples), request.folder)
        if request.mode in (Mode.AUTO, Mode.COPY) and not request.folder.exists():
            # Where the file system shares copies this asks for too much, never for too little.
            space_.check(sum(sample.file.size for sample in samples), request.folder)
            space_.check_largest(max((sample.file.size for sample in samples), default=0), request.folder)
        record = cache.records.load(request.target.repo, commit)
        trust = record.trust if record else None
        ref = request.target.revision or commit
        named = f"{request.target.repo.url_path}@{ref}"
        project = Project(named, request.target.repo, commit, trust, samples, __version__)
        stop.is_abrupt = False
        files = make_project(request.folder, project, request.layout, request.mode, force=request.force, stop=stop)
    here = {sample.file.path for sample in samples}
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
            f"{target} is not in the cache", hint=commit_hint(commit) or "glm-aria cache ls shows what is"
        )
    return commit


def _samples(stocks: list[Stock], commit: str, blobs: HfCache, stop: Stop) -> list[Sample]:
    samples = []
    for stock in stocks:
        for name in stock.names:
            if name.commit != commit:
                continue
            if stock.real is None or stock.found is None or stock.digest is None:
                state = "is not in the cache" if stock.found is None else "has a digest that nobody told"
                raise NotFoundError(
                    f"{name.path!r} of {name.repo.url_path} {state}",
                    hint=f"glm-aria pull {name.repo.url_path}@{commit}",
                    file=name.path,
                )
            _prove(stock, blobs, stop)
            is_lfs = stock.digest.algorithm is Algorithm.SHA256
            samples.append(Sample(RepoFile(name.path, stock.found.st_size, stock.digest, is_lfs), stock.real))
    return samples


def _prove(stock: Stock, blobs: HfCache, stop: Stop) -> None:
    """A file that was never proven is read once, so that no wrong bytes go any further."""
    assert stock.real is not None and stock.found is not None and stock.digest is not None  # noqa: S101, PT018
    if any(blobs.proofs.is_proven(folder, stock.digest, stock.found) for folder, _ in stock.places):
        return
    size = stock.found.st_size if stock.size is None else stock.size
    read = read_whole(stock.real, stock.digest.algorithm, size=size, stop=stop, durable=True)
    if read.digest != stock.digest:
        raise IntegrityError(
            f"{stock.label!r} in the cache has wrong bytes; nothing was made of it",
            hint=f"glm-aria verify {stock.names[0].repo.url_path} --repair",
            file=stock.label,
        )
    for folder, place in stock.places:
        if place.parent.name == "blobs":
            blobs.proofs.add(folder, [(stock.digest, read.found)])
