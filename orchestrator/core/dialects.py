"""The kinds of catalog, one object each: all that differs between a Hub, ModelScope and others without asking a site.

Refs, sources, trust rules, lock files and settings read it here, so none of them knows a kind by name. The class that
asks sites of a kind is in `catalogs/speakers.py`, where a kind is registered.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.files import Algorithm


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """A kind of catalog: how its sites spell addresses and what their listings tell. Each kind is one object.

    `name` is the kind in settings, addresses (`KIND+URL`) and documents; `scheme` in refs (`hf://`); `title` for
    people. `main` is the branch that a ref without a revision means. `plain_digest` is the digest that a listing has
    for a file outside LFS; for LFS files every kind has the sha256.

    `file` and `api` are the paths of a file and of a repo's API at a site. In them stand `{repo}` (with its type where
    the Hub has it), `{types}`, `{name}`, and in `file` also `{commit}` and `{path}`.

    `has_git_commits`: its commits are git's, so the same at every site, and git's objects prove them. Else each site
    has commits of its own. `has_own_names`: organisations have other names than at a Hub (`[aliases]`). `models_only`:
    a ref that a user writes names a model there, as `org/name`. `mirrors` are sites that are used by default, as
    (name, address).
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
    mirrors: tuple[tuple[str, str], ...] = ()

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
DEFAULT = HUGGINGFACE
"""The kind of a ref and of an address that name none, and of the root."""

_known = {dialect.name: dialect for dialect in (HUGGINGFACE, MODELSCOPE)}


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
    return tuple(dict.fromkeys(dialect.main for dialect in dialects()))
