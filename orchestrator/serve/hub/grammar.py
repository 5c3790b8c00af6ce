"""The Hub's grammar: a request's method, path and query become what was asked for. No I/O.

Addresses as huggingface_hub 2.4 and `@huggingface/hub` use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.refs import Ref, RepoType
from orchestrator.serve.http.addresses import is_set, number, parameters, ref_at, repo_at, segments
from orchestrator.serve.http.refusals import Refused, nothing_here, reads_only, takes_only

_TYPES = {kind.plural: kind for kind in RepoType}
_VERBS = frozenset(("revision", "tree", "treesize", "paths-info", "refs", "commits"))


@dataclass(frozen=True, slots=True)
class AboutRepo:
    """A repo at a revision: its commit and the names of its files, with `blobs` also their sizes and digests."""

    ref: Ref
    blobs: bool = False


@dataclass(frozen=True, slots=True)
class TreePage:
    """A page of the entries below `folder`, from `start` on."""

    ref: Ref
    folder: str
    recursive: bool = False
    start: int = 0


@dataclass(frozen=True, slots=True)
class TreeSize:
    """The bytes of all files below `folder`."""

    ref: Ref
    folder: str


@dataclass(frozen=True, slots=True)
class PathsInfo:
    """The entries of the paths that the body names."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Passed:
    """Facts that only the root can tell: branches and tags, or commits. `parts` follow the repo's address."""

    ref: Ref
    parts: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FileBytes:
    """The bytes of a file."""

    ref: Ref
    path: str


@dataclass(frozen=True, slots=True)
class ModelsPage:
    """The models of the registry: at most `limit` from `start` on, of an author, and whose names hold `search`."""

    author: str = ""
    search: str = ""
    limit: int = 1000
    start: int = 0


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """The account of the caller."""


@dataclass(frozen=True, slots=True)
class Harnesses:
    """The list by which huggingface_hub tells which agent it runs under, to say so to the Hub."""


Asked = AboutRepo | TreePage | TreeSize | PathsInfo | Passed | FileBytes | ModelsPage | WhoAmI | Harnesses
"""What a request may ask for."""


def parse(method: str, raw_path: bytes, query_string: bytes = b"") -> Asked:
    """Read a request. `raw_path` is as it was sent: `refs%2Fpr%2F1` is one segment of it. Raises Refused."""
    parts = segments(raw_path)
    if method not in ("GET", "HEAD", "POST"):
        raise reads_only()
    query = parameters(query_string)
    asked = _asked(parts, query)
    if (method == "POST") != isinstance(asked, PathsInfo):
        raise takes_only("POST" if isinstance(asked, PathsInfo) else "GET, HEAD")
    return asked


def _asked(parts: tuple[str, ...], query: Mapping[str, str]) -> Asked:
    if parts == ("api", "whoami-v2"):
        return WhoAmI()
    if parts == ("api", "agent-harnesses"):
        return Harnesses()
    if parts == ("api", "models"):
        author, search = query.get("author", ""), query.get("search", "")
        return ModelsPage(author, search, number(query, "limit", 1000), number(query, "cursor", 0))
    if parts[-2:] == ("info", "refs") or parts[-1] in ("git-upload-pack", "git-receive-pack"):
        raise Refused(
            403,
            "git is not served here: use `hf download`, `glm-aria pull` or the address of a single file, "
            "or clone from the Hub itself",
            is_plain=True,
        )
    if parts[0] == "api":
        if len(parts) > 2 and parts[1] in _TYPES:
            return _api(_TYPES[parts[1]], parts[2:], query)
    elif "resolve" in parts[1:4]:
        return _resolve(parts)
    raise nothing_here()


def _api(kind: RepoType, parts: tuple[str, ...], query: Mapping[str, str]) -> Asked:
    # `gpt2/tree/main` is the tree of an old model without an organisation; `org/name` is a repo.
    width = 1 if len(parts) == 1 or parts[1] in _VERBS else 2
    repo = repo_at(kind, parts[:width])
    verb, rest = parts[width : width + 1], parts[width + 1 :]
    folder = "/".join(rest[1:]).strip("/")
    match verb:
        case ():
            return AboutRepo(Ref(repo), is_set(query, "blobs"))
        case ("revision",) if len(rest) == 1:
            return AboutRepo(ref_at(repo, rest[0]), is_set(query, "blobs"))
        case ("tree",) if rest:
            return TreePage(ref_at(repo, rest[0]), folder, is_set(query, "recursive"), number(query, "cursor", 0))
        case ("treesize",) if rest:
            return TreeSize(ref_at(repo, rest[0]), folder)
        case ("paths-info",) if len(rest) == 1:
            return PathsInfo(ref_at(repo, rest[0]))
        case ("refs",) if not rest:
            kept = tuple((name, query[name]) for name in ("include_prs", "include_pull_requests") if name in query)
            return Passed(Ref(repo), ("refs",), kept)
        case ("commits",) if len(rest) == 1:
            kept = tuple((name, query[name]) for name in ("p", "limit") if query.get(name, "").isdecimal())
            return Passed(ref_at(repo, rest[0]), ("commits", rest[0]), kept)
    raise nothing_here()


def _resolve(parts: tuple[str, ...]) -> FileBytes:
    kind = _TYPES.get(parts[0], RepoType.MODEL)
    first = 1 if parts[0] in _TYPES else 0
    # A repo may be called `resolve`; a branch of that name in a repo without an organisation is rarer.
    at = next((at for at in (first + 2, first + 1) if parts[at : at + 1] == ("resolve",)), None)
    if at is None:
        raise nothing_here()
    rest = parts[at + 1 :]
    # Clients quote a revision; browsers and people write `refs/pr/1`.
    width = 3 if rest[:1] == ("refs",) else 1
    if len(rest) <= width:
        raise Refused(404, "no file is named")
    return FileBytes(ref_at(repo_at(kind, parts[first:at]), "/".join(rest[:width])), "/".join(rest[width:]))
