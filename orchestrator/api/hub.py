"""`snapshot_download` and `hf_hub_download` with the parameters, results and errors of huggingface_hub 2.4."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, cast, overload

from orchestrator.api import cached
from orchestrator.api.dry_run import DryRunFileInfo, dry_run_type
from orchestrator.api.models import SettingOptions, plan_for, pull_for, request_for, settings_for
from orchestrator.api.raising import raising
from orchestrator.api.showing import LOG, Progress
from orchestrator.cache.layout import CacheLayout
from orchestrator.core.files import literal
from orchestrator.core.plan import Action
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.disk.places import absolute
from orchestrator.errors import (
    GlmAriaError,
    NotAllowedError,
    NotCachedError,
    ProtocolError,
    RepoAbsentError,
    SourcesDownError,
    TemporaryError,
    UsageError,
)
from orchestrator.lists.request import Item, PullRequest
from orchestrator.pulling.report import failures_of
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop

_ETAG_TIMEOUT = 10.0
_SILENT = (SourcesDownError, TemporaryError, ProtocolError, NotAllowedError, RepoAbsentError)
"""Errors in place of which huggingface_hub gives what the cache has."""


class FileOptions(TypedDict, total=False):
    """The parameters that both functions have, as huggingface_hub calls them; `progress` and `stop` are ours.

    `library_name`, `library_version` and `user_agent` are taken, and told nobody.
    """

    repo_type: str | None
    revision: str | None
    cache_dir: str | Path | None
    local_dir: str | Path | None
    library_name: str | None
    library_version: str | None
    user_agent: dict[str, str] | str | None
    etag_timeout: float
    force_download: bool
    token: bool | str | None
    local_files_only: bool
    headers: dict[str, str] | None
    endpoint: str | None
    tqdm_class: Any
    progress: Progress
    stop: Stop | None


class SnapshotOptions(FileOptions, total=False):
    """Those of `snapshot_download`."""

    allow_patterns: Sequence[str] | str | None
    ignore_patterns: Sequence[str] | str | None
    max_workers: int | None


@overload
def snapshot_download(repo_id: str, *, dry_run: Literal[False] = False, **words: Unpack[SnapshotOptions]) -> str: ...
@overload
def snapshot_download(
    repo_id: str, *, dry_run: Literal[True], **words: Unpack[SnapshotOptions]
) -> list[DryRunFileInfo]: ...
@overload
def snapshot_download(
    repo_id: str, *, dry_run: bool, **words: Unpack[SnapshotOptions]
) -> str | list[DryRunFileInfo]: ...


def snapshot_download(  # noqa: PLR0913 - the parameters of huggingface_hub
    repo_id: str,
    *,
    repo_type: str | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_dir: str | Path | None = None,
    library_name: str | None = None,  # noqa: ARG001
    library_version: str | None = None,  # noqa: ARG001
    user_agent: dict[str, str] | str | None = None,  # noqa: ARG001
    etag_timeout: float = _ETAG_TIMEOUT,
    force_download: bool = False,
    token: bool | str | None = None,
    local_files_only: bool = False,
    allow_patterns: Sequence[str] | str | None = None,
    ignore_patterns: Sequence[str] | str | None = None,
    max_workers: int | None = None,
    tqdm_class: Any = None,
    headers: dict[str, str] | None = None,
    endpoint: str | None = None,
    dry_run: bool = False,
    progress: Progress = None,
    stop: Stop | None = None,
) -> str | list[DryRunFileInfo]:
    """Download a repo, or the files of it that match; the path of its snapshot, or `local_dir`.

    As huggingface_hub's, but every file is proven, from several sources, and by aria2. `max_workers` files at once
    (None: as many as are useful). `progress` and `stop` as for `pull`. Takes no signals.
    """
    with raising(*(("DryRunError",) if dry_run else ())):
        settings = _settings(
            cache_dir, endpoint, token, headers=headers, etag_timeout=etag_timeout, max_workers=max_workers
        )
        asked = HubCall.of(repo_id, settings, repo_type=repo_type, revision=revision, local_dir=local_dir, stop=stop)
        asked = replace(asked, include=_patterns(allow_patterns), exclude=_patterns(ignore_patterns))
        if dry_run:
            _refuse_offline(settings, local_files_only)
            return asked.planned(force_download)
        is_local = local_files_only or (settings.offline and not force_download)
        return str(asked.cached(None) if is_local else asked.pulled(None, force_download, progress, tqdm_class))


@overload
def hf_hub_download(
    repo_id: str,
    filename: str,
    *,
    subfolder: str | None = None,
    dry_run: Literal[False] = False,
    **words: Unpack[FileOptions],
) -> str: ...
@overload
def hf_hub_download(
    repo_id: str, filename: str, *, subfolder: str | None = None, dry_run: Literal[True], **words: Unpack[FileOptions]
) -> DryRunFileInfo: ...
@overload
def hf_hub_download(
    repo_id: str, filename: str, *, subfolder: str | None = None, dry_run: bool, **words: Unpack[FileOptions]
) -> str | DryRunFileInfo: ...


def hf_hub_download(  # noqa: PLR0913 - the parameters of huggingface_hub
    repo_id: str,
    filename: str,
    *,
    subfolder: str | None = None,
    repo_type: str | None = None,
    revision: str | None = None,
    library_name: str | None = None,  # noqa: ARG001
    library_version: str | None = None,  # noqa: ARG001
    cache_dir: str | Path | None = None,
    local_dir: str | Path | None = None,
    user_agent: dict[str, str] | str | None = None,  # noqa: ARG001
    force_download: bool = False,
    etag_timeout: float = _ETAG_TIMEOUT,
    token: bool | str | None = None,
    local_files_only: bool = False,
    headers: dict[str, str] | None = None,
    endpoint: str | None = None,
    tqdm_class: Any = None,
    dry_run: bool = False,
    progress: Progress = None,
    stop: Stop | None = None,
) -> str | DryRunFileInfo:
    """Download one file of a repo; its path in the snapshot, or in `local_dir`. As huggingface_hub's otherwise."""
    with raising():
        settings = _settings(cache_dir, endpoint, token, headers=headers, etag_timeout=etag_timeout)
        path = f"{subfolder}/{filename}" if subfolder else filename
        if path.startswith("/") or ".." in path.split("/"):
            raise UsageError(f"{path!r} is no path of a file in a repo")
        asked = HubCall.of(repo_id, settings, repo_type=repo_type, revision=revision, local_dir=local_dir, stop=stop)
        asked = replace(asked, include=(literal(path),), files=(path,))
        if dry_run:
            _refuse_offline(settings, local_files_only)
            return asked.planned(force_download)[0]
        is_local = local_files_only or settings.offline
        if force_download and is_local:
            raise UsageError(
                "force_download fetches it again, and no server may be asked", hint="give only one of them"
            )
        return str(asked.cached(path) if is_local else asked.pulled(path, force_download, progress, tqdm_class))


@dataclass(frozen=True, slots=True)
class HubCall:
    """A call of either function. `files` must be there; the globs choose further ones."""

    ref: Ref
    settings: Settings
    stop: Stop
    local_dir: Path | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        repo_id: str,
        settings: Settings,
        *,
        repo_type: str | None,
        revision: str | None,
        local_dir: str | Path | None,
        stop: Stop | None,
    ) -> HubCall:
        """The call for a whole repo. Raises RepoNameError, UsageError."""
        known = [kind.value for kind in RepoType]
        if (repo_type or known[0]) not in known:
            raise UsageError(f"{repo_type!r} is no type of a repo", hint=f"one of: {', '.join(known)}")
        repo = RepoId(RepoType(repo_type or known[0]), repo_id)
        # huggingface_hub 2.4 has a text that knows its commit: ResolvedRevision.
        said = getattr(revision, "resolved", None) or revision
        folder = None if local_dir is None else _absolute(local_dir)
        return cls(Ref(repo, str(said)) if said else Ref(repo), settings, stop or Stop(), folder)

    @property
    def layout(self) -> CacheLayout:
        """The cache."""
        return CacheLayout.at(self.settings.cache_dir)

    def _request(self, *, force: bool) -> PullRequest:
        item = Item(self.ref, self.include, self.exclude, self.local_dir, files=self.files)
        return replace(request_for((item,), self.settings, force=force), may_be_none=True)

    def place(self, commit: str, path: str | None) -> Path:
        """The path of a file, or of all, once it is here."""
        return (self.local_dir or self.layout.snapshot(self.ref.repo, commit)) / (path or "")

    def pulled(self, path: str | None, force: bool, progress: Progress, tqdm_class: Any) -> Path:
        """Pull it. Where nobody can be asked, what the cache has is good enough, and that is logged."""
        if path and not force and self.ref.is_commit and not self.local_dir:
            found = self.layout.snapshot(self.ref.repo, self.ref.revision) / path
            if found.is_file():
                return found
        request = self._request(force=force)
        report = pull_for(request, self.settings, progress, self.stop, tqdm_class)
        for error in failures_of(report.models):
            if force or not isinstance(error, _SILENT):
                raise error
            return self._instead(error, path)
        if not report.models[0].files:
            LOG.warning("no file of %s matches: include %s, exclude %s", self.ref, self.include, self.exclude)
        return self.place(report.models[0].commit or "", path)

    def _instead(self, error: GlmAriaError, path: str | None) -> Path:
        try:
            found = self.cached(path)
        except NotCachedError as missing:
            raise (missing if path is None and type(missing) is not NotCachedError else error) from error
        LOG.warning("%s; what is here already is used: %s", error.message, found)
        return found

    def cached(self, path: str | None) -> Path:
        """The path of what is here already. Raises NotCachedError."""
        if self.local_dir is not None:
            whole = cached.folder_of_files(self.local_dir)
            found = whole and (whole / path if path else whole)
            if found and (path is None or found.is_file()):
                return found
            raise NotCachedError(f"{path or str(self.ref)!r} is not in {self.local_dir}, and no server may be asked")
        if path is None:
            return cached.cached_snapshot(self.layout, self.ref, self.include, self.exclude)
        return cached.cached_file(self.layout, self.ref, path)

    def planned(self, force: bool) -> list[DryRunFileInfo]:
        """The actions of a pull, file by file."""
        made = plan_for(self._request(force=False), self.settings, None, self.stop)
        model = made.models[0]
        commit, kind = model.model.commit, dry_run_type()
        return [
            kind(
                commit_hash=commit,
                file_size=item.file.size,
                filename=item.file.path,
                local_path=str(self.place(commit, item.file.path)),
                is_cached=item.action is not Action.FETCH,
                will_download=force or item.action is Action.FETCH,
            )
            for item in model.files
        ]


def _settings(
    cache_dir: str | Path | None,
    endpoint: str | None,
    token: bool | str | None,
    *,
    headers: dict[str, str] | None,
    etag_timeout: float,
    max_workers: int | None = None,
) -> Settings:
    if headers:
        raise UsageError(
            "headers are not sent: bytes come from several sites, which must not see each other's",
            hint="a token goes to the Hub alone: token=…",
        )
    said: dict[str, object] = {"token": token}
    if cache_dir is not None:
        said["cache_dir"] = _absolute(cache_dir)
    if endpoint is not None:
        said["root"] = endpoint
    if max_workers is not None:
        said["jobs"] = max_workers
    settings = settings_for(cast("SettingOptions", said))
    is_usual = settings.origins["etag_timeout"] == "default"  # a variable wins over the call, as in huggingface_hub
    return replace(settings, etag_timeout=etag_timeout) if is_usual else settings


def _absolute(place: str | Path) -> Path:
    return Path(os.path.realpath(absolute(place)))


def _refuse_offline(settings: Settings, local_files_only: bool) -> None:
    if local_files_only or settings.offline:
        raise NotCachedError("a dry run asks the Hub, and no server may be asked")


def _patterns(given: Sequence[str] | str | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str | os.PathLike) else tuple(given)
