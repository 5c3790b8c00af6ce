"""The layers that a setting may come from, the highest first, and what each says about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from orchestrator.errors import ConfigError, GlmAriaError, UsageError
from orchestrator.settings import values
from orchestrator.settings.table import KEYS

Value = TypeVar("Value")


# What `--on-change` tells its command. No settings; a glm-aria that the command calls must not take them for mistakes.
TOLD = ("GLM_ARIA_REF", "GLM_ARIA_SNAPSHOT", "GLM_ARIA_OLD_COMMIT", "GLM_ARIA_NEW_COMMIT", "GLM_ARIA_VERSION")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A settings file, read and flattened: `trust.root` -> value. Keys with an empty value are left out."""

    path: Path
    keys: Mapping[str, object]
    is_personal: bool


@dataclass(frozen=True, slots=True)
class Given:
    """The value of a layer: raw, with its origin, and the folder that relative paths start from."""

    raw: object
    origin: str
    base: Path
    is_flag: bool = False
    variable: str = ""
    file: ConfigFile | None = None

    def read(self, reader: Callable[[object, Path], Value]) -> Value:
        """The value. Raises UsageError for a flag, ConfigError for the rest, both naming the origin."""
        is_shared = self.variable and not self.variable.startswith("GLM_ARIA_")
        try:
            if reader in (values.path, values.certificates) and not is_shared:
                values.refuse_unset(self.raw)
            return reader(self.raw, self.base)
        except ValueError as error:
            raise self.error(str(error)) from error

    def error(self, message: str, hint: str | None = None) -> GlmAriaError:
        """The error for a value that is wrong."""
        kind = UsageError if self.is_flag else ConfigError
        return kind(f"{self.origin}: {message}", hint=hint or self._mending())

    def _mending(self) -> str | None:
        # Not `config show`: it reads the same settings, and ends the same way.
        if self.variable:
            return f"correct it, or take it away: unset {self.variable}"
        if self.file:
            return f"correct it in {self.file.path}"
        return None if self.is_flag else "for example: export HF_HOME=/a/folder"


@dataclass(frozen=True, slots=True)
class Layers:
    """All layers. `files` the highest first; `spelled` has the flags that are not called as usual."""

    flags: Mapping[str, object]
    environ: Mapping[str, str]
    files: tuple[ConfigFile, ...]
    folder: Path
    spelled: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> Iterator[Given]:
        """The values of a setting in the layers, the highest first. An empty variable counts as not set."""
        key = KEYS[name]
        if self.flags.get(name) is not None:
            flag = self.spelled.get(name, key.flag)
            yield Given(self.flags[name], f"flag {flag}", self.folder, is_flag=True)
        for variable in key.variables:
            if self.environ.get(variable, "").strip():
                yield Given(self.environ[variable], f"environment {variable}", self.folder, variable=variable)
        for file in self.files:
            if key.toml in file.keys:
                yield Given(file.keys[key.toml], f"file {file.path}:{key.toml}", file.path.parent, file=file)


def misspelled(environ: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Variables that start like ours and are not, each with the name that was probably meant."""
    known = [name for key in KEYS.values() for name in key.variables if name.startswith("GLM_ARIA_")]
    for name in sorted(environ):
        if name.startswith("GLM_ARIA_") and name not in known and name not in TOLD:
            import difflib

            yield name, next(iter(difflib.get_close_matches(name, known, 1)), None)
