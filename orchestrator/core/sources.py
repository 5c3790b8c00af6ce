"""Places that can send bytes, and where in them a blob can be found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import quote, urlsplit

from orchestrator.core.addresses import parse_address
from orchestrator.core.dialects import DEFAULT, Dialect, mirror_kinds
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.refs import Ref, RepoId
from orchestrator.errors import UsageError

_PEER = "peer:"


@dataclass(frozen=True, slots=True)
class Source:
    """A site that serves repos: the root or a mirror. `url` is its base address without a trailing slash.

    One that is not `is_believed` carries bytes only: its word counts for no commit and no listing, since others than
    the user may have named it.
    """

    name: str
    url: str
    kind: Dialect = DEFAULT
    is_root: bool = False
    is_believed: bool = True

    @property
    def host(self) -> str:
        """Host name in lower case, without the port."""
        return (urlsplit(self.url).hostname or "").lower()

    @property
    def netloc(self) -> str:
        """Host name with the port as the address has it, in lower case."""
        return urlsplit(self.url).netloc.lower()

    @property
    def address(self) -> str:
        """`host[:port][/path]`: stays when the name in the settings changes. Measurements are kept by it."""
        parts = urlsplit(self.url)
        return parts.netloc.lower() + parts.path

    @property
    def witness(self) -> str:
        """The address by which it is remembered what a site said. One that refs name tells its kind in it: there is no
        list of them to look a kind up."""
        return self.spelled if self.kind.names_site else self.url

    @property
    def spelled(self) -> str:
        """`[KIND+]URL`, as `parse_source` reads it."""
        return self.url if self.kind is DEFAULT else f"{self.kind}+{self.url}"

    def api_url(self, repo: RepoId) -> str:
        """The URL of a repo in the site's API; the catalog of the kind adds the rest."""
        return self.url + self.kind.api.format(repo=repo.url_path, types=repo.type.plural, name=repo.name)

    def file_url(self, origin: Origin) -> str:
        """The address of a file at its commit."""
        repo, path = origin.repo, quote(origin.path, safe="/")
        return self.url + self.kind.file.format(
            repo=repo.url_path,
            types=repo.type.plural,
            name=repo.name,
            commit=origin.commit,
            path=path,
            digest=origin.digest,
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a blob in a catalog: a path in a repo at a commit. A blob may have many origins.

    `source` is the name of the only source that this holds for, such as one ModelScope site with commits of its own.
    None: every source of the kind, since a Hub and its mirrors know the same commits. `site` is that source where the
    ref named it, and settings do not. `digest` is the blob's, for kinds that ask for blobs by it.
    """

    repo: RepoId
    commit: str
    path: str
    kind: Dialect = DEFAULT
    source: str | None = None
    site: Source | None = None
    digest: Digest | None = None

    def holds_for(self, source: Source) -> bool:
        """True when `source` can be asked for the blob by this repo, commit and path."""
        if self.site is not None:
            return self.site == source
        return self.kind is source.kind and self.source in (None, source.name)


@dataclass(frozen=True, slots=True)
class RangeAnswer:
    """The answer of a source to a request for a single range.

    `total` is the size that it claims for the whole file, None when it tells none. `is_range`: it sent just what was
    asked for. `is_encoded`: compressed, which was not requested. `has_length`: it tells how much it sends, in the only
    way that aria2 understands.
    """

    status: int
    total: int | None = None
    is_range: bool = False
    is_encoded: bool = False
    has_length: bool = True


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a file as they arrive, from `start` to the end of the file or of the range that was asked for.

    `start` may be less than was asked for: then the source knows no ranges. `abort` ends the wait for more from another
    thread. `chunks` raises GlmAriaError when the line breaks, and for more or fewer bytes than are listed. A context
    manager: leaving it calls `close`, which gives the connection back.
    """

    start: int
    chunks: Iterator[bytes]
    abort: Callable[[], None]
    close: Callable[[], None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def site_of(ref: Ref) -> Source | None:
    """The site that a ref names itself, as a source; None where settings say which sites there are."""
    if ref.site is None:
        return None
    return Source(str(ref.site), ref.site.url, ref.catalog)


def origin_at(ref: Ref, commit: str, file: RepoFile) -> Origin:
    """The place of a file of a commit in the catalog that lists it, by the ref where its bytes lie."""
    site = site_of(ref)
    return Origin(ref.repo, commit, file.path, ref.catalog, site=site, digest=file.digest if site else None)


def source_of(node: str) -> str:
    """The name that a node of a fleet has as a source of bytes."""
    return f"{_PEER}{node}"


def node_of(source: str) -> str | None:
    """The node whose name as a source this is; None for a source outside of the fleet."""
    return source.removeprefix(_PEER) if source.startswith(_PEER) else None


Sent = Mapping[str, int]
"""Bytes by the name of the source that sent them."""


def total(parts: Iterable[Sent]) -> Sent:
    """The bytes that each source sent in all."""
    found: Counter[str] = Counter()
    for part in parts:
        found.update(part)
    return dict(found)


def parse_source(text: str, *, name: str | None = None, is_root: bool = False) -> Source:
    """Parse `[KIND+]URL` as given to `--mirror` and `--root`. Raises UsageError."""
    kind_text, plus, rest = text.partition("+")
    kind, url = DEFAULT, text
    if plus and "/" not in kind_text and ":" not in kind_text:
        by_name = {dialect.name: dialect for dialect in mirror_kinds()}
        if kind_text not in by_name:
            raise UsageError(f"unknown kind of mirror {kind_text!r}", hint=" or ".join(by_name))
        kind, url = by_name[kind_text], rest
    try:
        address = parse_address(url)
    except ValueError as error:
        shown = "the address" if {"@", "?"} & set(text) else repr(text)
        raise UsageError(f"{shown} {error}", hint="for example https://hf-mirror.com") from error
    address = replace(address, path=address.path.rstrip("/"))
    return Source(name or str(address.place).lower(), str(address), kind, is_root)
