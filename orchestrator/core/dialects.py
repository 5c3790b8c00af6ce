"""The kinds of catalog, one object each: all that differs between a Hub, a registry and others without asking a site.

Refs, sources, trust rules, lock files and settings read it here, so none of them knows a kind by name. The class that
asks sites of a kind is in `catalogs/speakers.py`, where a kind is registered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.core.files import Algorithm


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """A kind of catalog: how its sites spell addresses and what their listings tell. Each kind is one object.

    `name` is the kind in settings, addresses (`KIND+URL`) and documents; `scheme` in refs (`hf://`); `title` for
    people. `main` is the branch that a ref without a revision means. `plain_digest` is the digest that a listing has
    for a file outside LFS; for LFS files every kind has the sha256.

    `file` and `api` are the paths of a file and of a repo's API at a site. In them stand `{repo}` (with its type where
    the Hub has it), `{types}`, `{name}`, and in `file` also `{commit}`, `{path}` and `{digest}`.

    `where` says how a site is named where none is known, if not as a mirror, and `setting` is the setting that names
    the only one.

    `revision` is the grammar of what a ref may name besides a commit, None for git's; `revisions` are words for it.

    `has_git_commits`: its commits are git's, so the same at every site, and git's objects prove them. Else each site
    has commits of its own. `has_own_names`: organisations have other names than at a Hub (`[aliases]`). `models_only`:
    a ref that a user writes names a model there, as `org/name`, or by a single word unless it `names_namespace`.
    `names_site`: a ref says at which site its repo is, so settings name none. `has_no_files`: its site says which ref
    of another kind a ref stands for, and no more. `tells_moves`: its site tells when that changes. `mirrors` are sites
    that are used by default, as (name, address).
    """

    name: str
    scheme: str
    title: str
    main: str
    file: str
    api: str
    plain_digest: Algorithm = Algorithm.SHA256
    has_git_commits: bool = False
    has_own_names: bool = False
    models_only: bool = True
    names_namespace: bool = True
    names_site: bool = False
    has_no_files: bool = False
    tells_moves: bool = False
    where: str = ""
    setting: str = ""
    revision: re.Pattern[str] | None = None
    revisions: str = "a branch, a tag, refs/pr/N or a 40-hex commit"
    mirrors: tuple[tuple[str, str], ...] = ()

    def is_revision(self, text: str) -> bool:
        """True for what a ref may name besides a commit, where the kind has a grammar of its own."""
        return self.revision is not None and self.revision.fullmatch(text) is not None

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{self.name}>"


HUGGINGFACE = Dialect(
    name="huggingface",
    scheme="hf",
    title="Hugging Face",
    main="main",
    # huggingface_hub `constants.HUGGINGFACE_CO_URL_TEMPLATE`
    file="/{repo}/resolve/{commit}/{path}",
    api="/api/{types}/{name}",
    plain_digest=Algorithm.GIT_SHA1,
    has_git_commits=True,
    models_only=False,
    mirrors=(("hf-mirror", "https://hf-mirror.com"),),
)
MODELSCOPE = Dialect(
    name="modelscope",
    scheme="ms",
    title="ModelScope",
    main="master",
    file="/{types}/{name}/resolve/{commit}/{path}",
    api="/api/v1/{types}/{name}",
    has_own_names=True,
    mirrors=(("modelscope", "https://modelscope.cn"),),
)
_SHA256 = "sha256:[0-9a-f]{64}"
OCI = Dialect(
    name="oci",
    scheme="oci",
    title="an OCI registry",
    main="latest",
    # The distribution specification; the address of a site ends with its /v2.
    file="/{name}/blobs/{digest}",
    api="/{name}",
    names_site=True,
    revision=re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}|{_SHA256}", re.ASCII),
    revisions="a tag, or a digest as @sha256: and 64 digits",
)
REGISTRY = Dialect(
    name="registry",
    scheme="reg",
    title="a registry of models",
    # The alias of this name, or where there is none the newest release: what programs of the Hub mean by it, too.
    main="main",
    file="",
    api="/registry/v1/{name}",
    where="name the server that knows its models: registry.url of your settings file, or GLM_ARIA_REGISTRY",
    setting="registry_url",
    has_no_files=True,
    tells_moves=True,
    revision=re.compile(rf"[A-Za-z0-9^~<>=*][A-Za-z0-9._+*|<>=^~ -]{{0,199}}|{_SHA256}", re.ASCII),
    revisions="a version (1.2.3), a range (^1.2), an alias, or a digest as @sha256: and 64 digits",
)
MLFLOW = Dialect(
    name="mlflow",
    scheme="mlflow",
    title="MLflow",
    main="latest",
    file="",
    api="/api/2.0/mlflow",
    where="name its server: mlflow.url of your settings file, or MLFLOW_TRACKING_URI",
    setting="mlflow_url",
    names_namespace=False,
    has_no_files=True,
    # The name of an alias, or the number of a version (mlflow 3, `validation.py`).
    revision=re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII),
    revisions="an alias, or the number of a version",
)
DEFAULT = HUGGINGFACE
"""The kind of a ref and of an address that name none, and of the root."""
OWN = REGISTRY
"""The kind of models of one's own, for which a server may be the registry itself."""

_known = {dialect.name: dialect for dialect in (HUGGINGFACE, MODELSCOPE, OCI, REGISTRY, MLFLOW)}


def dialects() -> tuple[Dialect, ...]:
    """All kinds that are known, the built-in ones first."""
    return tuple(_known.values())


def register(dialect: Dialect) -> None:
    """Add a kind. Raises ValueError when its name or its scheme is taken."""
    for known in _known.values():
        if known is not dialect and (known.name == dialect.name or known.scheme == dialect.scheme):
            raise ValueError(f"the kind {known.name} ({known.scheme}://) is known already")
    _known[dialect.name] = dialect


def main_branches() -> tuple[str, ...]:
    """The names of main branches, those of the default kind first. No site has a tag of such a name."""
    return tuple(dict.fromkeys(dialect.main for dialect in dialects() if dialect.revision is None))


def mirror_kinds() -> tuple[Dialect, ...]:
    """The kinds of which settings may name a mirror."""
    return tuple(dialect for dialect in dialects() if not dialect.names_site and not dialect.has_no_files)
