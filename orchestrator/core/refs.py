"""Refs of a user: a model, dataset or space at a revision, in one of the catalogs.

Grammar (the user's page is docs/reference.md):

    [hf://|ms://][datasets/|spaces/]org/name[@revision]
    oci://host[:port]/[more/]org/name[:tag|@sha256:digest]
    reg://team/model[@version|range|alias|sha256:digest], or [:version|…]
    mlflow://name[@alias|version], or [:alias|…]
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.dialects import DEFAULT, OWN, Dialect, dialects
from orchestrator.core.registries import Site, is_sha256, parse_repository
from orchestrator.errors import RepoNameError, UsageError

# The Hub's own rule for a repo id part: word characters, '-' and '.', at most 96 characters, no '--' or '..', no
# '-' or '.' at either end (huggingface_hub `validate_repo_id`). It becomes a folder name, so it is held here too.
_NAME_PART = re.compile(r"(?![-.])(?!.*(?:--|\.\.))[A-Za-z0-9_.-]{1,96}(?<![-.])")
# git's own rule for the name of a branch or a tag (git-check-ref-format): what it may not hold, at all or somewhere. A
# blank is among it, and `-` at the beginning, which git refuses in every name that a user makes.
_NO_REVISION = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(?:^|/)\.|\.lock(?:/|\Z)|^[/-]|[/.]\Z|^@\Z|[\ud800-\udfff]", re.ASCII
)
_OF_RANGE = re.compile(r"[\^~<>=*|]| - ")
_LONGEST = 255
"""Bytes of a part of a revision, which becomes a name below `refs/`; the whole may have 1024."""
_COLON = re.compile(r"[\w./-]+:[\w.^~-][\w./^~-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NEARLY_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.IGNORECASE | re.ASCII)


class RepoType(StrEnum):
    """The Hub's three repo types; the value is the API's singular form."""

    MODEL = "model"
    DATASET = "dataset"
    SPACE = "space"

    @property
    def plural(self) -> str:
        """Path segment of the API, and prefix of cache folders: `models`, `datasets`, `spaces`."""
        return f"{self.value}s"


@dataclass(frozen=True, slots=True)
class RepoId:
    """A repo's type and its name, `org/name` or (old models) just `name`. Always valid once constructed."""

    type: RepoType
    name: str

    def __post_init__(self) -> None:
        parts = self.name.split("/")
        if len(parts) > 2 or not all(_NAME_PART.fullmatch(part) for part in parts) or self.name.endswith(".git"):
            raise RepoNameError(
                f"{self.name!r} is not a repo name",
                hint="write it as org/name, for example zai-org/AutoGLM-Phone-9B",
            )

    @property
    def folder(self) -> str:
        """The cache folder name, `models--org--name`."""
        return "--".join((self.type.plural, *self.name.split("/")))

    @property
    def url_path(self) -> str:
        """The path of the repo on a Hub site: `org/name`, `datasets/org/name`, `spaces/org/name`."""
        return self.name if self.type is RepoType.MODEL else f"{self.type.plural}/{self.name}"


@dataclass(frozen=True, slots=True)
class Ref:
    """A repo at a revision. `revision` is a branch, a tag, `refs/pr/N`, a 40-hex commit, or what else its catalog has.

    A branch or tag may be whatever git allows, so it is quoted in an address, and on a command line. `site` is where
    the repo is, for catalogs whose refs say so themselves.
    """

    repo: RepoId
    revision: str = DEFAULT.main
    catalog: Dialect = DEFAULT
    site: Site | None = None

    def __post_init__(self) -> None:
        if not _is_revision(self.revision, self.catalog):
            raise UsageError(f"{self.revision!r} is not a revision", hint=self._grammar())
        if self.catalog.names_site is not (self.site is not None):
            raise UsageError(f"{self.repo.name}: a ref of {self.catalog.title} names its site")

    def _grammar(self) -> str:
        revision, colon, label = self.revision.rpartition(":")
        if not colon or self.catalog.revision is not None or not _is_git_name(revision) or not label:
            return self.catalog.revisions
        meant = shlex.quote(f"{self.repo.url_path}:{label}@{revision}")
        return f"{self.catalog.revisions}; a quantisation stands before it: {meant}"

    @property
    def is_commit(self) -> bool:
        """True when the revision names a commit itself and can never move."""
        return self.commit is not None

    @property
    def commit(self) -> str | None:
        """The 40-hex commit that the revision names itself: of a digest, its first 40 digits."""
        if is_sha256(self.revision):
            return self.revision.partition(":")[2][:40]
        return self.revision if is_commit(self.revision) else None

    @property
    def branch(self) -> str | None:
        """The revision as a name below `refs/` of the cache, as it was asked for; None for a commit.

        A range of versions is one, too: hf keeps `refs/^1.2`, and reads it offline.
        """
        return None if self.is_commit or not (_is_git_name(self.revision) or is_range(self.revision)) else self.revision

    def __str__(self) -> str:
        scheme = "" if self.catalog is DEFAULT else f"{self.catalog.scheme}://"
        if self.site is None:
            return f"{scheme}{self.repo.url_path}@{self.revision}"
        return f"{self.site}/{self.repo.url_path}{'@' if self.is_commit else ':'}{self.revision}"


@dataclass(frozen=True, slots=True)
class Target:
    """A target in a cache: a repo, or with `revision` its cached files of that one."""

    repo: RepoId
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.repo.url_path}@{self.revision}" if self.revision else self.repo.url_path


def parse_target(text: str) -> Target:
    """Parse a REF that names something in the cache: without `@revision` all of the repo. Raises UsageError.

    The catalog of what lies there need not be named, so the revision may be one of any.
    """
    name, at, revision = text.strip().partition("@")
    if at and "://" not in name and any(_is_revision(revision, dialect) for dialect in dialects()):
        return Target(parse_ref(name).repo, revision.lower() if is_commit(revision.lower()) else revision)
    ref = parse_ref(text)
    return Target(ref.repo, (ref.commit or ref.revision) if names_revision(text) else None)


def of_registry(text: str) -> bool:
    """True for a REF of a registry: a single one knows its models, and others are not there to confirm what it says."""
    scheme = text.partition("://")[0].partition("+")[0]
    return any(one.scheme == scheme and (one.names_site or one.has_no_files) for one in dialects() if "://" in text)


def names_revision(text: str) -> bool:
    """True when a REF names a revision, and does not mean that of its catalog."""
    return "@" in text or ("://" in text and ":" in text.rpartition("/")[2])


def parse_folder(folder: str) -> RepoId | None:
    """The repo whose cache folder is named so; None for any other name."""
    prefix, _, rest = folder.partition("--")
    kind = next((kind for kind in RepoType if kind.plural == prefix), None)
    try:
        return RepoId(kind, rest.replace("--", "/")) if kind and rest else None
    except UsageError:
        return None


def is_commit(text: str) -> bool:
    """True for a full 40-hex commit hash."""
    return bool(_COMMIT.fullmatch(text))


def is_range(text: str) -> bool:
    """True for a range of versions that no branch can be called, such as `^1.2`."""
    return OWN.is_revision(text) and bool(_OF_RANGE.search(text)) and not text.endswith((".", ".lock"))


def as_word(what: Ref | Target) -> str:
    """A ref as one word of a command line: git allows quotes, brackets and `$` in a branch."""
    return shlex.quote(str(what))


def commit_hint(revision: str) -> str | None:
    """A hint for a revision that is nowhere to be found and looks like a commit with digits missing or too many."""
    if not _NEARLY_COMMIT.fullmatch(revision) or is_commit(revision):
        return None
    return f"if it is a commit: give all 40 digits of it ({revision!r} has {len(revision)})"


def _is_revision(text: str, catalog: Dialect) -> bool:
    if catalog.revision is not None:
        return catalog.is_revision(text) or is_commit(text)
    return _is_git_name(text)


def _is_git_name(text: str) -> bool:
    if not text or _NO_REVISION.search(text) or len(text.encode()) > 4 * _LONGEST:
        return False
    return all(len(part.encode()) <= _LONGEST for part in text.split("/"))


def parse_ref(text: str, *, revision: str | None = None) -> Ref:
    """Parse a REF; `revision` (the `--revision` flag) applies where the text names none.

    Raises UsageError, with a corrected form as the hint where one can be guessed.
    """
    rest = text.strip()
    scheme, separator, tail = rest.partition("://")
    catalog = DEFAULT
    if separator:
        if scheme in ("http", "https"):
            raise _page_url(text, tail)
        by_scheme = {dialect.scheme: dialect for dialect in dialects()}
        plain, plus, asked = scheme.partition("+")
        if plain not in by_scheme or (plus and not (by_scheme[plain].names_site and asked in ("http", "https"))):
            *some, last = (f"{scheme}://" for scheme in by_scheme)
            known = f"{', '.join(some)} and {last}"
            raise UsageError(f"{text!r}: unknown scheme {scheme}://", hint=f"{known} are known, or just org/name")
        catalog, rest = by_scheme[plain], tail
        if catalog.names_site:
            return _at_site(scheme, tail, catalog, revision)
    # As a push has it, and as others write tags. No name holds a colon.
    rest, at, named = rest.partition(":" if catalog.has_no_files and "@" not in rest else "@")
    if at and revision is not None and named != revision:
        raise UsageError(f"{text!r} names a revision, and --revision {revision} another", hint="give only one of them")
    repo_type, name = RepoType.MODEL, rest.strip("/")
    for candidate in RepoType:
        if rest.startswith(f"{candidate.plural}/"):
            repo_type, name = candidate, rest.removeprefix(f"{candidate.plural}/")
    is_named = "/" in name or not catalog.names_namespace
    if catalog.models_only and (repo_type is not RepoType.MODEL or not is_named):
        raise UsageError(f"{text!r}: only models, as {catalog.scheme}://org/name, are read from {catalog.title}")
    if not at and catalog is DEFAULT and _COLON.fullmatch(name):
        right = name.replace(":", "@", 1)
        raise UsageError(
            f"{text!r} is not a repo name",
            hint=f"a revision stands behind @: {shlex.quote(right)}; a quantisation can be named where files are "
            f"fetched or linked; else it is the whole repo: {shlex.quote(name.partition(':')[0])}",
        )
    chosen = named if at else revision if revision is not None else catalog.main
    return Ref(RepoId(repo_type, name), chosen.lower() if is_commit(chosen.lower()) else chosen, catalog)


def _at_site(scheme: str, text: str, catalog: Dialect, revision: str | None) -> Ref:
    """A ref that names its site. The last two parts of its path are the repo, as the cache has it."""
    repository, named = parse_repository(scheme, text)
    if named is not None and revision is not None and named != revision:
        raise UsageError(
            f"{scheme}://{text} names a revision, and --revision {revision} another", hint="give only one of them"
        )
    parts = repository.name.split("/")
    prefix = "".join(f"/{part}" for part in parts[:-2])
    repo = RepoId(RepoType.MODEL, "/".join(parts[-2:]))
    return Ref(repo, named or revision or catalog.main, catalog, Site(repository.registry, prefix))


def _page_url(text: str, tail: str) -> UsageError:
    """The error for a web address where a repo was meant; suggests the REF that it stands for."""
    segments = tail.partition("?")[0].strip("/").split("/")[1:]
    typed = segments[:1] if segments[:1] in (["datasets"], ["spaces"]) else []
    parts = segments[len(typed) : len(typed) + 2]
    hint = "a single file by its https:// address needs --sha256"
    if len(parts) == 2 and all(_NAME_PART.fullmatch(part) for part in parts):
        hint = f"for the repo itself: {'/'.join((*typed, *parts))}; {hint}"
    return UsageError(f"{text!r} is a web address, not a repo name", hint=hint)
