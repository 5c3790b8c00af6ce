"""Models and versions on the command line of `registry`, and which registry is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from orchestrator.cli import options as shared
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.run import services

if TYPE_CHECKING:
    from orchestrator.app.registry.remote import RegistryServices


@dataclass(frozen=True, slots=True)
class RegistryChoice:
    """The registry that is asked, and how it is told what came out."""

    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    config: Annotated[str | None, CONFIG]
    as_json: Annotated[bool, shared.JSON]


def model_at(text: str) -> tuple[str, str]:
    """The model and the version in `[reg://]namespace/name[@version]`, or behind a colon. Raises UsageError."""
    from orchestrator.registry.names import model_named

    name, at, wanted = text.removeprefix("reg://").partition("@")
    if not at:  # as it stands in a push
        name, _, wanted = name.partition(":")
    return model_named(name).name, wanted


def calls(choice: RegistryChoice) -> RegistryServices:
    """The calls to the registry."""
    return services(shared.settings(choice)).registry
