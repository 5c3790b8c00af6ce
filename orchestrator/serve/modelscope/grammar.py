"""ModelScope's grammar: a request's method, path and query become what was asked for. No I/O.

Addresses as modelscope 1.37 (`hub/api.py`, `hub/file_download.py`) and modelscope-hub 0.5.1 (`_legacy_api.py`, which
modelscope 1.38 and later download with) use them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.serve.http.addresses import is_set, number, parameters, ref_at, repo_at, segments
from orchestrator.serve.http.refusals import Refused, nothing_here, reads_only

_TYPES = {kind.plural: kind for kind in (RepoType.MODEL, RepoType.DATASET)}
_MOST_ENTRIES = 10_000
"""Entries of a page, whatever a client asks for."""


@dataclass(frozen=True, slots=True)
class RepoFacts:
    """The facts of a repo as a whole."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class BranchesAndTags:
    """The revisions that a repo has."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class NewestCommit:
    """The history of a revision, of which the newest commit is known here."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The entries below `folder`: all of them, or `size` of them from `start` on."""

    ref: Ref
    folder: str
    recursive: bool = False
    start: int = 0
    size: int | None = None


@dataclass(frozen=True, slots=True)
class FileContent:
    """The bytes of a file."""

    ref: Ref
    path: str


@dataclass(frozen=True, slots=True)
class Nearness:
    """The cloud region that the client is in, where ModelScope would have addresses of its own."""


Asked = RepoFacts | BranchesAndTags | NewestCommit | FolderListing | FileContent | Nearness
"""What a request may ask for."""


def takes(raw_path: bytes) -> bool:
    """True for an address of ModelScope's. `/datasets/org/name/resolve/…` is one of both worlds, and the Hub's here."""
    parts = raw_path.split(b"/", 6)
    return parts[1:3] == [b"api", b"v1"] or parts[1:2] == [b"openapi"] or _is_file(parts)


def parse(method: str, raw_path: bytes, query_string: bytes = b"") -> Asked:
    """Read a request. Raises Refused."""
    if method not in ("GET", "HEAD"):
        raise reads_only()
    parts, query = segments(raw_path), parameters(query_string)
    if parts[:2] == ("api", "v1"):
        if parts[2:] == ("repos", "internalAccelerationInfo"):
            return Nearness()
        if len(parts) > 4 and parts[2] in _TYPES:
            return _api(repo_at(_TYPES[parts[2]], parts[3:5]), parts[5:], query)
    elif parts[0] == "models" and len(parts) > 5:
        return FileContent(_ref(repo_at(RepoType.MODEL, parts[1:3]), parts[4]), "/".join(parts[5:]))
    raise nothing_here()


def _is_file(parts: Sequence[bytes]) -> bool:
    """True for `/models/org/name/resolve/…`. At the Hub, `models` may be an organization: `/models/name/resolve/…`."""
    return parts[1:2] == [b"models"] and parts[4:5] == [b"resolve"] and parts[3:4] != [b"resolve"]


def _api(repo: RepoId, verb: Sequence[str], query: Mapping[str, str]) -> Asked:
    match verb:
        case ():
            return RepoFacts(_ref(repo, query.get("Revision")))
        case ("revisions",):
            return BranchesAndTags(_ref(repo, None))
        case ("commits",):
            return NewestCommit(_ref(repo, query.get("Ref")))
        case ("repo", "files"):
            return FolderListing(_ref(repo, query.get("Revision")), _folder(query), is_set(query, "Recursive"))
        case ("repo", "tree"):
            size = min(max(1, number(query, "PageSize", 100)), _MOST_ENTRIES)
            start = (max(1, number(query, "PageNumber", 1)) - 1) * size
            return FolderListing(
                _ref(repo, query.get("Revision")), _folder(query), is_set(query, "Recursive"), start, size
            )
        case ("repo",):
            if not query.get("FilePath"):
                raise Refused(404, "no file is named")
            return FileContent(_ref(repo, query.get("Revision")), query["FilePath"])
    raise nothing_here()


def _folder(query: Mapping[str, str]) -> str:
    return query.get("Root", "").strip("/")


def _ref(repo: RepoId, revision: str | None) -> Ref:
    return ref_at(repo, revision or MODELSCOPE.main, MODELSCOPE)
