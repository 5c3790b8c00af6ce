"""A model in the cache as files that may be used elsewhere: which revision is meant, and every file proven."""

from __future__ import annotations

import shlex
from collections.abc import Sequence, Set
from dataclasses import dataclass

from orchestrator.cache import census
from orchestrator.cache.cache import Cache, HfCache
from orchestrator.cache.census import Census
from orchestrator.cache.claims import Use
from orchestrator.cache.entries import Entry, entries_of, refuse_closed
from orchestrator.cache.records import Record
from orchestrator.core.dialects import main_branches
from orchestrator.core.files import Algorithm, RepoFile
from orchestrator.core.refs import Target, as_word, commit_hint
from orchestrator.core.text import printable
from orchestrator.errors import IntegrityError, NotFoundError, UsageError
from orchestrator.layouts.interface import ProvenFile
from orchestrator.lists.quantizations import GGUF_SUFFIX, models_in, quantized, wanted_paths, with_quantization
from orchestrator.proof.hashing import read_whole
from orchestrator.system.signals import Stop


@dataclass(frozen=True, slots=True)
class CachedModel:
    """The files of a revision that are in the cache, by their paths. `record` is None for what another program
    fetched. `missing` are wanted paths that the model's listing names and its snapshot lacks."""

    commit: str
    files: tuple[ProvenFile, ...]
    record: Record | None
    missing: tuple[str, ...]


def open_model(target: Target, cache: Cache, use: Use, stop: Stop, quantization: str = "") -> CachedModel:
    """The model of a target, which `use` holds in the cache from now on; with a `quantization` no GGUF file of others.

    Raises NotFoundError when the model, the quantisation, or a file to which the snapshot links, is not in the cache,
    IntegrityError when a file that was never proven has wrong bytes, UsageError where it is not clear what is meant.
    """
    commit = _commit(target, census.take(cache.layout))
    use.hold([target.repo.folder])
    found = census.take(cache.layout)
    entries = entries_of(found, cache.blobs, cache.records, [Target(target.repo, commit)], ())
    record = cache.records.load(target.repo, commit)
    here = {name.path for entry in entries for name in entry.names if name.commit == commit}
    wanted = here | {file.path for file in record.tree.files} if record else here
    if quantization:
        wanted = _of_quantization(target, quantization, sorted(wanted), here)
    files = sorted(_samples(entries, commit, wanted, cache.blobs, stop), key=lambda item: item.file.path)
    missing = tuple(sorted(wanted - here))
    return CachedModel(commit, tuple(files), record, missing)


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


def _of_quantization(target: Target, quantization: str, listed: Sequence[str], here: Set[str]) -> set[str]:
    """The files of a quantisation, as `pull` chooses them of all that are listed, and all here but GGUF files."""
    meant = quantized(listed, quantization)
    if len(meant) > 1:
        stems = ", ".join(printable(model.stem) for model in meant)
        raise UsageError(
            f"{target} has {len(meant)} models in {quantization}: {stems}",
            hint=f"without :{quantization} all that is in the cache is taken",
        )
    # A projector alone is no model.
    if not any(path in here for model in meant for path in model.paths):
        known = models_in(sorted(here))
        has = (
            f"has {', '.join(dict.fromkeys(printable(model.label) for model in known))}"
            if known
            else "has no GGUF file"
        )
        raise NotFoundError(
            f"the quantisation {quantization} of {target} is not in the cache, which {has} of it",
            hint=f"glm-aria pull {shlex.quote(with_quantization(str(target), quantization))}"
            if meant
            else f"see its files with: glm-aria plan {as_word(target)}; a revision stands behind @",
        )
    return set(wanted_paths(listed, quantization)) | {path for path in here if not path.lower().endswith(GGUF_SUFFIX)}


def _samples(entries: list[Entry], commit: str, wanted: Set[str], blobs: HfCache, stop: Stop) -> list[ProvenFile]:
    chosen = []
    for entry in entries:
        for name in entry.names:
            if name.commit != commit or name.path not in wanted:
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
            chosen.append(ProvenFile(RepoFile(name.path, entry.found.st_size, entry.digest, is_lfs), entry.real))
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
