"""Names of what is pushed to, as a user writes them: a tag of a registry, or a version in a registry of models.

oci://host[:port]/team/model:1.2.3        reg://team/model:1.2.3
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.registries import Repository, is_tag, parse_repository
from orchestrator.errors import UsageError
from orchestrator.registry.names import model_named
from orchestrator.registry.versions import Version

_EXAMPLES = "for example reg://team/model:1.2.3, or oci://registry.example/team/model:1.2.3"


@dataclass(frozen=True, slots=True)
class TagTarget:
    """A tag of a repository."""

    repository: Repository
    tag: str


@dataclass(frozen=True, slots=True)
class VersionTarget:
    """A version of a model in the registry of models that the settings name."""

    model: str
    version: str


def parse_push_target(text: str) -> TagTarget | VersionTarget:
    """Read a target. A version may stand behind `:` or `@`. Raises UsageError."""
    scheme, separator, rest = text.strip().partition("://")
    if scheme == "reg" and separator:
        name, mark, version = rest.partition("@") if "@" in rest else rest.rpartition(":")
        if not mark:
            raise UsageError(f"{text!r} names no version", hint=f"reg://{rest}:1.0.0")
        try:
            return VersionTarget(model_named(name).name, str(Version.parse(version)))
        except ValueError as error:
            hint = "a whole version is 1.2.0, or 1.2.0-rc.1; an alias moves with --alias"
            raise UsageError(f"{text!r}: {error}", hint=hint) from error
    if scheme.partition("+")[0] == "oci" and separator:
        repository, tag = parse_repository(scheme, rest)
        tag = tag.replace("+", "_") if tag else tag
        if tag is None or not is_tag(tag):
            raise UsageError(f"{text!r} names no tag", hint=f"{repository}:1.0.0")
        return TagTarget(repository, tag)
    raise UsageError(f"{text!r} is no place to push to", hint=_EXAMPLES)
