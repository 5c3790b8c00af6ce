"""Names in the registry: models, aliases, and the repositories to which versions are uploaded.

Nobody but the facade may write to the repository of a model: a registry's right to push is the right to move any tag,
so an alias or a version could be moved past the facade. Who publishes uploads to a repository of its own, for this
model alone, from where the facade takes the version over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.registries import is_repository_name, is_tag
from orchestrator.errors import GlmAriaError, UsageError
from orchestrator.registry.versions import Range, Version
from orchestrator.rights import Right

FACADE = "glm-aria facade"
"""The name of who moves tags, in tokens and in the trail."""
UPLOADS = "uploads"
"""The first part of the names of repositories for uploads; no namespace of models."""
DEVELOPMENT = "dev"
"""The alias for development versions, and the beginning of others (`dev-ann`)."""
NEWEST = "*"
"""The range that is meant where nothing is named: of all releases the newest."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|[0-9a-f]{40}")


def model_named(name: str) -> RepoId:
    """The model of this name, `namespace/name`. Raises UsageError."""
    parts = name.split("/")
    if len(parts) != 2 or parts[0] == UPLOADS or not is_repository_name(name):
        raise UsageError(
            f"{name!r} is not the name of a model in a registry",
            hint="namespace/name, both of lower-case letters, digits and . _ - between these",
        )
    return RepoId(RepoType.MODEL, name)


def is_model(name: str) -> bool:
    """True for the name of a repository that holds a model."""
    try:
        model_named(name)
    except GlmAriaError:
        return False
    return True


def upload_repository(who: str, model: RepoId) -> str:
    """The repository to which somebody uploads versions of a model. Others cannot write there, nor read."""
    return f"{UPLOADS}/{hashlib.sha256(who.encode()).hexdigest()[:16]}/{model.name}"


def rights_to_move(alias: str) -> frozenset[Right]:
    """The rights of which one is needed to move an alias: `dev` and `dev-…` are moved by who publishes, too."""
    is_development = alias == DEVELOPMENT or alias.startswith(f"{DEVELOPMENT}-")
    return frozenset({Right.PROMOTE, Right.PUBLISH} if is_development else {Right.PROMOTE})


def check_alias(name: str, others: Iterable[str] = ()) -> None:
    """Refuse a name that a new alias must not have: one that means something else already, or that differs from one of
    the `others` by case alone, which is one file in some caches. Raises UsageError."""
    if not is_alias(name):
        raise UsageError(
            f"{name!r} is no name for an alias",
            hint="letters, digits and . _ -, and neither a version, a range such as 1.x, nor a digest",
        )
    twin = next((other for other in others if other != name and other.casefold() == name.casefold()), None)
    if twin is not None:
        raise UsageError(f"{name!r} is no name for an alias beside {twin!r}", hint=f"write {twin!r}, or another name")


def is_alias(name: str) -> bool:
    """True for a name that an alias can have. A tag `sha256-…` stands in for the referrers of a manifest."""
    means_more = Version.of_tag(name) or is_digest(name) or is_range(name) or name.startswith("sha256-")
    return is_tag(name) and not means_more


def is_digest(text: str) -> bool:
    """True for the digest of a manifest, or the first 40 digits of one, which is the commit in a cache."""
    return _DIGEST.fullmatch(text) is not None


def is_range(text: str) -> bool:
    """True for a range of versions as npm has it."""
    try:
        Range.parse(text)
    except ValueError:
        return False
    return True
