"""Models and versions on the command line of `registry`, and which registry is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from orchestrator.cli import options as shared
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.run import services
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.app.registry.remote import RegistryServices


@dataclass(frozen=True, slots=True)
class RegistryChoice:
    """The registry that is asked, and how it is told what came out."""

    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    config: Annotated[str | None, CONFIG]
    as_json: Annotated[bool, shared.JSON]


def model_at(text: str) -> tuple[str, str]:
    """The model and the version in `[reg://]namespace/name[@version]`. Raises UsageError."""
    from orchestrator.registry.names import is_model, model_named

    name, _, wanted = text.removeprefix("reg://").partition("@")
    model, colon, tag = name.partition(":")
    if colon and is_model(model):
        raise UsageError(f"{text!r} names no version: only what is pushed has a colon", hint=f"write {model}@{tag}")
    return model_named(name).name, wanted


def calls(choice: RegistryChoice) -> RegistryServices:
    """The calls to the registry."""
    return services(shared.settings(choice)).registry
